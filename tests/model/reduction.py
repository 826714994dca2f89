"""Now or never: which steps a search may leave out without losing a counterexample.

The network only grows, so a step z that replica i could take stays possible until i itself moves.
Taking z later from the same local state is therefore the same as taking it now, and the search
decides at once: i takes z now, or z sleeps. A sleeping z is not taken unless i takes a step
that z does not commute with. The interleavings of different replicas thus cost nothing.

To leave z out must be of use. If z and then m leads i to the very local state that m alone leads to
(say PREPARE before VIEW-CHANGE), the run with z has all that the run without has, and more
messages; so m is forbidden while z sleeps. For the same reason z must be woken in the end, by a
step that it does not commute with: otherwise the run that took z goes as far, with more messages.
Where no input that was ever possible in the search can lead to such a step, the sleeper is
hopeless and its branch is put aside, until the search meets an input that changes this. Two inputs
that need two decisions of one height (`exclude`) can't meet in a run: the messages that make both
possible are a counterexample by themselves.

Both use that a violation, once possible, stays so: two decided values remain two decided values.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final, NamedTuple

from ledger.types import Digest
from tests.model.local import Locals, Step
from tests.model.rules import Broken
from tests.model.scope import World
from tests.model.turn import Input

ORDER: Final = {
    kind: place
    for place, kind in enumerate(
        (
            *("propose", "proposal", "prepares", "commits", "lead", "new_view", "change"),
            *("crash", "torn", "blocks", "checkpoints"),
        )
    )
}
"""Which step is decided first. Any order is right; votes first keeps the search small."""


class Pose(NamedTuple):
    """A local state and the steps that sleep there."""

    local: int
    asleep: frozenset[Input]


class Decision(NamedTuple):
    """The step to decide for a pose, where taking it leads, and where leaving it does."""

    rank: tuple[int, int, int]
    given: Input
    step: Step
    taken: int
    left: int


class Poses:
    """Poses as numbers, and the next decision for each."""

    def __init__(self, locals_: Locals) -> None:
        self.locals = locals_
        self.poses: list[Pose] = []
        self._numbers: dict[Pose, int] = {}
        self._forbidden: dict[tuple[int, Input, Input], bool] = {}
        self._commute: dict[tuple[int, Input, Input], bool] = {}
        self._hope: dict[tuple[int, Input], bool] = {}
        self._met: dict[Input, None] = {}
        self._wakers: list[Input] = []

    def number(self, pose: Pose) -> int:
        known = self._numbers.get(pose)
        if known is None:
            known = self._numbers[pose] = len(self.poses)
            self.poses.append(pose)
        return known

    def decide(self, number: int, possible: list[tuple[Input, Step]]) -> Decision | None:
        """The first of the possible steps that is neither asleep nor forbidden."""
        pose = self.poses[number]
        local = pose.local
        for given, step in sorted(possible, key=lambda item: _rank(item[0])):
            if given in pose.asleep:
                continue
            if any(self._is_forbidden(local, z, given, step) for z in pose.asleep):
                continue
            still = frozenset(z for z in pose.asleep if self._do_commute(local, z, given, step))
            taken = self.number(Pose(step.to, still))
            left = self.number(Pose(local, pose.asleep | {given}))
            return Decision(_rank(given), given, step, taken, left)
        return None

    def hopeless(self, number: int) -> bool:
        """Whether some sleeper of this pose can't be woken by the inputs met so far."""
        pose = self.poses[number]
        return not all(self._may_wake(pose.local, z) for z in pose.asleep)

    def meet(self, inputs: Iterable[Input]) -> None:
        """Note inputs that are possible somewhere in the search."""
        self._met.update(dict.fromkeys(inputs))

    def reconsider(self) -> bool:
        """Forget who was found hopeless if more inputs were met since; whether that is so."""
        if len(self._met) == len(self._wakers):
            return False
        self._wakers = sorted(self._met, key=_rank, reverse=True)
        self._hope = {key: hope for key, hope in self._hope.items() if hope}
        return True

    def _may_wake(self, local: int, z: Input) -> bool:
        """Whether, by inputs met so far, a step that wakes z may follow on `local`."""
        key = (local, z)
        if key in self._hope:
            return self._hope[key]
        reached = {local: None}
        todo = [local]
        while todo:
            here = todo.pop()
            for m in self._wakers:
                if m.kind == "lead" and not self._leads(here, m.view):
                    continue
                step = self._take(here, m)
                if m == z or step is None or exclude(self.locals.world, z, m):
                    continue
                if self._is_forbidden(here, z, m, step):
                    continue
                if not self._do_commute(here, z, m, step) or self._hope.get((step.to, z)):
                    self._hope[key] = True
                    return True
                if step.to not in reached and self._hope.get((step.to, z)) is None:
                    reached[step.to] = None
                    todo.append(step.to)
        for here in reached:
            self._hope[(here, z)] = False
        return False

    def _leads(self, local: int, view: int) -> bool:
        state = self.locals.states[local]
        change = state.said.change
        leader = self.locals.world.primary(view)
        return change is not None and change.view == view and leader == state.name

    def _take(self, local: int, given: Input) -> Step | None:
        """What `given` does; None also where it breaks a rule, which the search will meet."""
        try:
            return self.locals.take(local, given)
        except Broken:
            return None

    def _is_forbidden(self, local: int, z: Input, m: Input, step: Step) -> bool:
        key = (local, z, m)
        if key not in self._forbidden:
            first = self._take(local, z)
            assert first is not None
            then = self._take(first.to, m)
            said = set(first.signed)
            self._forbidden[key] = (
                then is not None
                and then.to == step.to
                and said | set(then.signed) >= set(step.signed)
            ) or (first.to == step.to and said >= set(step.signed))
        return self._forbidden[key]

    def _do_commute(self, local: int, z: Input, m: Input, step: Step) -> bool:
        key = (local, z, m)
        if key not in self._commute:
            first = self._take(local, z)
            assert first is not None
            then = self._take(first.to, m)
            later = self._take(step.to, z)
            self._commute[key] = (
                then is not None
                and later is not None
                and then.to == later.to
                and _all(first, then) == _all(step, later)
            )
        return self._commute[key]


def exclude(world: World, one: Input, other: Input) -> bool:
    """Whether messages that make both inputs possible break a rule of `Network.broken` already."""
    kinds = {one.kind, other.kind}
    if kinds <= {"commits", "checkpoints", "blocks"}:
        mine, its = _decisions(world, one), _decisions(world, other)
        return any(its.get(n, digest) != digest for n, digest in mine.items())
    if len(kinds) > 1 or one.view != other.view or one.data == other.data:
        return False
    if one.kind == "prepares":
        return one.n == other.n
    return one.kind == "new_view" and not world.lies(one.view)


def _decisions(world: World, given: Input) -> dict[int, Digest]:
    """What must have been decided where for `given` to be possible."""
    if given.kind == "commits":
        return {given.n: given.data}
    return dict(enumerate(world.chains[given.data], 1))


def _all(one: Step, other: Step) -> set[Hashable]:
    return {*one.signed, *other.signed}


def _rank(given: Input) -> tuple[int, int, int]:
    return ORDER[given.kind], given.view, given.n
