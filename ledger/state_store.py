"""The contracts' state on disk: the newest values, every older one, and the tree over them.

The value of a key is one row and a write puts the version it supersedes aside under the height at
which that one was written. So the value at height h is that row's unless it is later than h, and
then the last version put aside at or before h. A key created once costs two rows, for value and
tree; each change one more. A deletion puts itself aside at once, and takes the value's row away.

The state tree's records are kept in the same way, so any bucket can be read as of any height. What
a tree needs besides is the hashes of all buckets; these are written down once in a while
(`CHECKPOINT_KEYS`), and the tree of an older height starts from there and recomputes the buckets
touched since. That is also how the tree starts with the process.

**Threads.** The execution thread calls `get`, `keys`, `change`, `stage`, `adopt` and their
counterparts that revert. Every method that takes a height alone may be called from any thread, for
heights that cannot be rolled back: what holds at such a height is in rows that never change again,
except that a newest version may become a superseded one, and a snapshot covers that moment.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ledger import canonical, fields, schema
from ledger.errors import IntegrityError
from ledger.execution import StateKey, Writes
from ledger.schema import Value, Version
from ledger.state_proof import StateProof, state_key_hash, state_value_hash
from ledger.state_rows import (
    Entry,
    Records,
    StateEntry,
    all_entries_at,
    entries_at,
    root_of_values,
    superseded,
    version_at,
)
from ledger.state_tree import CACHED_ENTRIES_MAX, StateTree, StateTreeView
from ledger.storage.errors import StoreCorrupt
from ledger.storage.interface import KeyValueStore, Reader, prefix_stop
from ledger.types import Digest, Height

CACHED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Newest versions kept for execution, twice over: some 150,000 licences each time."""

CACHED_VERSION_BYTES: Final = 200
"""What a cached version costs beside its value: names, tuples and their places in a dict."""

CHECKPOINT_KEYS: Final = 16_384
"""Changed keys between two sets of stored bucket hashes (2 MB before compression): 128 bytes a
key, and about a second of work at most to reach any height between."""

ARCHIVED_TREES_MAX: Final = 4
"""Trees of older heights kept for the next proof, about 15 MB each."""

ARCHIVED_ENTRIES_MAX: Final = 50_000
"""Entries of the buckets that such a tree keeps beside its top."""

RECENT_VIEWS: Final = 16
"""Newest heights whose trees are kept as differences to the next one, so that the proofs asked for
most, just below the head, cost nothing to prepare."""


@dataclass(frozen=True, slots=True)
class Change:
    """The state tree with a block's writes applied, and the hashes that took; see `stage`."""

    root: Digest
    view: StateTreeView
    hashes: Mapping[StateKey, tuple[Digest, Digest | None]]


class NoSuchUndo(IntegrityError):
    """A block too far back to be undone."""

    code = "no_undo_data"
    hint = (
        "delete the `ledger` folder instead: it is made anew from the block files at the next start"
    )

    def __init__(self, n: int) -> None:
        self.n = n
        super().__init__(f"block {n}: its undo data is not kept any more")


class StateStore:
    """Values, versions and tree after block `height`. See the module for which thread may what."""

    def __init__(
        self,
        kv: KeyValueStore,
        height: Height,
        undo_blocks: int,
        tree_entries_max: int = CACHED_ENTRIES_MAX,
    ) -> None:
        """Open the state as it is after block `height` (-1: nothing yet) in `kv`."""
        self._kv = kv
        self._height = height
        self._undo_blocks = undo_blocks
        self._newest: dict[StateKey, Value | None] = {}
        self._newer_half: dict[StateKey, Value | None] = {}
        self._newer_bytes = 0
        self._changed_since_checkpoint = 0
        self._tree_entries_max = tree_entries_max
        self._tree = self._resume()
        self._lock = threading.Lock()
        self._views: dict[int, StateTreeView] = {height: self._tree.view()}
        self._archived: dict[int, StateTreeView] = {}

    @property
    def root(self) -> Digest:
        """The state root after the newest block."""
        return self._tree.root

    def recomputed_root(self) -> Digest:
        """The state root worked out from the stored values alone (some 10 s a million)."""
        return root_of_values(self._kv)

    # Execution thread: the newest state.

    def get(self, contract: str, key: str) -> bytes | None:
        """The value at (contract, key), or None."""
        found = self._value((contract, key))
        return None if found is None else found[1]

    def keys(self, contract: str, prefix: str, limit: int) -> list[str]:
        """At most `limit` keys that start with `prefix`, in UTF-8 byte order."""
        start = schema.by_name(contract, prefix)
        rows = self._kv.iterate(start, prefix_stop(start), limit=limit)
        return [schema.key_of(row, contract) for row, _ in rows]

    def change(self, writes: Writes) -> Change:
        """Work out the tree with `writes` applied; applies nothing."""
        hashes: dict[StateKey, tuple[Digest, Digest | None]] = {}
        leaves: dict[Digest, Digest | None] = {}
        for name, value in writes.items():
            key_hash = state_key_hash(*name)
            value_hash = None if value is None else state_value_hash(value)
            hashes[name] = key_hash, value_hash
            leaves[key_hash] = value_hash
        view = self._tree.overlay(leaves)
        return Change(view.root, view, hashes)

    def stage(
        self, batch: dict[bytes, bytes | None], n: Height, writes: Writes, change: Change
    ) -> None:
        """Add to `batch` every row that block `n` with `writes` changes."""
        undo: list[canonical.Value] = []
        height = n.to_bytes(8, "big")
        for name, value in writes.items():
            key_hash, value_hash = change.hashes[name]
            before = self._value(name)
            undo.append([*name, *(before or (None, None))])
            if before is not None:
                batch[schema.by_version(key_hash, before[0])] = schema.encode_value(before[1])
            elif value is None:
                continue
            batch[schema.TREE + key_hash] = height + (value_hash or b"")
            if value is not None:
                batch[schema.by_name(*name)] = schema.encode_state(n, value)
            else:
                batch[schema.by_name(*name)] = None
                batch[schema.by_version(key_hash, n)] = schema.encode_value(None)
                contract, key = name
                batch[schema.by_deletion(contract, n, key)] = b""
        if writes:
            batch[schema.by_height(schema.CHANGED, n)] = schema.encode_names(writes)
        batch[schema.by_height(schema.UNDO, n)] = canonical.encode(undo)
        batch[schema.by_height(schema.UNDO, max(0, n - self._undo_blocks))] = None
        if n == 0 or self._changed_since_checkpoint >= CHECKPOINT_KEYS:
            # As they were before this block, for that is where the tree still stands.
            batch[schema.by_height(schema.BUCKET_ROOTS, n)] = self._tree.crown_hashes()
            self._changed_since_checkpoint = 0

    def adopt(
        self, batch: Mapping[bytes, bytes | None], n: Height, writes: Writes, change: Change
    ) -> None:
        """Write `batch`, synced, and move on to block `n`. Raises storage errors."""
        # No reader may load a bucket between the write and the commit (see `ledger.state_tree`).
        with self._tree.lock:
            self._kv.write(batch, sync=True)
            self._tree.commit(change.view)
        for name, value in writes.items():
            self._remember(name, None if value is None else (n, value))
        self._changed_since_checkpoint += len(writes)
        self._height = n
        with self._lock:
            self._views[n] = self._tree.view()
            self._views.pop(n - RECENT_VIEWS, None)

    def stage_revert(
        self, batch: dict[bytes, bytes | None], n: Height
    ) -> dict[Digest, Digest | None]:
        """Add to `batch` what undoes block `n`, the newest; return what it does to the tree.

        Raises `NoSuchUndo`.
        """
        data = self._kv.get(schema.by_height(schema.UNDO, n))
        if data is None:
            raise NoSuchUndo(n)
        leaves: dict[Digest, Digest | None] = {}
        for item in fields.array(canonical.decode(data), "undo"):
            contract, key, written, value = _undo_row(item)
            key_hash = state_key_hash(contract, key)
            leaves[key_hash] = None if value is None else state_value_hash(value)
            row = schema.by_name(contract, key)
            batch[schema.by_version(key_hash, n)] = None
            batch[schema.by_deletion(contract, n, key)] = None
            if written is None or value is None:
                deleted = superseded(self._kv, key_hash, Height(n - 1))
                batch[row] = None
                batch[schema.TREE + key_hash] = deleted and deleted[0].to_bytes(8, "big")
                continue
            batch[row] = schema.encode_state(written, value)
            batch[schema.TREE + key_hash] = written.to_bytes(8, "big") + (leaves[key_hash] or b"")
            batch[schema.by_version(key_hash, written)] = None
        for kind in (schema.CHANGED, schema.UNDO, schema.BUCKET_ROOTS):
            if n > 0:
                batch[schema.by_height(kind, n)] = None
        return leaves

    def adopt_revert(
        self,
        batch: Mapping[bytes, bytes | None],
        n: Height,
        leaves: Mapping[Digest, Digest | None],
    ) -> None:
        """Write `batch`, synced, and go back to the state before block `n`."""
        with self._tree.lock:
            self._kv.write(batch, sync=True)
            self._tree.apply(leaves)
        self._newest.clear()
        self._newer_half.clear()
        self._height = Height(n - 1)
        with self._lock:
            self._views = {n - 1: self._tree.view()}
            self._archived.clear()

    # Any thread: what holds at a height.

    def get_at(self, contract: str, key: str, height: Height) -> bytes | None:
        """The value at (contract, key) after block `height`, or None."""
        version = version_at(self._kv, contract, key, height)
        return None if version is None else version[1]

    def entry_at(self, contract: str, key: str, height: Height) -> Entry | None:
        """The entry (contract, key) after block `height`, if there is one."""
        version = version_at(self._kv, contract, key, height)
        if version is None or version[1] is None:
            return None
        return Entry(key, version[0], version[1])

    def keys_at(
        self, contract: str, prefix: str, limit: int, height: Height, after: str | None = None
    ) -> list[str]:
        """As `keys`, after block `height`; with `after`, only keys beyond that one."""
        with self._kv.snapshot() as snapshot:
            found = entries_at(snapshot, contract, prefix, height, after)
            return [entry.key for entry in itertools.islice(found, limit)]

    def entries_at(
        self, contract: str, limit: int, height: Height, after: str | None = None
    ) -> list[Entry]:
        """At most `limit` entries after block `height`, in the order of their keys; with `after`,
        only those beyond that key."""
        with self._kv.snapshot() as snapshot:
            return list(itertools.islice(entries_at(snapshot, contract, "", height, after), limit))

    def changed(self, n: Height) -> list[StateKey]:
        """The names that block `n` wrote or deleted."""
        data = self._kv.get(schema.by_height(schema.CHANGED, n))
        return [] if data is None else schema.decode_names(data)

    def all_entries_at(self, height: Height) -> Iterator[StateEntry]:
        """Every value after block `height`, in the order of the rows, from one snapshot."""
        with self._kv.snapshot() as snapshot:
            yield from all_entries_at(snapshot, height)

    def versions(self, contract: str, key: str, height: Height, limit: int) -> list[Version]:
        """The last `limit` writes to (contract, key) at or before block `height`, newest first."""
        key_hash = state_key_hash(contract, key)
        start, stop = schema.by_version(key_hash, 0), schema.by_version(key_hash, height + 1)
        with self._kv.snapshot() as snapshot:
            newest = snapshot.get(schema.by_name(contract, key))
            found: list[Version] = []
            if newest is not None:
                found.append(schema.decode_state(newest))
            for row, data in snapshot.iterate(start, stop, reverse=True, limit=limit):
                found.append((schema.height_of(row), schema.decode_value(data)))
        return [version for version in found if version[0] <= height][:limit]

    def prove_at(self, contract: str, key: str, height: Height) -> StateProof:
        """Proof of presence or absence of (contract, key) against the state root of `height`."""
        return self._view_at(height).prove(state_key_hash(contract, key))

    def root_at(self, height: Height) -> Digest:
        """The state root after block `height`, from the tree and not from the header."""
        return self._view_at(height).root

    def _view_at(self, height: Height) -> StateTreeView:
        with self._lock:
            view = self._views.get(height) or self._archived.get(height)
        if view is not None:
            return view
        with self._kv.snapshot() as snapshot:
            view = self._tree_at(snapshot, height)
        with self._lock:
            self._archived[height] = view
            while len(self._archived) > ARCHIVED_TREES_MAX:
                del self._archived[next(iter(self._archived))]
        return view

    def _tree_at(self, snapshot: Reader, height: Height) -> StateTreeView:
        base, roots = self._checkpoint(snapshot, height)
        touched = _changed(snapshot, base, height)
        tree = StateTree.resume(
            Records(self._kv, height),
            roots,
            touched,
            cached_entries_max=ARCHIVED_ENTRIES_MAX,
        )
        return tree.view()

    def _resume(self) -> StateTree:
        entries_max = self._tree_entries_max
        if self._height < 0:
            return StateTree(Records(self._kv, None), cached_entries_max=entries_max)
        base, roots = self._checkpoint(self._kv, self._height)
        touched = _changed(self._kv, base, self._height)
        self._changed_since_checkpoint = len(touched)
        return StateTree.resume(
            Records(self._kv, None), roots, touched, cached_entries_max=entries_max
        )

    def _checkpoint(self, reader: Reader, height: Height) -> tuple[int, bytes]:
        """The last stored bucket hashes at or below `height`, and the block they precede."""
        start = schema.by_height(schema.BUCKET_ROOTS, 0)
        stop = schema.by_height(schema.BUCKET_ROOTS, height + 1)
        for row, roots in reader.iterate(start, stop, reverse=True, limit=1):
            return schema.height_of(row), roots
        raise StoreCorrupt("the key-value store", f"no bucket hashes at or below {height}")

    def _value(self, name: StateKey) -> Value | None:
        if name in self._newer_half:
            return self._newer_half[name]
        if name in self._newest:
            found = self._newest[name]
        else:
            data = self._kv.get(schema.by_name(*name))
            found = None if data is None else schema.decode_state(data)
        self._remember(name, found)
        return found

    def _remember(self, name: StateKey, found: Value | None) -> None:
        """Keep what is used: the older half is let go of once the newer half is full."""
        self._newer_half[name] = found
        self._newer_bytes += CACHED_VERSION_BYTES
        if found is not None:
            self._newer_bytes += len(found[1])
        if self._newer_bytes >= CACHED_BYTES_MAX:
            self._newest, self._newer_half = self._newer_half, {}
            self._newer_bytes = 0


def _changed(reader: Reader, first: int, last: int) -> dict[bytes, None]:
    """Key hashes that blocks `first` to `last` changed, each once."""
    start, stop = (
        schema.by_height(schema.CHANGED, first),
        schema.by_height(schema.CHANGED, last + 1),
    )
    return {
        state_key_hash(*name): None
        for _, data in reader.iterate(start, stop)
        for name in schema.decode_names(data)
    }


def _undo_row(item: object) -> tuple[str, str, Height | None, bytes | None]:
    contract, key, written, value = fields.array(item, "undo", 4)
    if type(contract) is not str or type(key) is not str:
        raise StoreCorrupt("the key-value store", "undo data without names")
    return (
        contract,
        key,
        None if written is None else Height(fields.natural(written, "undo.height")),
        None if value is None else fields.binary(value, "undo.value"),
    )
