"""What validators say to each other, and its bytes.

Signed messages are PBFT's (OSDI '99 §4) with SUSPECT and STATUS. On a link one is canonical
`[epoch, kind, signer, fields, signature]`; the signature covers
`ledger.certificate.message_bytes(chain_id, epoch, kind, fields)`. Messages that carry others
(VIEW-CHANGE, NEW-VIEW) carry their signatures too, so they prove themselves to anyone.

Unsigned messages are canonical `[kind, fields]`. They are questions, or data that verifies itself
(a block by its certificate, a body by its digest).

Decoding here checks form and bounds alone. An `Envelope` is therefore a claim; only
`consensus.verifier` turns one into a `Signed`, and only a `Signed` reaches the replica.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final, Generic, TypeAlias, TypeVar

from ledger import canonical, fields
from ledger.certificate import KIND_CHECKPOINT, Certificate, message_bytes
from ledger.errors import FieldError
from ledger.quarantine import QUARANTINE_BYTES_MAX, QUARANTINES_MAX
from ledger.types import Digest, Epoch, Height, Signature, View
from ledger.validators import VALIDATORS_MAX

KIND_PRE_PREPARE: Final = 1
KIND_PREPARE: Final = 2
KIND_COMMIT: Final = 3
KIND_VIEW_CHANGE: Final = 5
KIND_NEW_VIEW: Final = 6
KIND_SUSPECT: Final = 7
KIND_STATUS: Final = 8
KIND_FETCH_BLOCKS: Final = 16
KIND_BLOCKS: Final = 17
KIND_FETCH_BODY: Final = 18
KIND_BODY: Final = 19
KIND_FETCH_TRANSACTIONS: Final = 20
KIND_TRANSACTIONS: Final = 21
KIND_OWN_VOTE_QUERY: Final = 22
KIND_OWN_VOTE: Final = 23

WINDOW_MAX: Final = 64
"""Bound on W when decoding; genesis fixes the real one (4)."""

MESSAGE_BYTES_MAX: Final = 8 << 20
"""Longest frame on a peer link: a body of 4 MiB, its transactions' framing and room to spare."""

MESSAGE_VALUES_MAX: Final = 1 << 17
"""Values in one frame: twice those of 64 blocks of 1,000 transactions. Decoding costs at most some
20 MB, where 8 MiB of empty lists would cost a gigabyte."""

TRANSACTIONS_MAX: Final = 10_000
"""Transactions in one frame; genesis allows 1,000 to a body, a relay batch is smaller."""

BLOCKS_MAX: Final = 64
"""Blocks in one answer: enough to keep a link busy, little enough to hold in memory."""

OWN_VOTES_MAX: Final = 2
"""Votes in one OWN-VOTE: the highest by (view, n), and a CHECKPOINT, which has no view."""

# Reasons of a SUSPECT, for people and metrics; they all count alike.
REASON_TIMEOUT: Final = 1
REASON_EQUIVOCATION: Final = 2
REASON_CENSORSHIP: Final = 3
REASON_JOINED: Final = 4
REASON_MAX: Final = 4

Row: TypeAlias = list[canonical.Value]


@dataclass(frozen=True, slots=True)
class PrePrepare:
    """The primary of `view` proposes `digest` for height `n`. Its BODY frame goes just before."""

    kind: ClassVar[int] = KIND_PRE_PREPARE
    view: View
    n: Height
    digest: Digest

    def to_value(self) -> Row:
        return [self.view, self.n, self.digest]


@dataclass(frozen=True, slots=True)
class Prepare:
    """A backup took this proposal as its only one for (view, n)."""

    kind: ClassVar[int] = KIND_PREPARE
    view: View
    n: Height
    digest: Digest

    def to_value(self) -> Row:
        return [self.view, self.n, self.digest]


@dataclass(frozen=True, slots=True)
class Commit:
    """The signer holds a prepared certificate for (view, n, digest)."""

    kind: ClassVar[int] = KIND_COMMIT
    view: View
    n: Height
    digest: Digest

    def to_value(self) -> Row:
        return [self.view, self.n, self.digest]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The signer executed height `n` with this header. No view: results don't depend on one."""

    kind: ClassVar[int] = KIND_CHECKPOINT
    n: Height
    header_hash: Digest

    def to_value(self) -> Row:
        return [self.n, self.header_hash]


@dataclass(frozen=True, slots=True)
class PreparedCertificate:
    """Exactly q signers prepared `digest` at (view, n).

    The signature of `view`'s primary is its PRE-PREPARE's, the others' are PREPAREs'.
    """

    n: Height
    view: View
    digest: Digest
    signatures: tuple[tuple[str, Signature], ...]

    def to_value(self) -> Row:
        return [self.n, self.view, self.digest, [list(pair) for pair in self.signatures]]


@dataclass(frozen=True, slots=True)
class ViewChange:
    """The signer left every view below `view`; what it certified and what it prepared since.

    `certificate` proves header `stable_hash` of height `stable_n`; None for the epoch's first
    height, whose header everyone computes. `prepared` ascends in n.
    """

    kind: ClassVar[int] = KIND_VIEW_CHANGE
    view: View
    stable_n: Height
    stable_hash: Digest
    certificate: Certificate | None
    prepared: tuple[PreparedCertificate, ...]

    def to_value(self) -> Row:
        certificate = None if self.certificate is None else self.certificate.to_value()
        prepared: Row = [item.to_value() for item in self.prepared]
        return [self.view, self.stable_n, self.stable_hash, certificate, prepared]


@dataclass(frozen=True, slots=True)
class Proposal:
    """One O[n] of a NEW-VIEW; `signature` is the new primary's PRE-PREPARE for it."""

    n: Height
    digest: Digest
    signature: Signature


@dataclass(frozen=True, slots=True)
class NewView:
    """The primary of `view` shows a quorum of VIEW-CHANGEs and what follows from them."""

    kind: ClassVar[int] = KIND_NEW_VIEW
    view: View
    view_changes: tuple[Envelope[ViewChange], ...]
    proposals: tuple[Proposal, ...]

    def to_value(self) -> Row:
        changes: Row = [
            [change.signer, change.message.to_value(), change.signature]
            for change in self.view_changes
        ]
        proposals: Row = [[item.n, item.digest, item.signature] for item in self.proposals]
        return [self.view, changes, proposals]


@dataclass(frozen=True, slots=True)
class Suspect:
    """The signer, certified up to `h`, wants to leave `view` and every view below it."""

    kind: ClassVar[int] = KIND_SUSPECT
    view: View
    h: Height
    reason: int

    def to_value(self) -> Row:
        return [self.view, self.h, self.reason]


@dataclass(frozen=True, slots=True)
class Status:
    """Sent each tick: certified and executed heights, view, and a body the signer lacks."""

    kind: ClassVar[int] = KIND_STATUS
    h: Height
    executed: Height
    view: View
    in_view_change: bool
    missing: Digest | None

    def to_value(self) -> Row:
        return [self.h, self.executed, self.view, self.in_view_change, self.missing]


@dataclass(frozen=True, slots=True)
class FetchBlocks:
    """Asks for certified blocks from height `first` on, at most `BLOCKS_MAX`."""

    kind: ClassVar[int] = KIND_FETCH_BLOCKS
    first: Height

    def to_value(self) -> Row:
        return [self.first]


@dataclass(frozen=True, slots=True)
class BlockData:
    """One block as bytes; `body` is None for NULL, `certificate` where the sender kept one.

    `quarantines` prove what was taken out of it: executing it takes them.
    """

    header: bytes
    body: bytes | None
    transactions: tuple[bytes, ...]
    certificate: bytes | None
    quarantines: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Blocks:
    """The answer to `FetchBlocks(first)`: blocks of ascending height from there on without gaps;
    the last one has its certificate."""

    kind: ClassVar[int] = KIND_BLOCKS
    first: Height
    blocks: tuple[BlockData, ...]

    def to_value(self) -> Row:
        rows = [
            [
                item.header,
                item.body,
                list(item.transactions),
                item.certificate,
                list(item.quarantines),
            ]
            for item in self.blocks
        ]
        return [self.first, rows]


@dataclass(frozen=True, slots=True)
class FetchBody:
    """Asks for a body and the bytes of all its transactions, by the body's digest."""

    kind: ClassVar[int] = KIND_FETCH_BODY
    digest: Digest

    def to_value(self) -> Row:
        return [self.digest]


@dataclass(frozen=True, slots=True)
class BodyData:
    """A body's bytes and transactions, in its order where complete.

    Beside a PRE-PREPARE, transactions already relayed to that peer may be left out; the receiver
    matches by SHA-256 and fetches what it lacks.
    """

    kind: ClassVar[int] = KIND_BODY
    body: bytes
    transactions: tuple[bytes, ...]

    def to_value(self) -> Row:
        return [self.body, list(self.transactions)]


@dataclass(frozen=True, slots=True)
class FetchTransactions:
    """Asks for single transactions by the SHA-256 of their bytes."""

    kind: ClassVar[int] = KIND_FETCH_TRANSACTIONS
    digests: tuple[Digest, ...]

    def to_value(self) -> Row:
        return [list(self.digests)]


@dataclass(frozen=True, slots=True)
class Transactions:
    """Transactions as bytes: a relay, or the answer to `FetchTransactions`."""

    kind: ClassVar[int] = KIND_TRANSACTIONS
    transactions: tuple[bytes, ...]

    def to_value(self) -> Row:
        return [list(self.transactions)]


@dataclass(frozen=True, slots=True)
class OwnVoteQuery:
    """Asked at start: what is the highest message of mine that you have seen?"""

    kind: ClassVar[int] = KIND_OWN_VOTE_QUERY

    def to_value(self) -> Row:
        return []


@dataclass(frozen=True, slots=True)
class OwnVote:
    """The answer: what the asker signed, as encoded envelopes.

    Its highest vote and its highest CHECKPOINT, as far as the answerer holds them.
    """

    kind: ClassVar[int] = KIND_OWN_VOTE
    votes: tuple[bytes, ...]

    def to_value(self) -> Row:
        return [list(self.votes)]


SignedMessage: TypeAlias = (
    PrePrepare | Prepare | Commit | Checkpoint | ViewChange | NewView | Suspect | Status
)
Vote: TypeAlias = PrePrepare | Prepare | Commit
UnsignedMessage: TypeAlias = (
    FetchBlocks
    | Blocks
    | FetchBody
    | BodyData
    | FetchTransactions
    | Transactions
    | OwnVoteQuery
    | OwnVote
)

MessageT_co = TypeVar("MessageT_co", bound=SignedMessage, covariant=True)


@dataclass(frozen=True, slots=True)
class Envelope(Generic[MessageT_co]):
    """A message with its claimed signer and a signature that nobody has checked yet."""

    epoch: Epoch
    signer: str
    message: MessageT_co
    signature: Signature

    def encode(self) -> bytes:
        """The bytes on a link and in the write-ahead log."""
        message = self.message
        return canonical.encode(
            [self.epoch, message.kind, self.signer, message.to_value(), self.signature]
        )

    def signed_bytes(self, chain_id: Digest) -> bytes:
        """The bytes that `signature` covers."""
        return message_bytes(chain_id, self.epoch, self.message.kind, self.message.to_value())


def encode(message: Envelope[SignedMessage] | UnsignedMessage) -> bytes:
    """The bytes of a message on a link."""
    if isinstance(message, Envelope):
        return message.encode()
    return canonical.encode([message.kind, message.to_value()])


def decode(data: bytes) -> Envelope[SignedMessage] | UnsignedMessage:
    """Read one frame strictly: form and bounds, no signatures.

    Raises `DecodingError` or `FieldError`.
    """
    if len(data) > MESSAGE_BYTES_MAX:
        raise FieldError("message", f"at most {MESSAGE_BYTES_MAX} bytes", len(data))
    canonical.check_size(data, MESSAGE_VALUES_MAX)
    row = fields.array(canonical.decode(data), "message")
    if len(row) == 2:
        unsigned = _UNSIGNED.get(fields.natural(row[0], "message.kind"))
        if unsigned is None:
            raise FieldError("message.kind", "a known kind", row[0])
        return unsigned(fields.array(row[1], "message.fields"))
    fields.array(row, "message", 5)
    epoch = Epoch(fields.natural(row[0], "message.epoch"))
    kind = fields.natural(row[1], "message.kind")
    content = fields.array(row[3], "message.fields")
    reader = _SIGNED.get(kind)
    if reader is None:
        raise FieldError("message.kind", "a known kind", kind)
    return Envelope(
        epoch=epoch,
        signer=fields.text(row[2], "message.signer"),
        message=reader(content, epoch),
        signature=fields.signature(row[4], "message.signature"),
    )


def _view(value: object) -> View:
    return View(fields.natural(value, "view"))


def _height(value: object, name: str = "n") -> Height:
    return Height(fields.natural(value, name))


def _triple(row: Sequence[object]) -> tuple[View, Height, Digest]:
    fields.array(row, "vote", 3)
    return _view(row[0]), _height(row[1]), fields.digest(row[2], "digest")


def _pairs(value: object, name: str) -> tuple[tuple[str, Signature], ...]:
    """`[[organisation, signature]...]`, strictly ascending."""
    rows = [fields.array(item, name, 2) for item in fields.bounded(value, name, VALIDATORS_MAX)]
    pairs = tuple((fields.text(row[0], name), fields.signature(row[1], name)) for row in rows)
    fields.ascending([signer for signer, _ in pairs], name)
    return pairs


def _increasing(numbers: Sequence[int], name: str) -> None:
    if any(after <= before for before, after in pairwise(numbers)):
        raise FieldError(name, "strictly ascending heights", list(numbers))


def prepared_from_value(value: object) -> PreparedCertificate:
    """The prepared certificate of its canonical form; signatures unchecked."""
    row = fields.array(value, "prepared", 4)
    return PreparedCertificate(
        n=_height(row[0]),
        view=_view(row[1]),
        digest=fields.digest(row[2], "digest"),
        signatures=_pairs(row[3], "prepared.signers"),
    )


def _checkpoint(row: list[object], _epoch: Epoch) -> Checkpoint:
    fields.array(row, "checkpoint", 2)
    return Checkpoint(_height(row[0]), fields.digest(row[1], "header_hash"))


def _view_change(row: list[object], _epoch: Epoch) -> ViewChange:
    fields.array(row, "view_change", 5)
    prepared = tuple(
        prepared_from_value(item)
        for item in fields.bounded(row[4], "view_change.prepared", WINDOW_MAX)
    )
    _increasing([item.n for item in prepared], "view_change.prepared")
    return ViewChange(
        view=_view(row[0]),
        stable_n=_height(row[1], "stable_n"),
        stable_hash=fields.digest(row[2], "stable_hash"),
        certificate=None if row[3] is None else Certificate.from_value(row[3]),
        prepared=prepared,
    )


def _new_view(row: list[object], epoch: Epoch) -> NewView:
    fields.array(row, "new_view", 3)
    changes: list[Envelope[ViewChange]] = []
    for item in fields.bounded(row[1], "new_view.view_changes", VALIDATORS_MAX):
        part = fields.array(item, "new_view.view_change", 3)
        changes.append(
            Envelope(
                epoch=epoch,
                signer=fields.text(part[0], "new_view.signer"),
                message=_view_change(fields.array(part[1], "view_change"), epoch),
                signature=fields.signature(part[2], "new_view.signature"),
            )
        )
    fields.ascending([change.signer for change in changes], "new_view.signers")
    rows = [
        fields.array(item, "new_view.proposal", 3)
        for item in fields.bounded(row[2], "new_view.proposals", 2 * WINDOW_MAX)
    ]
    proposals = tuple(
        Proposal(_height(item[0]), fields.digest(item[1], "d"), fields.signature(item[2], "o"))
        for item in rows
    )
    _increasing([item.n for item in proposals], "new_view.proposals")
    return NewView(_view(row[0]), tuple(changes), proposals)


def _suspect(row: list[object], _epoch: Epoch) -> Suspect:
    fields.array(row, "suspect", 3)
    return Suspect(
        _view(row[0]), _height(row[1], "h"), fields.natural(row[2], "reason", REASON_MAX)
    )


def _status(row: list[object], _epoch: Epoch) -> Status:
    fields.array(row, "status", 5)
    return Status(
        h=_height(row[0], "h"),
        executed=_height(row[1], "executed"),
        view=_view(row[2]),
        in_view_change=fields.boolean(row[3], "in_view_change"),
        missing=None if row[4] is None else fields.digest(row[4], "missing"),
    )


def _blocks(row: list[object]) -> Blocks:
    first, rows = fields.array(row, "blocks", 2)
    blocks: list[BlockData] = []
    for item in fields.bounded(rows, "blocks.blocks", BLOCKS_MAX):
        part = fields.array(item, "block", 5)
        blocks.append(
            BlockData(
                header=fields.binary(part[0], "block.header"),
                body=_optional_bytes(part[1], "block.body"),
                transactions=_byte_strings(part[2], "block.transactions"),
                certificate=_optional_bytes(part[3], "block.certificate"),
                quarantines=tuple(
                    fields.binary(record, "block.quarantine", size_max=QUARANTINE_BYTES_MAX)
                    for record in fields.bounded(part[4], "block.quarantines", QUARANTINES_MAX)
                ),
            )
        )
    return Blocks(_height(first, "blocks.first"), tuple(blocks))


def _optional_bytes(value: object, name: str) -> bytes | None:
    return None if value is None else fields.binary(value, name)


def _byte_strings(value: object, name: str) -> tuple[bytes, ...]:
    return tuple(
        fields.binary(item, name) for item in fields.bounded(value, name, TRANSACTIONS_MAX)
    )


def _fetch_transactions(row: list[object]) -> FetchTransactions:
    fields.array(row, "fetch_transactions", 1)
    wanted = fields.bounded(row[0], "fetch_transactions", TRANSACTIONS_MAX)
    return FetchTransactions(tuple(fields.digest(item, "digest") for item in wanted))


def _body_data(row: list[object]) -> BodyData:
    fields.array(row, "body", 2)
    return BodyData(fields.binary(row[0], "body"), _byte_strings(row[1], "body.transactions"))


def _own_vote_query(row: list[object]) -> OwnVoteQuery:
    fields.array(row, "own_vote_query", 0)
    return OwnVoteQuery()


def _own_vote(row: list[object]) -> OwnVote:
    fields.array(row, "own_vote", 1)
    votes = fields.bounded(row[0], "own_vote.votes", OWN_VOTES_MAX)
    return OwnVote(tuple(fields.binary(item, "own_vote.vote") for item in votes))


_SIGNED: Final[dict[int, Callable[[list[object], Epoch], SignedMessage]]] = {
    KIND_PRE_PREPARE: lambda row, _: PrePrepare(*_triple(row)),
    KIND_PREPARE: lambda row, _: Prepare(*_triple(row)),
    KIND_COMMIT: lambda row, _: Commit(*_triple(row)),
    KIND_CHECKPOINT: _checkpoint,
    KIND_VIEW_CHANGE: _view_change,
    KIND_NEW_VIEW: _new_view,
    KIND_SUSPECT: _suspect,
    KIND_STATUS: _status,
}

_UNSIGNED: Final[dict[int, Callable[[list[object]], UnsignedMessage]]] = {
    KIND_FETCH_BLOCKS: lambda row: FetchBlocks(
        _height(fields.array(row, "fetch_blocks", 1)[0], "first")
    ),
    KIND_BLOCKS: _blocks,
    KIND_FETCH_BODY: lambda row: FetchBody(
        fields.digest(fields.array(row, "fetch_body", 1)[0], "digest")
    ),
    KIND_BODY: _body_data,
    KIND_FETCH_TRANSACTIONS: _fetch_transactions,
    KIND_TRANSACTIONS: lambda row: Transactions(
        _byte_strings(fields.array(row, "transactions", 1)[0], "transactions")
    ),
    KIND_OWN_VOTE_QUERY: _own_vote_query,
    KIND_OWN_VOTE: _own_vote,
}
