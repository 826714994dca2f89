"""The levels of the state tree between its top and its buckets, sixteen buckets to a crown.

A crown is all that shares 16 bits of key hash, down to depth 20, where buckets begin. It is a
binary heap of 32 subtrees (see `ledger.state_bucket`; the first place is not used):

    crown[1]                the subtree at depth 16, whose hash is a leaf of the tree's top
    crown[i]                the subtree over crown[2i] and crown[2i+1],    1 <= i < 16
    crown[16 + j]           the subtree of bucket j                        0 <= j < 16

Crowns take 2.5 KB each and stay in memory, so that a change needs of what is stored one bucket,
however large the state. Left out: where crowns are kept (`ledger.state_tree`).
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final, TypeAlias

from ledger.hashing import ZERO_DIGEST
from ledger.state_bucket import (
    BUCKET_DEPTH,
    EMPTY_SUBTREE,
    KEY_SIZE,
    Bucket,
    bucket_over,
    build_heap,
    entries_of,
    join,
)
from ledger.state_proof import FIXED_DEPTH

Crown: TypeAlias = tuple[bytes, ...]

CROWN_BITS: Final = BUCKET_DEPTH - FIXED_DEPTH
CROWN_BUCKETS: Final = 1 << CROWN_BITS

EMPTY_CROWN: Final[Crown] = (EMPTY_SUBTREE,) * (2 * CROWN_BUCKETS)


def crown_hash(crown: Crown) -> bytes:
    """Hash of the crown's subtree at depth 16; `ZERO_DIGEST` if it holds nothing."""
    return crown[1][:32] or ZERO_DIGEST


def build_crown(records: bytes) -> tuple[Crown, dict[int, Bucket]]:
    """Crown over concatenated (key hash, value hash) records, 64 bytes each, ascending by key, and
    its buckets of two entries and more, by their numbers in the crown."""
    nodes, slots = build_heap(entries_of(records), FIXED_DEPTH, CROWN_BITS)
    crown = tuple(nodes[: 2 * CROWN_BUCKETS])
    levels = [1 << level for level in range((len(slots) // CROWN_BUCKETS).bit_length())]
    buckets: dict[int, Bucket] = {}
    for number in range(CROWN_BUCKETS):
        root = CROWN_BUCKETS + number
        if len(nodes[root]) == KEY_SIZE:
            heap = [node for wide in levels for node in nodes[root * wide : (root + 1) * wide]]
            own = slots[number * levels[-1] : (number + 1) * levels[-1]]
            buckets[number] = bucket_over(heap, own)
    return crown, buckets


def changed_crown(crown: Crown, subtrees: Mapping[int, bytes]) -> Crown:
    """The crown after its buckets changed to `subtrees` (number in the crown -> subtree)."""
    work = list(crown)
    for number, changed in subtrees.items():
        work[CROWN_BUCKETS | number] = changed
    level = [CROWN_BUCKETS | number for number in subtrees]
    for _ in range(CROWN_BITS):
        level = [level[0] >> 1] if len(level) == 1 else list({node >> 1 for node in level})
        for node in level:
            left, right = work[2 * node], work[2 * node + 1]
            if left and right:  # the common case, spared a call
                work[node] = sha256(b"\x01" + left[:32] + right[:32]).digest()
            else:
                work[node] = join(left, right)
    return tuple(work)


def crown_way(crown: Crown, key_hash: bytes) -> tuple[list[bytes], bytes | None]:
    """Siblings from depth 17 down on `key_hash`'s way, and the subtree in which it ends; None if it
    goes on in the key's bucket."""
    place = CROWN_BUCKETS | key_hash[2] >> 4
    siblings: list[bytes] = []
    node = 1
    for up in reversed(range(CROWN_BITS)):
        if len(crown[node]) != KEY_SIZE:
            return siblings, crown[node]
        node = place >> up
        siblings.append(crown[node ^ 1][:32] or ZERO_DIGEST)
    return siblings, None
