"""Agreeing on the result: CHECKPOINT, Certificate, and headers that differ."""

from __future__ import annotations

import pytest

from consensus.effects import AlarmKind, Effect, Execute, SaveCertificate
from consensus.events import Executed
from consensus.messages import Checkpoint, Prepare, Suspect
from consensus.records import Diverged
from ledger.types import Height
from tests.consensus.group import (
    Group,
    Solo,
    accused,
    alarms,
    digest,
    header,
    of,
    recorded,
    sent,
)

OTHER = digest("another header")


@pytest.fixture
def group() -> Group:
    return Group()


@pytest.fixture
def backup(group: Group) -> Solo:
    return Solo(group, "org-01")


def saved(effects: list[Effect]) -> list[int]:
    return [item.certificate.n for item in of(effects, SaveCertificate)]


def test_a_checkpoint_goes_out_with_execution_and_not_before(backup: Solo) -> None:
    body = backup.prepare_height(1)
    effects = backup.commits(0, 1, body.digest)
    assert [item.n for item in of(effects, Execute)] == [1]
    assert not sent(effects, Checkpoint)
    assert sent(backup.executed(1), Checkpoint) == [Checkpoint(Height(1), header(1))]


def test_execution_is_believed_in_order_and_for_what_was_appended(backup: Solo) -> None:
    backup.decide(1)
    backup.decide(2)
    for n in (2, 3):
        assert not sent(backup.executed(n), Checkpoint)
        del backup.headers[Height(n)]
    assert backup.replica.status.executed == 0
    backup.executed(1)
    assert not sent(backup.executed(1), Checkpoint), "twice"
    assert sent(backup.executed(2), Checkpoint)


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9, 10])
def test_q_checkpoints_with_the_own_one_certify(n: int) -> None:
    group = Group(n)
    backup = Solo(group, "org-01")
    backup.decide(1)
    backup.executed(1)
    counts = [len(saved(backup.receive(group.checkpoint(name, 1)))) for name in backup.others]
    needed = group.quorum - 1
    assert counts == [1 if place == needed else 0 for place in range(1, n)]
    certificate = backup.certificates[1]
    group.verifier.certificate(certificate)
    assert certificate.header_hash == header(1)


def test_a_height_is_certified_only_once_it_is_executed_here(backup: Solo) -> None:
    backup.decide(1)
    assert saved(backup.checkpoints(1)) == []
    assert backup.replica.status.certified == 0
    assert saved(backup.executed(1)) == [1]
    assert backup.replica.status.certified == 1


def test_a_later_certificate_covers_the_heights_below(backup: Solo) -> None:
    for n in (1, 2, 3):
        backup.decide(n)
        backup.executed(n)
    assert saved(backup.checkpoints(3)) == [3]
    assert backup.replica.status.certified == 3
    assert saved(backup.checkpoints(2)) == [], "an old one says nothing new"


@pytest.mark.parametrize(("n", "held"), [(0, False), (1, True), (16, True), (17, False)])
def test_checkpoints_are_held_up_to_four_windows_ahead(
    group: Group, backup: Solo, n: int, held: bool
) -> None:
    backup.receive(group.checkpoint("org-02", n))
    assert (backup.replica._state.log.size() == 1) == held


def test_two_checkpoints_for_a_height_are_evidence_and_the_first_counts(
    group: Group, backup: Solo
) -> None:
    backup.decide(1)
    backup.executed(1)
    backup.receive(group.checkpoint("org-02", 1, OTHER))
    effects = backup.receive(group.checkpoint("org-02", 1))
    assert accused(effects) == ["org-02"]
    assert saved(effects) == []
    assert not accused(backup.receive(group.checkpoint("org-02", 1, OTHER)))


def test_what_is_certified_is_forgotten(backup: Solo) -> None:
    backup.run(1)
    state = backup.replica._state
    assert state.log.size() == 0
    assert backup.replica.bodies_needed == {}
    assert (state.decided, state.checking, state.certificates) == ({}, {}, {})
    assert list(state.headers) == [0, 1], "the start of a view that is entered late"
    assert state.safety.votes() == []


def test_a_body_is_kept_until_its_height_is_certified(group: Group, backup: Solo) -> None:
    body = backup.decide(1)
    backup.executed(1)
    assert backup.replica.bodies_needed == {body.digest: 1}
    backup.checkpoints(1)
    assert backup.replica.bodies_needed == {}


# --- headers that differ ---


def test_a_quorum_on_another_header_halts_for_good_and_nothing_is_overwritten(
    group: Group, backup: Solo
) -> None:
    backup.decide(1)
    backup.executed(1)
    effects: list[Effect] = []
    for name in backup.others:
        effects += backup.receive(group.checkpoint(name, 1, OTHER))
    (alarm,) = [item for item in alarms(effects) if item.kind is AlarmKind.DIVERGED]
    assert (alarm.n, alarm.own, alarm.other) == (1, header(1), OTHER)
    assert recorded(effects, Diverged)
    assert saved(effects) == []
    assert backup.replica.status.halted == alarm
    assert backup.replica.status.certified == 0
    assert backup.tick(20, waiting=True) == []
    assert backup.take(group.body(2)) == []
    assert backup.replica.proposal_slot is None


def test_a_certificate_of_another_header_met_before_execution_halts_after_it(
    group: Group, backup: Solo
) -> None:
    backup.decide(1)
    backup.receive_all(group.checkpoint(name, 1, OTHER) for name in backup.others)
    assert backup.replica.status.halted is None
    effects = backup.executed(1)
    assert AlarmKind.DIVERGED in [item.kind for item in alarms(effects)]
    assert saved(effects) == []


def nondeterminism(effects: list[Effect]) -> list[int]:
    return [item.n for item in alarms(effects) if item.kind is AlarmKind.NONDETERMINISM]


def test_f_plus_one_others_against_us_are_an_alarm_and_no_suspicion(group: Group) -> None:
    group = Group(7)
    backup = Solo(group, "org-01")
    backup.decide(1)
    backup.executed(1)
    effects = backup.receive(group.checkpoint("org-02", 1, OTHER))
    effects += backup.receive(group.checkpoint("org-03", 1, OTHER))
    assert nondeterminism(effects) == []
    effects = backup.receive(group.checkpoint("org-04", 1, OTHER))
    assert nondeterminism(effects) == [1]
    assert backup.replica.status.halted is None
    assert not sent(backup.live(30_000, waiting=True), Suspect)


def test_headers_of_which_none_can_get_a_quorum_are_an_alarm(group: Group, backup: Solo) -> None:
    """Seen from a replica that did not execute yet: 1 + 1 + 1 of 4, the fourth can't help."""
    backup.decide(1)
    hashes = [header(1), OTHER, digest("a third header")]
    effects: list[Effect] = []
    for name, header_hash in zip(backup.others, hashes, strict=True):
        assert nondeterminism(effects) == []
        effects += backup.receive(group.checkpoint(name, 1, header_hash))
    assert nondeterminism(effects) == [1]


def test_two_against_one_may_still_become_a_quorum(group: Group, backup: Solo) -> None:
    backup.decide(1)
    effects: list[Effect] = []
    for name, header_hash in zip(backup.others, [header(1), header(1), OTHER], strict=True):
        effects += backup.receive(group.checkpoint(name, 1, header_hash))
    assert nondeterminism(effects) == []
    assert saved(backup.executed(1)) == [1]


def test_the_alarm_is_raised_once_and_ends_with_a_certificate(group: Group) -> None:
    group = Group(5)
    backup = Solo(group, "org-01")
    backup.decide(1)
    backup.executed(1)
    effects = backup.receive(group.checkpoint("org-00", 1, OTHER))
    effects += backup.receive(group.checkpoint("org-02", 1, digest("third")))
    assert nondeterminism(effects) == [1]
    assert nondeterminism(backup.receive(group.checkpoint("org-03", 1))) == []
    assert backup.replica._state.nondeterminism == 1
    backup.receive(group.view_change("org-03", 1, 1, certificate=group.certificate(1)))
    assert backup.replica.status.certified == 1
    assert backup.replica._state.nondeterminism is None
    assert sent(backup.live(3_000, waiting=True), Suspect), "the timers work again"


def test_a_later_wrong_header_is_named_by_its_own_height(group: Group, backup: Solo) -> None:
    backup.run(1)
    backup.decide(2)
    backup.set_header(2)
    effects = backup.step(Executed(backup.at(), Height(2), OTHER, backup.at()))
    assert sent(effects, Checkpoint) == [Checkpoint(Height(2), OTHER)]
    effects = backup.checkpoints(2)
    (alarm,) = [item for item in alarms(effects) if item.kind is AlarmKind.DIVERGED]
    assert (alarm.n, alarm.own, alarm.other) == (2, OTHER, header(2))
    assert not sent(backup.take(group.body(3)), Prepare)
