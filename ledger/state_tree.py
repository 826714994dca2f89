"""The authenticated state: every version's root, and proofs of presence and absence against it.

What the root is a hash of stands in `ledger.state_proof`. Here is how it is kept up to date fast.
The top sixteen levels are one list of 131,071 hashes; below hang 65,536 buckets
(`ledger.state_bucket`). A batch of changes rebuilds the buckets it touches and then climbs level by
level over the distinct parents only.

**Versions.** `StateTreeView` is one version of the state, immutable and cheap. The newest committed
one reads the tree's own arrays; every other is a set of differences to a neighbour. An overlay is
the version after some changes, computed without touching the tree. Committing it moves the arrays
forward and leaves the former version with the differences back (Baker's rerooting, 1978), so that
a view taken before goes on giving proofs at its height for as long as someone holds it. Heights
farther back are overlays of their undo data.

**Memory.** The top takes about 10 MB. Buckets are loaded from the store when needed and kept up to
`cached_entries_max` entries, at about 200 bytes each; the rest of the state may be any size.

**Storage.** Only the entries' records, key hash -> value hash, need storing, and a commit changes
exactly those that it was told of. At start the bucket roots are recomputed from one pass over the
records, or taken from an earlier `bucket_roots()` and recomputed where changed since.

**Threads.** One thread makes overlays and commits. Other threads may prove: views take `lock` for
the time of one proof. The committing thread holds it around the database write *and* `commit`, lest
a reader load a bucket that is newer than the tree.

Left out: where records and undo data are stored, and which heights are kept (`ledger.store`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Final, Protocol

from ledger.errors import InvalidInput
from ledger.hashing import DIGEST_SIZE, ZERO_DIGEST
from ledger.state_bucket import (
    EMPTY_BUCKET,
    Bucket,
    Change,
    bucket_hash,
    bucket_size,
    bucket_way,
    build_bucket,
    changed_bucket,
    find_value,
)
from ledger.state_proof import FIXED_DEPTH, StateProof, pack_state_proof
from ledger.types import Digest

BUCKET_COUNT: Final = 1 << FIXED_DEPTH
CACHED_ENTRIES_MAX: Final = 1_500_000
"""About 300 MB: a million entries with room to grow stay in memory whole."""


class BucketStore(Protocol):
    """Stored records: key hash (32 bytes) then value hash (32 bytes), in ascending order."""

    def load_bucket(self, index: int) -> bytes:
        """Concatenated records whose key hash begins with the 16 bits `index`."""

    def load_all(self) -> Iterable[tuple[int, bytes]]:
        """(index, records) of every bucket that holds any, ascending, in one pass."""


class ForeignOverlay(InvalidInput):
    """A commit of an overlay that was not made on the newest version."""

    code = "foreign_overlay"
    hint = "make the overlay again on the tree as it is now"

    def __init__(self) -> None:
        super().__init__("the overlay does not stand on the newest committed version")


class BucketRootsCorrupt(InvalidInput):
    """Stored bucket roots of the wrong length."""

    code = "bucket_roots_corrupt"
    hint = "leave them out: the tree is then read from its records"

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"bucket roots: {size} bytes, expected {BUCKET_COUNT * DIGEST_SIZE}")


class _NoStore:
    """Nothing stored: a tree that lives in memory only."""

    def load_bucket(self, index: int) -> bytes:
        return b""

    def load_all(self) -> Iterable[tuple[int, bytes]]:
        return ()


class StateTreeView:
    """One version of the state. Obtain it from `StateTree`; it never changes what it says."""

    __slots__ = ("_base", "_buckets", "_nodes", "_tree", "root")

    def __init__(
        self,
        tree: StateTree,
        base: StateTreeView | None,
        nodes: dict[int, bytes],
        buckets: dict[int, Bucket],
        root: Digest,
    ) -> None:
        self._tree = tree
        self._base = base
        self._nodes = nodes
        self._buckets = buckets
        self.root = root

    def get(self, key_hash: bytes) -> Digest | None:
        """The value hash that this version holds for `key_hash`, or None."""
        with self._tree.lock:
            return find_value(self._bucket(int.from_bytes(key_hash[:2], "big")), key_hash)

    def prove(self, key_hash: bytes) -> StateProof:
        """Proof of what this version says of `key_hash`: its value hash, or that it has none."""
        place = int.from_bytes(key_hash[:2], "big")
        with self._tree.lock:
            siblings = [
                self._node((BUCKET_COUNT | place) >> up ^ 1) for up in reversed(range(FIXED_DEPTH))
            ]
            bucket = self._bucket(place)
        below, end = bucket_way(bucket, key_hash)
        other = None
        if end and end[32:64] != key_hash:
            other = (Digest(end[32:64]), Digest(end[64:]))
        return pack_state_proof(siblings + below, other)

    def overlay(self, changes: Mapping[Digest, Digest | None]) -> StateTreeView:
        """The version after `changes` (key hash -> value hash, None deletes), nothing mutated.

        About 12 µs a key in batches of 1,000 on a million keys.
        """
        by_bucket: dict[int, list[Change]] = {}
        for change in changes.items():
            by_bucket.setdefault(int.from_bytes(change[0][:2], "big"), []).append(change)
        nodes: dict[int, bytes] = {}
        buckets: dict[int, Bucket] = {}
        for index, bucket_changes in by_bucket.items():
            bucket = changed_bucket(self._bucket(index), bucket_changes)
            buckets[index] = bucket
            nodes[BUCKET_COUNT + index] = bucket_hash(bucket)
        self._climb(nodes)
        return StateTreeView(self._tree, self, nodes, buckets, Digest(nodes.get(1, self.root)))

    def _climb(self, nodes: dict[int, bytes]) -> None:
        """Compute every ancestor of the changed bucket roots in `nodes`, level by level."""
        level = sorted(nodes)
        changed = nodes.get
        unchanged = self._node if self._base else self._tree._top.__getitem__
        for _ in range(FIXED_DEPTH):
            level = list(dict.fromkeys([node >> 1 for node in level]))
            for node in level:
                child = node << 1
                left = changed(child) or unchanged(child)
                right = changed(child | 1) or unchanged(child | 1)
                # Only two empty subtrees can have the same hash: leaves hold their key hash.
                nodes[node] = (
                    ZERO_DIGEST if left == right else sha256(b"\x01" + left + right).digest()
                )

    def _node(self, index: int) -> bytes:
        view: StateTreeView | None = self
        while view is not None:
            found = view._nodes.get(index)
            if found is not None:
                return found
            view = view._base
        return self._tree._top[index]

    def _bucket(self, index: int) -> Bucket:
        view: StateTreeView | None = self
        while view is not None:
            found = view._buckets.get(index)
            if found is not None:
                return found
            view = view._base
        return self._tree._load(index)


class StateTree:
    """The newest committed version, and the way from one version to the next."""

    def __init__(
        self,
        store: BucketStore | None = None,
        *,
        cached_entries_max: int = CACHED_ENTRIES_MAX,
    ) -> None:
        """Tree over what `store` holds, read in one pass (3 s a million entries); empty if None."""
        self.lock = threading.RLock()
        self._store: BucketStore = store or _NoStore()
        self._evicts = store is not None
        self._cached_entries_max = cached_entries_max
        self._cache: dict[int, Bucket] = {}
        self._cached_entries = 0
        self._top: list[bytes] = [ZERO_DIGEST] * (2 * BUCKET_COUNT)
        for index, records in self._store.load_all():
            bucket = build_bucket(records)
            self._top[BUCKET_COUNT + index] = bucket_hash(bucket)
            self._remember(index, bucket)
        self._current = self._first_view()

    @classmethod
    def resume(
        cls,
        store: BucketStore,
        bucket_roots: bytes,
        touched: Iterable[bytes],
        *,
        cached_entries_max: int = CACHED_ENTRIES_MAX,
    ) -> StateTree:
        """Tree from a former `bucket_roots()`, without reading the whole store.

        `touched` names every key hash changed since then. The caller compares the root with the
        newest header's `state_root`. Raises `BucketRootsCorrupt`.
        """
        if len(bucket_roots) != BUCKET_COUNT * DIGEST_SIZE:
            raise BucketRootsCorrupt(len(bucket_roots))
        tree = cls(cached_entries_max=cached_entries_max)
        tree._store = store
        tree._evicts = True
        tree._top[BUCKET_COUNT:] = [
            bucket_roots[offset : offset + DIGEST_SIZE]
            for offset in range(0, len(bucket_roots), DIGEST_SIZE)
        ]
        for index in sorted({int.from_bytes(key_hash[:2], "big") for key_hash in touched}):
            bucket = build_bucket(store.load_bucket(index))
            tree._top[BUCKET_COUNT + index] = bucket_hash(bucket)
            tree._remember(index, bucket)
        tree._current = tree._first_view()
        return tree

    @property
    def root(self) -> Digest:
        """Root of the newest committed version; `ZERO_DIGEST` when the state is empty."""
        return self._current.root

    def view(self) -> StateTreeView:
        """The newest committed version. It stays valid, and provable, after later commits."""
        return self._current

    def overlay(self, changes: Mapping[Digest, Digest | None]) -> StateTreeView:
        """The version after `changes` on the newest one; see `StateTreeView.overlay`."""
        return self._current.overlay(changes)

    def root_after(self, changes: Mapping[Digest, Digest | None]) -> Digest:
        """The root `changes` would lead to."""
        return self.overlay(changes).root

    def commit(self, overlay: StateTreeView) -> None:
        """Make `overlay`, which stands on the newest version, the newest version itself.

        Views of former versions stay valid. Raises `ForeignOverlay`.
        """
        with self.lock:
            former = self._current
            if overlay._base is not former or overlay._tree is not self:
                raise ForeignOverlay
            top, back = self._top, former._nodes
            for node, value in overlay._nodes.items():
                back[node] = top[node]
                top[node] = value
            former._buckets = {index: self._load(index) for index in overlay._buckets}
            former._base = overlay
            self._current = overlay
            buckets = overlay._buckets
            overlay._nodes, overlay._buckets, overlay._base = {}, {}, None
            for index, bucket in buckets.items():
                self._remember(index, bucket)

    def apply(self, changes: Mapping[Digest, Digest | None]) -> Digest:
        """Make the overlay of `changes` and commit it; return the new root."""
        self.commit(self.overlay(changes))
        return self.root

    def bucket_roots(self) -> bytes:
        """Hashes of the 65,536 buckets, 2 MB: what `resume` starts from."""
        with self.lock:
            return b"".join(self._top[BUCKET_COUNT:])

    def _first_view(self) -> StateTreeView:
        top = self._top
        for node in reversed(range(1, BUCKET_COUNT)):
            left, right = top[2 * node], top[2 * node + 1]
            if left != right:
                top[node] = sha256(b"\x01" + left + right).digest()
        return StateTreeView(self, None, {}, {}, Digest(top[1]))

    def _load(self, index: int) -> Bucket:
        """Bucket `index` of the newest version, from memory or the store."""
        bucket = self._cache.get(index)
        if bucket is not None:
            return bucket
        with self.lock:
            # A new chain touches ever new buckets; nothing is stored of those still empty.
            empty = self._top[BUCKET_COUNT + index] == ZERO_DIGEST
            bucket = EMPTY_BUCKET if empty else build_bucket(self._store.load_bucket(index))
            self._remember(index, bucket)
        return bucket

    def _remember(self, index: int, bucket: Bucket) -> None:
        """Keep a bucket of the newest version; let go of those not written for longest."""
        former = self._cache.pop(index, EMPTY_BUCKET)
        self._cached_entries += bucket_size(bucket) - bucket_size(former)
        self._cache[index] = bucket
        while self._evicts and self._cached_entries > self._cached_entries_max:
            oldest = next(iter(self._cache))
            self._cached_entries -= bucket_size(self._cache.pop(oldest))
