"""Taking a snapshot of an open ledger (see `ledger.snapshot` for what is in it).

Reads only what is certified and never changes again, so it may run in any thread beside a chain
that goes on. The state is read from one snapshot of the database, as of the height.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ledger import canonical, snapshot
from ledger.certificate import Certificate
from ledger.errors import InvalidInput
from ledger.history import frontier_at
from ledger.store import LedgerStore
from ledger.types import Height

RECORD_BYTES: Final = 24
"""What a record takes beside its byte strings, about."""


class NotCertified(InvalidInput):
    """A height without a Certificate of its own, which a snapshot needs."""

    code = "no_own_certificate"

    def __init__(self, n: Height, below: Height | None) -> None:
        self.n = n
        self.below = below
        self.hint = "take one a little later" if below is None else f"take it at height {below}"
        super().__init__(f"block {n} has no certificate of its own")


def height_for(store: LedgerStore, n: Height) -> Height | None:
    """The last kept height at or below `n`, and above genesis, that has its own Certificate."""
    for height in range(min(n, store.certified_height), max(store.first_height, 1) - 1, -1):
        if store.own_certificate(Height(height)) is not None:
            return Height(height)
    return None


def certificate_of(store: LedgerStore, n: Height) -> Certificate:
    """The Certificate of exactly `n`. Raises `NotYet`, `Pruned`, `NotCertified`."""
    certificate = store.certificate(n)
    if certificate is None:
        raise NotCertified(n, height_for(store, n))
    return certificate


def take(store: LedgerStore, n: Height) -> Iterator[bytes]:
    """The chunks of a snapshot of height `n`. Raises `NotYet`, `Pruned`."""
    return _chunks(_records(store, n))


def _records(store: LedgerStore, n: Height) -> Iterator[list[canonical.Value]]:
    header, stored = store.header(n), store.stored_block(n)
    yield [snapshot.FRONTIER, frontier_at(n, store.history_node).encode()]
    for recent in store.recent_headers(header):
        ids = b"".join(store.executed_ids(recent.n))
        yield [snapshot.HEADER, recent.encode(), ids]
    yield [snapshot.BODY, stored.body]
    for raw in stored.transactions:
        yield [snapshot.TRANSACTION, raw]
    for entry in store.result_entries(n):
        yield [snapshot.RESULT, entry]
    for contract, key, written, value in store.state_entries(n):
        yield [snapshot.STATE, contract, key, written, value]


def _chunks(records: Iterable[list[canonical.Value]]) -> Iterator[bytes]:
    chunk: list[canonical.Value] = []
    size = 0
    for record in records:
        chunk.append(record)
        size += RECORD_BYTES + sum(len(item) for item in record if isinstance(item, bytes | str))
        if size >= snapshot.CHUNK_BYTES:
            yield canonical.encode(chunk)
            chunk, size = [], 0
    if chunk:
        yield canonical.encode(chunk)
