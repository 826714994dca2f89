"""Searching the states of a small network of honest replicas among liars.

A global state is the local states of the honest replicas and the network. Honest replicas that
lead no view of the scope are interchangeable, so theirs are kept sorted. There are two searches:

- `EveryState` visits every reachable state, breadth first, and can continue each of them fairly;
- `NowOrNever` leaves out what `reduction` shows to be superfluous for finding a counterexample.

The first broken rule ends a search. Its trace is cut down to steps of which none can be spared.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from tests.model.continuation import Continuation
from tests.model.local import Locals, Step
from tests.model.network import Network
from tests.model.reduction import Decision, Pose, Poses
from tests.model.rules import Broken
from tests.model.scope import Scope, World
from tests.model.trace import Trace
from tests.model.turn import Input

Node: TypeAlias = tuple[tuple[int, ...], int]
"""Members in order, the interchangeable ones last and sorted; then the network."""


class Move(NamedTuple):
    """The member at `place` took `given`; None for the decision to leave a step out."""

    place: int
    given: Input | None


@dataclass
class Report:
    """What a search saw. `broken` is the rule that does not hold, `trace` the steps to there."""

    scope: Scope
    search: str
    states: int = 0
    transitions: int = 0
    locals: int = 0
    runs: int = 0
    continued: int = 0
    seconds: float = 0.0
    complete: bool = False
    broken: str | None = None
    trace: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        end = "complete" if self.complete else "stopped"
        head = (
            f"{self.scope}: {self.search} {end}, {self.states} states, "
            f"{self.transitions} transitions, {self.locals} local states "
            f"({self.runs} runs of the product), {self.continued} continued, {self.seconds:.1f} s"
        )
        if self.broken is None:
            return head
        steps = [f"  {number:2} {step}" for number, step in enumerate(self.trace, 1)]
        return "\n".join([head, f"BROKEN: {self.broken}", *steps])


class Found(Exception):
    """A counterexample: what happens at `node` on `move` (None: at the node itself)."""

    def __init__(self, what: str, node: Node, move: Move | None) -> None:
        super().__init__(what)
        self.node = node
        self.move = move


class Search:
    """What both searches share.

    `rules` also judges each message; without, only agreement, halts and false accusations count.
    Of the different sets of local states reached, one in `continue_every` is continued fairly (0:
    none).
    """

    name: str
    reduced = False

    def __init__(self, scope: Scope, *, rules: bool = True, continue_every: int = 0) -> None:
        self.scope = scope
        self.world = World(scope)
        self.network = Network(self.world)
        last_view = scope.views - 1 if self.reduced else None
        self.locals = Locals(self.world, rules, last_view)
        self.continue_every = continue_every
        self.continuation = Continuation(self.world, self.locals)
        self.report = Report(scope, self.name)
        honest = [name for name in self.world.names if name not in self.world.liars]
        leaders = {self.world.primary(view) for view in range(scope.views)}
        self.singles = [name for name in honest if name in leaders]
        self.others = [name for name in honest if name not in leaders]
        self._came: dict[Node, tuple[Node, Move] | None] = {}
        self._possible: dict[tuple[int, int], list[tuple[Input, Step]]] = {}
        self._sends: dict[tuple[int, tuple[Any, ...]], tuple[int, str | None]] = {}
        self._gathered: set[tuple[int, ...]] = set()

    def run(self, seconds: float = float("inf")) -> Report:
        """Search until all is seen, a rule breaks, or time is up."""
        began = time.monotonic()
        report = self.report
        try:
            self._search(began + seconds)
        except Found as found:
            report.broken = str(found)
            report.trace = Trace(self).of(found)
        report.states = len(self._came)
        report.locals = len(self.locals.states)
        report.runs = self.locals.runs
        report.seconds = time.monotonic() - began
        return report

    def came(self, node: Node) -> list[tuple[Node, int, Input]]:
        """The steps that led to `node`: from where, whose, which."""
        steps: list[tuple[Node, int, Input]] = []
        came = self._came[node]
        while came is not None:
            before, move = came
            if move.given is not None:
                steps.append((before, move.place, move.given))
            came = self._came[before]
        return steps[::-1]

    def start(self) -> tuple[int, ...]:
        """The honest replicas' first local states."""
        starts = [self.locals.start(name) for name in self.singles]
        if self.others:
            starts += [self.locals.start(self.others[-1])] * len(self.others)
        return tuple(starts)

    def _search(self, until: float) -> None:
        first = self._first()
        self._came[first] = None
        queue = deque([first])
        while queue or self._resume(queue):
            node = queue.popleft()
            if self._put_aside(node):
                continue
            self._continue(node)
            for after, move in self._after(node):
                self.report.transitions += 1
                if after not in self._came:
                    self._came[after] = (node, move)
                    if move.given is None:
                        queue.appendleft(after)
                    else:
                        queue.append(after)
            if time.monotonic() > until:
                return
        self.report.complete = True

    def _first(self) -> Node:
        raise NotImplementedError

    def _after(self, node: Node) -> Iterator[tuple[Node, Move]]:
        """All nodes one decision away. Raises `Found`."""
        raise NotImplementedError

    def members(self, node: Node) -> tuple[int, ...]:
        """The local states at a node."""
        raise NotImplementedError

    def _put_aside(self, node: Node) -> bool:
        """Whether nothing is to be found from `node`, as far as one can tell now."""
        return False

    def _resume(self, queue: deque[Node]) -> bool:
        """Fill an empty queue with nodes put aside that are worth another look."""
        return False

    def _replaced(self, node: Node, place: int, member: int, network: int) -> Node:
        members, alone = node[0], len(self.singles)
        moved = (*members[:place], member, *members[place + 1 :])
        if place >= alone and len(members) - alone > 1:
            moved = (*moved[:alone], *sorted(moved[alone:]))
        return moved, network

    def _send(self, node: Node, place: int, given: Input, step: Step) -> int:
        """The network after a step. Raises `Found` if two values are now decided."""
        network = node[1]
        if step.signed:
            network, broken = self._sent(network, step.signed)
            if broken is not None:
                raise Found(broken, node, Move(place, given))
        views = self.locals.views
        lowest = views[step.to]
        if lowest:
            for at, member in enumerate(self.members(node)):
                if at != place and views[member] < lowest:
                    lowest = views[member]
            if lowest:
                return self.network.close(network, lowest)
        return network

    def _sent(self, network: int, signed: tuple[Any, ...]) -> tuple[int, str | None]:
        key = (network, signed)
        if key not in self._sends:
            after = self.network.add(network, signed)
            self._sends[key] = after, self.network.broken(after, signed)
        return self._sends[key]

    def possible(self, node: Node, place: int, enabled: int) -> list[tuple[Input, Step]]:
        """All steps of the member at `place`. Raises `Found`."""
        local = self.members(node)[place]
        key = (local, enabled)
        if key not in self._possible:
            steps: list[tuple[Input, Step]] = []
            for given in self.inputs(local, enabled):
                try:
                    step = self.locals.take(local, given)
                except Broken as broken:
                    raise Found(str(broken), node, Move(place, given)) from broken
                if step is not None:
                    steps.append((given, step))
            self._possible[key] = steps
        return self._possible[key]

    def inputs(self, local: int, enabled: int) -> Iterator[Input]:
        """What may happen to a replica in a local state."""
        state = self.locals.states[local]
        yield from self.network.sets[enabled].inputs
        own = state.said.change
        if own is not None and self.world.primary(state.view) == state.name:
            yield from self.network.leads(enabled, own)
        if self.scope.crash:
            yield from (Input("crash"), Input("crash", data="bare"))
            for given in self.network.sets[enabled].inputs:
                for durable in range(1, self.locals.durable(local, given)):
                    yield Input("torn", n=durable, data=given)

    def _continue(self, node: Node) -> None:
        if not self.continue_every:
            return
        members = self.members(node)
        if members in self._gathered:
            return
        self._gathered.add(members)
        if len(self._gathered) % self.continue_every:
            return
        self.report.continued += 1
        try:
            self.continuation.check(members)
        except Broken as broken:
            raise Found(f"from here the honest cannot go on: {broken}", node, None) from broken


class EveryState(Search):
    """Every reachable state, breadth first."""

    name = "every state"

    def _first(self) -> Node:
        return self.start(), 0

    def members(self, node: Node) -> tuple[int, ...]:
        return node[0]

    def _after(self, node: Node) -> Iterator[tuple[Node, Move]]:
        enabled = self.network.enabled(node[1])
        alone = len(self.singles)
        for place, local in enumerate(node[0]):
            if place > alone and local == node[0][place - 1]:
                continue
            for given, step in self.possible(node, place, enabled):
                network = self._send(node, place, given, step)
                yield self._replaced(node, place, step.to, network), Move(place, given)


class NowOrNever(Search):
    """Every run that could be the only one to break a rule. Members are poses."""

    name = "now or never"
    reduced = True

    def __init__(self, scope: Scope, *, rules: bool = True, continue_every: int = 0) -> None:
        super().__init__(scope, rules=rules, continue_every=continue_every)
        self.poses = Poses(self.locals)
        self._decisions: dict[tuple[int, int], Decision | None] = {}
        self._aside: list[Node] = []

    def _first(self) -> Node:
        return tuple(self.poses.number(Pose(local, frozenset())) for local in self.start()), 0

    def members(self, node: Node) -> tuple[int, ...]:
        return tuple(self.poses.poses[pose].local for pose in node[0])

    def _after(self, node: Node) -> Iterator[tuple[Node, Move]]:
        enabled = self.network.enabled(node[1])
        best: tuple[int, Decision] | None = None
        for place, pose in enumerate(node[0]):
            decision = self._decide(node, place, pose, enabled)
            if decision is not None and (best is None or decision.rank < best[1].rank):
                best = place, decision
        if best is None:
            return
        place, decision = best
        network = self._send(node, place, decision.given, decision.step)
        yield self._replaced(node, place, decision.taken, network), Move(place, decision.given)
        yield self._replaced(node, place, decision.left, node[1]), Move(place, None)

    def _put_aside(self, node: Node) -> bool:
        if any(self.poses.hopeless(pose) for pose in node[0]):
            self._aside.append(node)
            return True
        return False

    def _resume(self, queue: deque[Node]) -> bool:
        if self.poses.reconsider():
            queue.extend(self._aside)
            self._aside.clear()
        return bool(queue)

    def _decide(self, node: Node, place: int, pose: int, enabled: int) -> Decision | None:
        key = (pose, enabled)
        if key not in self._decisions:
            possible = self.possible(node, place, enabled)
            self.poses.meet(self.network.sets[enabled].inputs)
            self.poses.meet(given for given, _ in possible)
            self._decisions[key] = self.poses.decide(pose, possible)
        return self._decisions[key]
