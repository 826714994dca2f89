"""The normal case: proposal, prepared, decided."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.effects import AppendDecided, CheckBody, Execute, PersistBody
from consensus.events import BodyArrived, BodyChecked
from consensus.messages import Commit, FetchBody, Prepare, PrePrepare, Suspect
from consensus.records import Prepared, PrePrepared
from ledger.types import Height
from tests.consensus.group import (
    START_MS,
    Group,
    Solo,
    accused,
    digest,
    of,
    recorded,
    sent,
    sent_to,
)

A, B = digest("a"), digest("b")


@pytest.fixture
def group() -> Group:
    return Group()


@pytest.fixture
def backup(group: Group) -> Solo:
    return Solo(group, "org-01")


@pytest.fixture
def primary(group: Group) -> Solo:
    return Solo(group, "org-00")


# --- PRE-PREPARE ---


def test_a_proposal_is_prepared_once_its_body_is_checked(group: Group, backup: Solo) -> None:
    body = group.body(1)
    effects = backup.receive(group.pre_prepare(0, 1, body.digest))
    assert of(effects, CheckBody) == [CheckBody(body.digest, Height(1), 0, "org-00")]
    assert not sent(effects, Prepare)
    effects = backup.step(BodyChecked(backup.at(), body.digest, body, ok=True))
    assert sent(effects, Prepare) == [Prepare(0, 1, body.digest)]
    assert [record.digest for record in recorded(effects, PrePrepared)] == [body.digest]
    assert of(effects, PersistBody) == [PersistBody(Height(1), body.digest)]


@pytest.mark.parametrize("answer", ["not ok", "not found"])
def test_a_body_that_is_not_valid_or_not_there_is_not_prepared(
    group: Group, backup: Solo, answer: str
) -> None:
    body = group.body(1)
    backup.receive(group.pre_prepare(0, 1, body.digest))
    found = body if answer == "not ok" else None
    assert not sent(backup.step(BodyChecked(backup.at(), body.digest, found, False)), Prepare)
    assert not sent(backup.step(BodyChecked(backup.at(), body.digest, body, True)), Prepare), (
        "an answer that nobody asked for"
    )
    assert sent(backup.take(body), Prepare), "it may come again and then be in order"


@pytest.mark.parametrize(
    "changes",
    [{"n": Height(2)}, {"first_view": 1}, {"proposer": "org-02"}, {"timestamp_ms": START_MS + 501}],
    ids=lambda item: next(iter(item)),
)
def test_a_body_made_for_another_place_is_refused(
    group: Group, backup: Solo, changes: dict[str, Any]
) -> None:
    body = replace(group.body(1), **changes)
    backup.receive(group.pre_prepare(0, 1, body.digest))
    assert not sent(backup.step(BodyChecked(backup.at(), body.digest, body, True)), Prepare)


def test_a_body_is_the_one_that_was_proposed(group: Group, backup: Solo) -> None:
    right, other = group.body(1, name="right"), group.body(1, name="other")
    backup.receive(group.pre_prepare(0, 1, right.digest))
    assert not sent(backup.step(BodyChecked(backup.at(), right.digest, other, True)), Prepare)


@pytest.mark.parametrize(
    ("offset_ms", "fits"), [(-2_001, False), (-2_000, True), (500, True), (501, False)]
)
def test_the_time_of_a_body_lies_near_ours(
    group: Group, backup: Solo, offset_ms: int, fits: bool
) -> None:
    body = group.body(1, at_ms=START_MS + offset_ms)
    assert bool(sent(backup.take(body), Prepare)) == fits


@pytest.mark.parametrize("failed", [1, 3, 8, 20])
def test_each_failed_view_doubles_the_slack_of_the_clock_up_to_a_bound(
    group: Group, failed: int
) -> None:
    slack = 1 << min(failed, 8)
    for offset, fits in (
        (-2_000 * slack - 1, False),
        (-2_000 * slack, True),
        (500 * slack, True),
        (500 * slack + 1, False),
    ):
        backup = Solo(group, "org-01")
        backup.replica._state.failed_views = failed
        body = group.body(1, at_ms=START_MS + offset)
        assert bool(sent(backup.take(body), Prepare)) == fits


def test_only_one_proposal_is_prepared_for_a_height(group: Group, backup: Solo) -> None:
    first, second = group.body(1, name="first"), group.body(1, name="second")
    backup.take(first)
    effects = backup.take(second)
    effects += backup.step(BodyChecked(backup.at(), second.digest, second, True))
    assert not sent(effects, Prepare)
    assert accused(effects) == ["org-00"]


def test_two_proposals_before_the_body_was_checked(group: Group, backup: Solo) -> None:
    first, second = group.body(1, name="first"), group.body(1, name="second")
    backup.receive(group.pre_prepare(0, 1, first.digest))
    backup.receive(group.pre_prepare(0, 1, second.digest))
    effects = backup.step(BodyChecked(backup.at(), second.digest, second, True))
    assert not sent(effects, Prepare)
    effects = backup.step(BodyChecked(backup.at(), first.digest, first, True))
    assert [vote.digest for vote in sent(effects, Prepare)] == [first.digest]


def test_a_proposal_of_another_view_waits_or_is_of_no_use(group: Group, backup: Solo) -> None:
    effects = backup.receive(group.pre_prepare(1 + 3, 1, A))
    assert not of(effects, CheckBody)


def test_proven_equivocation_of_the_primary_raises_suspicion(group: Group, backup: Solo) -> None:
    backup.receive(group.pre_prepare(0, 1, A))
    effects = backup.receive(group.pre_prepare(0, 1, B))
    assert accused(effects) == ["org-00"]
    assert [item.reason for item in sent(effects, Suspect)] == [2]
    assert not accused(backup.receive(group.pre_prepare(0, 1, B))), "once"


# --- windows ---


@pytest.mark.parametrize("window", [1, 4])
def test_a_proposal_beyond_the_window_waits_until_the_window_moves(window: int) -> None:
    group = Group(window=window)
    backup = Solo(group, "org-01")
    n = window + 1
    body = group.body(n)
    assert not of(backup.receive(group.pre_prepare(0, n, body.digest)), CheckBody)
    backup.decide(1)
    backup.executed(1)
    effects = backup.checkpoints(1)
    assert [item.n for item in of(effects, CheckBody)] == [n]


@pytest.mark.parametrize(("n", "held"), [(0, False), (1, True), (8, True), (9, False)])
def test_votes_are_held_up_to_two_windows_ahead(group: Group, n: int, held: bool) -> None:
    for vote in (
        group.pre_prepare(0, n, A),
        group.prepare("org-02", 0, n, A),
        group.commit("org-02", 0, n, A),
    ):
        backup = Solo(group, "org-01")
        backup.receive(vote)
        assert (backup.replica._state.log.size() == 1) == held


def test_one_proposal_is_held_for_a_height_beyond_the_window(group: Group, backup: Solo) -> None:
    first, second = group.body(5, name="first"), group.body(5, name="second")
    backup.receive(group.pre_prepare(0, 5, first.digest))
    effects = backup.receive(group.pre_prepare(0, 5, second.digest))
    assert accused(effects) == ["org-00"]
    backup.decide(1)
    backup.executed(1)
    effects = backup.checkpoints(1)
    assert [item.digest for item in of(effects, CheckBody)] == [first.digest]


def test_the_window_ends_with_the_epoch(group: Group) -> None:
    backup = Solo(group, "org-01", epoch_end=Height(2))
    assert of(backup.receive(group.pre_prepare(0, 2, A)), CheckBody)
    assert not of(backup.receive(group.pre_prepare(0, 3, A)), CheckBody)
    primary = Solo(group, "org-00", epoch_end=Height(2))
    primary.decide(1)
    primary.decide(2)
    assert primary.replica.proposal_slot is None


# --- prepared, decided ---


def deliver_prepares(solo: Solo, names: list[str], n: int, d: Any) -> list[int]:
    """After each PREPARE, how many COMMITs left."""
    return [len(sent(solo.receive(solo.group.prepare(name, 0, n, d)), Commit)) for name in names]


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9, 10])
def test_commit_goes_out_with_the_q_th_prepare_and_once(n: int) -> None:
    group = Group(n)
    backup = Solo(group, "org-01")
    body = group.body(1)
    backup.take(body)
    others = group.names[2:]
    counts = deliver_prepares(backup, others, 1, body.digest)
    needed = group.quorum - 2  # the PRE-PREPARE and our own count
    assert counts == [1 if place == needed else 0 for place in range(1, len(others) + 1)]


def test_a_commit_s_certificate_is_recorded_in_its_turn(group: Group, backup: Solo) -> None:
    body = group.body(1)
    backup.take(body)
    effects = backup.receive(group.prepare("org-02", 0, 1, body.digest))
    (record,) = recorded(effects, Prepared)
    assert record.certificate == group.prepared(0, 1, body.digest)
    group.verifier.prepared("org-01", record.certificate)


def test_the_same_prepare_twice_counts_once(group: Group) -> None:
    group = Group(7)
    backup = Solo(group, "org-01")
    body = group.body(1)
    backup.take(body)
    assert deliver_prepares(backup, ["org-02"] * 6, 1, body.digest) == [0] * 6


def test_prepares_of_another_digest_or_view_do_not_count(group: Group, backup: Solo) -> None:
    body = group.body(1)
    backup.take(body)
    assert deliver_prepares(backup, ["org-02", "org-03"], 1, A) == [0, 0]
    for name in ("org-02", "org-03"):
        assert not sent(backup.receive(group.prepare(name, 5, 1, body.digest)), Commit)


def test_prepares_without_the_own_pre_prepare_do_not_commit(group: Group, backup: Solo) -> None:
    body = group.body(1)
    for name in ("org-02", "org-03"):
        assert not sent(backup.receive(group.prepare(name, 0, 1, body.digest)), Commit)
    assert sent(backup.take(body), Commit), "the PREPAREs were kept"


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9, 10])
def test_a_height_is_decided_by_the_q_th_commit(n: int) -> None:
    group = Group(n)
    backup = Solo(group, "org-01")
    body = backup.prepare_height(1)
    counts = [
        len(of(backup.receive(group.commit(name, 0, 1, body.digest)), Execute))
        for name in backup.others
    ]
    needed = group.quorum - 1
    assert counts == [1 if place == needed else 0 for place in range(1, n)]


def test_commits_of_different_views_do_not_add_up(group: Group, backup: Solo) -> None:
    body = backup.prepare_height(1)
    effects = backup.receive(group.commit("org-02", 0, 1, body.digest))
    effects += backup.receive(group.commit("org-03", 1, 1, body.digest))
    assert not of(effects, AppendDecided)


def test_commits_of_any_view_decide_even_while_the_view_changes(group: Group) -> None:
    for view in (0, 2, 6):
        backup = Solo(group, "org-01")
        body = backup.prepare_height(1)
        backup.suspect("org-00", "org-02", "org-03")
        assert backup.replica.status.in_view_change
        names = ("org-00", "org-02", "org-03")
        assert of(backup.commits(view, 1, body.digest, *names), AppendDecided)


def test_heights_are_appended_and_executed_in_order(group: Group, backup: Solo) -> None:
    bodies = [backup.prepare_height(n) for n in (1, 2, 3)]
    for n in (3, 2):
        assert not of(backup.commits(0, n, bodies[n - 1].digest), AppendDecided)
    effects = backup.commits(0, 1, bodies[0].digest)
    assert [item.n for item in of(effects, AppendDecided)] == [1, 2, 3]
    assert [item.n for item in of(effects, Execute)] == [1, 2, 3]


def test_a_decided_height_waits_for_its_body(group: Group, backup: Solo) -> None:
    body = group.body(1)
    effects = backup.commits(0, 1, body.digest)
    assert not of(effects, AppendDecided)
    assert len(sent_to(effects, FetchBody)) == 1
    assert backup.replica.status.missing == body.digest
    assert not of(backup.step(BodyArrived(backup.at(), A)), AppendDecided), "another body"
    effects = backup.step(BodyArrived(backup.at(), body.digest))
    assert of(effects, PersistBody) == [PersistBody(Height(1), body.digest)]
    assert [item.n for item in of(effects, AppendDecided)] == [1]
    assert backup.replica.status.missing is None


def test_a_proposal_that_comes_after_its_decision_brings_the_body(
    group: Group, backup: Solo
) -> None:
    body = group.body(1)
    backup.commits(0, 1, body.digest)
    effects = backup.take(body)
    assert [item.n for item in of(effects, AppendDecided)] == [1]
    assert of(backup.step(BodyArrived(backup.at(), body.digest)), AppendDecided) == []


def test_one_peer_at_a_time_is_asked_for_a_body(group: Group, backup: Solo) -> None:
    backup.commits(0, 1, A)
    asked = [to for to, _ in sent_to(backup.effects, FetchBody)]
    for _ in range(8):
        asked += [to for to, _ in sent_to(backup.tick(), FetchBody)]
    assert 3 <= len(asked) <= 5, "every 500 ms"
    assert set(asked) == set(backup.others)


# --- proposing ---


def test_a_primary_persists_and_sends_its_proposal(group: Group, primary: Solo) -> None:
    slot = primary.replica.proposal_slot
    assert slot is not None
    assert (slot.n, slot.view, slot.in_flight) == (1, 0, 0)
    body = group.body(1)
    effects = primary.propose(body)
    assert sent(effects, PrePrepare) == [PrePrepare(0, 1, body.digest)]
    assert [record.n for record in recorded(effects, PrePrepared)] == [1]
    assert of(effects, PersistBody)


def test_a_primary_fills_its_window_and_no_more(group: Group, primary: Solo) -> None:
    for n in range(1, 5):
        slot = primary.replica.proposal_slot
        assert slot is not None
        assert (slot.n, slot.in_flight) == (n, n - 1)
        primary.propose(group.body(n))
    assert primary.replica.proposal_slot is None
    assert not sent(primary.propose(group.body(5)), PrePrepare)


def test_a_body_for_a_slot_that_has_gone_is_dropped(group: Group, primary: Solo) -> None:
    primary.propose(group.body(1, name="first"))
    assert not sent(primary.propose(group.body(1, name="second")), PrePrepare)
    assert not sent(primary.propose(group.body(3)), PrePrepare)


def test_a_backup_has_no_slot_and_proposes_nothing(group: Group, backup: Solo) -> None:
    assert backup.replica.proposal_slot is None
    assert not sent(backup.propose(group.body(1)), PrePrepare)


def test_a_primary_does_not_propose_while_it_changes_the_view(group: Group, primary: Solo) -> None:
    primary.suspect("org-01", "org-02", "org-03")
    assert primary.replica.status.in_view_change
    assert primary.replica.proposal_slot is None
    assert not sent(primary.propose(group.body(1)), PrePrepare)


# --- evidence ---


@pytest.mark.parametrize("kind", ["prepare", "commit"])
def test_two_votes_in_one_place_are_evidence_and_the_first_counts(
    group: Group, backup: Solo, kind: str
) -> None:
    make = getattr(group, kind)
    backup.receive(make("org-02", 0, 1, A))
    effects = backup.receive(make("org-02", 0, 1, B))
    assert accused(effects) == ["org-02"]
    assert not sent(effects, Suspect), "no fault of the primary"
    tally = getattr(backup.replica._state.log, f"{kind}s")
    assert list(tally(0, 1, A)) == ["org-02"]
    assert not tally(0, 1, B)


VOTES = st.tuples(
    st.sampled_from(["pre_prepare", "prepare", "commit"]),
    st.sampled_from(["org-02", "org-03"]),
    st.integers(0, 2),
    st.integers(1, 3),
    st.booleans(),
)


@given(st.lists(VOTES, max_size=40))
def test_an_honest_peer_that_repeats_itself_is_never_accused(votes: list[Any]) -> None:
    """One digest for each (view, n), said often and in any order."""
    group = Group()
    backup = Solo(group, "org-01")
    for kind, name, view, n, tick in votes:
        d = digest(f"{view} {n}")
        if kind == "pre_prepare" or group.primary(view) == name:
            vote = group.pre_prepare(view, n, d)
        else:
            vote = getattr(group, kind)(name, view, n, d)
        if vote.signer != backup.name:
            assert not accused(backup.receive(vote))
        if tick:
            backup.tick()
