"""Merkle trees of RFC 9162 (Certificate Transparency 2.0): one root for a list of leaves.

A leaf hashes as SHA-256(0x00 || leaf), an inner node as SHA-256(0x01 || left || right); the two
prefixes keep a node from passing as a leaf. A list of n leaves splits at the largest power of two
below n, which is the same tree as pairing neighbours level by level and carrying an odd last node
up unchanged; the latter is how roots and paths are built here.

Verifying is always the same: compute the root that the path leads to and compare it once. A path is
a list of 32-byte hashes from the leaf upwards. Index and size are not part of it: they come from a
header, never from the prover.

Left out: storage (`ledger.history` keeps the one tree that grows), and sparse trees
(`ledger.state_tree`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

from ledger.errors import InvalidInput
from ledger.types import Digest

LEAF_PREFIX: Final = b"\x00"
NODE_PREFIX: Final = b"\x01"

EMPTY_ROOT: Final = Digest(sha256(b"").digest())
"""Root of no leaves (RFC 9162 §2.1.1)."""

PATH_MAX: Final = 63
"""Longest path: heights and indexes are below 2^63, the largest canonical integer."""


class PathInvalid(InvalidInput):
    """A Merkle path whose length cannot belong to the stated index and size."""

    code = "path_invalid"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"not a Merkle path: {reason}")


def leaf_hash(leaf: bytes) -> Digest:
    """Hash of one leaf's bytes (RFC 9162 §2.1.1)."""
    return Digest(sha256(LEAF_PREFIX + leaf).digest())


def node_hash(left: bytes, right: bytes) -> Digest:
    """Hash of an inner node over its children's hashes (RFC 9162 §2.1.1)."""
    return Digest(sha256(NODE_PREFIX + left + right).digest())


def root(leaves: Iterable[bytes]) -> Digest:
    """Root of the tree over `leaves`; `EMPTY_ROOT` if there are none."""
    level = [sha256(LEAF_PREFIX + leaf).digest() for leaf in leaves]
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        level = _parents(level)
    return Digest(level[0])


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[Digest]:
    """Path that proves `leaves[index]` (RFC 9162 §2.1.3.1). Raises `IndexError` beyond the list."""
    return path_in(levels(leaves), index)


def levels(leaves: Iterable[bytes]) -> list[list[bytes]]:
    """The whole tree over `leaves`, leaf hashes first: for those who prove many of them."""
    tree = [[sha256(LEAF_PREFIX + leaf).digest() for leaf in leaves]]
    while len(tree[-1]) > 1:
        tree.append(_parents(tree[-1]))
    return tree


def path_in(tree: Sequence[Sequence[bytes]], index: int) -> list[Digest]:
    """`inclusion_path` of leaf `index` in the tree that `levels` gave. Raises `IndexError`."""
    if not 0 <= index < len(tree[0]):
        raise IndexError(f"leaf {index} of {len(tree[0])}")
    path: list[Digest] = []
    for level in tree[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(Digest(level[sibling]))
        index >>= 1
    return path


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> Digest:
    """Root that `path` leads to from the leaf hash `leaf` at `index` of `size` leaves.

    The caller compares it with the root it trusts. Source: RFC 9162 §2.1.3.2, steps 1 to 4.
    Raises `PathInvalid` if `path` has too few or too many hashes for index and size.
    """
    if not 0 <= index < size:
        raise PathInvalid(f"index {index} of {size} leaves")
    position, last, computed = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise PathInvalid("too long")
        if position & 1 or position == last:
            computed = node_hash(sibling, computed)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            computed = node_hash(computed, sibling)
        position >>= 1
        last >>= 1
    if last != 0:
        raise PathInvalid("too short")
    return Digest(computed)


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], expected_root: bytes
) -> bool:
    """Whether the leaf hash `leaf` is at `index` of the tree of `size` leaves and that root."""
    try:
        return root_from_inclusion(leaf, index, size, path) == expected_root
    except PathInvalid:
        return False


def path_sides(index: int, size: int) -> int:
    """On which side each hash of an inclusion path stands: bit i is set when hash i is a left one.

    For trees whose size no header tells: a path with its sides leads to one root only.
    """
    sides = step = 0
    position, last = index, size - 1
    while last:
        if position ^ 1 <= last:
            sides |= (position & 1) << step
            step += 1
        position, last = position >> 1, last >> 1
    return sides


def root_from_sides(leaf: bytes, sides: int, path: Sequence[bytes]) -> Digest:
    """Root that `path` leads to from the leaf hash `leaf` when `sides` says where each hash is."""
    computed = leaf
    for step, sibling in enumerate(path):
        left = sides >> step & 1
        computed = node_hash(sibling, computed) if left else node_hash(computed, sibling)
    return Digest(computed)


def consistency_path(leaves: Sequence[bytes], first_size: int) -> list[Digest]:
    """Path that proves the tree over `leaves` to extend its own first `first_size` leaves.

    Source: RFC 9162 §2.1.4.1. Raises `IndexError` unless 0 < first_size <= len(leaves).
    """
    if not 0 < first_size <= len(leaves):
        raise IndexError(f"first {first_size} of {len(leaves)} leaves")
    levels = [[sha256(LEAF_PREFIX + leaf).digest() for leaf in leaves]]
    while len(levels[-1]) > 1:
        levels.append(_parents(levels[-1]))
    return [
        Digest(levels[level][index]) for level, index in consistency_nodes(first_size, len(leaves))
    ]


def consistency_nodes(first_size: int, second_size: int) -> list[tuple[int, int]]:
    """Places (level, index) of the nodes in the consistency path between two tree sizes.

    Level 0 holds the leaves; node (l, i) covers leaves [i·2^l, (i+1)·2^l), fewer at the right edge.
    Needs 0 < first_size <= second_size. Source: RFC 9162 §2.1.4.1.
    """
    if first_size == second_size:
        return []
    position, last, level = first_size - 1, second_size - 1, 0
    while position & 1:
        position, last, level = position >> 1, last >> 1, level + 1
    # A first tree of a power of two is itself a node of the second; its root is known already.
    nodes = [(level, position)] if position else []
    while last:
        if position & 1:
            nodes.append((level, position - 1))
        elif position < last:
            nodes.append((level, position + 1))
        position, last, level = position >> 1, last >> 1, level + 1
    return nodes


def verify_consistency(
    first_size: int,
    second_size: int,
    first_root: bytes,
    second_root: bytes,
    path: Sequence[bytes],
) -> bool:
    """Whether the tree of `second_size` leaves extends the one of `first_size`.

    Source: RFC 9162 §2.1.4.2, every step of it.
    """
    if not 0 < first_size <= second_size:
        return False
    if first_size == second_size:
        return not path and first_root == second_root
    if not path:
        return False
    hashes = list(path)
    if first_size & (first_size - 1) == 0:
        hashes.insert(0, first_root)
    position, last = first_size - 1, second_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and first == first_root and second == second_root


def _parents(level: list[bytes]) -> list[bytes]:
    """One level up: neighbours paired, an odd last node carried up unchanged."""
    above = [
        sha256(NODE_PREFIX + left + right).digest()
        for left, right in zip(level[::2], level[1::2], strict=False)
    ]
    if len(level) & 1:
        above.append(level[-1])
    return above
