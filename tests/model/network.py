"""Everything that was ever sent, and what can be done with it.

The network only grows: whatever was sent may arrive at any time, or never. So it is a count of
honest signers for each fact ("PREPARE(v, n, d)", "VIEW-CHANGE saying this", ...), kept as digits of
one integer. Liars need no counting: their votes, for everything, are always there.

Counts stop where more would change nothing. Once every honest replica has left a view, votes in it
that fell short of a quorum are dropped, and its VIEW-CHANGEs, too: nobody will add to them.

`Network.enabled` lists the inputs that the messages allow. NEW-VIEWs are enumerated by content:
over all sets of VIEW-CHANGEs that honest replicas sent with those that liars can make of what
exists, O as the product computes it, and lies about O for the verifier to refuse. Two liars add
nothing to one that shows the higher certificate and the union of both P: all liars say the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from itertools import combinations, product
from typing import Any, Final, NamedTuple

from ledger.types import Digest
from tests.model.rules import Facts
from tests.model.scope import BASE_HASH, Change, Choice, World
from tests.model.turn import Input

DIGIT: Final = 3
"""Bits of a count: up to 7 honest signers."""

MASK: Final = (1 << DIGIT) - 1


TWO: Final = {
    Facts.PREPARED: "two values prepared in one view at height {}: {} and {}",
    Facts.COMMITTED: "two values decided at height {}: {} and {}",
    Facts.EXECUTED: "two blocks executed at height {}: {} and {}",
    Facts.BEGAN: "two NEW-VIEWs of one honest primary, view {}",
}


def _place(fact: tuple[Any, ...]) -> tuple[int, ...] | None:
    """Facts of one kind and place exclude each other."""
    match fact:
        case (Facts.PREPARED, view, n, _):
            return view, n
        case (Facts.COMMITTED, _, n, _) | (Facts.EXECUTED, n, _):
            return (n,)
        case (Facts.BEGAN, choice):
            return (choice.view,)
    return None


class Enabled(NamedTuple):
    """Inputs for everyone, and the VIEW-CHANGEs and the rest that a leader can choose from."""

    inputs: tuple[Input, ...]
    changes: tuple[tuple[Change, int], ...]
    prepared: tuple[tuple[int, int, Digest], ...]
    certified: tuple[tuple[int, Digest], ...]


class Network:
    """Facts as digits; `int` values of this class's making are states of the network."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.facts: list[tuple[Any, ...]] = []
        self._caps: list[int] = []
        self._slots: dict[Hashable, int] = {}
        self._enabled: dict[int, int] = {}
        self.sets: list[Enabled] = []
        self._numbers: dict[Enabled, int] = {}
        self._closed: dict[tuple[int, int], int] = {}
        self._leads: dict[tuple[int, Change], tuple[Input, ...]] = {}
        self._choices: dict[Hashable, tuple[Choice, ...]] = {}
        self._offers = tuple(self._always())

    def _always(self) -> Iterator[Input]:
        """Inputs that need no honest message: time-outs, liars' proposals, honest transactions."""
        scope = self.world.scope
        for view in range(scope.views):
            if view:
                yield Input("change", view)
            for n in range(1, scope.heights + 1):
                if not self.world.lies(view):
                    yield Input("propose", view, n, self.world.body(view, n, 0).digest)

    # --- counting ---

    def slot(self, fact: tuple[Any, ...]) -> int:
        known = self._slots.get(fact)
        if known is None:
            known = self._slots[fact] = len(self.facts)
            self.facts.append(fact)
            votes = fact[0] in (Facts.PREPARED, Facts.COMMITTED, Facts.EXECUTED)
            honest = self.world.scope.n - len(self.world.liars)
            single = fact[0] in (Facts.PROPOSED, Facts.BEGAN)
            self._caps.append(self.world.honest_needed if votes else 1 if single else honest)
        return known

    def add(self, state: int, facts: Iterable[tuple[Any, ...]]) -> int:
        for fact in facts:
            slot = self.slot(fact)
            if state >> DIGIT * slot & MASK < self._caps[slot]:
                state += 1 << DIGIT * slot
        return state

    def counts(self, state: int) -> Iterator[tuple[tuple[Any, ...], int, bool]]:
        """Each fact with its count, and whether that is a quorum with the liars."""
        slot = 0
        while state:
            count = state & MASK
            if count:
                yield self.facts[slot], count, count >= self._caps[slot]
            state >>= DIGIT
            slot += 1

    def close(self, state: int, view: int) -> int:
        """Drop what is of no use once every honest replica is in `view` or above."""
        key = (state, view)
        if key not in self._closed:
            kept = state
            for fact, count, full in self.counts(state):
                votes = fact[0] in (Facts.PREPARED, Facts.COMMITTED)
                passing = fact[0] in (Facts.CHANGED, Facts.BEGAN)
                of = fact[1].view if passing else fact[1]
                if (
                    (votes and of < view and not full)
                    or (passing and of < view)
                    or (fact[0] == Facts.PROPOSED and of < view)
                ):
                    kept -= count << DIGIT * self._slots[fact]
            self._closed[key] = kept
        return self._closed[key]

    def broken(self, state: int, news: Iterable[tuple[Any, ...]]) -> str | None:
        """What the new facts break, with those there are: two of a kind where there can be one."""
        for new in news:
            name, place = new[0], _place(new)
            if place is None or (name == Facts.BEGAN and self.world.lies(new[1].view)):
                continue
            alone = name in (Facts.EXECUTED, Facts.BEGAN)
            if not alone and not self._full(state, new):
                continue
            for fact, _, full in self.counts(state):
                if fact[0] != name or fact[-1] == new[-1] or _place(fact) != place:
                    continue
                if alone or full:
                    return TWO[name].format(place[-1], *sorted(map(self._value, (fact, new))))
        return None

    def _full(self, state: int, fact: tuple[Any, ...]) -> bool:
        slot = self.slot(fact)
        return state >> DIGIT * slot & MASK >= self._caps[slot]

    def _value(self, fact: tuple[Any, ...]) -> str:
        return "one" if fact[0] == Facts.BEGAN else self.world.name(fact[-1])

    # --- what may happen ---

    def enabled(self, state: int) -> int:
        """The number (in `sets`) of what `state` enables."""
        known = self._enabled.get(state)
        if known is None:
            made = self._enable(state)
            known = self._numbers.get(made)
            if known is None:
                known = self._numbers[made] = len(self.sets)
                self.sets.append(made)
            self._enabled[state] = known
        return known

    def _enable(self, state: int) -> Enabled:
        inputs = list(self._offers)
        changes: list[tuple[Change, int]] = []
        prepared: list[tuple[int, int, Digest]] = []
        certified: list[tuple[int, Digest]] = []
        seen: set[tuple[int, int, Digest]] = set()
        for fact, count, full in self.counts(state):
            match fact:
                case (Facts.PROPOSED, view, n, digest):
                    inputs.append(Input("proposal", view, n, digest))
                case (Facts.PREPARED, view, n, digest):
                    seen.add((view, n, digest))
                    if full:
                        prepared.append((n, view, digest))
                        inputs.append(Input("prepares", view, n, digest))
                case (Facts.COMMITTED, view, n, digest) if full and self.world.scope.execution:
                    inputs.append(Input("commits", view, n, digest))
                case (Facts.EXECUTED, n, header) if full:
                    certified.append((n, header))
                    inputs.append(Input("checkpoints", n=n, data=header))
                    inputs.append(Input("blocks", n=n, data=header))
                case (Facts.CHANGED, change):
                    changes.append((change, count))
                case (Facts.BEGAN, choice):
                    inputs.append(Input("new_view", choice.view, data=choice))
        inputs += self._lying_proposals(seen)
        made = Enabled(
            (), tuple(sorted(changes)), tuple(sorted(prepared)), tuple(sorted(certified))
        )
        for view in range(1, self.world.scope.views):
            if self.world.lies(view):
                choices = self._new_views(made, view)
                inputs += [Input("new_view", view, data=choice) for choice in choices]
        return made._replace(inputs=tuple(inputs))

    def _lying_proposals(self, seen: set[tuple[int, int, Digest]]) -> Iterator[Input]:
        """Each of a liar's values; the next only once the one before found an honest vote.

        Fresh values are interchangeable, so the first to be voted for may be called the first.
        """
        scope = self.world.scope
        for view in range(scope.views):
            if not self.world.lies(view):
                continue
            for n in range(1, scope.heights + 1):
                for number in range(scope.values[n - 1]):
                    digest = self.world.body(view, n, number).digest
                    yield Input("proposal", view, n, digest)
                    if (view, n, digest) not in seen:
                        break

    def _new_views(self, made: Enabled, view: int) -> tuple[Choice, ...]:
        """Every NEW-VIEW that a lying primary of `view` can make of what was sent."""
        changes = tuple(item for item in made.changes if item[0].view == view)
        prepared = tuple(item for item in made.prepared if item[1] < view)
        key = (view, changes, prepared, made.certified)
        if key not in self._choices:
            honest = [change for change, count in changes for _ in range(count)]
            found: dict[Choice, None] = {}
            for shown in self._quorums(honest, view, prepared, made.certified):
                due = self.world.obliged(shown)
                choice = self.world.choice(shown, due)
                if choice in found:
                    continue
                if self.world.new_view(shown, due) is not None:
                    found[choice] = None
                for lie in self._lies(view, choice.lo, due):
                    if self.world.new_view(shown, lie) is not None:
                        found[self.world.choice(shown, lie)] = None
            self._choices[key] = tuple(found)
        return self._choices[key]

    def _quorums(
        self,
        honest: list[Change],
        view: int,
        prepared: tuple[tuple[int, int, Digest], ...],
        certified: tuple[tuple[int, Digest], ...],
    ) -> Iterator[tuple[Change, ...]]:
        """Each set of q VIEW-CHANGEs, as contents."""
        quorum, liars = self.world.quorum, len(self.world.liars)
        tried: set[frozenset[Change]] = set()
        for count in range(max(0, quorum - liars), min(quorum, len(honest)) + 1):
            for group in dict.fromkeys(combinations(honest, count)):
                if count == quorum:
                    fillers: Iterable[tuple[Change, ...]] = [()]
                else:
                    lies = self._lying_changes(view, prepared, certified)
                    fillers = ((lie,) * (quorum - count) for lie in lies)
                for filler in fillers:
                    shown = (*group, *filler)
                    if frozenset(shown) not in tried:
                        tried.add(frozenset(shown))
                        yield shown

    def _lying_changes(
        self,
        view: int,
        prepared: tuple[tuple[int, int, Digest], ...],
        certified: tuple[tuple[int, Digest], ...],
    ) -> list[Change]:
        """Every VIEW-CHANGE that can be made of existing certificates and that is accepted."""
        liar = self.world.liars[0]
        heights = range(1, self.world.scope.heights + 1)
        options: list[list[tuple[int, int, Digest] | None]] = [
            [None, *(item for item in prepared if item[0] == n and item[1] < view)] for n in heights
        ]
        made = []
        for stable_n, stable_hash in [(0, BASE_HASH), *certified]:
            for picked in product(*options[stable_n:]):
                shown = tuple(item for item in picked if item is not None)
                change = Change(view, stable_n, stable_hash, shown)
                if self.world.view_change(liar, change) is not None:
                    made.append(change)
        return made

    def _lies(
        self, view: int, lo: int, due: tuple[tuple[int, Digest], ...]
    ) -> Iterator[tuple[tuple[int, Digest], ...]]:
        """Proposals that do not follow: one replaced, the last left out, one too many."""
        heights = self.world.scope.heights
        for place, (n, _) in enumerate(due):
            other = self.world.body(view, n, 0).digest
            if other != due[place][1]:
                yield (*due[:place], (n, other), *due[place + 1 :])
        if due:
            yield due[:-1]
        if lo + len(due) < heights:
            n = lo + len(due) + 1
            yield (*due, (n, self.world.body(view, n, 0).digest))

    def leads(self, number: int, own: Change) -> tuple[Input, ...]:
        """For an honest primary whose VIEW-CHANGE is `own`: a choice of q-1 others each.

        One for each NEW-VIEW that can come of it.
        """
        key = (number, own)
        if key not in self._leads:
            made = self.sets[number]
            honest = [
                change
                for change, count in made.changes
                if change.view == own.view
                for _ in range(count - (change == own))
            ]
            prepared = tuple(item for item in made.prepared if item[1] < own.view)
            found: dict[Choice, Input] = {}
            quorum = self.world.quorum
            for shown in self._quorums([own, *honest], own.view, prepared, made.certified):
                if own not in shown or len(shown) != quorum:
                    continue
                others = list(shown)
                others.remove(own)
                choice = self.world.choice(shown, self.world.obliged(shown))
                found.setdefault(choice, Input("lead", own.view, data=tuple(others)))
            self._leads[key] = tuple(found.values())
        return self._leads[key]
