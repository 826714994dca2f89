"""Frames on a peer link: how consensus messages share a WebSocket message.

A WebSocket message costs 8-12 µs with its TLS record, a frame inside one next to nothing, so a link
sends all that waits as one message: each frame as a 4-byte big-endian length and its bytes. What a
frame says is `consensus.messages`' business.

The `OutgoingQueue` decides what waits and what goes first: votes before blocks asked for, those
before transactions. It is bounded in bytes per lane. A vote that no longer fits pushes out the
oldest vote (votes are sent again each tick and newer ones matter more); anything else that doesn't
fit is dropped (who asked asks again, transactions are relayed again).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from consensus.messages import MESSAGE_BYTES_MAX
from ledger.errors import FieldError

LENGTH_SIZE: Final = 4

BATCH_BYTES: Final = 256 << 10
"""Where a batch ends: a vote never waits behind more than this, about 2 ms at 1 Gbit/s."""

PACKED_BYTES_MAX: Final = MESSAGE_BYTES_MAX + LENGTH_SIZE + BATCH_BYTES
"""Longest WebSocket message: a full batch and, at worst, the longest frame as its last."""

FRAMES_MAX: Final = 4_096
"""Frames of one WebSocket message; a batch of votes alone has some 1,500."""

LANE_BYTES_MAX: Final = 4 * MESSAGE_BYTES_MAX
"""What a slow peer may cost in memory per lane; a window of the largest bodies fits."""


class Lane(IntEnum):
    """What is sent first."""

    CONSENSUS = 0
    SYNC = 1
    TRANSACTIONS = 2


class OutgoingQueue:
    """Frames for one peer, by lane."""

    def __init__(self) -> None:
        self._lanes: tuple[deque[bytes], ...] = tuple(deque() for _ in Lane)
        self._sizes = [0 for _ in Lane]
        self.dropped = 0
        """Frames dropped for want of room since the start."""

    def __bool__(self) -> bool:
        return any(self._lanes)

    def put(self, lane: Lane, frame: bytes) -> None:
        queue = self._lanes[lane]
        while lane is Lane.CONSENSUS and queue and self._overfull(lane, frame):
            self._sizes[lane] -= len(queue.popleft())
            self.dropped += 1
        if self._overfull(lane, frame):
            self.dropped += 1
            return
        queue.append(frame)
        self._sizes[lane] += len(frame)

    def take(self) -> list[bytes]:
        """Remove and return the next batch: at least one frame, if there is any."""
        batch: list[bytes] = []
        room = BATCH_BYTES
        for lane, queue in zip(Lane, self._lanes, strict=True):
            while queue and room > 0 and len(batch) < FRAMES_MAX:
                frame = queue.popleft()
                self._sizes[lane] -= len(frame)
                room -= len(frame)
                batch.append(frame)
        return batch

    def clear(self) -> None:
        for lane in Lane:
            self._lanes[lane].clear()
            self._sizes[lane] = 0

    def _overfull(self, lane: Lane, frame: bytes) -> bool:
        return self._sizes[lane] + len(frame) > LANE_BYTES_MAX


def pack(frames: Sequence[bytes]) -> bytes:
    """The WebSocket message that carries `frames`."""
    parts: list[bytes] = []
    for frame in frames:
        parts += (len(frame).to_bytes(LENGTH_SIZE, "big"), frame)
    return b"".join(parts)


def unpack(data: bytes) -> list[bytes]:
    """The frames of a WebSocket message. Raises `FieldError`."""
    frames: list[bytes] = []
    offset = 0
    while offset < len(data):
        start = offset + LENGTH_SIZE
        length = int.from_bytes(data[offset:start], "big")
        if length == 0 or length > MESSAGE_BYTES_MAX or start + length > len(data):
            raise FieldError("frame", "a length within its message", length)
        if len(frames) == FRAMES_MAX:
            raise FieldError("frames", f"at most {FRAMES_MAX} in a message", FRAMES_MAX + 1)
        frames.append(data[start : start + length])
        offset = start + length
    return frames
