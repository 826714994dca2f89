"""The shapes of requests and answers, from which the OpenAPI schemas are made.

Bytes are hex in JSON and byte strings in msgpack; a contract's own values follow the same rule.
Times are UTC, as ISO 8601 text for people and in milliseconds for programs. Requests refuse fields
they do not know.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    RootModel,
    WithJsonSchema,
)

from ledger import canonical
from ledger.receipt import CallOutcome, Event
from ledger.receipt import Status as CallStatus

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def iso_time(time_ms: int) -> str:
    """UTC milliseconds as ISO 8601, e.g. ``2026-07-02T09:30:00.000Z``."""
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(value: canonical.Value) -> object:
    """`value` as JSON has it: byte strings in hex."""
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {name: plain(item) for name, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return value


def decoded(value: bytes | None) -> canonical.Value:
    """A stored value, None where there is none."""
    return None if value is None else canonical.decode(value)


def _from_hex(value: object) -> object:
    if isinstance(value, str):
        # bytes.fromhex skips white space, which has no place in a field.
        if not value.isascii() or not value.isalnum():
            raise ValueError("expected hexadecimal digits")
        return bytes.fromhex(value)
    return value


_HEX_SCHEMA: Final = {"type": "string", "pattern": "^([0-9a-f]{2})*$"}
Hex = Annotated[
    bytes,
    PlainSerializer(bytes.hex, return_type=str, when_used="json"),
    WithJsonSchema(_HEX_SCHEMA),
]
"""Bytes in an answer."""

HexInput = Annotated[bytes, BeforeValidator(_from_hex), WithJsonSchema(_HEX_SCHEMA)]
"""Bytes in a request: hex in JSON, a byte string in msgpack."""

Plain = Annotated[
    Any, PlainSerializer(plain, when_used="json"), WithJsonSchema({"description": "any value"})
]
"""A contract's own value."""


class Answer(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)


class Request(BaseModel):
    """Base of requests."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Peer(Answer):
    """Another validator as this one sees it."""

    organisation: str
    name: str
    connected: bool
    height: int
    last_seen: str | None
    behind: int | None
    view: int | None
    in_view_change: bool
    refused: int
    kept_out_seconds: float


class SuspectAnswer(Answer):
    """A validator that there is reason to distrust; `by` told this one, nobody where its own
    signatures prove it."""

    name: str
    organisation: str
    reason: str
    by: list[str]


class Status(Answer):
    """The node now; height and hash are the last certified block's.

    `view_changes` counts those begun since the start by reason, `failed_views` the views in a row
    that came to nothing; `missing` is the body that a decided block waits for. `first_height` is
    the first height that it answers for, above 0 once older ones were given up.
    """

    name: str
    organisation: str
    chain_id: Hex
    height: int
    header_hash: Hex
    time: str
    first_height: int
    executed: int
    epoch: int
    view: int
    primary: str
    in_view_change: bool
    view_changes: dict[str, int]
    failed_views: int
    peers: list[Peer]
    suspects: list[SuspectAnswer]
    evidence: int
    missing: Hex | None
    mempool_transactions: int
    mempool_bytes: int
    syncing: bool
    observer: str | None
    halted: str | None


class Health(Answer):
    """Whether the node works; `problems` say why not."""

    healthy: bool
    problems: list[str]
    height: int
    free_bytes: int


class Ready(Answer):
    """Whether clients should be sent here."""

    ready: bool
    reason: str


class ValidatorEntry(Answer):
    """One vote of the set."""

    organisation: str
    organisation_class: str = Field(serialization_alias="class")
    name: str
    key: Hex
    tls_certificate: Hex
    address: str


class Validators(Answer):
    """The set that votes on `height`."""

    height: int
    epoch: int
    quorum: int
    hash: Hex
    validators: list[ValidatorEntry]


class TrustedValidator(Answer):
    """One voter of the trust anchor."""

    organisation: str
    key: Hex


class Trust(Answer):
    """The document of `trust.json`. What a node says here alone is no trust."""

    chain_id: Hex
    epoch: int
    height: int
    header_hash: Hex
    validators: list[TrustedValidator]
    attestations: list[str]


class BlockSummary(Answer):
    """One block in a list."""

    height: int
    hash: Hex
    time: str
    time_ms: int
    transactions: int


class SnapshotSummary(Answer):
    """A snapshot; `id` is the SHA-256 of its manifest."""

    height: int
    header_hash: Hex
    state_root: Hex
    chunks: int
    id: Hex


class SnapshotList(Answer):
    """The snapshots that a node keeps, by height."""

    items: list[SnapshotSummary]


class BlockPage(Answer):
    """Blocks in ascending order; `cursor` is the `from` of the next page, null at the end."""

    items: list[BlockSummary]
    cursor: int | None


class HeaderPage(Answer):
    """Canonical bytes of headers in ascending order; `cursor` as in `BlockPage`."""

    items: list[Hex]
    cursor: int | None


class Block(BlockSummary):
    """A header's fields, the header's bytes, and the ids of its transactions in order."""

    chain_id: Hex
    epoch: int
    parent: Hex
    d: Hex
    tx_root: Hex
    receipts_root: Hex
    state_root: Hex
    history_root: Hex
    validators_hash: Hex
    next_validators_hash: Hex
    params_hash: Hex
    header: Hex
    transaction_ids: list[Hex]


class CertificateSignature(Answer):
    """One validator's CHECKPOINT signature."""

    organisation: str
    signature: Hex


class CertificateAnswer(Answer):
    """A quorum's signatures on one header; `certificate` holds its canonical bytes."""

    epoch: int
    height: int
    header_hash: Hex
    signatures: list[CertificateSignature]
    certificate: Hex


class TransactionInput(Request):
    """A signed transaction: its wire bytes."""

    transaction: HexInput


class Submitted(Answer):
    """What became of one submitted transaction: `http` as if it had come alone."""

    id: Hex | None
    http: int
    code: str
    detail: str = ""


class SubmittedList(RootModel[list[Submitted]]):
    """One item for each transaction, in order."""


TransactionState = Literal["committed", "failed", "accepted", "expired", "unknown"]


class Call(Answer):
    """One call's outcome."""

    status: CallStatus
    code: str
    gas: int
    result: Plain

    @classmethod
    def of(cls, call: CallOutcome) -> Call:
        return cls(status=call.status, code=call.code, gas=call.gas, result=call.result)


class EventAnswer(Answer):
    """What a contract emitted during call number `call_index`."""

    call_index: int
    contract: str
    name: str
    data: Plain

    @classmethod
    def of(cls, event: Event) -> EventAnswer:
        return cls(
            call_index=event.call_index, contract=event.contract, name=event.name, data=event.data
        )


class TransactionAnswer(Answer):
    """Where a transaction stands; from `committed` or `failed` on with its outcome.

    A transaction of independent calls is committed if any call succeeded.
    """

    id: Hex
    status: TransactionState
    height: int | None = None
    index: int | None = None
    time: str | None = None
    gas: int | None = None
    code: str | None = None
    calls: list[Call] = []
    events: list[EventAnswer] = []


class QueryInput(Request):
    """A call that changes nothing; `args` by position or by name."""

    method: str
    args: list[Any] | dict[str, Any] = []


class QueryAnswer(Answer):
    """What the method returned on the state after `height`."""

    height: int
    status: CallStatus
    code: str
    gas: int
    result: Plain


class StateAnswer(Answer):
    """What the state after `height` holds under a key."""

    contract: str
    key: str
    height: int
    present: bool
    value: Plain


class StateItem(Answer):
    """One entry."""

    key: str
    value: Plain


class KeyPage(Answer):
    """Entries in the order of their keys; `cursor` asks for the next page, null at the end."""

    items: list[StateItem]
    cursor: str | None
    height: int


class SearchItem(Answer):
    """An entry that was found, and the block that wrote it last."""

    key: str
    value: Plain
    changed_height: int


class SearchPage(Answer):
    """Entries in the order of their keys, as they were after block `height`, which the index has
    got to; the chain is certified up to `certified_height`. `cursor` asks for the next page, null
    at the end."""

    items: list[SearchItem]
    cursor: str | None
    height: int
    certified_height: int


class HistoryItem(Answer):
    """A change of a key: written (or deleted: `present` false) by block `height`."""

    height: int
    time: str
    present: bool
    value: Plain


class HistoryPage(Answer):
    """Changes of one key, newest first; `cursor` asks for older ones, null at the end."""

    items: list[HistoryItem]
    cursor: int | None


class ContractVersion(Answer):
    """A version of a contract, in force from block `from` on unless a later one is."""

    number: int
    from_height: int = Field(serialization_alias="from")
    source_hash: Hex
    dialect: int


class ContractChange(Answer):
    """One change of a contract: who made it, in which block, and why.

    Nobody made the first one of what genesis seeds. A new version has a number and starts at block
    `from`; a change of status has a reason, but for `unfrozen`.
    """

    number: int
    action: Literal["deployed", "upgraded", "frozen", "unfrozen", "retired"]
    height: int
    time: str
    organisation: str | None
    key: str | None
    reason: str | None
    version: int | None
    from_height: int | None = Field(serialization_alias="from")
    source_hash: Hex | None
    dialect: int | None


class ContractAnswer(Answer):
    """A deployed contract: the number of the version in force, this version and those planned, the
    newest of its `changes`, oldest first, and the source in force."""

    name: str
    height: int
    status: Literal["active", "frozen", "retired"]
    owner: str | None
    version: int
    versions: list[ContractVersion]
    changes: int
    history: list[ContractChange]
    source: str


class EntryAnswer(Answer):
    """An entry of the state; without a value it is absent."""

    contract: str
    key: str
    value: Plain


class ClaimAnswer(Answer):
    """What a proof claims of its header: `kind` is state, states (of many keys: `entries`),
    transaction, header or consistency (with the `earlier` height).

    A state claim without a value claims absence.
    """

    kind: Literal["state", "states", "transaction", "header", "consistency"]
    contract: str | None = None
    key: str | None = None
    value: Plain = None
    id: Hex | None = None
    status: CallStatus | None = None
    code: str | None = None
    entries: list[EntryAnswer] | None = None
    earlier: int | None = None


class ProofAnswer(Answer):
    """A proof for eyes; `proof` holds the bytes of the `.qproof` file, `size` counts them."""

    claim: ClaimAnswer
    height: int
    header_hash: Hex
    time: str
    size: int
    proof: Hex


class KeyInput(Request):
    """Names one entry of the state."""

    contract: str
    key: str


class KeyList(RootModel[list[KeyInput]]):
    """The entries to prove."""


class ProofInput(Request):
    """The bytes of a `.qproof` file."""

    proof: HexInput


class SubjectVerdict(Answer):
    """What this node thinks of one thing that a proof speaks of."""

    verdict: str
    subject: str
    claim: str
    height: int | None
    time: str | None
    reason: str


class VerdictAnswer(SubjectVerdict):
    """What this node thinks of a proof: the worst verdict, and in `each` all of them, one for each
    key of a proof of many, in the order of the file."""

    each: list[SubjectVerdict]


class EvidenceItem(Answer):
    """Two signed messages of one validator that contradict each other, as they stood on a link.

    `kind` is PBFT's name of both; a CHECKPOINT has no view, VIEW-CHANGE and NEW-VIEW no height.
    """

    organisation: str
    name: str
    kind: str
    epoch: int
    view: int | None
    height: int | None
    words: str
    first: Hex
    second: Hex


class EvidencePage(Answer):
    """Evidence that this node holds, oldest first; `cursor` asks for the next page.

    Messages are signed for `chain_id`; `qiong evidence verify` checks them offline.
    """

    chain_id: Hex
    items: list[EvidenceItem]
    cursor: int | None


class ProblemDocument(Answer):
    """RFC 9457."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
