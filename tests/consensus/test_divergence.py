"""A halt lasts until the ledger is repaired, and repairing it makes nobody a liar."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consensus.config import HeaderSummary
from consensus.effects import AlarmKind, Broadcast, Effect, SaveCertificate
from consensus.events import BlocksFetched, Executed, FetchedBlock
from consensus.messages import Checkpoint, Commit, OwnVoteQuery
from consensus.records import Diverged
from ledger.certificate import CertificateInvalid
from ledger.types import Height
from tests.consensus.group import Group, Solo, alarms, digest, header, of, recorded, sent, sent_to

WRONG = digest("a wrong header")


@pytest.fixture
def group() -> Group:
    return Group()


def execute_wrongly(solo: Solo, n: int) -> list[Effect]:
    """Height `n` gets another header here than everywhere else."""
    summary = HeaderSummary(digest(f"wrong {n}"), solo.at())
    solo.headers[Height(n)] = summary
    return solo.step(Executed(solo.at(), Height(n), summary.hash, summary.time_ms))


def repair(solo: Solo) -> None:
    """What `qiong db rebuild` does: every header comes from execution again, and is right."""
    for n in solo.headers:
        solo.set_header(n)


def diverged(group: Group, *, wrong: int = 1) -> Solo:
    """A replica that certified 1 and 2 and halted at 3, having executed `wrong` heights wrongly."""
    solo = Solo(group)
    solo.run(2)
    bodies = [solo.decide(n) for n in range(3, 3 + wrong)]
    assert len(bodies) == wrong
    for n in range(3, 3 + wrong):
        assert [vote.message.n for vote in _checkpoints(execute_wrongly(solo, n))] == [n]
    effects = solo.checkpoints(3)
    assert [alarm.kind for alarm in alarms(effects)][-1] is AlarmKind.DIVERGED
    (record,) = recorded(effects, Diverged)
    assert (record.n, record.own, record.certified) == (3, digest("wrong 3"), header(3))
    assert (record.signed_to, record.certificate.n) == (2 + wrong, 3)
    return solo


def _checkpoints(effects: list[Effect]) -> list[Checkpoint]:
    return [item.message for item in of(effects, Broadcast) if _is_checkpoint(item)]  # type: ignore[misc]


def _is_checkpoint(item: Broadcast) -> bool:
    return isinstance(getattr(item.message, "message", None), Checkpoint)


def test_a_halted_replica_is_halted_after_a_restart_and_says_nothing(group: Group) -> None:
    solo = diverged(group)
    for _ in range(2):
        solo = solo.restart(begun=False)
        (alarm,) = alarms(solo.effects)
        assert (alarm.kind, alarm.n, alarm.own) == (AlarmKind.DIVERGED, 3, digest("wrong 3"))
        assert not sent_to(solo.effects, OwnVoteQuery)
        assert solo.replica.status.halted == alarm
        assert solo.replica.status.observer is None
        assert solo.live(3_000, waiting=True) == []
        assert solo.checkpoints(4) == []


def test_a_repaired_replica_takes_the_height_from_the_certificate_and_votes(group: Group) -> None:
    solo = diverged(group)
    repair(solo)
    solo = solo.restart(begun=False)
    assert [item.certificate.n for item in of(solo.effects, SaveCertificate)] == [3]
    assert solo.replica.status.halted is None
    assert solo.replica.status.certified == 3
    assert _checkpoints(solo.begin()) == []
    solo.decide(4)
    assert [vote.message.n for vote in _checkpoints(solo.executed(4))] == [4]
    solo.checkpoints(4)
    assert solo.replica.status.certified == 4


def test_no_height_that_may_be_signed_wrongly_is_signed_again(group: Group) -> None:
    """With a window of 4 the replica ran on beyond the wrong header before it knew."""
    solo = diverged(group, wrong=3)
    repair(solo)
    solo = solo.restart()
    assert solo.replica.status.certified == 3
    said = sent(solo.live(3_000), Checkpoint)
    body = solo.decide(6)
    said += sent(solo.executed(6), Checkpoint)
    assert body.n == 6
    assert [message.n for message in said] == [6]
    assert solo.checkpoints(6)
    assert solo.replica.status.certified == 6


def test_what_must_not_be_signed_again_survives_compaction(group: Group) -> None:
    solo = diverged(group, wrong=2)
    repair(solo)
    solo = solo.restart()
    kept = solo.replica.compact()
    assert [type(record) for record in kept].count(Diverged) == 1
    solo = solo.restart(records=kept)
    assert sent(solo.live(1_000), Checkpoint) == []
    solo.checkpoints(4)
    assert solo.replica.status.certified == 4
    assert not any(isinstance(record, Diverged) for record in solo.replica.compact())
    # An old record that the log still holds means nothing any more.
    solo = solo.restart(records=[*solo.wal])
    assert solo.replica.status.halted is None
    assert not any(isinstance(record, Diverged) for record in solo.replica.compact())


def test_a_repair_that_gives_a_third_header_leaves_it_halted(group: Group) -> None:
    solo = diverged(group)
    solo.headers[Height(3)] = HeaderSummary(WRONG, solo.at())
    solo = solo.restart(begun=False)
    (alarm,) = alarms(solo.effects)
    assert (alarm.own, alarm.other) == (WRONG, header(3))
    assert recorded(solo.effects, Diverged) == []


def test_fetched_blocks_show_a_divergence_too(group: Group) -> None:
    """The block that differs has no Certificate of its own; the next one's proves it."""
    solo = Solo(group)
    solo.run(2)
    solo.hear(h=9)
    solo.tick()
    blocks = tuple(
        FetchedBlock(
            Height(n),
            digest(f"body {n}"),
            header(n),
            group.certificate(n) if n == 4 else None,
        )
        for n in (3, 4)
    )
    solo.step(BlocksFetched(solo.at(), _asked(solo), blocks))
    effects = execute_wrongly(solo, 3)
    assert _checkpoints(effects) == []
    (record,) = recorded(effects, Diverged)
    assert (record.n, record.certified, record.certificate.n) == (3, header(3), 4)
    repair(solo)
    solo = solo.restart()
    assert solo.replica.status.halted is None


@pytest.mark.parametrize("proven_at", [3, 4])
def test_a_height_executed_again_after_the_start_is_compared(group: Group, proven_at: int) -> None:
    """The ledger was cut back before the wrong height: it is executed by the running replica."""
    solo = diverged(group)
    solo.wal = [
        replace(record, certificate=group.certificate(proven_at))
        if isinstance(record, Diverged)
        else record
        for record in solo.wal
    ]
    del solo.headers[Height(3)]
    solo = solo.restart()
    assert solo.replica.status.halted is None
    effects = execute_wrongly(solo, 3)
    assert [alarm.kind for alarm in alarms(effects)] == [AlarmKind.DIVERGED]
    assert _checkpoints(effects) == []
    del solo.headers[Height(3)]
    solo = solo.restart()
    saved = of(solo.executed(3), SaveCertificate)
    assert [item.certificate.n for item in saved] == [3] * (proven_at == 3)
    assert solo.replica.status.halted is None


def test_another_body_than_the_certified_one_halts_before_anything_is_signed(group: Group) -> None:
    """More than f liars: we decided one body, a certified chain holds another."""
    solo = Solo(group)
    solo.run(2)
    body = solo.decide(3)
    solo.hear(h=9)
    solo.tick()
    other = FetchedBlock(Height(3), digest("other body"), header(3), group.certificate(3))
    solo.step(BlocksFetched(solo.at(), _asked(solo), (other,)))
    assert body.digest != other.digest
    effects = execute_wrongly(solo, 3)
    assert [alarm.kind for alarm in alarms(effects)] == [AlarmKind.DIVERGED]
    assert sent(effects, Checkpoint) == []
    assert sent(effects, Commit) == []


def test_a_record_whose_certificate_does_not_verify_stops_the_start(group: Group) -> None:
    solo = diverged(group)
    (record,) = [item for item in solo.wal if isinstance(item, Diverged)]
    forged = group.certificate(3, WRONG, signers=group.names[:2])
    solo.wal.append(Diverged(record.epoch, record.n, record.own, WRONG, record.signed_to, forged))
    with pytest.raises(CertificateInvalid):
        solo.restart(begun=False)


def _asked(solo: Solo) -> str:
    """The peer that was asked for blocks."""
    fetch = solo.replica._state.fetch
    assert fetch is not None
    return fetch.peer
