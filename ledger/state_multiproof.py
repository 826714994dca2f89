"""One proof of many entries of the state, present and absent ones, with every node carried once.

Two entries' ways to the root share their top. Where many are proven together, only what lies beside
all of their ways is needed: about half of what a proof for each would take.

The proof is the part of the tree that holds the asked keys, written from the root down, left before
right. Each subtree with asked keys in it has a mark:

    EMPTY  it holds no entry: all asked keys in it are absent
    LEAF   it is one entry's leaf (from depth 16 down): the one asked key that has a value, or else
           another entry, whose two hashes are carried; all other asked keys in it are absent
    BOTH   a node of two children, neither of them an empty one without asked keys
    LONE   a node whose one child has asked keys, and whose other child is empty

A child of BOTH without asked keys is carried as its hash. Marks stand in `shape`, one byte each,
hashes in `hashes`, both in the order in which they are met. That is all: which keys lie in which
subtree follows from the keys themselves. There is one form for one set of keys and one state.

Left out: what an entry's place and leaf are (`ledger.state_proof`), and the bytes around it
(`ledger.proof_format`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Final, TypeVar

from ledger import canonical, fields
from ledger.hashing import DIGEST_SIZE, ZERO_DIGEST
from ledger.state_proof import (
    FIXED_DEPTH,
    KEY_BITS,
    StateProof,
    StateProofInvalid,
    state_leaf_hash,
)
from ledger.types import Digest

KEYS_MAX: Final = 100
"""Entries in one proof: as many as a page of a list has, and about 50 kB at a million entries."""

SHAPE_SIZE_MAX: Final = KEYS_MAX * (KEY_BITS + 1)
"""A mark for each depth of each key's way."""

HASHES_SIZE_MAX: Final = KEYS_MAX * (KEY_BITS + 2) * DIGEST_SIZE
"""A sibling for each depth of each key's way, and another entry at its end."""

EMPTY: Final = 0
LEAF: Final = 1
BOTH: Final = 2
LONE: Final = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """A key hash, and the hash of the value that the state holds for it, None for nothing."""

    key_hash: Digest
    value_hash: Digest | None


@dataclass(frozen=True, slots=True)
class StateMultiProof:
    """Marks and hashes from the root down; see the head of the module."""

    shape: bytes
    hashes: bytes

    def to_value(self) -> list[canonical.Value]:
        """Canonical `[shape, hashes]`."""
        return [self.shape, self.hashes]

    @classmethod
    def from_value(cls, value: object) -> StateMultiProof:
        """Check the form of the array; the meaning is `root_from`'s. Raises `FieldError`."""
        row = fields.array(value, "state_multiproof", 2)
        return cls(
            shape=fields.binary(row[0], "state_multiproof.shape", size_max=SHAPE_SIZE_MAX),
            hashes=fields.binary(row[1], "state_multiproof.hashes", size_max=HASHES_SIZE_MAX),
        )

    def root_from(self, asked: Sequence[Asked]) -> Digest:
        """State root this proof leads to if the state holds what `asked` says.

        The caller compares it with a certified header's `state_root`. Raises `StateProofInvalid`,
        also unless there is a key and key hashes ascend strictly.
        """
        if not asked or any(
            not before.key_hash < after.key_hash for before, after in pairwise(asked)
        ):
            raise StateProofInvalid("the asked keys are not in order")
        reader = _Reader(self)
        root = reader.subtree(0, asked)
        reader.check_end()
        return root


class _Reader:
    """Takes marks and hashes in order and computes subtrees from them."""

    def __init__(self, proof: StateMultiProof) -> None:
        self._shape = proof.shape
        self._hashes = proof.hashes
        self._marks_read = 0
        self._hashes_read = 0

    def subtree(self, depth: int, asked: Sequence[Asked]) -> Digest:
        """Hash of the subtree at `depth` that holds the keys `asked`, at least one."""
        mark = self._mark()
        if mark == EMPTY:
            if any(each.value_hash is not None for each in asked):
                raise StateProofInvalid("a present entry in an empty subtree")
            return ZERO_DIGEST
        if mark == LEAF:
            return self._leaf(depth, asked)
        if mark not in (BOTH, LONE):
            raise StateProofInvalid(f"{mark} is no mark")
        if depth == KEY_BITS:
            raise StateProofInvalid("a node below the last bit")
        left, right = _split(depth, asked)
        if mark == LONE and left and right:
            raise StateProofInvalid("an empty child that holds asked keys")
        left_hash = self._child(depth, left, mark)
        right_hash = self._child(depth, right, mark)
        if left_hash == right_hash == ZERO_DIGEST:
            raise StateProofInvalid("a node of two empty children")
        return Digest(sha256(b"\x01" + left_hash + right_hash).digest())

    def check_end(self) -> None:
        """Raise `StateProofInvalid` unless everything was used."""
        if (self._marks_read, self._hashes_read) != (len(self._shape), len(self._hashes)):
            raise StateProofInvalid("more marks or hashes than the keys need")

    def _child(self, depth: int, asked: Sequence[Asked], mark: int) -> Digest:
        if asked:
            return self.subtree(depth + 1, asked)
        if mark == LONE:
            return ZERO_DIGEST
        found = self._hash()
        if found == ZERO_DIGEST:
            raise StateProofInvalid("an empty sibling is carried")
        return found

    def _leaf(self, depth: int, asked: Sequence[Asked]) -> Digest:
        if depth < FIXED_DEPTH:
            raise StateProofInvalid("a leaf above the buckets")
        present = [each for each in asked if each.value_hash is not None]
        if len(present) > 1:
            raise StateProofInvalid("two entries in one leaf")
        for each in present:
            assert each.value_hash is not None
            return state_leaf_hash(each.key_hash, each.value_hash)
        key_hash, value_hash = self._hash(), self._hash()
        place = int.from_bytes(key_hash, "big")
        if any(each.key_hash == key_hash for each in asked):
            raise StateProofInvalid("the other entry is the key itself")
        if (place ^ int.from_bytes(asked[0].key_hash, "big")) >> (KEY_BITS - depth):
            raise StateProofInvalid("the other entry is not on the key's way")
        return state_leaf_hash(key_hash, value_hash)

    def _mark(self) -> int:
        if self._marks_read == len(self._shape):
            raise StateProofInvalid("fewer marks than the keys need")
        self._marks_read += 1
        return self._shape[self._marks_read - 1]

    def _hash(self) -> Digest:
        found = self._hashes[self._hashes_read : self._hashes_read + DIGEST_SIZE]
        if len(found) != DIGEST_SIZE:
            raise StateProofInvalid("fewer hashes than the keys need")
        self._hashes_read += DIGEST_SIZE
        return Digest(found)


@dataclass(frozen=True, slots=True)
class _Way:
    """A single key's proof taken apart: its siblings from the top, and where and how it ends."""

    key_hash: Digest
    levels: list[Digest]
    depth: int
    ends_empty: bool
    other: tuple[Digest, Digest] | None


_KeyedT = TypeVar("_KeyedT", Asked, _Way)


def merge_proofs(proofs: Sequence[tuple[Asked, StateProof]]) -> StateMultiProof:
    """The one proof that says what `proofs`, all of one state and ascending by key hash, say."""
    ways = [_way(asked, proof) for asked, proof in proofs]
    shape = bytearray()
    hashes: list[bytes] = []

    def write(depth: int, ways: Sequence[_Way]) -> None:
        first = ways[0]
        if depth == first.depth:
            shape.append(EMPTY if first.ends_empty else LEAF)
            # With a present key in it, the leaf is that key's, and the others lead to it too.
            if not first.ends_empty and all(way.other is not None for way in ways):
                assert first.other is not None
                hashes.extend(first.other)
            return
        left, right = _split(depth, ways)
        sibling = ZERO_DIGEST
        if not (left and right) and depth < len(first.levels):
            sibling = first.levels[depth]
        lone = not (left and right) and sibling == ZERO_DIGEST
        shape.append(LONE if lone else BOTH)
        for child in (left, right):
            if child:
                write(depth + 1, child)
            elif not lone:
                hashes.append(sibling)

    write(0, ways)
    return StateMultiProof(bytes(shape), b"".join(hashes))


def _way(asked: Asked, proof: StateProof) -> _Way:
    levels = proof.levels()
    ends_empty = asked.value_hash is None and proof.other is None
    depth = len(levels) if ends_empty else max(FIXED_DEPTH, len(levels))
    return _Way(asked.key_hash, levels, depth, ends_empty, proof.other)


def _split(depth: int, keyed: Sequence[_KeyedT]) -> tuple[Sequence[_KeyedT], Sequence[_KeyedT]]:
    """`keyed`, ascending by key hash, parted by the bit at `depth`."""
    byte, mask = depth >> 3, 0x80 >> (depth & 7)
    ones = sum(1 for each in keyed if each.key_hash[byte] & mask)
    return keyed[: len(keyed) - ones], keyed[len(keyed) - ones :]
