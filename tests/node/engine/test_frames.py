"""Frames in a WebSocket message and the outgoing queue's lanes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import FieldError
from node import frames
from node.frames import Lane, OutgoingQueue, pack, unpack


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8))
def test_packed_frames_come_back(original: list[bytes]) -> None:
    assert unpack(pack(original)) == original


@pytest.mark.parametrize(
    "data",
    [b"\x00", b"\x00\x00\x00\x00", b"\x00\x00\x00\x05abc", b"\xff\xff\xff\xffa"],
    ids=["short", "empty frame", "cut", "huge"],
)
def test_bad_lengths_are_refused(data: bytes) -> None:
    with pytest.raises(FieldError):
        unpack(data)


def test_votes_go_first() -> None:
    queue = OutgoingQueue()
    queue.put(Lane.TRANSACTIONS, b"transaction")
    queue.put(Lane.SYNC, b"block")
    queue.put(Lane.CONSENSUS, b"vote")
    assert queue.take() == [b"vote", b"block", b"transaction"]
    assert not queue


def test_a_batch_ends_so_that_votes_need_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "BATCH_BYTES", 10)
    queue = OutgoingQueue()
    for _ in range(3):
        queue.put(Lane.TRANSACTIONS, b"12345678")
    assert len(queue.take()) == 2
    queue.put(Lane.CONSENSUS, b"vote")
    assert queue.take() == [b"vote", b"12345678"]


def test_a_full_lane_keeps_the_newest_votes_and_the_oldest_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frames, "LANE_BYTES_MAX", 2)
    queue = OutgoingQueue()
    for lane in (Lane.CONSENSUS, Lane.TRANSACTIONS):
        for frame in (b"1", b"2", b"3"):
            queue.put(lane, frame)
    assert queue.take() == [b"2", b"3", b"1", b"2"]
    assert queue.dropped == 2
