"""The tree over all header hashes, grown by one leaf a block without reading the old ones.

Header n carries `history_root`, the RFC 9162 root over the hashes of headers 0 .. n-1. One fresh
certificate therefore proves any old block (inclusion), and two certified headers show that nothing
between them was rewritten (consistency).

`HistoryTree` keeps the frontier alone: the roots of the complete subtrees that cover the leaves so
far, largest first, at most 63 hashes. Appending a leaf completes some subtrees; their hashes are
handed to the caller to store as (level, position) -> hash, two a leaf on average and never
rewritten. Proofs are made from those stored nodes through a reader, for any tree size so far.

Left out: where the nodes are stored, and which headers count (`ledger.store` does both).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from ledger.errors import IntegrityError
from ledger.hashing import DIGEST_SIZE
from ledger.merkle import EMPTY_ROOT, consistency_nodes, leaf_hash, node_hash
from ledger.types import Digest

SIZE_BYTES: Final = 8


class HistoryNode(NamedTuple):
    """Root of a complete subtree: leaves [position·2^level, (position+1)·2^level)."""

    level: int
    position: int
    hash: Digest


NodeReader: TypeAlias = Callable[[int, int], Digest]
"""(level, position) -> the stored hash of that complete subtree."""


class FrontierCorrupt(IntegrityError):
    """Stored frontier bytes that no tree has."""

    code = "history_frontier_corrupt"
    hint = "delete the `ledger` folder: it is made anew from the block files at the next start"


class HistoryTree:
    """Appendable RFC 9162 tree head. Not thread-safe; cheap to copy."""

    __slots__ = ("_frontier", "size")

    def __init__(self, size: int = 0, frontier: tuple[Digest, ...] = ()) -> None:
        """Tree of `size` leaves with its complete subtrees' roots, largest first."""
        if size.bit_count() != len(frontier):
            raise FrontierCorrupt(f"{len(frontier)} subtrees cannot cover {size} leaves")
        self.size = size
        self._frontier = list(frontier)

    @property
    def root(self) -> Digest:
        """Root over the leaves so far: `history_root` of the next header. O(log size)."""
        if not self._frontier:
            return EMPTY_ROOT
        computed = self._frontier[-1]
        for left in reversed(self._frontier[:-1]):
            computed = node_hash(left, computed)
        return computed

    def append(self, header_hash: bytes) -> list[HistoryNode]:
        """Add one leaf; return the nodes it completed, its own leaf first, for storage."""
        index, level = self.size, 0
        computed = leaf_hash(header_hash)
        completed = [HistoryNode(level, index, computed)]
        while index & 1:
            computed = node_hash(self._frontier.pop(), computed)
            index, level = index >> 1, level + 1
            completed.append(HistoryNode(level, index, computed))
        self._frontier.append(computed)
        self.size += 1
        return completed

    def nodes(self) -> list[HistoryNode]:
        """The roots of the complete subtrees, largest first: what `frontier_at` reads."""
        found: list[HistoryNode] = []
        start = 0
        levels = [
            level for level in reversed(range(self.size.bit_length())) if self.size >> level & 1
        ]
        for level, root in zip(levels, self._frontier, strict=True):
            found.append(HistoryNode(level, start >> level, root))
            start += 1 << level
        return found

    def copy(self) -> HistoryTree:
        """A tree that can grow apart from this one."""
        return HistoryTree(self.size, tuple(self._frontier))

    def encode(self) -> bytes:
        """Stored form: the size as 8 bytes big-endian, then the frontier's hashes."""
        return self.size.to_bytes(SIZE_BYTES, "big") + b"".join(self._frontier)

    @classmethod
    def decode(cls, data: bytes) -> HistoryTree:
        """Read what `encode` wrote. Raises `FrontierCorrupt`."""
        if len(data) < SIZE_BYTES or (len(data) - SIZE_BYTES) % DIGEST_SIZE:
            raise FrontierCorrupt(f"{len(data)} bytes are no frontier")
        size = int.from_bytes(data[:SIZE_BYTES], "big")
        frontier = tuple(
            Digest(data[offset : offset + DIGEST_SIZE])
            for offset in range(SIZE_BYTES, len(data), DIGEST_SIZE)
        )
        return cls(size, frontier)


def frontier_at(size: int, read: NodeReader) -> HistoryTree:
    """The tree as it was with `size` leaves, from the stored nodes (at start, or to roll back)."""
    frontier: list[Digest] = []
    start = 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            frontier.append(read(level, start >> level))
            start += 1 << level
    return HistoryTree(size, tuple(frontier))


def inclusion_proof(index: int, size: int, read: NodeReader) -> list[Digest]:
    """Path of leaf `index` in the tree of `size` leaves (RFC 9162 §2.1.3.1).

    Raises `IndexError` unless 0 <= index < size.
    """
    if not 0 <= index < size:
        raise IndexError(f"header {index} of {size}")
    path: list[Digest] = []
    position, last, level = index, size - 1, 0
    while last:
        sibling = position ^ 1
        if sibling <= last:
            path.append(_subtree_root(level, sibling, size, read))
        position, last, level = position >> 1, last >> 1, level + 1
    return path


def consistency_proof(first_size: int, second_size: int, read: NodeReader) -> list[Digest]:
    """Path that shows the tree of `second_size` leaves to extend the one of `first_size`.

    Source: RFC 9162 §2.1.4.1. Raises `IndexError` unless 0 < first_size <= second_size.
    """
    if not 0 < first_size <= second_size:
        raise IndexError(f"first {first_size} of {second_size} headers")
    return [
        _subtree_root(level, index, second_size, read)
        for level, index in consistency_nodes(first_size, second_size)
    ]


def _subtree_root(level: int, index: int, size: int, read: NodeReader) -> Digest:
    """Root of node (level, index) in the tree of `size` leaves, cut off at the right edge."""
    start, end = index << level, min((index + 1) << level, size)
    if end - start == 1 << level:
        return read(level, index)
    roots: list[Digest] = []
    for below in reversed(range(level)):
        if (end - start) >> below & 1:
            roots.append(read(below, start >> below))
            start += 1 << below
    computed = roots.pop()
    while roots:
        computed = node_hash(roots.pop(), computed)
    return computed
