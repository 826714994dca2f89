"""Frames over the worker's pipes, and what stands in them.

A frame is a length of four bytes, big-endian, and as many bytes. The two directions differ, because
trust does. The validator's requests are `marshal`, which the worker loads at C speed from the one
process it has to believe. The worker's answers may come from a contract that broke out, so they are
canonical bytes, which the validator decodes strictly; it never unmarshals what a worker sent.

    request     (RUN, base, height, time_ms, entries, [(signers, gas_limit, atomic, calls)...])
                (QUERY, base, height, time_ms, entries, (contract, method, args), gas_limit)
    answers     [READY] once; [FAILED, step, reason] instead, if the lock-down failed
                [GET, contract, key], [KEYS, contract, prefix, limit]: asks for state
                [DONE, outcomes]: of RUN a list of transactions, of QUERY one call
    reply       (value, entries) to GET: whoever reads one key will soon read its like; (keys,)

`base` says what becomes of the state the worker remembers: RESET forgets it, KEEP keeps what was
read, ADVANCE also takes up what the last run wrote. `entries` are added to it: {(contract, key):
canonical bytes or None}.
"""

from __future__ import annotations

import marshal
import os
from typing import Final

from contracts.worker import codec
from contracts.worker.executor import CallRow, TransactionRow

RUN: Final = 0
QUERY: Final = 1

RESET: Final = 0
KEEP: Final = 1
ADVANCE: Final = 2

READY: Final = 0
FAILED: Final = 1
GET: Final = 2
KEYS: Final = 3
DONE: Final = 4

HEADER_BYTES: Final = 4

FRAME_BYTES_MAX: Final = codec.SIZE_MAX
"""A block's gas bounds its writes to 12 MB; far above that, a frame is a bug or an attack."""

MARSHAL_VERSION: Final = 2
"""Before version 3 marshal keeps no references, so two arguments never become one shared object."""


class Closed(Exception):
    """The other end of the pipe is gone."""


def request_bytes(message: tuple[object, ...]) -> bytes:
    """A frame for the worker. `message` holds plain values only."""
    return framed(marshal.dumps(message, MARSHAL_VERSION))  # type: ignore[arg-type]


def answer_bytes(message: list[object]) -> bytes:
    """A frame for the validator."""
    return framed(codec.encode(message))


def framed(payload: bytes) -> bytes:
    """`payload` after its length. Raises `ValueError` beyond `FRAME_BYTES_MAX`."""
    if len(payload) > FRAME_BYTES_MAX:
        raise ValueError(f"a frame of {len(payload)} bytes")
    return len(payload).to_bytes(HEADER_BYTES, "big") + payload


def read_request(descriptor: int) -> object:
    """The next message from the validator, blocking. Raises `Closed`."""
    size = int.from_bytes(_read(descriptor, HEADER_BYTES), "big")
    return marshal.loads(_read(descriptor, size))


def _read(descriptor: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = os.read(descriptor, min(size, 1 << 20))
        if not part:
            raise Closed
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def write(descriptor: int, frame: bytes) -> None:
    """Write all of `frame`, blocking."""
    rest = memoryview(frame)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def transaction_fields(row: TransactionRow) -> list[object]:
    """`row` as plain lists: [status, code, gas, calls, events, writes]."""
    return [
        row.status,
        row.code,
        row.gas,
        [call_fields(call) for call in row.calls],
        [tuple(event) for event in row.events],
        [(contract, key, data) for (contract, key), data in row.writes.items()],
    ]


def call_fields(row: CallRow) -> tuple[object, ...]:
    """`row` as a plain tuple: (status, code, gas, result)."""
    return tuple(row)
