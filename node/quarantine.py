"""What an operator does about a poison transaction, while the node is stopped: find it, sign that
it be taken out of its block, and put a quorum's signatures in force.

`sign` asks for more than an opinion: the next block is executed here once more, and only a
transaction that no worker survives is signed away, unless the operator overrules that (the machine
may be stronger than the others'). What it signs is a promise (`ledger.quarantine`), so it is never
given for a block that was executed: this node has signed its header, or is about to. It is written
down before the key is used, and from then on this node executes the block only without the
transaction, or with a Certificate that says otherwise.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from contracts.runner import ExecutionStopped
from ledger import execution, fields
from ledger.block import DecidedBlock
from ledger.block_files import BlockFiles
from ledger.errors import FieldError
from ledger.execution import QUARANTINED, CallRunner
from ledger.genesis import Genesis
from ledger.keys import SigningKey
from ledger.quarantine import QUARANTINES_MAX, Quarantine, QuarantineInvalid, Removal, Vote
from ledger.receipt import Receipt
from ledger.storage.folder import DiskFolder
from ledger.storage.leveldb import LevelDBStore
from ledger.store import LedgerStore
from ledger.transaction import SignedTransaction
from ledger.types import Digest, Epoch, Height, Signature
from node.errors import Refused
from node.home import Home
from node.rebuild import recorded_divergence

FORM: Final = "qiong-quarantine-1"
FILE_BYTES_MAX: Final = 16 << 10
"""A signature file takes 700 bytes."""


class QuarantineRefused(Refused):
    """Signing or applying it now would be wrong, or of no use; nothing was changed."""

    code = "quarantine_refused"

    def __init__(self, reason: str, hint: str) -> None:
        self.reason = reason
        self.hint = hint
        super().__init__(reason)


@contextmanager
def open_ledger(place: Home, genesis: Genesis) -> Iterator[LedgerStore]:
    """The ledger of a stopped node, nothing made anew. Raises `HomeInUse`, and as opening does."""
    with (
        place.lock(),
        contextlib.closing(BlockFiles(DiskFolder(place.blocks))) as blocks,
        contextlib.closing(LevelDBStore(place.ledger)) as kv,
    ):
        yield LedgerStore(genesis, kv, blocks)


# --- finding ---


def next_block(store: LedgerStore) -> DecidedBlock:
    """The block that execution stands at. Raises `QuarantineRefused` if there is none."""
    n = Height(store.executed_height + 1)
    if n > store.decided_height:
        raise QuarantineRefused(
            f"every decided block is executed here, up to block {store.executed_height}",
            "nothing keeps this node from going on: start it",
        )
    return store.decided_block(n).decode()


def find(store: LedgerStore, calls: CallRunner) -> list[SignedTransaction]:
    """The transactions of the next block that no worker survives; empty if it can be executed.

    Each is the first of what is left, found by halving; then it is left out, and so on.
    """
    block = next_block(store)
    out = set(_taken_out(store, block.n))
    found: list[SignedTransaction] = []
    while not _executes(store, calls, block, out):
        if len(found) == QUARANTINES_MAX:
            raise QuarantineRefused(
                f"more than {QUARANTINES_MAX} transactions of block {block.n} end every worker",
                "the software or the machine must be mended, not the block",
            )
        found.append(_first_fatal(store, calls, block, out))
        out.add(found[-1].id)
    return found


def _taken_out(store: LedgerStore, n: Height) -> AbstractSet[Digest]:
    return store.quarantined(n).keys() | store.promised(n)


def _executes(
    store: LedgerStore, calls: CallRunner, block: DecidedBlock, out: AbstractSet[Digest]
) -> bool:
    """Whether a worker survives the block without the transactions `out`; keeps nothing."""
    try:
        execution.execute(store.rules, store, block, calls, out)
    except ExecutionStopped:
        return False
    return True


def _first_fatal(
    store: LedgerStore, calls: CallRunner, block: DecidedBlock, out: AbstractSet[Digest]
) -> SignedTransaction:
    """The last of the shortest run of transactions from the block's start that ends a worker."""
    left = [signed for signed in block.transactions if signed.id not in out]
    survived, fatal = 0, len(left)
    while fatal - survived > 1:
        middle = (survived + fatal) // 2
        if _executes(store, calls, block, out | {signed.id for signed in left[middle:]}):
            survived = middle
        else:
            fatal = middle
    return left[survived]


# --- signing ---


def subject(store: LedgerStore, n: Height, tx_id: Digest) -> tuple[Removal, SignedTransaction]:
    """What signing would remove. Raises `QuarantineRefused` where it must not be signed."""
    if n <= store.executed_height:
        raise QuarantineRefused(
            f"this node has executed block {n} and may have signed its header: a signature that "
            "takes a transaction out would contradict it",
            "the others need a quorum without this node, or this node's result",
        )
    block = next_block(store)
    if n != block.n:
        raise QuarantineRefused(
            f"execution stands at block {block.n}, not at {n}",
            "a block can be judged only when all before it are executed",
        )
    found = [signed for signed in block.transactions if signed.id == tx_id]
    if not found:
        raise QuarantineRefused(
            f"block {n} has no transaction {tx_id.hex()}",
            "`qiong node quarantine find` names the one that ends every worker",
        )
    if tx_id in store.quarantined(n):
        raise QuarantineRefused(
            f"a quorum has taken {tx_id.hex()} out of block {n} already", "start the node"
        )
    return Removal(store.rules.epoch, n, block.d, tx_id), found[0]


def check_fatal(store: LedgerStore, calls: CallRunner, removal: Removal) -> None:
    """Raise `QuarantineRefused` unless this transaction ends every worker here and now."""
    block = next_block(store)
    out = set(_taken_out(store, block.n)) - {removal.tx_id}
    if _executes(store, calls, block, out):
        raise QuarantineRefused(
            f"block {removal.n} can be executed here as it is",
            "start the node; or overrule this with --force, if other validators cannot execute it "
            "and you agree to take the transaction out",
        )
    fatal = _first_fatal(store, calls, block, out)
    if fatal.id != removal.tx_id:
        raise QuarantineRefused(
            f"what ends every worker is transaction {fatal.id.hex()}, not {removal.tx_id.hex()}",
            "sign that one first, if you agree to take it out",
        )


def sign(store: LedgerStore, organisation: str, key: SigningKey, removal: Removal) -> Vote:
    """Promise, on disk, then sign."""
    store.promise(removal.n, removal.tx_id)
    return Vote(removal, organisation, key.sign(removal.signed_bytes(store.rules.chain_id)))


def encode_vote(vote: Vote, chain_id: Digest) -> str:
    """A signature as a file to be mailed: JSON, so that its reader sees what it says."""
    removal = vote.removal
    document = {
        "form": FORM,
        "chain_id": chain_id.hex(),
        "epoch": removal.epoch,
        "height": removal.n,
        "block": removal.d.hex(),
        "transaction": removal.tx_id.hex(),
        "organisation": vote.signer,
        "signature": vote.signature.hex(),
    }
    return json.dumps(document, indent=2) + "\n"


def decode_vote(data: bytes, chain_id: Digest) -> Vote:
    """Read what `encode_vote` gives. Raises `FieldError`, `QuarantineInvalid` for another chain."""
    if len(data) > FILE_BYTES_MAX:
        raise FieldError("file", f"at most {FILE_BYTES_MAX} bytes", len(data))
    try:
        row: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise FieldError("file", "a JSON document", data[:40]) from None
    if not isinstance(row, dict) or row.get("form") != FORM:
        raise FieldError("file.form", FORM, row.get("form") if isinstance(row, dict) else row)
    if _hexadecimal(row, "chain_id") != chain_id:
        raise QuarantineInvalid("the signature is of another chain")
    removal = Removal(
        Epoch(fields.natural(row.get("epoch"), "file.epoch")),
        Height(fields.natural(row.get("height"), "file.height")),
        fields.digest(_hexadecimal(row, "block"), "file.block"),
        fields.digest(_hexadecimal(row, "transaction"), "file.transaction"),
    )
    return Vote(
        removal,
        fields.text(row.get("organisation"), "file.organisation"),
        Signature(fields.signature(_hexadecimal(row, "signature"), "file.signature")),
    )


def _hexadecimal(row: dict[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(row[name])
    except (KeyError, TypeError, ValueError):
        raise FieldError(f"file.{name}", "hexadecimal digits", row.get(name)) from None


# --- applying ---


@dataclass(frozen=True, slots=True)
class Applied:
    """A quarantine now in force. `rebuild`: the node diverged for want of it, and the database is
    to be made anew with it."""

    record: Quarantine
    known: bool
    rebuild: bool


def apply(place: Home, store: LedgerStore, votes: Sequence[Vote]) -> Applied:
    """Verify a quorum's signatures and store them beside their block.

    Raises `QuarantineInvalid`, `QuarantineRefused`.
    """
    record = Quarantine.of(votes, store.rules.chain_id, store.genesis.validator_set)
    removal = record.removal
    n = removal.n
    if removal.epoch != store.rules.epoch:
        raise QuarantineInvalid(f"the signatures are of epoch {removal.epoch}")
    if n > store.decided_height:
        raise QuarantineRefused(
            f"block {n} is not here yet",
            "start the node: it fetches the block from the others, and the quarantine with it",
        )
    block = store.decided_block(n).decode()
    if block.d != removal.d:
        raise QuarantineInvalid(f"block {n} is {block.d.hex()} here, not {removal.d.hex()}")
    if all(signed.id != removal.tx_id for signed in block.transactions):
        raise QuarantineInvalid(f"block {n} has no transaction {removal.tx_id.hex()}")
    quarantined = store.quarantined(n)
    rebuild = _must_be_rebuilt(place, store, removal)
    if removal.tx_id in quarantined:
        return Applied(record, known=True, rebuild=rebuild)
    if len(quarantined) >= QUARANTINES_MAX:
        raise QuarantineRefused(
            f"{QUARANTINES_MAX} transactions were taken out of block {n} already",
            "the software must be mended, not the block",
        )
    store.quarantine(n, removal.tx_id, record.encode())
    return Applied(record, known=False, rebuild=rebuild)


def _must_be_rebuilt(place: Home, store: LedgerStore, removal: Removal) -> bool:
    """Whether the block was executed with the transaction, wrongly as a Certificate says.

    Raises `QuarantineRefused` where no Certificate says so.
    """
    n = removal.n
    if n > store.executed_height:
        return False
    receipts = [result.receipt for result in store.executed_results(n)]
    receipt = next((item for item in receipts if item.tx_id == removal.tx_id), None)
    if receipt is not None and receipt.code == QUARANTINED:
        return False
    outcome = "it was skipped" if receipt is None else _words(receipt)
    if n <= store.certified_height:
        raise QuarantineRefused(
            f"block {n} is certified with another outcome of that transaction: {outcome}",
            "a quorum executed it; keep the signature files, and compare with other validators",
        )
    diverged = recorded_divergence(place, store.certified_height)
    if diverged is None or diverged.n < n:
        raise QuarantineRefused(
            f"this node has executed block {n} ({outcome}) and may have signed its header",
            "start it and let it hear which header is certified; if `qiong node why` then says "
            "DIVERGED, follow its steps: the quarantine comes from the others",
        )
    return True


def _words(receipt: Receipt) -> str:
    return f"{receipt.status} {receipt.code}".rstrip()
