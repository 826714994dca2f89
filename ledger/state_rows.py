"""Reading versions of the state out of their rows, as of any height.

The newest version of a key is in one row; the ones it superseded stand in others, under the height
at which each was written. `ledger.state_store` writes them and says which thread may read when.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple, TypeAlias

from ledger import schema
from ledger.schema import Version
from ledger.state_proof import state_key_hash, state_value_hash
from ledger.state_tree import StateTree
from ledger.storage.interface import KeyValueStore, Reader, prefix_stop
from ledger.types import Digest, Height

StateEntry: TypeAlias = tuple[str, str, Height, bytes]
"""(contract, key, when its value was written, the value)."""


class Entry(NamedTuple):
    """A key, the block that wrote it last, and its canonical value bytes."""

    key: str
    written: Height
    value: bytes


class Records:
    """`RecordStore` over the tree's rows, as of a height (None: the newest)."""

    def __init__(self, reader: Reader, height: Height | None) -> None:
        self._reader = reader
        self._height = height

    def load(self, prefix: int, bits: int) -> bytes:
        pad = -bits % 8
        size = (bits + pad) // 8
        start = schema.TREE + (prefix << pad).to_bytes(size, "big")
        last = schema.TREE + ((prefix + 1 << pad) - 1).to_bytes(size, "big")
        rows = self._reader.iterate(start, prefix_stop(last))
        return b"".join(record for _, record in self._records(rows))

    def load_all(self) -> Iterable[tuple[int, bytes]]:
        rows = self._reader.iterate(schema.TREE, prefix_stop(schema.TREE))
        for index, records in groupby(self._records(rows), lambda pair: pair[0]):
            yield index, b"".join(record for _, record in records)

    def _records(self, rows: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[int, bytes]]:
        for row, data in rows:
            key_hash, value_hash = row[1:], data[8:]
            if self._height is not None and int.from_bytes(data[:8], "big") > self._height:
                value = value_before(self._reader, key_hash, self._height)
                value_hash = b"" if value is None else state_value_hash(value)
            if value_hash:
                yield int.from_bytes(key_hash[:2], "big"), key_hash + value_hash


def version_at(kv: KeyValueStore, contract: str, key: str, height: Height) -> Version | None:
    """What the last write to (contract, key) at or before block `height` left, if there was one."""
    row = schema.by_name(contract, key)
    data = kv.get(row)
    if data is not None:
        version = schema.decode_state(data)
        if version[0] <= height:
            return version
    # Read again with its older versions from one snapshot: a rollback may move them meanwhile.
    with kv.snapshot() as snapshot:
        data = snapshot.get(row)
        if data is not None:
            version = schema.decode_state(data)
            if version[0] <= height:
                return version
        return superseded(snapshot, state_key_hash(contract, key), height)


def superseded(reader: Reader, key_hash: bytes, height: Height) -> Version | None:
    """The last version put aside at or before `height`, if any."""
    start, stop = schema.by_version(key_hash, 0), schema.by_version(key_hash, height + 1)
    for row, data in reader.iterate(start, stop, reverse=True, limit=1):
        return schema.height_of(row), schema.decode_value(data)
    return None


def value_before(reader: Reader, key_hash: bytes, height: Height) -> bytes | None:
    """The value at `height` of a key that has none now, or one written later."""
    version = superseded(reader, key_hash, height)
    return None if version is None else version[1]


def entries_at(
    reader: Reader, contract: str, prefix: str, height: Height, after: str | None
) -> Iterator[Entry]:
    """The entries whose keys start with `prefix` after block `height`, in the UTF-8 byte order of
    their keys; with `after`, only those beyond that key.

    Looks at the keys there are now, and at every key of the contract deleted since.
    """
    first = schema.by_name(contract, prefix)
    start = first if after is None else max(first, schema.by_name(contract, after) + b"\x00")
    stop = prefix_stop(first)
    gone = sorted(
        row
        for row in set(_deleted_since(reader, contract, height))
        if start <= row and (stop is None or row < stop)
    )
    # Of a key deleted and made anew the row that has the value comes first.
    merged = heapq.merge(
        reader.iterate(start, stop),
        ((row, b"") for row in gone),
        key=lambda pair: (pair[0], not pair[1]),
    )
    for row, pairs in groupby(merged, lambda pair: pair[0]):
        key = schema.key_of(row, contract)
        _, data = next(pairs)
        version: Version | None = schema.decode_state(data) if data else None
        if version is None or version[0] > height:
            version = superseded(reader, state_key_hash(contract, key), height)
        if version is not None and version[1] is not None:
            yield Entry(key, version[0], version[1])


def all_entries_at(reader: Reader, height: Height) -> Iterator[StateEntry]:
    """Every value after block `height`, in the order of the rows."""
    gone = sorted(
        {
            schema.by_name(contract, key)
            for contract, n, key in map(schema.deleted_name_of, _rows(reader, schema.DELETION))
            if n > height
        }
    )
    merged = heapq.merge(
        reader.iterate(schema.STATE, prefix_stop(schema.STATE)),
        ((row, b"") for row in gone),
        key=lambda pair: (pair[0], not pair[1]),
    )
    for row, pairs in groupby(merged, lambda pair: pair[0]):
        contract, key = schema.name_of(row)
        _, data = next(pairs)
        written, value = schema.decode_state(data) if data else (Height(height + 1), b"")
        if written <= height:
            yield contract, key, written, value
            continue
        version = superseded(reader, state_key_hash(contract, key), height)
        if version is not None and version[1] is not None:
            yield contract, key, version[0], version[1]


def _rows(reader: Reader, prefix: bytes) -> Iterator[bytes]:
    return (row for row, _ in reader.iterate(prefix, prefix_stop(prefix)))


def _deleted_since(reader: Reader, contract: str, height: Height) -> Iterator[bytes]:
    """Where the values of the keys stood that blocks after `height` deleted."""
    start = schema.by_deletion(contract, height + 1)
    for row, _ in reader.iterate(start, prefix_stop(schema.deletions(contract))):
        yield schema.by_name(contract, schema.deleted_key_of(row, contract))


def root_of_values(reader: Reader) -> Digest:
    """The state root worked out from the newest values alone, without any stored hash."""
    leaves: dict[Digest, Digest | None] = {}
    for row, data in reader.iterate(schema.STATE, prefix_stop(schema.STATE)):
        _, value = schema.decode_state(data)
        leaves[state_key_hash(*schema.name_of(row))] = state_value_hash(value)
    return StateTree().apply(leaves)
