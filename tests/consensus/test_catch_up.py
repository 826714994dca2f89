"""Catching up: whom to ask, and what counts."""

from __future__ import annotations

import itertools

import pytest

from consensus.catch_up import BACKLOG_MAX
from consensus.effects import AppendDecided, Effect, Execute, SaveCertificate
from consensus.events import BlocksFetched, BodyArrived, FetchedBlock
from consensus.messages import Checkpoint, FetchBlocks, FetchBody
from ledger.types import Height
from tests.consensus.group import Group, Solo, digest, header, of, sent, sent_to


@pytest.fixture
def group() -> Group:
    return Group()


@pytest.fixture
def backup(group: Group) -> Solo:
    return Solo(group, "org-01")


def asked(effects: list[Effect]) -> list[tuple[str, int]]:
    return [(to, message.first) for to, message in sent_to(effects, FetchBlocks)]


def blocks(group: Group, first: int, last: int, *certified: int) -> tuple[FetchedBlock, ...]:
    """Blocks first..last; certificates for the heights named, of the last one if none is."""
    return tuple(
        FetchedBlock(
            Height(n),
            digest(f"body {n}"),
            header(n),
            group.certificate(n) if n in (certified or (last,)) else None,
        )
        for n in range(first, last + 1)
    )


def answer(solo: Solo, sender: str, first: int, last: int, *certified: int) -> list[Effect]:
    return solo.step(BlocksFetched(solo.at(), sender, blocks(solo.group, first, last, *certified)))


# --- asking ---


def test_nobody_is_asked_while_nobody_is_ahead(backup: Solo) -> None:
    assert not asked(backup.live(3_000))


def test_beyond_the_window_blocks_are_asked_for_at_once(backup: Solo) -> None:
    backup.hear("org-02", h=5)
    assert asked(backup.tick()) == [("org-02", 1)]


def test_within_the_window_only_once_nothing_moves(backup: Solo) -> None:
    backup.tick()
    backup.hear("org-02", h=4)
    backup.receive(backup.group.prepare("org-02", 0, 1, digest("a")))
    assert not asked(backup.tick()), "votes still arrive"
    assert asked(backup.tick()) == [("org-02", 1)]


def test_a_block_that_was_missed_is_asked_for_although_votes_keep_coming(backup: Solo) -> None:
    """Else a primary that missed one is left: it cannot go on, and the others do."""
    ticks = []
    for tick in range(4):
        backup.hear("org-02", h=1)
        backup.commits(0, 2 + tick, digest("a"), "org-03")
        if asked(backup.tick()):
            ticks.append(tick)
    assert ticks == [2]


def test_one_peer_at_a_time_and_the_next_after_the_time_out(backup: Solo) -> None:
    backup.hear(h=9)
    order = asked(backup.tick())
    assert len(order) == 1
    assert not asked(backup.tick(3))
    for _ in range(5):
        order += asked(backup.tick(4))
    names = [name for name, _ in order]
    assert len(names) == 6
    assert all(before != after for before, after in itertools.pairwise(names))
    assert set(names) == set(backup.others)


def test_only_those_that_claim_the_height_are_asked(backup: Solo) -> None:
    backup.hear("org-02", h=9)
    backup.hear("org-00", "org-03", h=0)
    names = [name for name, _ in asked(backup.tick(20))]
    assert set(names) == {"org-02"}


def test_a_peer_with_nothing_costs_one_question(backup: Solo) -> None:
    """A liar that claims a million and shows nothing."""
    backup.hear("org-00", h=10**6)
    backup.hear("org-02", "org-03", h=9)
    first = asked(backup.tick())
    assert len(first) == 1
    assert backup.step(BlocksFetched(backup.at(), first[0][0], ())) == []
    second = asked(backup.tick())
    assert len(second) == 1
    assert second[0][0] != first[0][0]


def test_a_claimed_height_is_not_believed(backup: Solo) -> None:
    backup.hear(h=10**6)
    backup.tick(10)
    assert backup.replica.status.certified == 0
    assert backup.replica.status.executed == 0


def test_questions_stop_while_execution_is_far_behind(backup: Solo) -> None:
    backup.hear(h=10**4)
    (question,) = asked(backup.tick())
    effects = answer(backup, question[0], 1, BACKLOG_MAX)
    assert not asked(effects)
    assert not asked(backup.tick(8))


# --- taking ---


def test_a_run_of_blocks_is_appended_executed_and_certified(group: Group, backup: Solo) -> None:
    backup.hear(h=9)
    (question,) = asked(backup.tick())
    effects = answer(backup, question[0], 1, 6)
    assert [item.n for item in of(effects, AppendDecided)] == [1, 2, 3, 4, 5, 6]
    assert [item.n for item in of(effects, Execute)] == [1, 2, 3, 4, 5, 6]
    assert not of(effects, SaveCertificate)
    assert asked(effects) == [("org-02" if question[0] != "org-02" else "org-03", 7)]
    for n in range(1, 6):
        effects = backup.executed(n)
        assert not of(effects, SaveCertificate)
    effects = backup.executed(6)
    assert [item.certificate.n for item in of(effects, SaveCertificate)] == [6]
    assert backup.replica.status.certified == 6


def test_only_the_one_that_was_asked_is_heard(backup: Solo) -> None:
    assert answer(backup, "org-02", 1, 2) == []
    backup.hear(h=9)
    (question,) = asked(backup.tick())
    other = next(name for name in backup.others if name != question[0])
    assert answer(backup, other, 1, 2) == []
    assert of(answer(backup, question[0], 1, 2), AppendDecided)
    assert not of(answer(backup, question[0], 1, 2), AppendDecided), "once"


def test_blocks_with_a_gap_to_ours_are_not_taken(backup: Solo) -> None:
    backup.hear(h=9)
    (question,) = asked(backup.tick())
    assert not of(answer(backup, question[0], 3, 4), AppendDecided)


def test_blocks_we_executed_are_only_certified(backup: Solo) -> None:
    for n in (1, 2):
        backup.decide(n)
        backup.executed(n)
    backup.hear(h=9)
    (question,) = asked(backup.tick())
    assert question[1] == 1, "neither is certified here"
    effects = answer(backup, question[0], 1, 2)
    assert not of(effects, AppendDecided)
    assert [item.certificate.n for item in of(effects, SaveCertificate)] == [2]


def test_blocks_that_are_decided_here_are_not_appended_twice(group: Group, backup: Solo) -> None:
    body = backup.decide(1)
    backup.hear(h=9)
    (question,) = asked(backup.tick())
    first = FetchedBlock(Height(1), body.digest, header(1), None)
    second = FetchedBlock(Height(2), digest("body 2"), header(2), group.certificate(2))
    effects = backup.step(BlocksFetched(backup.at(), question[0], (first, second)))
    assert [item.n for item in of(effects, AppendDecided)] == [2]
    backup.executed(1)
    backup.executed(2)
    assert backup.replica.status.certified == 2


@pytest.mark.parametrize("in_hand", [True, False])
def test_what_was_decided_above_a_fetched_block_follows_it(backup: Solo, in_hand: bool) -> None:
    """Its COMMITs have come; no other message may ever come to move it."""
    body = backup.group.body(2, at_ms=backup.now)
    if in_hand:
        backup.take(body)
    backup.commits(0, 2, body.digest)
    backup.hear(h=1)
    (question,) = asked(backup.tick(2))
    effects = answer(backup, question[0], 1, 1)
    if not in_hand:
        assert [message.digest for _, message in sent_to(effects, FetchBody)] == [body.digest]
        effects += backup.step(BodyArrived(backup.at(), body.digest))
    assert [item.n for item in of(effects, AppendDecided)] == [1, 2]


def test_a_certificate_ahead_of_execution_starts_the_question(group: Group, backup: Solo) -> None:
    backup.receive_all(group.checkpoint(name, 6) for name in backup.others)
    backup.hear("org-03", h=6)
    assert asked(backup.tick()) == [("org-03", 1)]


def test_an_observer_catches_up_and_says_nothing(group: Group) -> None:
    observer = Solo(group, "org-01", begun=False)
    observer.hear(h=9)
    (question,) = asked(observer.tick())
    answer(observer, question[0], 1, 2)
    effects = observer.executed(1) + observer.executed(2)
    assert observer.replica.status.certified == 2
    assert not sent(effects, Checkpoint)
