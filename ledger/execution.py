"""From a decided body to a header: the one path by which a block gets its result.

`execute` reads the chain below the block, lets a `CallRunner` run the transactions' calls, and
returns an `Executed` value. It commits nothing, and for the same chain and body it returns the same
bytes on every machine; live execution, replay, `db rebuild`, dry runs and contract tests all call
it. What it fixes:

- time: `max(parent + 1, timestamp_ms)` of the body; parent + 1 for NULL;
- which transactions run: a transaction is skipped, without a leaf, if its id was executed before or
  stands earlier in the body, and unless time <= valid_until <= time + lifetime;
- receipts, their roots, the merged writes, the state root and the header.

Left out: running calls (`contracts` does), storing (`ledger.store`), and signatures of
transactions, which were checked before anyone prepared the body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from ledger import canonical, merkle
from ledger.block import BlockHeader, DecidedBlock
from ledger.errors import IntegrityError
from ledger.genesis import Genesis
from ledger.hashing import ZERO_DIGEST
from ledger.receipt import CallOutcome, Receipt, TransactionOutcome
from ledger.transaction import SignedTransaction, Transaction
from ledger.types import Digest, Epoch, Gas, Height, TimeMs

StateKey: TypeAlias = tuple[str, str]
"""(contract, key)."""

Writes: TypeAlias = Mapping[StateKey, bytes | None]
"""Canonical value bytes per key; None deletes."""

QUARANTINED: Final = "QUARANTINED"
"""Code of a transaction that a quorum took out by a quarantine record."""


class StateView(Protocol):
    """The contracts' state at one point of the chain."""

    def get(self, contract: str, key: str) -> bytes | None:
        """The canonical bytes of the value at (contract, key), or None."""
        ...

    def keys(self, contract: str, prefix: str, limit: int) -> list[str]:
        """At most `limit` keys of `contract` that start with `prefix`, in UTF-8 byte order."""
        ...


@dataclass(frozen=True, slots=True)
class BlockContext:
    """What calls may know of the block they run in."""

    chain_id: Digest
    height: Height
    time_ms: TimeMs


class CallRunner(Protocol):
    """Runs contract code. Deterministic: the same arguments give the same outcomes everywhere."""

    def run(
        self, context: BlockContext, transactions: Sequence[Transaction], state: StateView
    ) -> Sequence[TransactionOutcome]:
        """Run `transactions` in order, each on the state the ones before it left.

        One outcome a transaction, in order. Raises (whatever it likes) if it cannot tell what the
        outcome is; then nothing of the block happens.
        """
        ...


class StateChange(Protocol):
    """What writes do to the state tree, worked out but not applied."""

    @property
    def root(self) -> Digest:
        """Root of the tree with the writes applied."""
        ...


class Chain(Protocol):
    """What execution needs of the chain below the block, i.e. after its parent."""

    @property
    def head(self) -> BlockHeader:
        """The parent."""
        ...

    @property
    def history_root(self) -> Digest:
        """RFC 9162 root over the hashes of all headers up to and with the parent."""
        ...

    @property
    def state(self) -> StateView: ...

    def was_executed(self, tx_id: Digest) -> bool:
        """Whether an unexpired transaction with this id is in the chain."""
        ...

    def change_state(self, writes: Writes) -> StateChange:
        """Work out the state tree with `writes` applied; applies nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
    """What genesis (later: the epoch) fixes for a block. Times in milliseconds."""

    chain_id: Digest
    epoch: Epoch
    validators_hash: Digest
    next_validators_hash: Digest
    params_hash: Digest
    transaction_lifetime_ms: int

    @classmethod
    def of(cls, genesis: Genesis) -> Rules:
        """The rules of epoch 0, which ends when sets can change; until then there is one set."""
        validators_hash = genesis.validator_set.hash
        return cls(
            chain_id=genesis.chain_id,
            epoch=Epoch(0),
            validators_hash=validators_hash,
            next_validators_hash=validators_hash,
            params_hash=genesis.parameters.hash,
            transaction_lifetime_ms=genesis.parameters.transaction_lifetime_ms,
        )


@dataclass(frozen=True, slots=True)
class ExecutedTransaction:
    """A transaction that has a leaf, with its receipt and what the receipt summarises."""

    transaction: SignedTransaction
    body_index: int
    """Its place in the body, counting skipped ones; `receipt.index` does not count them."""
    outcome: TransactionOutcome
    receipt: Receipt
    leaf: bytes
    """The receipt's bytes, its leaf under `receipts_root`."""
    call_leaves: tuple[bytes, ...]
    event_leaves: tuple[bytes, ...]


@dataclass(frozen=True)
class Executed:
    """The result of a block: everything to be committed, nothing committed yet.

    `writes` holds only what changed, `undo` the values before, for the same keys in the same order.
    """

    block: DecidedBlock
    header: BlockHeader
    transactions: tuple[ExecutedTransaction, ...]
    writes: Mapping[StateKey, bytes | None]
    undo: Mapping[StateKey, bytes | None]
    change: StateChange

    @property
    def height(self) -> Height:
        return self.header.n


class RunnerFault(IntegrityError):
    """A `CallRunner` gave outcomes that do not belong to the transactions it was given."""

    code = "runner_fault"

    def __init__(self, height: Height, reason: str) -> None:
        self.height = height
        self.reason = reason
        super().__init__(f"block {height}: {reason}")


class WrongHeight(IntegrityError):
    """A block was given to execution out of order."""

    code = "wrong_height"

    def __init__(self, expected: Height, got: Height) -> None:
        self.expected = expected
        self.got = got
        super().__init__(f"expected block {expected}, got {got}")


def execute(
    rules: Rules,
    chain: Chain,
    block: DecidedBlock,
    calls: CallRunner,
    quarantined: AbstractSet[Digest] = frozenset(),
) -> Executed:
    """Execute `block` on top of `chain` and return the result.

    `quarantined` names transactions of this block that a quorum took out; they get a receipt and
    run no code. Raises `WrongHeight`, `RunnerFault`, and what `calls` raises.
    """
    parent = chain.head
    if block.n != parent.n + 1:
        raise WrongHeight(Height(parent.n + 1), block.n)
    time_ms = block_time(parent, block)
    chosen = _choose(rules, chain, block, time_ms)
    context = BlockContext(rules.chain_id, block.n, time_ms)
    outcomes = run_calls(context, [signed for _, signed in chosen], chain.state, calls, quarantined)
    executed = tuple(
        with_receipt(index, body_index, signed, outcome)
        for index, ((body_index, signed), outcome) in enumerate(zip(chosen, outcomes, strict=True))
    )
    writes, undo = _merge(outcomes, chain.state)
    change = chain.change_state(writes)
    header = BlockHeader(
        chain_id=rules.chain_id,
        epoch=rules.epoch,
        n=block.n,
        parent=parent.hash,
        d=block.d,
        time_ms=time_ms,
        tx_count=len(executed),
        tx_root=merkle.root(entry.receipt.tx_id for entry in executed),
        receipts_root=merkle.root(entry.leaf for entry in executed),
        state_root=change.root,
        history_root=chain.history_root,
        validators_hash=rules.validators_hash,
        next_validators_hash=rules.next_validators_hash,
        params_hash=rules.params_hash,
    )
    return Executed(block, header, executed, writes, undo, change)


def genesis_header(genesis: Genesis, state_root: Digest) -> BlockHeader:
    """Header 0: what everyone computes from genesis, so that it needs no certificate.

    Its `d` and its `parent` are the chain id and zeros: nothing was decided and nothing precedes.
    """
    rules = Rules.of(genesis)
    return BlockHeader(
        chain_id=rules.chain_id,
        epoch=rules.epoch,
        n=Height(0),
        parent=ZERO_DIGEST,
        d=rules.chain_id,
        time_ms=genesis.created_ms,
        tx_count=0,
        tx_root=merkle.EMPTY_ROOT,
        receipts_root=merkle.EMPTY_ROOT,
        state_root=state_root,
        history_root=merkle.EMPTY_ROOT,
        validators_hash=rules.validators_hash,
        next_validators_hash=rules.next_validators_hash,
        params_hash=rules.params_hash,
    )


def genesis_writes(genesis: Genesis) -> dict[StateKey, bytes]:
    """The initial state as canonical value bytes."""
    return {(contract, key): canonical.encode(value) for contract, key, value in genesis.state}


def block_time(parent: BlockHeader, block: DecidedBlock) -> TimeMs:
    """The time of `block`: its proposer's clock, but always later than the parent's time."""
    least = parent.time_ms + 1
    return TimeMs(least if block.body is None else max(least, block.body.timestamp_ms))


def run_calls(
    context: BlockContext,
    transactions: Sequence[SignedTransaction],
    state: StateView,
    calls: CallRunner,
    quarantined: AbstractSet[Digest],
) -> list[TransactionOutcome]:
    """The outcomes of the `transactions` that have a leaf in the block of `context`, in order.

    Raises `RunnerFault`, and what `calls` raises.
    """
    runnable = [signed.transaction for signed in transactions if signed.id not in quarantined]
    ran = calls.run(context, runnable, state) if runnable else []
    if len(ran) != len(runnable):
        raise RunnerFault(context.height, f"{len(ran)} outcomes of {len(runnable)} transactions")
    for transaction, outcome in zip(runnable, ran, strict=True):
        if len(outcome.calls) != len(transaction.calls):
            raise RunnerFault(
                context.height,
                f"{len(outcome.calls)} outcomes of {len(transaction.calls)} calls"
                f" in {transaction.id.hex()}",
            )
    remaining = iter(ran)
    return [
        _quarantine(signed.transaction) if signed.id in quarantined else next(remaining)
        for signed in transactions
    ]


def with_receipt(
    index: int, body_index: int, signed: SignedTransaction, outcome: TransactionOutcome
) -> ExecutedTransaction:
    """What a transaction's outcome makes of it, as number `index` of its block."""
    call_leaves = tuple(call.leaf(i) for i, call in enumerate(outcome.calls))
    event_leaves = tuple(event.leaf() for event in outcome.events)
    receipt = Receipt(
        tx_id=signed.id,
        index=index,
        status=outcome.status,
        code=outcome.code,
        gas=outcome.gas,
        calls_root=merkle.root(call_leaves),
        events_root=merkle.root(event_leaves),
    )
    return ExecutedTransaction(
        transaction=signed,
        body_index=body_index,
        outcome=outcome,
        receipt=receipt,
        leaf=receipt.encode(),
        call_leaves=call_leaves,
        event_leaves=event_leaves,
    )


def _choose(
    rules: Rules, chain: Chain, block: DecidedBlock, time_ms: TimeMs
) -> list[tuple[int, SignedTransaction]]:
    """The transactions that get a leaf, each with its place in the body."""
    latest = time_ms + rules.transaction_lifetime_ms
    chosen: dict[Digest, tuple[int, SignedTransaction]] = {}
    for body_index, signed in enumerate(block.transactions):
        valid_until = signed.transaction.valid_until_ms
        if not time_ms <= valid_until <= latest:
            continue
        if signed.id in chosen or chain.was_executed(signed.id):
            continue
        chosen[signed.id] = (body_index, signed)
    return list(chosen.values())


def _quarantine(transaction: Transaction) -> TransactionOutcome:
    refused = CallOutcome("rejected", QUARANTINED, Gas(0))
    return TransactionOutcome("rejected", QUARANTINED, Gas(0), (refused,) * len(transaction.calls))


def _merge(
    outcomes: Sequence[TransactionOutcome], state: StateView
) -> tuple[dict[StateKey, bytes | None], dict[StateKey, bytes | None]]:
    """The block's net writes and the values they replace; a write that changes nothing is none."""
    merged: dict[StateKey, bytes | None] = {}
    for outcome in outcomes:
        merged.update(outcome.writes)
    writes: dict[StateKey, bytes | None] = {}
    undo: dict[StateKey, bytes | None] = {}
    for key, value in merged.items():
        before = state.get(*key)
        if before != value:
            writes[key] = value
            undo[key] = before
    return writes, undo
