"""The write-ahead log of votes: what comes back, what compaction keeps."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from consensus import records
from consensus.records import Highest
from ledger.block import Body
from ledger.storage.folder import DiskFolder
from ledger.storage.memory import MemoryFolder
from ledger.storage.segments import SegmentLog
from ledger.transaction import SignedTransaction
from ledger.types import Epoch, Height, TimeMs, View
from node.bodies import HeldBody
from node.wal import RECORDS_MAX, VoteDamaged, VoteLog

Make = Callable[..., SignedTransaction]


def vote(n: int) -> Highest:
    return Highest(Epoch(0), View(0), Height(n))


def held(n: int, *transactions: SignedTransaction) -> HeldBody:
    digests = tuple(signed.digest for signed in transactions)
    body = Body(Height(n), View(0), "org-0", TimeMs(n), digests)
    return HeldBody(body, body.encode(), transactions)


def encoded(*items: records.Record) -> list[bytes]:
    return [records.encode(item) for item in items]


def test_votes_and_bodies_above_the_certified_height_come_back(make_transaction: Make) -> None:
    folder = MemoryFolder()
    log = VoteLog(folder, Height(0))
    old, new = held(3, make_transaction()), held(4, make_transaction(), make_transaction())
    log.append(encoded(vote(3), old.record(), vote(4), new.record()))
    log.close()
    again = VoteLog(folder, Height(3))
    assert again.recovered == [vote(3), vote(4)]
    assert [item.digest for item in again.bodies] == [new.digest]
    assert again.bodies[0].raw_transactions == new.raw_transactions


def test_what_was_appended_survives_power_loss() -> None:
    folder = MemoryFolder()
    log = VoteLog(folder, Height(0))
    log.append(encoded(vote(1), vote(2)))
    lost = folder.after_power_loss(random.Random(1))
    assert VoteLog(lost, Height(0)).recovered == [vote(1), vote(2)]


def test_compaction_keeps_what_it_was_given_and_no_more(
    make_transaction: Make,
) -> None:
    folder = MemoryFolder()
    log = VoteLog(folder, Height(0), segment_bytes=500)
    assert not log.compaction_due
    for n in range(100):
        log.append(encoded(vote(n)))
    assert log.compaction_due
    needed = held(100, make_transaction())
    log.compact(encoded(vote(99), needed.record()))
    assert not log.compaction_due
    log.append(encoded(vote(100)))
    log.close()
    again = VoteLog(folder, Height(50), segment_bytes=500)
    assert again.recovered == [vote(99), vote(100)]
    assert [item.digest for item in again.bodies] == [needed.digest]


def test_a_log_that_is_long_to_read_back_is_compacted_whoever_wrote_it() -> None:
    """A validator that is killed again and again must not start more slowly each time."""
    folder = MemoryFolder()
    for _ in range(4):
        log = VoteLog(folder, Height(0))
        assert not log.compaction_due
        log.append(encoded(*[vote(1)] * (RECORDS_MAX // 4)))
        log.close()
    log = VoteLog(folder, Height(0))
    assert log.compaction_due
    log.compact(encoded(vote(1)))
    assert not log.compaction_due
    log.close()
    assert VoteLog(folder, Height(0)).recovered == [vote(1)]


def test_a_record_that_says_nothing_stops_the_start() -> None:
    folder = MemoryFolder()
    log = SegmentLog(folder)
    log.append([b"\x93\x01\x02\x03"])
    log.sync()
    log.close()
    with pytest.raises(VoteDamaged):
        VoteLog(folder, Height(0))


def test_every_flipped_bit_stops_the_start_and_names_the_way_out(tmp_path: Path) -> None:
    log = VoteLog(DiskFolder(tmp_path), Height(0))
    log.append(encoded(vote(1), vote(2), vote(3)))
    log.close()
    [path] = tmp_path.glob("*.log")
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(VoteDamaged, match=path.name) as found:
            VoteLog(DiskFolder(tmp_path), Height(0))
        assert "move the folder `wal` away" in found.value.hint
    path.write_bytes(whole)
    assert VoteLog(DiskFolder(tmp_path), Height(0)).recovered == [vote(1), vote(2), vote(3)]


def test_a_cut_tail_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = VoteLog(DiskFolder(tmp_path), Height(0))
    log.append(encoded(vote(1), vote(2)))
    log.close()
    [path] = tmp_path.glob("*.log")
    path.write_bytes(path.read_bytes()[:-1])
    again = VoteLog(DiskFolder(tmp_path), Height(0))
    assert again.recovered == [vote(1)]
    again.close()
    [line] = caplog.messages
    assert line == "cut 71 bytes of a record that was never synced off the log of votes"


@pytest.mark.parametrize("seed", range(8))
def test_power_loss_while_the_log_is_compacted_forgets_nothing(
    seed: int, make_transaction: Make
) -> None:
    """At every step of a compaction, and with its beginning torn: the highest vote and the bodies
    that are needed come back."""
    needed = held(100, make_transaction())
    begin = encoded(vote(99), needed.record())

    class Power(Exception):
        pass

    class Failing(MemoryFolder):
        """Loses power at the operation that `left` counts down to."""

        left = -1

        def _step(self) -> None:
            self.left -= 1
            if self.left == 0:
                raise Power

        def sync(self, name: str) -> None:
            self._step()
            super().sync(name)

        def create(self, name: str, content: bytes) -> None:
            self._step()
            super().create(name, content)

        def remove(self, name: str) -> None:
            self._step()
            super().remove(name)

    steps = 0
    while True:
        steps += 1
        folder = Failing()
        log = VoteLog(folder, Height(0), segment_bytes=500)
        log.append(begin)
        for n in range(99):
            log.append(encoded(vote(n)))
        folder.left = steps
        try:
            log.compact(begin)
        except Power:
            survivor = VoteLog(folder.after_power_loss(random.Random(seed)), Height(50))
            assert max(survivor.recovered, key=lambda record: record.n) == vote(99)
            assert {item.digest for item in survivor.bodies} == {needed.digest}
            continue
        break
    assert steps > 10, "each dropped segment is a step"
