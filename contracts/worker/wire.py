"""Frames over the worker's pipes, and what stands in them.

A frame is a length of four bytes, big-endian, and as many bytes. The two directions differ, because
trust does. The validator's requests are `marshal`, which the worker loads at C speed from the one
process it has to believe. The worker's answers may come from a contract that broke out, so they are
msgpack, of which the validator checks every field; it never unmarshals what a worker sent.

    request     (RUN, base, height, time_ms, entries, [(signers, gas_limit, atomic, calls)...])
                (QUERY, base, height, time_ms, entries, (contract, method, args), gas_limit)
    answers     [READY] once; [FAILED, step, reason] instead, if the lock-down failed
                [GET, contract, key], [KEYS, contract, prefix, limit]: asks for state
                [DONE, outcomes]: of RUN a block's columns, of QUERY [status, code, gas, result]
    reply       (value, entries) to GET: whoever reads one key will soon read its like; (keys,)

`base` says what becomes of the state the worker remembers: RESET forgets it, KEEP keeps what was
read, ADVANCE also takes up what the last run wrote. `entries` are added to it: {(contract, key):
canonical bytes or None}.

The outcomes of a block are tables by column, since lists of short lists cost both sides more than
all else they do: transactions [status, code, gas, events, writes] with how many of the two they
have, their calls [status, code, gas, result], events [call index, contract, name, data] and writes
[contract, key, data], each in the order of the transactions.
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

from contracts.worker.executor import TransactionRow
from ledger import canonical

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

FRAME_BYTES_MAX: Final = 1 << 26
"""64 MiB. A block's gas bounds its writes to 12 MB; a larger frame is a bug or an attack."""

MARSHAL_VERSION: Final = 2
"""Before version 3 marshal keeps no references, so two arguments never become one shared object."""


class Closed(Exception):
    """The other end of the pipe is gone."""


def request_bytes(message: tuple[object, ...]) -> bytes:
    """A frame for the worker. `message` holds plain values only."""
    return framed(marshal.dumps(message, MARSHAL_VERSION))  # type: ignore[arg-type]


def answer_bytes(message: list[object]) -> bytes:
    """A frame for the validator. `message` holds plain values, maps in key order."""
    return framed(canonical.pack(message))


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


def block_columns(rows: Sequence[TransactionRow]) -> list[object]:
    """The outcomes of a block's transactions: four tables by column."""
    status, code, gas, calls, events, writes = _columns(rows, 6)
    named = [(*name, data) for written in writes for name, data in written.items()]
    return [
        [status, code, gas, list(map(len, events)), list(map(len, writes))],
        _columns(chain.from_iterable(calls), 4),
        _columns(chain.from_iterable(events), 4),
        _columns(named, 3),
    ]


def _columns(rows: Iterable[Sequence[Any]], count: int) -> list[list[Any]]:
    """`rows` of `count` fields each, turned by a quarter."""
    return list(map(list, zip(*rows, strict=True))) or [[] for _ in range(count)]
