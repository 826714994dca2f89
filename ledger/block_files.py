"""The block files: what was decided, certified and quarantined; the only source of all three.

A segment log of records in the order they were learnt. A record is a kind byte, the height as 8
bytes big-endian, and the rest:

    decided      canonical [d, body bytes or nil (NULL), [transaction bytes...]]
    certificate  the certificate's bytes
    quarantine   canonical [transaction id, authorisation bytes]
    promise      the id of a transaction that this validator signed should be taken out

`decided` is synced before anything is executed; heights are decided one after another, each once.
A certificate needs no sync of its own: the next decided record's sync covers it, and a lost one is
made again by the peers. Opening reads every record and keeps a position per height in memory.

Left out: what follows from the blocks (`ledger.store`), and verifying certificates.
"""

from __future__ import annotations

import threading
from array import array
from dataclasses import dataclass
from typing import Final

from ledger import canonical, fields
from ledger.block import BODY_TRANSACTIONS_MAX, Body, DecidedBlock, null_digest
from ledger.certificate import Certificate
from ledger.errors import IntegrityError, InvalidInput
from ledger.hashing import sha256
from ledger.storage.errors import LogCorrupt
from ledger.storage.folder import Folder
from ledger.storage.segments import SEGMENT_BYTES, Record, SegmentLog
from ledger.transaction import TRANSACTION_BYTES_MAX, SignedTransaction
from ledger.types import Digest, Height

KIND_DECIDED: Final = 1
KIND_CERTIFICATE: Final = 2
KIND_QUARANTINE: Final = 3
KIND_PROMISE: Final = 4

BODY_BYTES_MAX: Final = 1 << 20
"""Longest encoded body: `BODY_TRANSACTIONS_MAX` digests of 34 bytes, and room."""

_HEAD: Final = 9
_NONE: Final = 0  # sequence numbers start at 1


class BlockMissing(InvalidInput):
    """No such height is kept here: not decided yet, or pruned."""

    code = "no_such_block"

    def __init__(self, n: int, first: int, last: int) -> None:
        self.n = n
        self.first = first
        self.last = last
        super().__init__(f"block {n} is not kept; blocks {first} to {last} are")


class DecidedTwice(IntegrityError):
    """Height `n` was decided before, and otherwise. More than f validators lied, or a bug."""

    code = "decided_twice"
    hint = "stop, and compare this node's blocks with the other validators'"

    def __init__(self, n: Height, stored: Digest, offered: Digest) -> None:
        self.n = n
        self.stored = stored
        self.offered = offered
        super().__init__(f"block {n}: stored {stored.hex()}, offered {offered.hex()}")


_REPAIR: Final = (
    "put the folder `blocks` of another validator, while that one is stopped, in the place of this "
    "one's, delete `ledger`, keep `wal`, and start again: all is executed anew and compared"
)


class BlockFilesDamaged(IntegrityError):
    """A file holds bytes that we did not write; block `last` and all before it were readable."""

    code = "block_files_damaged"
    hint = _REPAIR

    def __init__(self, last: Height, reason: str) -> None:
        self.last = last
        self.reason = reason
        super().__init__(f"the block files are damaged behind block {last}: {reason}")


class BlockDamaged(IntegrityError):
    """A stored block does not have the hashes it was decided under, or cannot be read."""

    code = "block_damaged"
    hint = _REPAIR

    def __init__(self, n: Height, reason: str) -> None:
        self.n = n
        self.reason = reason
        super().__init__(f"block {n}: {reason}")


class OutOfOrder(IntegrityError):
    """A decided height that does not follow the last one."""

    code = "out_of_order"

    def __init__(self, expected: int, got: int) -> None:
        self.expected = expected
        self.got = got
        super().__init__(f"expected block {expected}, got {got}")


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A decided block as bytes, just as it is served to peers; `body` is None for NULL."""

    n: Height
    d: Digest
    body: bytes | None
    transactions: tuple[bytes, ...]

    def encode(self) -> bytes:
        """What follows kind and height in its record."""
        return canonical.encode([self.d, self.body, list(self.transactions)])

    @classmethod
    def parse(cls, n: Height, content: bytes) -> StoredBlock:
        """What `encode` gave, its hashes unchecked. Raises `DecodingError`, `FieldError`."""
        row = fields.array(canonical.decode(content), "decided", 3)
        items = fields.bounded(row[2], "decided.transactions", BODY_TRANSACTIONS_MAX)
        return cls(
            n=n,
            d=fields.digest(row[0], "decided.d"),
            body=None
            if row[1] is None
            else fields.binary(row[1], "decided.body", size_max=BODY_BYTES_MAX),
            transactions=tuple(
                fields.binary(item, "decided.transaction", size_max=TRANSACTION_BYTES_MAX)
                for item in items
            ),
        )

    def decode(self) -> DecidedBlock:
        """The block with every hash checked against `d`. Raises `BlockDamaged`."""
        try:
            body = None if self.body is None else Body.decode(self.body)
            transactions = tuple(SignedTransaction.decode(raw) for raw in self.transactions)
        except InvalidInput as error:
            raise BlockDamaged(self.n, str(error)) from error
        digest = null_digest(self.n) if body is None else body.digest
        if digest != self.d:
            raise BlockDamaged(self.n, f"its body hashes to {digest.hex()}, not {self.d.hex()}")
        listed = () if body is None else body.transaction_digests
        if tuple(sha256(raw) for raw in self.transactions) != listed:
            raise BlockDamaged(self.n, "its transactions are not those its body lists")
        return DecidedBlock(self.n, self.d, body, transactions)


class BlockFiles:
    """The open block files. Every method may be called from any thread; appends take turns."""

    def __init__(self, folder: Folder, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Read every record, cut a torn tail.

        Raises `BlockFilesDamaged`, `OutOfOrder`, and `StoreLocked`, `StoreFailed` and the like.
        """
        self._appending = threading.Lock()
        self._index = _Index(0, array("Q"), array("Q"))
        self._quarantines: dict[int, list[int]] = {}
        self._promises: dict[int, list[int]] = {}
        self._certified = 0
        try:
            self._log = SegmentLog(folder, segment_bytes=segment_bytes, on_record=self._note_record)
        except LogCorrupt as damage:
            raise BlockFilesDamaged(self.last_height, str(damage)) from damage

    @property
    def first_height(self) -> Height:
        """The lowest height kept; 0 while there is none."""
        return Height(self._index.first)

    @property
    def last_height(self) -> Height:
        """The highest decided height; 0 while there is none."""
        return Height(self._index.last)

    @property
    def certified_height(self) -> Height:
        """The highest height with a certificate; 0 while there is none."""
        return Height(self._certified)

    @property
    def cut_bytes(self) -> int:
        """Bytes of an unfinished record that opening cut off."""
        return self._log.cut_bytes

    def append_decided(self, block: StoredBlock) -> None:
        """Store the next decided block and sync; the same block again changes nothing.

        Raises `OutOfOrder`, `DecidedTwice`, and storage errors, after which nothing more goes.
        """
        payload = _payload(KIND_DECIDED, block.n, block.encode())
        with self._appending:
            if self._index.position(block.n) is not None:
                stored = self.read(block.n)
                if stored.d != block.d:
                    raise DecidedTwice(block.n, stored.d, block.d)
                return
            if self.last_height and block.n != self.last_height + 1:
                raise OutOfOrder(self.last_height + 1, block.n)
            sequence = self._log.append([payload])
            self._log.sync()
            self._note(KIND_DECIDED, block.n, sequence)

    def append_certificate(self, certificate: Certificate) -> None:
        """Store `certificate`; safe after the next sync. A height keeps its first one."""
        payload = _payload(KIND_CERTIFICATE, certificate.n, certificate.encode())
        with self._appending:
            if self._certificate_sequence(certificate.n) == _NONE:
                sequence = self._log.append([payload])
                self._note(KIND_CERTIFICATE, certificate.n, sequence)

    def sync(self) -> None:
        """Return once every certificate appended so far survives power loss."""
        with self._appending:
            self._log.sync()

    def append_quarantine(self, n: Height, tx_id: Digest, authorisation: bytes) -> None:
        """Store and sync that a quorum took `tx_id` out of block `n`; the caller verified it.

        The same again changes nothing.
        """
        if tx_id not in self.quarantined(n):
            self._append_aside(KIND_QUARANTINE, n, canonical.encode([tx_id, authorisation]))

    def append_promise(self, n: Height, tx_id: Digest) -> None:
        """Store and sync that we sign no header of block `n` in which `tx_id` ran."""
        if tx_id not in self.promised(n):
            self._append_aside(KIND_PROMISE, n, tx_id)

    def read(self, n: Height) -> StoredBlock:
        """The block decided at `n`. Raises `BlockMissing`, `BlockDamaged`."""
        index = self._index
        position = index.position(n)
        if position is None:
            raise BlockMissing(n, index.first, index.last)
        content = self._content(index.decided[position], n)
        return StoredBlock.parse(n, content)

    def certificate(self, n: Height) -> Certificate | None:
        """The certificate of exactly `n`, or None. Raises `BlockDamaged`."""
        sequence = self._certificate_sequence(n)
        return None if sequence == _NONE else Certificate.decode(self._content(sequence, n))

    def certificate_from(self, n: Height) -> Certificate | None:
        """The certificate of the lowest height at or above `n` that has one, or None."""
        for height in range(max(n, self.first_height), self._certified + 1):
            if self._certificate_sequence(Height(height)) != _NONE:
                return self.certificate(Height(height))
        return None

    def place(self, n: Height) -> str:
        """Where block `n` is stored, in words. Raises `BlockMissing`."""
        index = self._index
        position = index.position(n)
        if position is None:
            raise BlockMissing(n, index.first, index.last)
        return self._log.place(index.decided[position])

    def certificate_place(self, n: Height) -> str | None:
        """Where the certificate of exactly `n` is stored, in words; None if there is none."""
        sequence = self._certificate_sequence(n)
        return None if sequence == _NONE else self._log.place(sequence)

    def quarantined(self, n: Height) -> dict[Digest, bytes]:
        """Transactions taken out of block `n`, each with its authorisation."""
        found: dict[Digest, bytes] = {}
        for sequence in self._quarantines.get(n, ()):
            tx_id, authorisation = parse_quarantine(self._content(sequence, n))
            found[tx_id] = authorisation
        return found

    def promised(self, n: Height) -> frozenset[Digest]:
        """Transactions of block `n` that this validator signed should be taken out."""
        sequences = self._promises.get(n, ())
        return frozenset(Digest(self._content(sequence, n)) for sequence in sequences)

    def drop_before(self, n: Height) -> None:
        """Delete whole segments that hold nothing of height `n` or above."""
        with self._appending:
            index = self._index
            position = index.position(n)
            if position is None:
                return
            # What is said of a block may stand before the block, where a peer told both.
            aside = [self._quarantines, self._promises]
            said = [min(item[h]) for item in aside for h in item if h >= n]
            self._log.drop_before(min([index.decided[position], *said]))
            first = self._log.first_sequence
            dropped = next(i for i, sequence in enumerate(index.decided) if sequence >= first)
            # One assignment: readers in other threads hold either index whole.
            self._index = _Index(
                index.first + dropped, index.decided[dropped:], index.certificates[dropped:]
            )

    def close(self) -> None:
        """Give up the folder."""
        self._log.close()

    def _append_aside(self, kind: int, n: Height, content: bytes) -> None:
        with self._appending:
            sequence = self._log.append([_payload(kind, n, content)])
            self._log.sync()
            self._note(kind, n, sequence)

    def _content(self, sequence: int, n: Height) -> bytes:
        try:
            return self._log.read(sequence)[_HEAD:]
        except KeyError:
            raise BlockMissing(n, self.first_height, self.last_height) from None
        except LogCorrupt as damage:
            raise BlockDamaged(n, str(damage)) from damage

    def _certificate_sequence(self, n: Height) -> int:
        index = self._index
        position = index.position(n)
        return _NONE if position is None else index.certificates[position]

    def _note_record(self, record: Record) -> None:
        kind, height, _ = split_record(record.payload)
        self._note(kind, height, record.sequence)

    def _note(self, kind: int, n: Height, sequence: int) -> None:
        index = self._index
        if kind == KIND_DECIDED:
            if not index.decided:
                index.first = n
            elif n != index.last + 1:
                raise OutOfOrder(index.last + 1, n)
            index.certificates.append(_NONE)
            index.decided.append(sequence)
        elif kind == KIND_CERTIFICATE:
            position = index.position(n)
            # One without its block belongs to a block of a dropped segment.
            if position is not None:
                index.certificates[position] = sequence
                self._certified = max(self._certified, n)
        elif kind == KIND_QUARANTINE:
            self._quarantines.setdefault(n, []).append(sequence)
        elif kind == KIND_PROMISE:
            self._promises.setdefault(n, []).append(sequence)
        else:
            raise BlockDamaged(n, f"a record of unknown kind {kind}")


@dataclass(slots=True)
class _Index:
    """Where in the log each height's records are: sequence numbers by height - `first`."""

    first: int
    decided: array[int]
    certificates: array[int]
    """`_NONE` for a height without one of its own."""

    @property
    def last(self) -> int:
        return self.first + len(self.decided) - 1 if self.decided else 0

    def position(self, n: int) -> int | None:
        position = n - self.first
        return position if 0 <= position < len(self.decided) else None


def split_record(payload: bytes) -> tuple[int, Height, bytes]:
    """Kind, height and content of a record of the block files."""
    return payload[0], Height(int.from_bytes(payload[1:_HEAD], "big")), payload[_HEAD:]


def parse_quarantine(content: bytes) -> tuple[Digest, bytes]:
    """Transaction and authorisation of a quarantine's record. Raises `FieldError` and its kin."""
    row = fields.array(canonical.decode(content), "quarantine", 2)
    authorisation = fields.binary(row[1], "quarantine.authorisation")
    return fields.digest(row[0], "quarantine.transaction"), authorisation


def _payload(kind: int, n: Height, content: bytes) -> bytes:
    return bytes([kind]) + n.to_bytes(8, "big") + content
