"""Reading versions of the state out of their rows, as of any height.

The newest version of a key is in one row; the ones it superseded stand in others, under the height
at which each was written. `ledger.state_store` writes them and says which thread may read when.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from ledger import schema
from ledger.state_proof import state_key_hash, state_value_hash
from ledger.state_tree import StateTree
from ledger.storage.interface import KeyValueStore, Reader, prefix_stop
from ledger.types import Digest, Height


class Records:
    """`BucketStore` over the tree's rows, as of a height (None: the newest)."""

    def __init__(self, reader: Reader, height: Height | None) -> None:
        self._reader = reader
        self._height = height

    def load_bucket(self, index: int) -> bytes:
        start = schema.TREE + index.to_bytes(2, "big")
        rows = self._reader.iterate(start, prefix_stop(start))
        return b"".join(record for _, record in self._records(rows))

    def load_all(self) -> Iterable[tuple[int, bytes]]:
        rows = self._reader.iterate(schema.TREE, prefix_stop(schema.TREE))
        for index, records in groupby(self._records(rows), lambda pair: pair[0]):
            yield index, b"".join(record for _, record in records)

    def _records(self, rows: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[int, bytes]]:
        for row, data in rows:
            key_hash, value_hash = row[1:], data[8:]
            if self._height is not None and int.from_bytes(data[:8], "big") > self._height:
                value = superseded(self._reader, key_hash, self._height)
                value_hash = b"" if value is None else state_value_hash(value)
            if value_hash:
                yield int.from_bytes(key_hash[:2], "big"), key_hash + value_hash


def value_at(kv: KeyValueStore, contract: str, key: str, height: Height) -> bytes | None:
    """The value of (contract, key) after block `height`, or None."""
    row = schema.by_name(contract, key)
    data = kv.get(row)
    if data is None:
        return None
    written, value = schema.decode_state(data)
    if written <= height:
        return value
    # Read again with its older versions from one snapshot: a rollback may move them meanwhile.
    with kv.snapshot() as snapshot:
        data = snapshot.get(row)
        if data is None:
            return None
        written, value = schema.decode_state(data)
        if written <= height:
            return value
        return superseded(snapshot, state_key_hash(contract, key), height)


def superseded(reader: Reader, key_hash: bytes, height: Height) -> bytes | None:
    """The value of a key whose newest version is later than `height`."""
    start, stop = schema.by_version(key_hash, 0), schema.by_version(key_hash, height + 1)
    for _, data in reader.iterate(start, stop, reverse=True, limit=1):
        return schema.decode_value(data)
    return None


def root_of_values(reader: Reader) -> Digest:
    """The state root worked out from the newest values alone, without any stored hash."""
    leaves: dict[Digest, Digest | None] = {}
    for row, data in reader.iterate(schema.STATE, prefix_stop(schema.STATE)):
        value = schema.decode_state(data)[1]
        if value is not None:
            leaves[state_key_hash(*schema.name_of(row))] = state_value_hash(value)
    return StateTree().apply(leaves)
