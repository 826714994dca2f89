"""What differs between a block as one node executed it and the block that a quorum certified.

The certified side comes from any other node and is not believed: its header must be the one that
the Certificate signs, or lead to it from parent to parent, and its receipts must hash to that
header's root. Our own side is what our node says of itself, which is the thing to be explained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Final

from cli.client import MSGPACK, Answer, Client, path
from cli.errors import NotProven
from ledger import canonical, merkle
from ledger.block import BlockHeader
from ledger.certificate import CertificateInvalid
from ledger.errors import QiongError
from ledger.receipt import CallOutcome, Receipt
from ledger.types import Digest, Gas
from ledger.validators import ValidatorSet
from node.standing import Divergence

CHAIN_MAX: Final = 64
"""Longest way from the header to its Certificate: consensus takes that many blocks at a time."""

CAUSES: Final = (
    ("chain_id", "the chain: this node follows another one"),
    ("epoch", "the epoch"),
    ("parent", "an earlier block"),
    ("d", "the body: this node decided other transactions than were certified"),
    ("params_hash", "the network's parameters"),
    ("validators_hash", "the validators"),
    ("next_validators_hash", "the validators"),
    ("tx_root", "the choice of transactions that were executed"),
    ("receipts_root", "the receipts: a transaction had another outcome here"),
    ("state_root", "the state alone: every receipt is the same"),
    ("history_root", "the history of headers alone"),
    ("time_ms", "the time"),
)
"""The first field that differs names the cause; the rest follow from it."""


@dataclass(frozen=True)
class Side:
    """A block as one side has it; `receipts` are their bytes, in order."""

    header: BlockHeader
    receipts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A field of the header; bytes are hex."""

    name: str
    own: str
    certified: str


@dataclass(frozen=True, slots=True)
class CallDifference:
    """A call with two outcomes; None where a side has no such call."""

    index: int
    own: CallOutcome | None
    certified: CallOutcome | None


@dataclass(frozen=True, slots=True)
class ReceiptDifference:
    """The first receipt that differs; None where a side has none at `index`."""

    index: int
    own: Receipt | None
    certified: Receipt | None

    @property
    def transaction(self) -> Digest:
        receipt = self.certified or self.own
        assert receipt is not None
        return receipt.tx_id


@dataclass(frozen=True)
class Comparison:
    """`cause` says in words what differs first."""

    fields: tuple[FieldDifference, ...]
    cause: str
    receipt: ReceiptDifference | None


def compare(own: Side, certified: Side) -> Comparison:
    """Field by field, then receipt by receipt."""
    names = [item.name for item in fields(BlockHeader)]
    differing = [name for name in names if _text(own, name) != _text(certified, name)]
    cause = next((words for name, words in CAUSES if name in differing), "nothing")
    return Comparison(
        tuple(
            FieldDifference(name, _text(own, name), _text(certified, name)) for name in differing
        ),
        cause,
        _first_receipt(own.receipts, certified.receipts),
    )


def _text(side: Side, name: str) -> str:
    value = getattr(side.header, name)
    return value.hex() if isinstance(value, bytes) else str(value)


def _first_receipt(own: Sequence[bytes], certified: Sequence[bytes]) -> ReceiptDifference | None:
    for index in range(max(len(own), len(certified))):
        pair = [leaves[index] if index < len(leaves) else None for leaves in (own, certified)]
        if pair[0] != pair[1]:
            ours, theirs = (None if leaf is None else Receipt.decode(leaf) for leaf in pair)
            return ReceiptDifference(index, ours, theirs)
    return None


def first_call(
    own: Sequence[CallOutcome], certified: Sequence[CallOutcome]
) -> CallDifference | None:
    """The first call whose outcome differs."""
    for index in range(max(len(own), len(certified))):
        ours = own[index] if index < len(own) else None
        theirs = certified[index] if index < len(certified) else None
        if ours != theirs:
            return CallDifference(index, ours, theirs)
    return None


# --- from other nodes, checked ---


def certified_side(
    client: Client, divergence: Divergence, chain_id: Digest, validators: ValidatorSet
) -> Side:
    """The certified block as `client`'s node has it.

    Raises `NotProven` if it is not what the Certificate proves, and what `Client.get` raises.
    """
    node, certificate = client.nodes[0], divergence.certificate
    try:
        certificate.verify(chain_id, validators)
    except CertificateInvalid as error:
        raise NotProven(f"the Certificate that halted this node does not verify: {error}") from None
    answer = client.get(path("v1", "blocks", str(divergence.height), "receipts"))
    side = read_side(answer)
    headers = [side.header]
    steps = certificate.n - divergence.height
    if not 0 <= steps <= CHAIN_MAX:
        raise NotProven(f"the Certificate is {steps} blocks away from the header")
    for n in range(divergence.height + 1, certificate.n + 1):
        document = _document(client.get(path("v1", "blocks", str(n))))
        headers.append(_header(node, document))
    linked = all(later.parent == earlier.hash for earlier, later in pairwise(headers))
    if (
        side.header.hash != divergence.certified
        or headers[-1].hash != certificate.header_hash
        or not linked
    ):
        raise NotProven(f"{node} served another block {divergence.height} than the certified one")
    return side


def read_side(answer: Answer) -> Side:
    """A header and the receipts that hash to its root. Raises `NotProven`."""
    document = _document(answer)
    header = _header(answer.node, document)
    try:
        receipts = tuple(bytes.fromhex(item["receipt"]) for item in document["receipts"])
    except (KeyError, TypeError, ValueError):
        raise NotProven(f"{answer.node} gave no receipts") from None
    if merkle.root(receipts) != header.receipts_root:
        raise NotProven(f"{answer.node} gave receipts that are not those of its header")
    return Side(header, receipts)


def certified_calls(client: Client, receipt: Receipt) -> list[CallOutcome]:
    """The calls that `receipt` summarises. Raises `NotProven`, and what `Client.get` raises."""
    answer = client.get(path("v1", "transactions", receipt.tx_id.hex()), accept=MSGPACK)
    calls = read_calls(answer)
    if merkle.root(call.leaf(index) for index, call in enumerate(calls)) != receipt.calls_root:
        raise NotProven(f"{answer.node} gave calls that are not those of the certified receipt")
    return calls


def read_calls(answer: Answer) -> list[CallOutcome]:
    """The calls in a msgpack answer, unchecked. Raises `NotProven` for the form."""
    try:
        document: Any = canonical.decode(answer.body)
        return [
            CallOutcome(row["status"], row["code"], Gas(row["gas"]), row["result"])
            for row in document["calls"]
        ]
    except (QiongError, KeyError, TypeError):
        raise NotProven(f"{answer.node} gave no calls") from None


def _document(answer: Answer) -> dict[str, Any]:
    document = answer.json()
    if not isinstance(document, dict):
        raise NotProven(f"{answer.node} gave no object")
    return document


def _header(node: str, document: dict[str, Any]) -> BlockHeader:
    try:
        return BlockHeader.decode(bytes.fromhex(document["header"]))
    except (QiongError, KeyError, TypeError, ValueError) as error:
        raise NotProven(f"{node} gave no header: {error}") from None
