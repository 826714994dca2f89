"""The model check is itself checked: each of these mutants of the core must give a counterexample.

"Agreement" says that the message rules are off: what is found is a fork (or another loss of
agreement) reached through the whole network, not a message that looks wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

import ledger.validators
from consensus import checkpoints, new_view, records, recovery, verifier, view_change
from consensus.messages import ViewChange
from consensus.new_view import NewViewContent
from consensus.safety import Ruling, Safety
from consensus.state import State
from consensus.verifier import Verifier
from tests.model import scope as scope_module
from tests.model.explore import EveryState, NowOrNever, Report
from tests.model.scope import Scope

FORK = "two values decided"
ORDER = Scope(heights=1, execution=False)
LEDGER = Scope(heights=1)
Patch = pytest.MonkeyPatch


def hunt(scope: Scope, *, rules: bool = False, every: bool = False) -> Report:
    search = EveryState if every else NowOrNever
    return search(scope, rules=rules).run(seconds=200)


def found(report: Report, what: str) -> None:
    assert report.broken is not None, report
    assert what in report.broken, report
    assert report.trace or report.states == 1, report


def wrapped(patch: Patch, owner: Any, name: str, after: Callable[..., None]) -> None:
    """Run `after` with the same arguments once the real function has run."""
    real = getattr(owner, name)

    def mutant(*arguments: Any) -> Any:
        result = real(*arguments)
        after(*arguments)
        return result

    patch.setattr(owner, name, mutant)


def lowest_view_wins(patch: Patch) -> None:
    def content(changes: Iterable[ViewChange]) -> NewViewContent:
        upside_down = [
            replace(
                change,
                prepared=tuple(replace(item, view=-item.view) for item in change.prepared),
            )
            for change in changes
        ]
        return real(upside_down)

    real = new_view.content
    for module in (verifier, view_change, recovery, scope_module):
        patch.setattr(module, "content", content)


def stays_in_the_old_view(patch: Patch) -> None:
    """VIEW-CHANGE is sent, and work in the old view goes on."""

    def leave(self: Safety, view: Any, stable_hash: Any, certificate: Any) -> Any:
        before = dict(vars(self))
        before |= {"accepted": dict(self.accepted), "_votes": dict(self._votes)}
        ruling = real(self, view, stable_hash, certificate)
        if ruling is not None:
            vars(self).update(before)
        return ruling

    real = Safety.leave
    patch.setattr(Safety, "leave", leave)


def returns_by_an_old_new_view(patch: Patch) -> None:
    """A NEW-VIEW of a lower view is taken after VIEW-CHANGE to a higher one."""

    def on_new_view(s: State, vote: Any) -> None:
        view = s.safety.view
        if vote.message.view < view and s.safety.in_view_change:
            s.safety.view = vote.message.view
        real(s, vote)
        if s.safety.in_view_change:
            s.safety.view = view

    real = view_change.on_new_view
    patch.setattr(view_change, "on_new_view", on_new_view)


def drops_prepared_at_execution(patch: Patch) -> None:
    wrapped(
        patch, checkpoints, "on_executed", lambda s, event: s.safety.prepared.pop(event.n, None)
    )


def hides_prepared_certificates(patch: Patch) -> None:
    def leave(self: Safety, *arguments: Any) -> Ruling[ViewChange] | None:
        kept, self.prepared = self.prepared, {}
        ruling = real(self, *arguments)
        self.prepared = kept
        return ruling

    real = Safety.leave
    patch.setattr(Safety, "leave", leave)


def test_the_lowest_view_wins_in_new_view(monkeypatch: Patch) -> None:
    """Agreement, three views: d1 prepared in v0, d2 decided in v1, d1 proposed again in v2."""
    lowest_view_wins(monkeypatch)
    found(hunt(replace(ORDER, views=3, byzantine=(2,))), FORK)


def test_a_replica_stays_in_the_old_view_after_view_change(monkeypatch: Patch) -> None:
    """Agreement."""
    stays_in_the_old_view(monkeypatch)
    found(hunt(replace(ORDER, byzantine=(1,))), FORK)


def test_a_replica_returns_to_an_old_view_by_its_new_view(monkeypatch: Patch) -> None:
    """Agreement, three views."""
    returns_by_an_old_new_view(monkeypatch)
    found(hunt(replace(ORDER, views=3, byzantine=(2,))), FORK)


def test_prepared_certificates_are_dropped_at_execution(monkeypatch: Patch) -> None:
    """Agreement, executed and certified apart."""
    drops_prepared_at_execution(monkeypatch)
    found(hunt(replace(LEDGER, byzantine=(1,))), FORK)


def test_view_change_hides_prepared_certificates(monkeypatch: Patch) -> None:
    """Agreement."""
    hides_prepared_certificates(monkeypatch)
    found(hunt(ORDER), FORK)


@pytest.mark.parametrize(
    ("n", "size"),
    [
        pytest.param(5, lambda n: 2 * ((n - 1) // 3) + 1, id="2f+1 of 5"),
        pytest.param(4, lambda n: (n - 1) // 3 + 1, id="f+1 of 4"),
        pytest.param(7, lambda n: (n - 1) // 3 + 2, id="f+2 of 7"),
    ],
)
def test_a_quorum_is_too_small(monkeypatch: Patch, n: int, size: Callable[[int], int]) -> None:
    """Agreement."""
    monkeypatch.setattr(ledger.validators, "quorum_size", size)
    found(hunt(replace(ORDER, n=n, byzantine=(0, 1)[: (n - 1) // 3])), "two values")


def test_a_quorum_is_too_large(monkeypatch: Patch) -> None:
    """Nothing forks, but f silent liars stop the chain: the continuation finds that."""
    monkeypatch.setattr(ledger.validators, "quorum_size", lambda n: n)
    report = EveryState(ORDER, continue_every=1).run()
    found(report, "cannot go on")


def test_new_view_is_not_recomputed(monkeypatch: Patch) -> None:
    """Agreement."""
    monkeypatch.setattr(Verifier, "_new_view", lambda *_: None)
    found(hunt(replace(ORDER, byzantine=(1,))), FORK)


def hurry(s: State, *_: Any) -> None:
    s.ready = True
    view_change.vote_obliged(s)


def forget_hi(safety: Safety, *_: Any) -> None:
    safety.hi = safety.h


def test_other_proposals_are_accepted_at_or_below_lo(monkeypatch: Patch) -> None:
    wrapped(monkeypatch, Safety, "enter", forget_hi)
    wrapped(monkeypatch, view_change, "_entered", hurry)
    found(hunt(replace(LEDGER, byzantine=(1,)), rules=True), "votes before reaching lo=1")


def test_the_certificate_of_new_view_is_not_taken(monkeypatch: Patch) -> None:
    """Agreement: without the other two rules, replicas behind lo decide another value there."""

    def content(changes: Iterable[ViewChange]) -> NewViewContent:
        return replace(new_view.content(changes), lo_certificate=None)

    monkeypatch.setattr(view_change, "content", content)
    wrapped(monkeypatch, Safety, "enter", forget_hi)
    wrapped(monkeypatch, view_change, "_entered", hurry)
    found(hunt(replace(LEDGER, byzantine=(1,))), FORK)


def test_a_replica_votes_before_it_reached_lo(monkeypatch: Patch) -> None:
    wrapped(monkeypatch, view_change, "_entered", hurry)
    report = hunt(Scope(window=2, values=(1, 1), byzantine=(1,)), rules=True, every=True)
    found(report, "votes before reaching lo=1")


def test_what_new_view_proposed_is_not_rebuilt_after_a_crash(monkeypatch: Patch) -> None:
    def forget(s: State, record: records.Record, *_: Any) -> None:
        if isinstance(record, records.NewViewTaken):
            s.safety.accepted.clear()

    wrapped(monkeypatch, recovery, "_take_record", forget)
    scope = replace(LEDGER, values=(1,), byzantine=(3,), crash=True)
    found(hunt(scope, rules=True, every=True), "does not recover what it had before the crash")


def test_a_vote_is_not_written_down(monkeypatch: Patch) -> None:
    """Its peers remember the vote: the rule for lost logs notices before it votes again."""
    real = State.persist

    def persist(s: State, record: records.Record | None) -> None:
        if not isinstance(record, records.PrePrepared):
            real(s, record)

    monkeypatch.setattr(State, "persist", persist)
    found(hunt(replace(ORDER, crash=True), every=True), "raises an alarm: observer")
