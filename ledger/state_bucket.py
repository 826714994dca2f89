"""One of the 65,536 subtrees of the state tree: all entries whose key hashes share 16 bits.

A bucket is an immutable tuple, so that versions of the state share what did not change, and the
garbage collector does not follow it. Bits below the sixteenth choose one of 2^s slots; s grows with
the number of entries so that a slot holds about one, whatever the size of the state. Over the slots
stands a binary heap of their subtrees:

    bucket[0]                   how many entries
    bucket[1]                   the whole bucket's subtree, the heap's root
    bucket[i]                   the subtree over bucket[2i] and bucket[2i+1],    1 <= i < 2^s
    bucket[2^s + j]             the subtree of slot j                            0 <= j < 2^s
    bucket[2^(s+1) + j]         slot j's entries, in ascending order

An entry is 96 bytes: leaf hash, key hash, value hash. A subtree is empty (no bytes), one entry
(its 96 bytes), or an inner node's hash (32 bytes); the length tells which, and the first 32 bytes
are the hash that the level above takes.

Left out: where buckets are kept (`ledger.state_tree`), and the levels above.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final, TypeAlias, cast

from ledger.hashing import ZERO_DIGEST
from ledger.state_proof import FIXED_DEPTH
from ledger.types import Digest

Bucket: TypeAlias = tuple[int | bytes, ...]
Change: TypeAlias = tuple[bytes, bytes | None]
"""(key hash, new value hash), or None to delete."""

ENTRY_SIZE: Final = 96
KEY_SIZE: Final = 32
RECORD_SIZE: Final = 64

SLOT_BITS_MAX: Final = 12
"""Slots of a bucket at most: 2^12 keep a quarter of a billion entries at about one a slot."""

EMPTY_BUCKET: Final[Bucket] = (0, b"", b"")
EMPTY_SUBTREE: Final = b""


def bucket_hash(bucket: Bucket) -> bytes:
    """Hash of the bucket's subtree at depth 16; `ZERO_DIGEST` if it holds nothing."""
    return cast(bytes, bucket[1])[:32] or ZERO_DIGEST


def bucket_size(bucket: Bucket) -> int:
    """How many entries it holds."""
    return cast(int, bucket[0])


def build_bucket(records: bytes) -> Bucket:
    """Bucket of concatenated (key hash, value hash) records, 64 bytes each, ascending by key."""
    entries = [
        sha256(b"\x00" + record).digest() + record
        for record in (
            records[offset : offset + RECORD_SIZE] for offset in range(0, len(records), RECORD_SIZE)
        )
    ]
    return _build(entries)


def changed_bucket(bucket: Bucket, changes: Iterable[Change]) -> Bucket:
    """The bucket after `changes`, no key twice. The given one stays as it is."""
    work = cast("list[bytes]", list(bucket))
    slot_count = len(work) // 3
    bits = slot_count.bit_length() - 1
    shift, mask = 24 - bits, slot_count - 1
    grown = 0
    dirty: list[int] = []
    for key_hash, value_hash in changes:
        # Bytes 2 to 4 hold the bits below the sixteenth, of which the first `bits` name the slot.
        slot = int.from_bytes(key_hash[2:5], "big") >> shift & mask
        before = work[2 * slot_count + slot]
        if value_hash is None:
            after = _without(before, key_hash)
        else:
            record = key_hash + value_hash
            entry = sha256(b"\x00" + record).digest() + record
            after = _with(before, key_hash, entry) if before else entry
        work[2 * slot_count + slot] = after
        grown += len(after) - len(before)
        dirty.append(slot)
    size = bucket_size(bucket) + grown // ENTRY_SIZE
    if not _fits(size, bits):
        return _build([entry for slot in work[2 * slot_count :] for entry in _entries(slot)])
    for slot in dirty:
        _climb(work, slot_count, slot)
    return (size, *work[1:]) if grown else tuple(work)


def find_value(bucket: Bucket, key_hash: bytes) -> Digest | None:
    """The value hash of `key_hash`, or None if the bucket does not hold it."""
    for entry in _entries(_slot(bucket, key_hash)):
        if entry[32:64] == key_hash:
            return Digest(entry[64:])
    return None


def bucket_way(bucket: Bucket, key_hash: bytes) -> tuple[list[bytes], bytes]:
    """Siblings from depth 17 down on `key_hash`'s way, and the subtree in which it ends.

    That subtree is empty or one entry: the key's own, or another's.
    """
    bits = _slot_bits(bucket)
    nodes = cast(tuple[bytes, ...], bucket)
    place = int.from_bytes(key_hash, "big")
    siblings: list[bytes] = []
    node = 1
    for depth in range(FIXED_DEPTH, FIXED_DEPTH + bits):
        if len(nodes[node]) != KEY_SIZE:
            return siblings, nodes[node]
        node = node << 1 | (place >> (255 - depth) & 1)
        siblings.append(nodes[node ^ 1][:32] or ZERO_DIGEST)
    records = _slot(bucket, key_hash)
    depth = FIXED_DEPTH + bits
    while len(records) > ENTRY_SIZE:
        cut = _cut(records, depth)
        halves = records[:cut], records[cut:]
        bit = place >> (255 - depth) & 1
        siblings.append(_subtree(halves[1 - bit], depth + 1)[:32] or ZERO_DIGEST)
        records = halves[bit]
        depth += 1
    return siblings, records


def _slot_bits(bucket: Bucket) -> int:
    return (len(bucket) // 3).bit_length() - 1


def _fits(size: int, bits: int) -> bool:
    """Whether 2^bits slots still suit `size` entries; a gap between the bounds stops flapping."""
    slots = 1 << bits
    return (size <= 2 * slots or bits == SLOT_BITS_MAX) and (size * 8 >= slots or bits == 0)


def _build(entries: list[bytes]) -> Bucket:
    """Bucket of entries in ascending order, with slots for half a one to one each."""
    bits = min(max(len(entries) - 1, 0).bit_length(), SLOT_BITS_MAX)
    slot_count = 1 << bits
    slots: list[list[bytes]] = [[] for _ in range(slot_count)]
    shift = 24 - bits
    for entry in entries:
        slots[int.from_bytes(entry[34:37], "big") >> shift & slot_count - 1].append(entry)
    records = [b"".join(slot) for slot in slots]
    nodes = [EMPTY_SUBTREE] * slot_count
    nodes += [_subtree(slot, FIXED_DEPTH + bits) for slot in records]
    for node in reversed(range(1, slot_count)):
        nodes[node] = _join(nodes[2 * node], nodes[2 * node + 1])
    return (len(entries), *nodes[1:], *records)


def _climb(work: list[bytes], slot_count: int, slot: int) -> None:
    """Bring the subtrees on the way from `slot` to the heap's root up to date."""
    records = work[2 * slot_count + slot]
    node = slot_count + slot
    work[node] = _subtree(records, FIXED_DEPTH + slot_count.bit_length() - 1)
    node >>= 1
    while node:
        left, right = work[2 * node], work[2 * node + 1]
        if left and right:  # the common case, spared a call
            work[node] = sha256(b"\x01" + left[:32] + right[:32]).digest()
        else:
            work[node] = _join(left, right)
        node >>= 1


def _join(left: bytes, right: bytes) -> bytes:
    """Subtree over two: a single entry moves up as it is, anything else becomes a node."""
    if not left:
        if len(right) != KEY_SIZE:
            return right
        left = ZERO_DIGEST
    elif not right:
        if len(left) != KEY_SIZE:
            return left
        right = ZERO_DIGEST
    return sha256(b"\x01" + left[:32] + right[:32]).digest()


def _subtree(records: bytes, depth: int) -> bytes:
    """Subtree at `depth` over entries that share the `depth` bits above it."""
    if len(records) <= ENTRY_SIZE:
        return records
    cut = _cut(records, depth)
    return _join(_subtree(records[:cut], depth + 1), _subtree(records[cut:], depth + 1))


def _cut(records: bytes, depth: int) -> int:
    """Offset of the first entry whose bit at `depth` is set."""
    byte, bit = KEY_SIZE + (depth >> 3), 0x80 >> (depth & 7)
    for offset in range(0, len(records), ENTRY_SIZE):
        if records[offset + byte] & bit:
            return offset
    return len(records)


def _slot(bucket: Bucket, key_hash: bytes) -> bytes:
    bits = _slot_bits(bucket)
    slot = int.from_bytes(key_hash[2:5], "big") >> (24 - bits) & (1 << bits) - 1
    return cast(bytes, bucket[(2 << bits) + slot])


def _entries(slot: bytes) -> list[bytes]:
    return [slot[offset : offset + ENTRY_SIZE] for offset in range(0, len(slot), ENTRY_SIZE)]


def _with(slot: bytes, key_hash: bytes, entry: bytes) -> bytes:
    """The slot's entries with `entry` in its place or instead of its former self."""
    for offset in range(0, len(slot), ENTRY_SIZE):
        other = slot[offset + 32 : offset + 64]
        if other == key_hash:
            return slot[:offset] + entry + slot[offset + ENTRY_SIZE :]
        if other > key_hash:
            return slot[:offset] + entry + slot[offset:]
    return slot + entry


def _without(slot: bytes, key_hash: bytes) -> bytes:
    """The slot's entries without `key_hash`'s, if it is there at all."""
    for offset in range(0, len(slot), ENTRY_SIZE):
        if slot[offset + 32 : offset + 64] == key_hash:
            return slot[:offset] + slot[offset + ENTRY_SIZE :]
    return slot
