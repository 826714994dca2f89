"""The state commitment: what it is a hash of, and how a proof against it is checked.

The state is a set of entries (contract, key) -> value. Its root is a function of that set alone,
whatever order it was written in. An entry's place is its key hash, 256 bits read from the most
significant: SHA-256(tag || canonical [contract, key]).

    empty  = 32 zero bytes
    leaf   = SHA-256(0x00 || key hash || SHA-256(value bytes))
    node   = SHA-256(0x01 || left || right)

Above depth 16 the tree is a plain binary one, except that a node with two empty children is empty.
From depth 16 down a subtree that holds one entry is that entry's leaf. So an entry lies at depth 16
or, where others share its first 16 bits, one below the longest prefix that it shares.

A proof is the list of siblings on the way from the key's place to the root, of which only those
that are not empty are carried; a bitmap says which levels they belong to. It proves presence (the
way ends in the entry's leaf) or absence (it ends in an empty subtree, or in the leaf of another
entry that shares the way so far). One form only: no empty sibling is carried and no level below the
last sibling is named, so that any changed bit is refused or leads to another root.

Left out: making proofs (`ledger.state_tree`), and shared nodes among many proofs
(`ledger.state_multiproof`).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from ledger import canonical, fields
from ledger.errors import FieldError, InvalidInput
from ledger.hashing import DIGEST_SIZE, TAG_STATE_KEY, ZERO_DIGEST
from ledger.types import Digest

FIXED_DEPTH: Final = 16
"""Where buckets begin: 65,536 of them keep ten million keys at about 150 each."""

KEY_BITS: Final = 256

SIBLINGS_MAX: Final = KEY_BITS
"""One a level; a million keys make about 21."""


class StateProofInvalid(InvalidInput):
    """A state proof that is not in its one form, or that cannot speak about the stated key."""

    code = "state_proof_invalid"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"state proof: {reason}")


def state_key_hash(contract: str, key: str) -> Digest:
    """Place of an entry in the tree (32 bytes). Raises `EncodingError` for lone surrogates."""
    return Digest(sha256(TAG_STATE_KEY + canonical.pack([contract, key])).digest())


def state_value_hash(value: bytes) -> Digest:
    """Hash of an entry's canonical value bytes, as its leaf holds it."""
    return Digest(sha256(value).digest())


def state_leaf_hash(key_hash: bytes, value_hash: bytes) -> Digest:
    """Hash of one entry's leaf."""
    return Digest(sha256(b"\x00" + key_hash + value_hash).digest())


@dataclass(frozen=True, slots=True)
class StateProof:
    """Siblings from the top down, and which levels have one.

    Bit d of `bitmap`, counted from the most significant of its first byte, is set when the sibling
    at depth d+1 is not empty; trailing zero bytes are cut. `siblings` is the concatenation of
    their hashes in the same order. `other` is (key hash, value hash) of the entry that stands where
    an absent key would, or None.
    """

    bitmap: bytes
    siblings: bytes
    other: tuple[Digest, Digest] | None = None

    def to_value(self) -> list[canonical.Value]:
        """Canonical `[bitmap, siblings]`, then the other entry's two hashes if there is one."""
        return [self.bitmap, self.siblings, *(self.other or ())]

    @classmethod
    def from_value(cls, value: object) -> StateProof:
        """Check the form of the array; the meaning is `root_from`'s. Raises `FieldError`."""
        row = fields.array(value, "state_proof")
        if len(row) not in (2, 4):
            raise FieldError("state_proof", "2 or 4 items", len(row))
        other = (
            (
                fields.digest(row[2], "state_proof.other_key_hash"),
                fields.digest(row[3], "state_proof.other_value_hash"),
            )
            if len(row) == 4
            else None
        )
        return cls(
            bitmap=fields.binary(row[0], "state_proof.bitmap", size_max=KEY_BITS // 8),
            siblings=fields.binary(
                row[1], "state_proof.siblings", size_max=SIBLINGS_MAX * DIGEST_SIZE
            ),
            other=other,
        )

    def root_from(self, key_hash: bytes, value_hash: bytes | None) -> Digest:
        """State root this proof leads to if `key_hash` holds `value_hash`, or nothing if None.

        The caller compares it with a certified header's `state_root`. Raises `StateProofInvalid`.
        """
        levels = self.levels()
        depth, computed = self._end(key_hash, value_hash, len(levels))
        place = int.from_bytes(key_hash, "big")
        levels.extend([ZERO_DIGEST] * (depth - len(levels)))
        for level in reversed(range(depth)):
            sibling = levels[level]
            if computed == sibling == ZERO_DIGEST:
                continue
            if place >> (KEY_BITS - 1 - level) & 1:
                computed = Digest(sha256(b"\x01" + sibling + computed).digest())
            else:
                computed = Digest(sha256(b"\x01" + computed + sibling).digest())
        return computed

    def levels(self) -> list[Digest]:
        """The sibling at each depth from 1 to the last that has one, empty ones filled in.

        Raises `StateProofInvalid` for siblings that the bitmap does not fit.
        """
        if self.bitmap.endswith(b"\x00"):
            raise StateProofInvalid("the bitmap ends in a zero byte")
        bits = int.from_bytes(self.bitmap, "big")
        if bits.bit_count() * DIGEST_SIZE != len(self.siblings):
            raise StateProofInvalid("the bitmap does not count the siblings")
        size = len(self.bitmap) * 8
        levels: list[Digest] = []
        offset = 0
        for shift in reversed(range((bits & -bits).bit_length() - 1, size) if bits else ()):
            if not bits >> shift & 1:
                levels.append(ZERO_DIGEST)
                continue
            sibling = Digest(self.siblings[offset : offset + DIGEST_SIZE])
            if sibling == ZERO_DIGEST:
                raise StateProofInvalid("an empty sibling is carried")
            levels.append(sibling)
            offset += DIGEST_SIZE
        return levels

    def _end(self, key_hash: bytes, value_hash: bytes | None, lowest: int) -> tuple[int, Digest]:
        """Depth and hash of the subtree in which the way ends; `lowest` is the last sibling's."""
        depth = max(FIXED_DEPTH, lowest)
        if value_hash is not None:
            if self.other is not None:
                raise StateProofInvalid("another entry beside a present one")
            return depth, state_leaf_hash(key_hash, value_hash)
        if self.other is None:
            return lowest, ZERO_DIGEST
        other_key, other_value = self.other
        differ = int.from_bytes(key_hash, "big") ^ int.from_bytes(other_key, "big")
        if not differ:
            raise StateProofInvalid("the other entry is the key itself")
        if KEY_BITS - differ.bit_length() < depth:
            raise StateProofInvalid("the other entry is not on the key's way")
        return depth, state_leaf_hash(other_key, other_value)


def pack_state_proof(levels: list[bytes], other: tuple[Digest, Digest] | None) -> StateProof:
    """Pack siblings from the top down (`ZERO_DIGEST` for empty ones) into a proof."""
    bits = 0
    for level, sibling in enumerate(levels):
        if sibling != ZERO_DIGEST:
            bits |= 1 << (KEY_BITS - 1 - level)
    return StateProof(
        bitmap=bits.to_bytes(KEY_BITS // 8, "big").rstrip(b"\x00"),
        siblings=b"".join(sibling for sibling in levels if sibling != ZERO_DIGEST),
        other=other,
    )
