"""Deleting the rows of heights that are not answered for any more.

Kept is what any height from the base on needs: of a key's versions the newest one at or below the
base; the last stored bucket roots there and the keys changed since; of the history tree the roots
that cover the headers before the base, and all above. Deletions go in batches in the order of
heights, the last finished height in the same batch, so whoever is killed goes on from there. Each
deletion may be repeated; nothing that is read from the base on changes at any point.

Left out: block files, the base itself, and giving the disk its space back (`ledger.store`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from ledger import schema
from ledger.block import BlockHeader
from ledger.state_proof import state_key_hash
from ledger.storage.interface import KeyValueStore, prefix_stop
from ledger.types import Height

Deletions: TypeAlias = "dict[bytes, bytes | None]"

BATCH_ROWS: Final = 10_000
"""Deletions of one synced batch: about a megabyte, some tens of milliseconds."""


def prune(kv: KeyValueStore, base: Height, recent: Sequence[BlockHeader]) -> Iterator[Height]:
    """Delete every row that no height from `base` on needs; yield each height that is done.

    `recent` are headers below the base that stay, with their ids. Raises storage errors.
    """
    done = kv.get(schema.META_PRUNED)
    # The height it ended at was a base, whose own rows stayed.
    first = 0 if done is None else int.from_bytes(done, "big")
    kept = {0, *(header.n for header in recent)}
    batch: Deletions = {}
    for height in range(first, base + 1):
        if height < base:
            batch.update(_block_rows(kv, height, kept))
        batch.update(_version_rows(kv, height, base))
        if len(batch) >= BATCH_ROWS:
            _write(kv, batch, Height(height))
            batch = {}
        yield Height(height)
    for rows in _sweeps(kv, base, kept):
        batch.update(dict.fromkeys(rows))
        if len(batch) >= BATCH_ROWS:
            kv.write(batch, sync=False)
            batch = {}
    _write(kv, batch, base)


def _write(kv: KeyValueStore, batch: Deletions, done: Height) -> None:
    kv.write({**batch, schema.META_PRUNED: done.to_bytes(8, "big")}, sync=True)


def _block_rows(kv: KeyValueStore, height: int, kept: set[int]) -> Deletions:
    """What block `height` left beside the state: results, where they are found, header, ids."""
    kinds = [schema.RESULTS, schema.EVENTFUL]
    if height not in kept:
        kinds += [schema.HEADER, schema.IDS]
    rows: Deletions = {schema.by_height(kind, height): None for kind in kinds}
    results = kv.get(schema.by_height(schema.RESULTS, height))
    for entry in [] if results is None else schema.decode_results(results):
        rows[schema.LOCATION + schema.decode_result(entry).receipt.tx_id] = None
    return rows


def _version_rows(kv: KeyValueStore, height: int, base: Height) -> Deletions:
    """The versions that the keys changed by block `height` had before their newest one at or
    below the base; that one too if it is a deletion."""
    rows: Deletions = {}
    changed = kv.get(schema.by_height(schema.CHANGED, height))
    for name in [] if changed is None else schema.decode_names(changed):
        key_hash = state_key_hash(*name)
        newest = kv.get(schema.TREE + key_hash)
        if newest is None:
            continue
        older = [
            row
            for row, data in kv.iterate(
                schema.by_version(key_hash, 0), schema.by_version(key_hash, base + 1)
            )
        ]
        written = int.from_bytes(newest[:8], "big")
        if written > base and older:
            last = older.pop()
            if schema.decode_value(kv.get(last) or b"\x00") is None:
                older.append(last)
        elif written <= base and not newest[8:]:
            older.append(schema.TREE + key_hash)
        rows.update(dict.fromkeys(older))
    return rows


def _sweeps(kv: KeyValueStore, base: Height, kept: set[int]) -> Iterator[list[bytes]]:
    """The rows whose keys alone say that they are not needed, in portions."""
    deletions = kv.iterate(schema.DELETION, prefix_stop(schema.DELETION))
    for row, _ in deletions:
        if schema.deleted_name_of(row)[1] <= base:
            yield [row]
    roots = kv.iterate(
        schema.by_height(schema.BUCKET_ROOTS, 0), schema.by_height(schema.BUCKET_ROOTS, base + 1)
    )
    *older, last = [row for row, _ in roots]
    yield older
    start, stop = schema.by_height(schema.CHANGED, 0), schema.CHANGED + last[1:]
    yield [row for row, _ in kv.iterate(start, stop)]
    for level in range(base.bit_length()):
        # Those that lie wholly before the base, but for the one that the frontier holds.
        end = (base >> level) - (base >> level & 1)
        rows = kv.iterate(schema.by_history(level, 0), schema.by_history(level, end))
        yield [row for row, _ in rows]
    # Headers and ids that an earlier base had to keep.
    for kind in (schema.HEADER, schema.IDS):
        rows = kv.iterate(schema.by_height(kind, 1), schema.by_height(kind, base))
        yield [row for row, _ in rows if schema.height_of(row) not in kept]
