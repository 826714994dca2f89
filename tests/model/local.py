"""One honest replica: its states as numbers, and what each input does to each of them.

A local state is a real `Replica` with what its disk holds and a `Said`: what its key has signed, as
the others saw it. `Locals.take` runs the product once for each (state, input) and remembers. Honest
replicas with no view to lead are interchangeable and run under one name.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import NamedTuple

from consensus.replica import Replica
from ledger.types import Digest
from tests.model.likeness import clone, protocol_state
from tests.model.rules import Said
from tests.model.scope import World
from tests.model.turn import Disk, Input, Turn


@dataclass(slots=True)
class Local:
    """One local state. `path` is the state and the input that first led here."""

    name: str
    replica: Replica
    disk: Disk
    said: Said
    path: tuple[int, Input] | None
    view: int
    h: int


class Step(NamedTuple):
    """A transition: the state it leads to, what was newly signed, a body others had to give."""

    to: int
    signed: tuple[Hashable, ...]
    fetched: Digest | None


class Locals:
    """All local states seen, and the transitions between them.

    With `last_view`, states are one that differ in what matters to later views only.
    """

    def __init__(self, world: World, rules: bool, last_view: int | None = None) -> None:
        self.world = world
        self.last_view = last_view
        self.rules = rules
        self.states: list[Local] = []
        self.views: list[int] = []
        self.runs = 0
        self._numbers: dict[Hashable, int] = {}
        self._steps: dict[tuple[int, Input], Step | None] = {}
        self._durable: dict[tuple[int, Input], int] = {}
        self._starts: dict[str, int] = {}

    def start(self, name: str) -> int:
        """The state of a validator that starts for the first time."""
        if name not in self._starts:
            world = self.world
            blank = Replica(world.config(name), world.keys.signer(name))
            turn = Turn(world, name, blank, Disk(), Said(), self.rules)
            turn.recover()
            self._starts[name] = self._intern(turn, None)
        return self._starts[name]

    def take(self, number: int, given: Input) -> Step | None:
        """What `given` does in state `number`; None if nothing. Raises `Broken`."""
        key = (number, given)
        if key not in self._steps:
            self._steps[key] = self._run(number, given)
        return self._steps[key]

    def _run(self, number: int, given: Input) -> Step | None:
        self.runs += 1
        local = self.states[number]
        copied = clone(local.replica)
        turn = Turn(self.world, local.name, copied, local.disk, local.said, self.rules)
        turn.take(given)
        self._durable[(number, given)] = turn.durable
        to = self._intern(turn, (number, given))
        if to == number and not turn.signed:
            return None
        return Step(to, tuple(turn.signed), turn.fetched)

    def durable(self, number: int, given: Input) -> int:
        """How many durable effects `given` has, over all of its turns."""
        self.take(number, given)
        return self._durable.get((number, given), 0)

    def _intern(self, turn: Turn, path: tuple[int, Input] | None) -> int:
        s = turn.state
        certified = s.domain.base if self.world.scope.crash else s.h
        said = turn.said.settled(s.view, s.safety.in_view_change, certified)
        protocol = tuple(protocol_state(turn.replica, self.last_view).items())
        key: Hashable = (turn.name, protocol, turn.disk.chain, said)
        if s.view == self.last_view and not s.safety.in_view_change:
            key = (turn.name, protocol, turn.disk.chain, replace(said, commits=frozenset()))
        known = self._numbers.get(key)
        if known is not None:
            return known
        local = Local(turn.name, turn.replica, turn.disk, said, path, int(s.view), int(s.h))
        self.states.append(local)
        self.views.append(local.view)
        self._numbers[key] = number = len(self.states) - 1
        return number

    def transferred(self, number: int, name: str) -> int:
        """The state that the same inputs lead another validator to."""
        local = self.states[number]
        if local.name == name:
            return number
        if local.path is None:
            return self.start(name)
        before, given = local.path
        start = self.transferred(before, name)
        step = self.take(start, given)
        return start if step is None else step.to
