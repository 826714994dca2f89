"""Every reachable state of a small network of honest replicas among liars, breadth first.

A global state is the local states of the honest replicas and the network. Honest replicas that
lead no view of the scope are interchangeable, so theirs are kept sorted. The first broken rule
ends the search; breadth first makes its trace a shortest one.

A state is reached again whatever the order of independent steps, so nothing is lost by taking one
step at a time; and since the network only grows, a step that was possible stays possible until its
own replica moves.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from tests.model.continuation import Continuation
from tests.model.local import Input, Locals, Step
from tests.model.network import Network
from tests.model.rules import Broken
from tests.model.scope import Choice, Scope, World

State: TypeAlias = tuple[tuple[int, ...], int]


class Move(NamedTuple):
    """`place` in the tuple of local states took `given`."""

    place: int
    given: Input


@dataclass
class Report:
    """What a search saw. `broken` is the rule that does not hold, `trace` the steps to there."""

    scope: Scope
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
        end = "all" if self.complete else "stopped"
        head = (
            f"{self.scope}: {end}, {self.states} states, {self.transitions} transitions, "
            f"{self.locals} local states ({self.runs} runs of the product), "
            f"{self.continued} continued, {self.seconds:.1f} s"
        )
        if self.broken is None:
            return head
        steps = [f"  {number:2} {step}" for number, step in enumerate(self.trace, 1)]
        return "\n".join([head, f"BROKEN: {self.broken}", *steps])


class Explorer:
    """One search. `rules` also judges each message; without, only agreement and halts count.

    Of the sets of local states reached, one in `continue_every` is continued fairly and must decide
    (0: none).
    """

    def __init__(self, scope: Scope, *, rules: bool = True, continue_every: int = 0) -> None:
        self.scope = scope
        self.world = World(scope)
        self.network = Network(self.world)
        self.locals = Locals(self.world, rules)
        self.continue_every = continue_every
        self.continuation = Continuation(self.world, self.locals)
        self.report = Report(scope)
        honest = [name for name in self.world.names if name not in self.world.liars]
        leaders = {self.world.primary(view) for view in range(scope.views)}
        self.singles = [name for name in honest if name in leaders]
        self.others = [name for name in honest if name not in leaders]
        self._steps: dict[tuple[int, int], list[tuple[Input, Step]]] = {}
        self._came: dict[State, tuple[State, Move] | None] = {}

    def run(self, seconds: float = float("inf")) -> Report:
        """Search until all is seen, a rule breaks, or time is up."""
        began = time.monotonic()
        report = self.report
        try:
            self._search(began + seconds)
        except _Found as found:
            report.broken = str(found)
            report.trace = self._trace(found.state, found.move)
        report.states = len(self._came)
        report.locals = len(self.locals.states)
        report.runs = self.locals.runs
        report.seconds = time.monotonic() - began
        return report

    def _initial(self) -> State:
        starts = [self.locals.start(name) for name in self.singles]
        if self.others:
            starts += [self.locals.start(self.others[-1])] * len(self.others)
        return tuple(starts), 0

    def _search(self, until: float) -> None:
        start = self._initial()
        self._came[start] = None
        queue = deque([start])
        gathered: set[tuple[int, ...]] = set()
        while queue:
            state = queue.popleft()
            if self.continue_every and state[0] not in gathered:
                gathered.add(state[0])
                if len(gathered) % self.continue_every == 0:
                    self._continue(state)
            for after, move in self._after(state):
                self.report.transitions += 1
                if after not in self._came:
                    self._came[after] = (state, move)
                    queue.append(after)
            if time.monotonic() > until:
                return
        self.report.complete = True

    def _after(self, state: State) -> list[tuple[State, Move]]:
        """All states one step away. Raises `_Found`."""
        members, network = state
        number = self.network.enabled(network)
        alone = len(self.singles)
        found: list[tuple[State, Move]] = []
        for place, local in enumerate(members):
            if place > alone and local == members[place - 1]:
                continue
            steps = self._steps.get((local, number))
            if steps is None:
                steps = self._steps[(local, number)] = self._possible(state, place, number)
            for given, step in steps:
                moved = list(members)
                moved[place] = step.to
                moved[alone:] = sorted(moved[alone:])
                sent = self.network.add(network, step.signed) if step.signed else network
                if step.signed:
                    fork = self.network.forks(sent, step.signed)
                    if fork is not None:
                        raise _Found(fork, state, Move(place, given))
                floor = min(self.locals.states[item].view for item in moved)
                if floor:
                    sent = self.network.close(sent, floor)
                found.append(((tuple(moved), sent), Move(place, given)))
        return found

    def _possible(self, state: State, place: int, number: int) -> list[tuple[Input, Step]]:
        """What the replica at `place` can do with what is enabled."""
        local = state[0][place]
        inputs = list(self.network.sets[number].inputs)
        own = self.locals.states[local].said.change
        view = self.locals.states[local].view
        if own is not None and self.world.primary(view) == self.locals.states[local].name:
            inputs += self.network.leads(number, own)
        if self.scope.crash:
            inputs += [Input("crash"), Input("crash", data="bare")]
        steps: list[tuple[Input, Step]] = []
        for given in inputs:
            try:
                step = self.locals.take(local, given)
                if step is None:
                    continue
                steps.append((given, step))
                if self.scope.crash and given.kind != "crash":
                    steps += [(given, torn) for torn in self.locals.crashes(local, given)]
            except Broken as broken:
                raise _Found(str(broken), state, Move(place, given)) from broken
        return steps

    def _continue(self, state: State) -> None:
        self.report.continued += 1
        try:
            self.continuation.check(state[0])
        except Broken as broken:
            raise _Found(f"from here on nothing is decided: {broken}", state, None) from broken

    # --- for people ---

    def _trace(self, state: State, last: Move | None) -> list[str]:
        moves: list[tuple[State, Move]] = [] if last is None else [(state, last)]
        came = self._came[state]
        while came is not None:
            moves.append(came)
            came = self._came[came[0]]
        crew = [*self.singles, *self.others]
        standing = dict(zip(crew, self._initial()[0], strict=True))
        lines: list[str] = []
        for (members, _), move in reversed(moves):
            local = members[move.place]
            alone = move.place < len(self.singles)
            name = (
                self.singles[move.place]
                if alone
                else next(name for name in self.others if standing[name] == local)
            )
            lines.append(f"{name}: {self._describe(move.given)}")
            try:
                step = self.locals.take(local, move.given)
            except Broken:
                step = None
            if step is not None:
                standing[name] = step.to
                if step.signed:
                    lines[-1] += " -> " + ", ".join(map(self._fact, step.signed))
        return lines

    def _describe(self, given: Input) -> str:
        name = self.world.name
        match given:
            case Input("change", view):
                return f"time-out, VIEW-CHANGE to v{view}"
            case Input("new_view", _, _, choice):
                return f"takes {self._fact(('began', choice))}"
            case Input("lead", view, _, others):
                shown = ", ".join(self._fact(("changed", change)) for change in others)
                return f"takes {shown}"
            case Input("crash", _, _, data):
                return "crashes and recovers" + (" without its last Certificate" if data else "")
            case Input(kind, view, n, digest):
                at = f"v{view}, " if view >= 0 else ""
                return f"takes {kind}({at}n{n}, {name(digest)})"

    def _fact(self, fact: object) -> str:
        name = self.world.name
        match fact:
            case ("changed", change):
                parts = [f"n{n} {name(digest)}@v{view}" for n, view, digest in change.prepared]
                return (
                    f"VIEW-CHANGE(v{change.view}, h={change.stable_n}, P=[{', '.join(parts)}])"
                )
            case ("began", Choice(view, lo, _, _, proposals)):
                offered = ", ".join(f"n{n} {name(digest)}" for n, digest in proposals)
                return f"NEW-VIEW(v{view}, lo={lo}, O=[{offered}])"
            case ("executed", n, digest):
                return f"CHECKPOINT(n{n}, {name(digest)})"
            case (kind, view, n, digest):
                word = {"prepared": "PREPARE", "committed": "COMMIT", "proposed": "PRE-PREPARE"}
                return f"{word[kind]}(v{view}, n{n}, {name(digest)})"
        return str(fact)


class _Found(Exception):
    """A counterexample: what happens at `state` on `move`."""

    def __init__(self, what: str, state: State, move: Move | None) -> None:
        super().__init__(what)
        self.state = state
        self.move = move
