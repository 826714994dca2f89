"""The lowest subtrees of the state tree: all entries whose key hashes share their first 20 bits.

A bucket is an immutable tuple, so that versions of the state share what did not change, and the
garbage collector does not follow it. Bits below the twentieth choose one of 2^s slots; s grows with
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

Left out: the levels above (`ledger.state_crown`, `ledger.state_tree`), and where buckets are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final, TypeAlias, cast

from ledger.hashing import ZERO_DIGEST
from ledger.types import Digest

Bucket: TypeAlias = tuple[int | bytes, ...]
Change: TypeAlias = tuple[bytes, bytes | None]
"""(key hash, new value hash), or None to delete."""

ENTRY_SIZE: Final = 96
KEY_SIZE: Final = 32
RECORD_SIZE: Final = 64

BUCKET_DEPTH: Final = 20
"""Where buckets begin. A bucket not in memory costs reading and hashing all it holds: a million of
them hold ten of ten million keys each."""

SLOT_BITS_MAX: Final = 12
"""Slots of a bucket at most: 2^12 keep four billion entries at about one a slot."""

_SLOTS_END: Final = 40 - BUCKET_DEPTH
"""Bits below `BUCKET_DEPTH` in the key's first five bytes."""

EMPTY_BUCKET: Final[Bucket] = (0, b"", b"")
EMPTY_SUBTREE: Final = b""


def bucket_subtree(bucket: Bucket) -> bytes:
    """The bucket's subtree at `BUCKET_DEPTH`."""
    return cast(bytes, bucket[1])


def bucket_of(subtree: bytes) -> Bucket:
    """The bucket of a subtree that is empty or one entry."""
    return (1, subtree, subtree) if subtree else EMPTY_BUCKET


def bucket_size(bucket: Bucket) -> int:
    """How many entries it holds."""
    return cast(int, bucket[0])


def build_bucket(records: bytes) -> Bucket:
    """Bucket of concatenated (key hash, value hash) records, 64 bytes each, ascending by key."""
    return _build(entries_of(records))


def entries_of(records: bytes) -> list[bytes]:
    """The entries that concatenated records stand for."""
    return [
        sha256(b"\x00" + record).digest() + record
        for record in (
            records[offset : offset + RECORD_SIZE] for offset in range(0, len(records), RECORD_SIZE)
        )
    ]


def changed_bucket(bucket: Bucket, changes: Iterable[Change]) -> Bucket:
    """The bucket after `changes`, no key twice. The given one stays as it is."""
    work = cast("list[bytes]", list(bucket))
    slot_count = len(work) // 3
    bits = slot_count.bit_length() - 1
    shift, mask = _SLOTS_END - bits, slot_count - 1
    grown = 0
    dirty: list[int] = []
    for key_hash, value_hash in changes:
        # Bytes 2 to 4 hold the bits below the twentieth, of which the first `bits` name the slot.
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
    """Siblings below the bucket's root on `key_hash`'s way, and the subtree in which it ends.

    That subtree is empty or one entry: the key's own, or another's.
    """
    bits = _slot_bits(bucket)
    nodes = cast(tuple[bytes, ...], bucket)
    place = int.from_bytes(key_hash, "big")
    siblings: list[bytes] = []
    node = 1
    for depth in range(BUCKET_DEPTH, BUCKET_DEPTH + bits):
        if len(nodes[node]) != KEY_SIZE:
            return siblings, nodes[node]
        node = node << 1 | (place >> (255 - depth) & 1)
        siblings.append(nodes[node ^ 1][:32] or ZERO_DIGEST)
    records = _slot(bucket, key_hash)
    depth = BUCKET_DEPTH + bits
    while len(records) > ENTRY_SIZE:
        cut = _cut(records, depth)
        halves = records[:cut], records[cut:]
        bit = place >> (255 - depth) & 1
        siblings.append(subtree(halves[1 - bit], depth + 1)[:32] or ZERO_DIGEST)
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
    nodes, slots = build_heap(entries, BUCKET_DEPTH)
    return bucket_over(nodes[1:], slots)


def bucket_over(heap: list[bytes], slots: list[bytes]) -> Bucket:
    """The bucket of a heap, its root first, over `slots`."""
    return (sum(map(len, slots)) // ENTRY_SIZE, *heap, *slots)


def build_heap(
    entries: list[bytes], depth: int, bits_min: int = 0
) -> tuple[list[bytes], list[bytes]]:
    """Heap of subtrees over slots, and the slots, of entries that share `depth` bits: 2^bits_min
    slots at least, and for half an entry to one entry each."""
    bits = max(min(max(len(entries) - 1, 0).bit_length(), SLOT_BITS_MAX), bits_min)
    slot_count = 1 << bits
    slots = [EMPTY_SUBTREE] * slot_count
    shift = 40 - depth - bits
    for entry in entries:
        slots[int.from_bytes(entry[34:37], "big") >> shift & slot_count - 1] += entry
    nodes = [EMPTY_SUBTREE] * slot_count
    nodes += [slot if len(slot) <= ENTRY_SIZE else subtree(slot, depth + bits) for slot in slots]
    for node in reversed(range(1, slot_count)):
        left, right = nodes[2 * node], nodes[2 * node + 1]
        if left and right:
            nodes[node] = sha256(b"\x01" + left[:32] + right[:32]).digest()
        elif left or right:
            nodes[node] = join(left, right)
    return nodes, slots


def _climb(work: list[bytes], slot_count: int, slot: int) -> None:
    """Bring the subtrees on the way from `slot` to the heap's root up to date."""
    records = work[2 * slot_count + slot]
    node = slot_count + slot
    work[node] = subtree(records, BUCKET_DEPTH + slot_count.bit_length() - 1)
    node >>= 1
    while node:
        left, right = work[2 * node], work[2 * node + 1]
        if left and right:  # the common case, spared a call
            work[node] = sha256(b"\x01" + left[:32] + right[:32]).digest()
        else:
            work[node] = join(left, right)
        node >>= 1


def join(left: bytes, right: bytes) -> bytes:
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


def subtree(records: bytes, depth: int) -> bytes:
    """Subtree at `depth` over entries that share the `depth` bits above it."""
    if len(records) <= ENTRY_SIZE:
        return records
    cut = _cut(records, depth)
    return join(subtree(records[:cut], depth + 1), subtree(records[cut:], depth + 1))


def _cut(records: bytes, depth: int) -> int:
    """Offset of the first entry whose bit at `depth` is set."""
    byte, bit = KEY_SIZE + (depth >> 3), 0x80 >> (depth & 7)
    for offset in range(0, len(records), ENTRY_SIZE):
        if records[offset + byte] & bit:
            return offset
    return len(records)


def _slot(bucket: Bucket, key_hash: bytes) -> bytes:
    bits = _slot_bits(bucket)
    slot = int.from_bytes(key_hash[2:5], "big") >> (_SLOTS_END - bits) & (1 << bits) - 1
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
