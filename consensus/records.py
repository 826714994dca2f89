"""What a replica writes to its write-ahead log before it speaks, and reads back after a crash.

A record is canonical `[kind, fields]`. The log's framing (length, CRC, chain of hashes) is the
driver's. Signatures inside are stored as they were; recovery runs them through the verifier again,
so a damaged record can at worst stop the node.

COMMIT needs no record: a prepared certificate determines it. CHECKPOINT needs none: the executed
header in LevelDB does, until that turns out wrong (`Diverged`). Signing is deterministic, so a vote
sent again is the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from consensus.messages import TRANSACTIONS_MAX, PreparedCertificate, prepared_from_value
from ledger import canonical, fields
from ledger.certificate import Certificate
from ledger.errors import FieldError
from ledger.types import Digest, Epoch, Height, Signature, View

KIND_PRE_PREPARED: Final = 1
KIND_PREPARED: Final = 2
KIND_VIEW_CHANGED: Final = 3
KIND_NEW_VIEW_TAKEN: Final = 4
KIND_HIGHEST: Final = 5
KIND_BODY: Final = 6
KIND_DIVERGED: Final = 7
KIND_RETIRED: Final = 8
KIND_CERTIFIED: Final = 9


@dataclass(frozen=True, slots=True)
class PrePrepared:
    """We proposed or prepared `digest` at (view, n); `signature` is the primary's PRE-PREPARE."""

    kind: ClassVar[int] = KIND_PRE_PREPARED
    epoch: Epoch
    view: View
    n: Height
    digest: Digest
    signature: Signature

    def to_value(self) -> list[canonical.Value]:
        return [self.epoch, self.view, self.n, self.digest, self.signature]


@dataclass(frozen=True, slots=True)
class Prepared:
    """We hold this prepared certificate, and may have sent its COMMIT."""

    kind: ClassVar[int] = KIND_PREPARED
    epoch: Epoch
    certificate: PreparedCertificate

    def to_value(self) -> list[canonical.Value]:
        return [self.epoch, self.certificate.to_value()]


@dataclass(frozen=True, slots=True)
class ViewChanged:
    """Our VIEW-CHANGE, as an encoded envelope: we left all lower views."""

    kind: ClassVar[int] = KIND_VIEW_CHANGED
    epoch: Epoch
    message: bytes

    def to_value(self) -> list[canonical.Value]:
        return [self.epoch, self.message]


@dataclass(frozen=True, slots=True)
class NewViewTaken:
    """The NEW-VIEW (encoded envelope) under which we vote: the pre-prepare of each of its O[n]."""

    kind: ClassVar[int] = KIND_NEW_VIEW_TAKEN
    epoch: Epoch
    message: bytes

    def to_value(self) -> list[canonical.Value]:
        return [self.epoch, self.message]


@dataclass(frozen=True, slots=True)
class Highest:
    """The highest (view, n) we voted at, kept when older segments are dropped."""

    kind: ClassVar[int] = KIND_HIGHEST
    epoch: Epoch
    view: View
    n: Height

    def to_value(self) -> list[canonical.Value]:
        return [self.epoch, self.view, self.n]


@dataclass(frozen=True, slots=True)
class BodyRecord:
    """A body we prepared, with the bytes of every transaction in its order."""

    kind: ClassVar[int] = KIND_BODY
    body: bytes
    transactions: tuple[bytes, ...]

    def to_value(self) -> list[canonical.Value]:
        return [self.body, list(self.transactions)]


@dataclass(frozen=True, slots=True)
class Diverged:
    """Our header for `n` is `own` and the certified one is `certified`: we halted.

    `certificate` proves `certified`: it is of `n`, or of a later block of the chain that names it.
    CHECKPOINTs up to `signed_to` may have been sent for headers that were wrong.
    """

    kind: ClassVar[int] = KIND_DIVERGED
    epoch: Epoch
    n: Height
    own: Digest
    certified: Digest
    signed_to: Height
    certificate: Certificate

    def to_value(self) -> list[canonical.Value]:
        certificate = self.certificate.to_value()
        return [self.epoch, self.n, self.own, self.certified, self.signed_to, certificate]


@dataclass(frozen=True, slots=True)
class Retired:
    """This log lacks votes of our key, noticed at height `n`: the key is silent for the epoch.

    What an observer writes afterwards (it takes part in no view, but knows them) would make the log
    look whole at the next start.
    """

    kind: ClassVar[int] = KIND_RETIRED
    epoch: Epoch
    n: Height
    reason: str

    def to_value(self) -> list[canonical.Value]:
        return [self.epoch, self.n, self.reason]


@dataclass(frozen=True, slots=True)
class Certified:
    """The Certificate that lets us vote beyond the window of the last one in this log.

    Certificates are saved without a sync. A power loss that took this one and left the votes it
    allowed would leave prepared heights that no VIEW-CHANGE can show.
    """

    kind: ClassVar[int] = KIND_CERTIFIED
    certificate: Certificate

    @property
    def epoch(self) -> Epoch:
        return self.certificate.epoch

    def to_value(self) -> list[canonical.Value]:
        return [self.epoch, self.certificate.to_value()]


VoteRecord: TypeAlias = (
    PrePrepared | Prepared | ViewChanged | NewViewTaken | Highest | Diverged | Retired | Certified
)
Record: TypeAlias = VoteRecord | BodyRecord


def encode(record: Record) -> bytes:
    return canonical.encode([record.kind, record.to_value()])


def decode(data: bytes) -> Record:
    """Read one record strictly. Raises `DecodingError` or `FieldError`."""
    outer = fields.array(canonical.decode(data), "record", 2)
    kind = fields.natural(outer[0], "record.kind")
    row = fields.array(outer[1], "record.fields")
    if kind == KIND_BODY:
        fields.array(row, "record", 2)
        items = fields.bounded(row[1], "record.transactions", TRANSACTIONS_MAX)
        return BodyRecord(
            fields.binary(row[0], "record.body"),
            tuple(fields.binary(item, "record.transaction") for item in items),
        )
    if kind not in _SIZES:
        raise FieldError("record.kind", "a known kind", kind)
    fields.array(row, "record", _SIZES[kind])
    epoch = Epoch(fields.natural(row[0], "record.epoch"))
    if kind == KIND_PREPARED:
        return Prepared(epoch, prepared_from_value(row[1]))
    if kind == KIND_VIEW_CHANGED:
        return ViewChanged(epoch, fields.binary(row[1], "record.message", size_max=_ENVELOPE_MAX))
    if kind == KIND_NEW_VIEW_TAKEN:
        return NewViewTaken(epoch, fields.binary(row[1], "record.message", size_max=_ENVELOPE_MAX))
    if kind == KIND_CERTIFIED:
        certificate = Certificate.from_value(row[1])
        if certificate.epoch != epoch:
            raise FieldError("record.epoch", f"{certificate.epoch}, the certificate's", epoch)
        return Certified(certificate)
    if kind == KIND_RETIRED:
        n = Height(fields.natural(row[1], "record.n"))
        return Retired(epoch, n, fields.text(row[2], "record.reason"))
    if kind == KIND_DIVERGED:
        return Diverged(
            epoch,
            Height(fields.natural(row[1], "record.n")),
            fields.digest(row[2], "record.own"),
            fields.digest(row[3], "record.certified"),
            Height(fields.natural(row[4], "record.signed_to")),
            Certificate.from_value(row[5]),
        )
    view = View(fields.natural(row[1], "record.view"))
    n = Height(fields.natural(row[2], "record.n"))
    if kind == KIND_HIGHEST:
        return Highest(epoch, view, n)
    digest = fields.digest(row[3], "record.digest")
    return PrePrepared(epoch, view, n, digest, fields.signature(row[4], "record.signature"))


_ENVELOPE_MAX: Final = 8 << 20
"""As `MESSAGE_BYTES_MAX`: whatever came over a link can be stored."""

_SIZES: Final = {
    KIND_PRE_PREPARED: 5,
    KIND_PREPARED: 2,
    KIND_VIEW_CHANGED: 2,
    KIND_NEW_VIEW_TAKEN: 2,
    KIND_HIGHEST: 3,
    KIND_DIVERGED: 6,
    KIND_RETIRED: 3,
    KIND_CERTIFIED: 2,
}
"""Fields of each kind but BODY."""
