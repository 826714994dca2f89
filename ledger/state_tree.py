"""The authenticated state: every version's root, and proofs of presence and absence against it.

What the root is a hash of stands in `ledger.state_proof`. Here is how it is kept up to date fast.
The top sixteen levels are one list of 131,071 hashes. Below hang 65,536 crowns of four levels
(`ledger.state_crown`), and below these a million buckets (`ledger.state_bucket`). A batch of
changes rebuilds the buckets it touches, then their crowns, and then climbs level by level over the
distinct parents only.

**Versions.** `StateTreeView` is one version of the state, immutable and cheap. The newest committed
one reads the tree's own arrays; every other is a set of differences to a neighbour. An overlay is
the version after some changes, computed without touching the tree. Committing it moves the arrays
forward and leaves the former version with the differences back (Baker's rerooting, 1978), so that
a view taken before goes on giving proofs at its height for as long as someone holds it. Heights
farther back are overlays of their undo data.

**Memory.** The top takes about 10 MB. A crown is made from the store when first needed and stays:
180 MB when all are there, whatever the size of the state. Buckets of two entries and more are
loaded when needed and kept up to `cached_entries_max` entries of `CACHED_ENTRY_BYTES` each; smaller
ones follow from their crown.

**Storage.** Only the entries' records, key hash -> value hash, need storing, and a commit changes
exactly those that it was told of. At start the hashes of the crowns are recomputed from one pass
over the records, or taken from an earlier `crown_hashes()` and recomputed where changed since.
Whatever is loaded later must lead to the hash that the tree has for it.

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

from ledger.errors import IntegrityError, InvalidInput
from ledger.hashing import DIGEST_SIZE, ZERO_DIGEST
from ledger.state_bucket import (
    BUCKET_DEPTH,
    EMPTY_BUCKET,
    KEY_SIZE,
    Bucket,
    Change,
    bucket_of,
    bucket_size,
    bucket_subtree,
    bucket_way,
    build_bucket,
    changed_bucket,
    find_value,
)
from ledger.state_crown import (
    CROWN_BITS,
    CROWN_BUCKETS,
    EMPTY_CROWN,
    Crown,
    build_crown,
    changed_crown,
    crown_hash,
    crown_way,
)
from ledger.state_proof import FIXED_DEPTH, StateProof, pack_state_proof
from ledger.types import Digest

CROWN_COUNT: Final = 1 << FIXED_DEPTH
CACHED_ENTRY_BYTES: Final = 330
"""What an entry takes in memory: itself, its share of the hashes above, and their objects."""

CACHED_ENTRIES_MAX: Final = 1_000_000
"""Where nobody says more; about 330 MB."""


class RecordStore(Protocol):
    """Stored records: key hash (32 bytes) then value hash (32 bytes), in ascending order."""

    def load(self, prefix: int, bits: int) -> bytes:
        """Concatenated records whose key hash begins with `prefix`, a number of `bits` bits."""

    def load_all(self) -> Iterable[tuple[int, bytes]]:
        """(first 16 bits, records) of every crown that holds any, ascending, in one pass."""


class RecordsWrong(IntegrityError):
    """Stored records do not lead to the hash that the tree has for them."""

    code = "state_records_wrong"
    hint = "delete the `ledger` folder: it is made anew from the block files at the next start"

    def __init__(self, prefix: int, bits: int) -> None:
        self.prefix = prefix
        self.bits = bits
        super().__init__(
            f"the state's records at {prefix:0{bits // 4}x}... do not have the hash they should"
        )


class ForeignOverlay(InvalidInput):
    """A commit of an overlay that was not made on the newest version."""

    code = "foreign_overlay"
    hint = "make the overlay again on the tree as it is now"

    def __init__(self) -> None:
        super().__init__("the overlay does not stand on the newest committed version")


class CrownHashesCorrupt(InvalidInput):
    """Stored hashes of crowns of the wrong length."""

    code = "crown_hashes_corrupt"
    hint = "leave them out: the tree is then read from its records"

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"hashes of crowns: {size} bytes, expected {CROWN_COUNT * DIGEST_SIZE}")


class _NoStore:
    """Nothing stored: a tree that lives in memory only."""

    def load(self, prefix: int, bits: int) -> bytes:
        return b""

    def load_all(self) -> Iterable[tuple[int, bytes]]:
        return ()


class StateTreeView:
    """One version of the state. Obtain it from `StateTree`; it never changes what it says."""

    __slots__ = ("_base", "_buckets", "_crowns", "_nodes", "_replaced", "_tree", "root")

    def __init__(
        self,
        tree: StateTree,
        base: StateTreeView | None,
        nodes: dict[int, bytes],
        crowns: dict[int, Crown],
        buckets: dict[int, Bucket],
        replaced: dict[int, Bucket],
        root: Digest,
    ) -> None:
        self._tree = tree
        self._base = base
        self._nodes = nodes
        self._crowns = crowns
        self._buckets = buckets
        # What stood in their places: once the store has moved on it can't be had from there.
        self._replaced = replaced
        self.root = root

    def get(self, key_hash: bytes) -> Digest | None:
        """The value hash that this version holds for `key_hash`, or None."""
        with self._tree.lock:
            crown = self._crown(_prefix(key_hash, FIXED_DEPTH))
            return find_value(self._bucket(_prefix(key_hash, BUCKET_DEPTH), crown), key_hash)

    def prove(self, key_hash: bytes) -> StateProof:
        """Proof of what this version says of `key_hash`: its value hash, or that it has none."""
        place = _prefix(key_hash, FIXED_DEPTH)
        with self._tree.lock:
            siblings = [
                self._node((CROWN_COUNT | place) >> up ^ 1) for up in reversed(range(FIXED_DEPTH))
            ]
            crown = self._crown(place)
            below, end = crown_way(crown, key_hash)
            if end is None:
                bucket = self._bucket(_prefix(key_hash, BUCKET_DEPTH), crown)
                lowest, end = bucket_way(bucket, key_hash)
                below += lowest
        other = None
        if end and end[32:64] != key_hash:
            other = (Digest(end[32:64]), Digest(end[64:]))
        return pack_state_proof(siblings + below, other)

    def overlay(self, changes: Mapping[Digest, Digest | None]) -> StateTreeView:
        """The version after `changes` (key hash -> value hash, None deletes), nothing mutated.

        About 30 µs a key in batches of 1,000 on a million keys, once what they touch is in memory.
        """
        by_bucket: dict[int, list[Change]] = {}
        for change in changes.items():
            by_bucket.setdefault(_prefix(change[0], BUCKET_DEPTH), []).append(change)
        subtrees: dict[int, dict[int, bytes]] = {}
        buckets: dict[int, Bucket] = {}
        replaced: dict[int, Bucket] = {}
        for place, bucket_changes in by_bucket.items():
            index = place >> CROWN_BITS
            before = replaced[place] = self._bucket(place, self._crown(index))
            bucket = buckets[place] = changed_bucket(before, bucket_changes)
            subtrees.setdefault(index, {})[place % CROWN_BUCKETS] = bucket_subtree(bucket)
        nodes: dict[int, bytes] = {}
        crowns: dict[int, Crown] = {}
        for index, changed in subtrees.items():
            crown = crowns[index] = changed_crown(self._crown(index), changed)
            nodes[CROWN_COUNT + index] = crown_hash(crown)
        self._climb(nodes)
        return StateTreeView(
            self._tree, self, nodes, crowns, buckets, replaced, Digest(nodes.get(1, self.root))
        )

    def _climb(self, nodes: dict[int, bytes]) -> None:
        """Compute every ancestor of the changed crowns in `nodes`, level by level."""
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

    def _crown(self, index: int) -> Crown:
        view: StateTreeView | None = self
        while view is not None:
            found = view._crowns.get(index)
            if found is not None:
                return found
            view = view._base
        return self._tree._crown(index)

    def _bucket(self, place: int, crown: Crown) -> Bucket:
        """Bucket `place` of this version, of which `crown` is the crown above it."""
        subtree = crown[CROWN_BUCKETS + place % CROWN_BUCKETS]
        if len(subtree) != KEY_SIZE:
            return bucket_of(subtree)
        view: StateTreeView | None = self
        while view is not None:
            found = view._buckets.get(place)
            if found is not None:
                return found
            view = view._base
        return self._tree._bucket(place, subtree)


class StateTree:
    """The newest committed version, and the way from one version to the next."""

    def __init__(
        self,
        store: RecordStore | None = None,
        *,
        cached_entries_max: int = CACHED_ENTRIES_MAX,
    ) -> None:
        """Tree over what `store` holds, read in one pass (3 s a million entries); empty if None."""
        self.lock = threading.RLock()
        self._store: RecordStore = store or _NoStore()
        self._evicts = store is not None
        self._cached_entries_max = cached_entries_max
        self._cache: dict[int, Bucket] = {}
        self._cached_entries = 0
        self._crowns: list[Crown | None] = [EMPTY_CROWN] * CROWN_COUNT
        self._top: list[bytes] = [ZERO_DIGEST] * (2 * CROWN_COUNT)
        for index, records in self._store.load_all():
            self._take_up(index, *build_crown(records))
        self._current = self._first_view()

    @classmethod
    def resume(
        cls,
        store: RecordStore,
        crown_hashes: bytes,
        touched: Iterable[bytes],
        *,
        cached_entries_max: int = CACHED_ENTRIES_MAX,
    ) -> StateTree:
        """Tree from a former `crown_hashes()`, without reading the whole store.

        `touched` names every key hash changed since then. The caller compares the root with the
        newest header's `state_root`. Raises `CrownHashesCorrupt`.
        """
        if len(crown_hashes) != CROWN_COUNT * DIGEST_SIZE:
            raise CrownHashesCorrupt(len(crown_hashes))
        tree = cls(cached_entries_max=cached_entries_max)
        tree._store = store
        tree._evicts = True
        tree._top[CROWN_COUNT:] = [
            crown_hashes[offset : offset + DIGEST_SIZE]
            for offset in range(0, len(crown_hashes), DIGEST_SIZE)
        ]
        tree._crowns = [
            EMPTY_CROWN if found == ZERO_DIGEST else None for found in tree._top[CROWN_COUNT:]
        ]
        for index in sorted({_prefix(key_hash, FIXED_DEPTH) for key_hash in touched}):
            tree._take_up(index, *build_crown(store.load(index, FIXED_DEPTH)))
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
            former._crowns = {index: self._crown(index) for index in overlay._crowns}
            former._buckets = overlay._replaced
            former._base = overlay
            self._current = overlay
            crowns, buckets = overlay._crowns, overlay._buckets
            overlay._nodes, overlay._crowns, overlay._buckets = {}, {}, {}
            overlay._base, overlay._replaced = None, {}
            for index, crown in crowns.items():
                self._crowns[index] = crown
            for place, bucket in buckets.items():
                self._remember(place, bucket)

    def apply(self, changes: Mapping[Digest, Digest | None]) -> Digest:
        """Make the overlay of `changes` and commit it; return the new root."""
        self.commit(self.overlay(changes))
        return self.root

    def crown_hashes(self) -> bytes:
        """Hashes of the 65,536 crowns, 2 MB: what `resume` starts from."""
        with self.lock:
            return b"".join(self._top[CROWN_COUNT:])

    def _first_view(self) -> StateTreeView:
        top = self._top
        for node in reversed(range(1, CROWN_COUNT)):
            left, right = top[2 * node], top[2 * node + 1]
            if left != right:
                top[node] = sha256(b"\x01" + left + right).digest()
        return StateTreeView(self, None, {}, {}, {}, {}, Digest(top[1]))

    def _crown(self, index: int) -> Crown:
        """Crown `index` of the newest version. Raises `RecordsWrong`."""
        crown = self._crowns[index]
        if crown is None:
            with self.lock:
                crown, buckets = build_crown(self._store.load(index, FIXED_DEPTH))
                if crown_hash(crown) != self._top[CROWN_COUNT + index]:
                    raise RecordsWrong(index, FIXED_DEPTH)
                self._take_up(index, crown, buckets)
        return crown

    def _take_up(self, index: int, crown: Crown, buckets: Mapping[int, Bucket]) -> None:
        """Keep a crown of the newest version with those of its buckets that it does not say."""
        self._crowns[index] = crown
        self._top[CROWN_COUNT + index] = crown_hash(crown)
        for number, bucket in buckets.items():
            self._remember(index << CROWN_BITS | number, bucket)

    def _bucket(self, place: int, subtree: bytes) -> Bucket:
        """Bucket `place` of the newest version, from memory or the store; its crown says that it
        is `subtree`. Raises `RecordsWrong`."""
        bucket = self._cache.get(place)
        if bucket is not None:
            return bucket
        with self.lock:
            bucket = build_bucket(self._store.load(place, BUCKET_DEPTH))
            if bucket_subtree(bucket) != subtree:
                raise RecordsWrong(place, BUCKET_DEPTH)
            self._remember(place, bucket)
        return bucket

    def _remember(self, place: int, bucket: Bucket) -> None:
        """Keep a bucket of the newest version; let go of those not written for longest."""
        former = self._cache.pop(place, EMPTY_BUCKET)
        self._cached_entries -= bucket_size(former)
        if len(bucket_subtree(bucket)) != KEY_SIZE:
            return
        self._cached_entries += bucket_size(bucket)
        self._cache[place] = bucket
        while self._evicts and self._cached_entries > self._cached_entries_max:
            oldest = next(iter(self._cache))
            self._cached_entries -= bucket_size(self._cache.pop(oldest))


def _prefix(key_hash: bytes, bits: int) -> int:
    """The first `bits` bits of a key hash, at most 24."""
    return int.from_bytes(key_hash[:3], "big") >> (24 - bits)
