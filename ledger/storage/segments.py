"""An append-only log in segments, under both the block files and the write-ahead log of votes.

A segment is a header and records. Each record carries its length, CRCs, sequence number and the
SHA-256 of the record before it, so a lost, repeated, moved or altered record cannot pass:

    segment header  magic 8 | first sequence 8 | hash of the record before it 32 | CRC 4 | zero 4
    record          header CRC 4 | payload CRC 4 | payload length 8 | sequence 8 | synced 8
                    | previous hash 32 | payload, padded with zeros to a multiple of 8

All integers are big-endian, CRCs are CRC-32 (zlib), the payload CRC covers the padding, and the
hash covers header and padded payload. Sequence numbers start at 1; `synced` is the last one known
to be safe when the record was written. A segment file appears whole by
rename and the one before it is synced first, so only the last segment can end in an unfinished
record.

**Torn or damaged?** A crash may leave the unsynced tail short, or with sectors that read as zero
because the length, or a later sector, reached the disk first. That is cut. Anything else is damage
and raises `LogCorrupt`: it hit bytes that were once safe, and cutting there would forget votes that
were sent. So a bad record counts as torn only if the file ends inside it, or if one of its sectors
is all zero (the rule of etcd's `wal/decoder.go`, `isTornEntry`) and no later record says that it
had been synced.

After a failed sync the kernel may call pages clean that never reached the disk (fsyncgate, 2018),
and a restarted process would read its own lost records back from memory. So opening syncs the last
segment, drops it from the page cache, and only then reads it.

The chain of hashes is checked when the log is opened, CRC and sequence number at each read. Left
out: compression, and telling a log whose last synced records were cut off cleanly by another hand,
or whose disk lost the sector of a header, from one that ended there (looking for later headers in
what follows would believe bytes that a client chose); for votes, asking the peers at start does it.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

from ledger.hashing import ZERO_DIGEST, sha256
from ledger.storage.errors import LogCorrupt, StoreFailed
from ledger.storage.folder import Folder, ReadableFolder
from ledger.types import Digest

SEGMENT_BYTES: Final = 64 * 1024 * 1024
"""Where a new segment begins: pruning frees space in these units."""

RECORD_BYTES_MAX: Final = 64 * 1024 * 1024
"""Longest payload: far above the largest block, and still read in one piece."""

READ_BYTES: Final = 1024 * 1024
"""Bytes read at a time while scanning."""

SECTOR_BYTES: Final = 512
"""The least a disk writes as a whole."""

_SUFFIX: Final = ".log"
_MAGIC: Final = b"QIONGLG1"
_SEGMENT_HEADER: Final = struct.Struct(">8sQ32sII")
_RECORD_HEADER: Final = struct.Struct(">IIQQQ32s")
_AFTER_CRC: Final = struct.Struct(">IQQQ32s")


@dataclass(frozen=True, slots=True)
class Record:
    """One payload and its number in the log."""

    sequence: int
    payload: bytes


@dataclass(slots=True)
class _Segment:
    name: str
    first: int
    """Sequence number of its first record, whether written yet or not."""
    size: int
    offsets: array[int] = field(default_factory=lambda: array("Q"))

    @property
    def next(self) -> int:
        return self.first + len(self.offsets)


class _Torn(Exception):
    """The record at `offset` was never written whole."""

    def __init__(self, offset: int) -> None:
        self.offset = offset


class SegmentLog:
    """An open log. One thread appends; `read` and `records` may run in any thread."""

    def __init__(
        self,
        folder: Folder,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        on_record: Callable[[Record], None] | None = None,
    ) -> None:
        """Check every record in `folder`, showing each to `on_record`, and cut a torn tail.

        Owns `folder` from here on and closes it when opening fails. Raises `LogCorrupt` for
        damage, and what `folder` raises.
        """
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._failed: str | None = None
        self._segments: list[_Segment] = []
        self._last_hash = ZERO_DIGEST
        self._synced = 0
        self.cut_bytes = 0
        """Bytes of a torn tail that opening cut off."""
        try:
            self._load_all(on_record)
        except BaseException:
            folder.close()
            raise

    @property
    def first_sequence(self) -> int:
        """The first record still kept, or to come."""
        return self._segments[0].first

    @property
    def next_sequence(self) -> int:
        """The number the next record gets."""
        return self._segments[-1].next

    def append(self, payloads: Sequence[bytes]) -> int:
        """Write `payloads` as records and return the first one's sequence; safe after `sync`.

        Raises `StoreFull`, `StoreFailed`; the log is then of no further use.
        """
        self._check_usable()
        if self._segments[-1].size >= self._segment_bytes:
            self.roll()
        segment = self._segments[-1]
        first = segment.next
        parts: list[bytes] = []
        offsets: list[int] = []
        end = segment.size
        last_hash = self._last_hash
        for sequence, payload in enumerate(payloads, first):
            header, padded = _frame(sequence, payload, self._synced, last_hash)
            last_hash = sha256(header + padded)
            parts += (header, padded)
            offsets.append(end)
            end += len(header) + len(padded)
        with _Failing(self):
            self._folder.append(segment.name, b"".join(parts))
        self._last_hash = last_hash
        # Only now may readers in other threads find them.
        segment.size = end
        segment.offsets.extend(offsets)
        return first

    def roll(self) -> None:
        """Let the next record begin a segment. Raises as `append` does."""
        self.sync()
        if self._segments[-1].offsets:
            with _Failing(self):
                self._start_segment(self.next_sequence)

    def sync(self) -> None:
        """Return once everything appended survives power loss.

        Raises `StoreFull`, `StoreFailed`; the log is then of no further use, because what a failed
        sync left on disk is unknown.
        """
        self._check_usable()
        with _Failing(self):
            self._folder.sync(self._segments[-1].name)
        self._synced = self.next_sequence - 1

    def read(self, sequence: int) -> bytes:
        """Return the payload of record `sequence`. Raises `LogCorrupt`, KeyError if not kept."""
        segment = self._segment_of(sequence)
        offset = segment.offsets[sequence - segment.first]
        data = self._folder.read(segment.name, offset, _RECORD_HEADER.size)
        length = _check_header(data, sequence, None, segment.name, offset)
        payload = self._folder.read(segment.name, offset + _RECORD_HEADER.size, _padded(length))
        if len(payload) != _padded(length) or crc32(payload) != _payload_crc(data):
            raise LogCorrupt(segment.name, offset, f"record {sequence} fails its CRC")
        return payload[:length]

    def place(self, sequence: int) -> str:
        """Where record `sequence` is, in words. Raises KeyError if it is not kept."""
        segment = self._segment_of(sequence)
        return f"{segment.name} at byte {segment.offsets[sequence - segment.first]}"

    def records(self, start: int | None = None) -> Iterator[Record]:
        """Yield the records from sequence `start` (the first kept one, if None) in order."""
        sequence = self.first_sequence if start is None else start
        while sequence < self.next_sequence:
            yield Record(sequence, self.read(sequence))
            sequence += 1

    def drop_before(self, sequence: int) -> None:
        """Delete the segments that hold only records before `sequence`; never the last one."""
        self._check_usable()
        while len(self._segments) > 1 and self._segments[0].next <= sequence:
            with _Failing(self):
                self._folder.remove(self._segments[0].name)
            self._segments = self._segments[1:]

    def close(self) -> None:
        """Give up the folder. What was not synced may be lost."""
        self._failed = self._failed or "closed"
        self._folder.close()

    def _check_usable(self) -> None:
        if self._failed is not None:
            raise StoreFailed(self._segments[-1].name, f"no longer usable: {self._failed}")

    def _start_segment(self, first: int) -> None:
        name = f"{first:020d}{_SUFFIX}"
        body = struct.pack(">8sQ32s", _MAGIC, first, self._last_hash)
        self._folder.create(name, body + struct.pack(">II", crc32(body), 0))
        self._segments = [*self._segments, _Segment(name, first, _SEGMENT_HEADER.size)]

    def _segment_of(self, sequence: int) -> _Segment:
        segments = self._segments
        position = bisect_right(segments, sequence, key=lambda segment: segment.first) - 1
        if position < 0 or not segments[position].first <= sequence < segments[position].next:
            raise KeyError(sequence)
        return segments[position]

    def _load_all(self, on_record: Callable[[Record], None] | None) -> None:
        names = [name for name in self._folder.names() if name.endswith(_SUFFIX)]
        for name in names:
            self._load(name, last=name == names[-1], on_record=on_record)
        if not names:
            self._start_segment(1)
        self._synced = self.next_sequence - 1

    def _load(self, name: str, *, last: bool, on_record: Callable[[Record], None] | None) -> None:
        if last:
            self._folder.settle(name)
        data = self._folder.read(name, 0, _SEGMENT_HEADER.size)
        first, previous = _check_segment_header(data, name)
        if self._segments and (first, previous) != (self.next_sequence, self._last_hash):
            raise LogCorrupt(name, 0, f"does not continue {self._segments[-1].name}")
        self._last_hash = previous
        segment = _Segment(name, first, self._folder.size(name))
        self._segments.append(segment)
        scan = _Scan(self._folder, segment, previous)
        try:
            for offset, record in scan:
                segment.offsets.append(offset)
                if on_record is not None:
                    on_record(record)
        except _Torn as torn:
            if not last:
                raise LogCorrupt(name, torn.offset, "ends inside a record") from None
            self.cut_bytes = segment.size - torn.offset
            self._folder.truncate(name, torn.offset)
            segment.size = torn.offset
        self._last_hash = scan.last_hash


def read_records(folder: ReadableFolder) -> Iterator[tuple[str, Record]]:
    """Every whole record of a log in order, each with its place in words.

    Changes nothing, and another process may append to the log meanwhile: the end is where, at the
    moment of looking, no whole record follows. Raises `LogCorrupt`, `StoreFailed`.
    """
    names = [name for name in folder.names() if name.endswith(_SUFFIX)]
    expected: tuple[int, Digest] | None = None
    for name in names:
        first, previous = _check_segment_header(folder.read(name, 0, _SEGMENT_HEADER.size), name)
        if expected not in (None, (first, previous)):
            raise LogCorrupt(name, 0, "does not continue the segment before it")
        scan = _Scan(folder, _Segment(name, first, folder.size(name)), previous)
        following = first
        try:
            for offset, record in scan:
                yield f"{name} at byte {offset}", record
                following = record.sequence + 1
        except _Torn as torn:
            if name != names[-1]:
                raise LogCorrupt(name, torn.offset, "ends inside a record") from None
        expected = following, scan.last_hash


class _Failing:
    """Remembers that the log failed, so that nothing is asked of it again."""

    def __init__(self, log: SegmentLog) -> None:
        self._log = log

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._log._failed = str(error)


class _Scan:
    """Walks a segment from its first record, checking CRCs, numbers and the chain."""

    def __init__(self, folder: ReadableFolder, segment: _Segment, previous: Digest) -> None:
        self._folder = folder
        self._name = segment.name
        self._size = segment.size
        self._first = segment.first
        self._buffer = b""
        self._buffer_offset = 0
        self.last_hash = previous

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        offset = _SEGMENT_HEADER.size
        sequence = self._first
        while offset < self._size:
            header = self._bytes(offset, _RECORD_HEADER.size)
            if len(header) < _RECORD_HEADER.size:
                raise _Torn(offset)
            if crc32(header[4:]) != _header_crc(header) and _zero_sector(header, offset):
                raise _Torn(offset)
            length = _check_header(header, sequence, self.last_hash, self._name, offset)
            padded = self._payload(header, length, sequence, offset)
            self.last_hash = sha256(header + padded)
            yield offset, Record(sequence, padded[:length])
            offset += len(header) + len(padded)
            sequence += 1

    def _payload(self, header: bytes, length: int, sequence: int, offset: int) -> bytes:
        start = offset + len(header)
        padded = self._bytes(start, _padded(length))
        if len(padded) < _padded(length):
            raise _Torn(offset)
        if crc32(padded) != _payload_crc(header):
            if _zero_sector(padded, start) and not self._synced_later(
                sequence, start + len(padded)
            ):
                raise _Torn(offset)
            raise LogCorrupt(self._name, offset, "the payload fails its CRC")
        return padded

    def _bytes(self, offset: int, size: int) -> bytes:
        start = offset - self._buffer_offset
        if start + size > len(self._buffer):
            self._buffer = self._folder.read(self._name, offset, max(size, READ_BYTES))
            self._buffer_offset, start = offset, 0
        return self._buffer[start : start + size]

    def _synced_later(self, sequence: int, offset: int) -> bool:
        """Whether a record from `offset` on says that record `sequence` had been synced."""
        while len(header := self._bytes(offset, _RECORD_HEADER.size)) == _RECORD_HEADER.size:
            if crc32(header[4:]) != _header_crc(header):
                return False
            _, _, length, _, synced, _ = _RECORD_HEADER.unpack(header)
            if synced >= sequence:
                return True
            offset += len(header) + _padded(length)
        return False


def _frame(sequence: int, payload: bytes, synced: int, previous: Digest) -> tuple[bytes, bytes]:
    if not 0 < len(payload) <= RECORD_BYTES_MAX:
        raise ValueError(f"a record of {len(payload)} bytes")
    padded = payload + bytes(_padded(len(payload)) - len(payload))
    rest = _AFTER_CRC.pack(crc32(padded), len(payload), sequence, synced, previous)
    return crc32(rest).to_bytes(4, "big") + rest, padded


def _padded(length: int) -> int:
    return length + -length % 8


def _header_crc(header: bytes) -> int:
    return int.from_bytes(header[:4], "big")


def _payload_crc(header: bytes) -> int:
    return int.from_bytes(header[4:8], "big")


def _check_header(
    header: bytes, sequence: int, previous: Digest | None, name: str, offset: int
) -> int:
    """Return the payload's length. Raises `LogCorrupt`."""
    if len(header) != _RECORD_HEADER.size or crc32(header[4:]) != _header_crc(header):
        raise LogCorrupt(name, offset, "the record's header fails its CRC")
    _, _, length, found, _, found_previous = _RECORD_HEADER.unpack(header)
    if found != sequence:
        raise LogCorrupt(name, offset, f"expected record {sequence}, found {found}")
    if previous is not None and found_previous != previous:
        raise LogCorrupt(name, offset, f"record {sequence} does not follow the one before it")
    if not 0 < length <= RECORD_BYTES_MAX:
        raise LogCorrupt(name, offset, f"a record of {length} bytes")
    return int(length)


def _check_segment_header(data: bytes, name: str) -> tuple[int, Digest]:
    if len(data) != _SEGMENT_HEADER.size:
        raise LogCorrupt(name, 0, "shorter than a segment header")
    magic, first, previous, crc, zero = _SEGMENT_HEADER.unpack(data)
    if magic != _MAGIC or zero != 0 or crc32(data[:-8]) != crc:
        raise LogCorrupt(name, 0, "the segment header fails its CRC")
    if name != f"{first:020d}{_SUFFIX}":
        raise LogCorrupt(name, 0, f"holds the records from {first} on, by its header")
    return int(first), Digest(previous)


def _zero_sector(data: bytes, offset: int) -> bool:
    """Whether a disk sector's share of `data`, which lies at `offset` of its file, is all zero."""
    position = 0
    while position < len(data):
        end = position + SECTOR_BYTES - (offset + position) % SECTOR_BYTES
        if not data[position:end].strip(b"\x00"):
            return True
        position = end
    return False
