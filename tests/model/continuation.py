"""From any state the honest can still decide: a fair continuation without the liars.

All liars fall silent. The honest bring each other to the highest certified height, change to a view
that an honest one leads, and every message arrives. Each height anyone had voted on must then be
decided and certified by all, and a fresh one after it. So no liar has halted the chain for good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from tests.model.local import Locals, Step
from tests.model.rules import Broken, Facts
from tests.model.scope import World
from tests.model.turn import Input


class Continuation:
    """Continues local states fairly."""

    def __init__(self, world: World, locals_: Locals) -> None:
        self.world = world
        self.locals = locals_
        leader = next(name for name in world.names[::-1] if name not in world.liars)
        place = world.names.index(leader)
        rounds = range(place, 4 * world.scope.n, world.scope.n)
        self.view = next(view for view in rounds if view >= world.scope.views)
        self.leader = leader

    def check(self, members: tuple[int, ...]) -> None:
        """Raise `Broken` unless `members`, one local state each, can decide and go on."""
        _Run(self, members).go()


class _Run:
    def __init__(self, plan: Continuation, members: tuple[int, ...]) -> None:
        self.world, self.locals, self.view = plan.world, plan.locals, plan.view
        states = plan.locals.states
        names = [states[member].name for member in members]
        first = names.index(plan.leader) if plan.leader in names else 0
        lead = plan.locals.transferred(members[first], plan.leader)
        follow = [
            self._not_leading(member, plan.leader)
            for place, member in enumerate(members)
            if place != first
        ]
        self.members = [lead, *follow]
        self.held: Counter[Hashable] = Counter()
        self.taken: set[tuple[int, Input]] = set()

    def _not_leading(self, member: int, leader: str) -> int:
        """The state under a name that does not lead the last view."""
        if self.locals.states[member].name != leader:
            return member
        spare = next(
            name
            for name in self.world.names
            if name != leader
            and name not in self.world.liars
            and not any(name == self.world.primary(view) for view in range(self.world.scope.views))
        )
        return self.locals.transferred(member, spare)

    def go(self) -> None:
        self._say_again()
        self._to_highest_certificate()
        self._change_view()
        self._exchange()
        top = max(len(self.locals.states[member].disk.chain) for member in self.members)
        slot = max(top, self._highest_obliged()) + 1
        digest = self.world.body(self.view, slot, 0).digest
        self._give(0, Input("propose", self.view, slot, digest))
        for place in range(1, len(self.members)):
            self._give(place, Input("proposal", self.view, slot, digest))
        self._exchange()
        for member in self.members:
            local = self.locals.states[member]
            if local.h < slot:
                raise Broken(f"{local.name} is at {local.h} where a fair run certifies {slot}")

    def _highest_obliged(self) -> int:
        began = [fact[1] for fact in self.held if isinstance(fact, tuple) and fact[0] == "began"]
        return max((choice.hi for choice in began), default=0)

    def _give(self, place: int, given: Input) -> Step | None:
        step = self.locals.take(self.members[place], given)
        if step is None:
            return None
        if step.fetched is not None and not self._someone_has(step.fetched):
            raise Broken(f"nobody honest has the body of {self.world.name(step.fetched)}")
        self.members[place] = step.to
        self.held.update(step.signed)
        return step

    def _someone_has(self, digest: bytes) -> bool:
        disks = [self.locals.states[member].disk for member in self.members]
        return any(digest in dict(disk.bodies) or digest in disk.chain for disk in disks)

    def _say_again(self) -> None:
        for member in self.members:
            for n, header in self.locals.states[member].said.checkpoints:
                self.held[(Facts.EXECUTED, n, header)] += 1

    def _to_highest_certificate(self) -> None:
        states = [self.locals.states[member] for member in self.members]
        best = max(states, key=lambda local: local.h)
        if best.h:
            header = self.world.header_hash(best.disk.chain[: best.h])
            for place in range(len(self.members)):
                self._give(place, Input("blocks", n=best.h, data=header))

    def _change_view(self) -> None:
        for place in range(len(self.members)):
            self._give(place, Input("change", self.view))
        changes = [self.locals.states[member].said.change for member in self.members]
        others = tuple(change for change in changes[1:] if change is not None)
        quorum = self.world.quorum
        if len(others) < quorum - 1:
            raise Broken("fewer VIEW-CHANGEs than a quorum")
        step = self._give(0, Input("lead", self.view, data=others[: quorum - 1]))
        began = [fact[1] for fact in step.signed if fact[0] == Facts.BEGAN] if step else []
        if not began:
            raise Broken("no NEW-VIEW although a quorum changed view")
        for place in range(1, len(self.members)):
            self._give(place, Input("new_view", self.view, data=began[0]))

    def _exchange(self) -> None:
        """Deliver every quorum to everyone until nothing moves."""
        moved = True
        while moved:
            moved = False
            for fact in [fact for fact, count in self.held.items() if count >= self.world.quorum]:
                for given in _inputs(fact):
                    for place in range(len(self.members)):
                        moved = self._give(place, given) is not None or moved


def _inputs(fact: Hashable) -> list[Input]:
    match fact:
        case (Facts.PREPARED, view, n, digest):
            return [Input("prepares", view, n, digest)]
        case (Facts.COMMITTED, view, n, digest):
            return [Input("commits", view, n, digest)]
        case (Facts.EXECUTED, n, header):
            return [Input("checkpoints", n=n, data=header), Input("blocks", n=n, data=header)]
    return []
