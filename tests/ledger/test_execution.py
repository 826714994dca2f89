"""Execution: what runs, what is skipped, and that the result is a function of chain and body."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from ledger import canonical, merkle
from ledger.block_files import BlockFiles
from ledger.execution import (
    BlockContext,
    Executed,
    RunnerFault,
    StateView,
    WrongHeight,
    genesis_header,
)
from ledger.receipt import TransactionOutcome
from ledger.storage.memory import MemoryFolder, MemoryStore
from ledger.store import LedgerStore
from ledger.transaction import Transaction
from tests.ledger.ledger_world import START_MS, ToyRunner, World, make_genesis


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def store(world: World) -> Iterator[LedgerStore]:
    opened = LedgerStore(world.genesis, MemoryStore(), BlockFiles(MemoryFolder()))
    yield opened
    opened.close()


def ids(executed: Executed) -> list[bytes]:
    return [entry.receipt.tx_id for entry in executed.transactions]


def test_header_0_follows_from_genesis_alone(world: World, store: LedgerStore) -> None:
    again = LedgerStore(make_genesis(), MemoryStore(), BlockFiles(MemoryFolder()))
    assert again.head == store.head == genesis_header(world.genesis, store.head.state_root)
    other = LedgerStore(make_genesis(window=3), MemoryStore(), BlockFiles(MemoryFolder()))
    assert other.head.hash != store.head.hash
    assert store.head.n == 0
    assert store.head.time_ms == START_MS
    assert store.head.parent == bytes(32)
    assert store.state.get("kv", "founding") == canonical.encode({"status": "active"})


def test_a_block_is_executed_in_order_and_nothing_is_committed(
    world: World, store: LedgerStore
) -> None:
    transactions = [world.transaction(("add", ["sum", i])) for i in (1, 2, 3)]
    block = world.block(1, transactions)
    executed = store.execute(block, world.runner)
    header = executed.header
    assert [entry.outcome.calls[0].result for entry in executed.transactions] == [1, 3, 6]
    assert executed.writes == {("kv", "sum"): canonical.encode(6)}
    assert executed.undo == {("kv", "sum"): None}
    assert header.tx_count == 3
    assert header.tx_root == merkle.root(signed.id for signed in transactions)
    assert header.receipts_root == merkle.root(
        entry.receipt.encode() for entry in executed.transactions
    )
    assert (header.parent, header.d, header.time_ms) == (
        store.head.hash,
        block.d,
        START_MS + 1000,
    )
    assert header.state_root != store.head.state_root
    assert store.executed_height == 0
    assert store.state.get("kv", "sum") is None
    assert store.execute(block, world.runner).header == header


def test_receipts_cover_calls_and_events(world: World, store: LedgerStore) -> None:
    mixed = world.transaction(("emit", ["made", {"a": 1}]), ("fail", []), ("put", ["k", 1]))
    executed = store.execute(world.block(1, [mixed]), world.runner)
    [entry] = executed.transactions
    assert entry.receipt.status == "reverted"
    assert entry.receipt.code == "ASKED_TO"
    assert entry.receipt.gas == 25
    assert entry.receipt.calls_root == merkle.root(
        canonical.encode(leaf)
        for leaf in (
            [0, "ok", "", 10, None],
            [1, "reverted", "ASKED_TO", 5, None],
            [2, "ok", "", 10, None],
        )
    )
    assert entry.receipt.events_root == merkle.root([canonical.encode([0, "kv", "made", {"a": 1}])])


def test_the_same_id_runs_once_in_a_body_and_once_in_the_chain(
    world: World, store: LedgerStore
) -> None:
    first, second = world.put("a", 1), world.put("b", 2)
    executed = world.advance(store, first, first, second, first)
    assert ids(executed) == [first.id, second.id]
    assert [entry.body_index for entry in executed.transactions] == [0, 2]
    assert [entry.receipt.index for entry in executed.transactions] == [0, 1]
    again = world.advance(store, second, first)
    assert ids(again) == []
    assert again.header.tx_root == merkle.EMPTY_ROOT
    assert world.runner.ran == [first.id, second.id]


@pytest.mark.parametrize(
    ("offset_ms", "runs"), [(-1, False), (0, True), (600_000, True), (600_001, False)]
)
def test_validity_is_an_interval_with_both_ends(
    offset_ms: int, runs: bool, world: World, store: LedgerStore
) -> None:
    time_ms = START_MS + 5000
    signed = world.transaction(("put", ["a", 1]), valid_until_ms=time_ms + offset_ms)
    executed = store.execute(world.block(1, [signed], time_ms), world.runner)
    assert ids(executed) == ([signed.id] if runs else [])


def test_ids_are_remembered_until_they_expire_however_many_blocks_pass(world: World) -> None:
    world.genesis = make_genesis(transaction_lifetime_ms=10_000)
    store = LedgerStore(world.genesis, MemoryStore(), BlockFiles(MemoryFolder()))
    signed = world.transaction(("add", ["a", 1]), valid_until_ms=START_MS + 11_000)
    world.advance(store, signed, time_ms=START_MS + 1000)
    for time_ms in (2000, 5000, 10_999, 11_000, 11_001, 30_000):
        world.advance(store, signed, time_ms=START_MS + time_ms)
    assert world.runner.ran == [signed.id]
    assert len(store._recent) == 0


def test_time_only_moves_forward(world: World, store: LedgerStore) -> None:
    world.advance(store, time_ms=START_MS + 9000)
    assert world.advance(store, time_ms=START_MS + 10).header.time_ms == START_MS + 9001
    assert world.apply(store, world.null(3)).header.time_ms == START_MS + 9002
    assert world.advance(store, time_ms=START_MS + 9004).header.time_ms == START_MS + 9004


def test_null_has_a_header_and_nothing_else(world: World, store: LedgerStore) -> None:
    executed = world.apply(store, world.null(1))
    assert executed.transactions == ()
    assert executed.header.state_root == store.executed_header(store.head.n).state_root
    assert executed.header.d == world.null(1).d


def test_a_write_that_changes_nothing_is_none(world: World, store: LedgerStore) -> None:
    world.advance(store, world.put("a", 1))
    root = store.head.state_root
    executed = world.advance(store, world.put("a", 1), world.transaction(("delete", ["absent"])))
    assert executed.writes == {}
    assert executed.header.state_root == root
    assert store.versions("kv", "a") == [(1, canonical.encode(1))]


def test_a_quarantined_transaction_gets_a_receipt_and_runs_no_code(
    world: World, store: LedgerStore
) -> None:
    good, poison = world.put("a", 1), world.transaction(("put", ["b", 1]), ("put", ["c", 1]))
    block = world.block(1, [good, poison])
    store.append_decided(block)
    store.quarantine(block.n, poison.id, b"signed by a quorum")
    executed = store.execute(block, world.runner)
    assert world.runner.ran == [good.id]
    receipt = executed.transactions[1].receipt
    assert (receipt.tx_id, receipt.status, receipt.code, receipt.gas) == (
        poison.id,
        "rejected",
        "QUARANTINED",
        0,
    )
    assert [call.code for call in executed.transactions[1].outcome.calls] == ["QUARANTINED"] * 2
    assert list(executed.writes) == [("kv", "a")]


def test_blocks_come_one_after_another(world: World, store: LedgerStore) -> None:
    for n in (0, 2):
        with pytest.raises(WrongHeight) as refused:
            store.execute(world.block(n), world.runner)
        assert (refused.value.expected, refused.value.got) == (1, n)


class _Faulty(ToyRunner):
    """Loses the last outcome, or the last call of it."""

    def __init__(self, lose_call: bool) -> None:
        super().__init__()
        self._lose_call = lose_call

    def run(
        self, context: BlockContext, transactions: Sequence[Transaction], state: StateView
    ) -> list[TransactionOutcome]:
        outcomes = super().run(context, transactions, state)
        if not self._lose_call:
            return outcomes[:-1]
        last = outcomes[-1]
        return [TransactionOutcome(last.status, last.code, last.gas, last.calls[:-1])]


@pytest.mark.parametrize("lose_call", [False, True])
def test_outcomes_must_fit_their_transactions(
    lose_call: bool, world: World, store: LedgerStore
) -> None:
    with pytest.raises(RunnerFault):
        store.execute(world.block(1, [world.put("a", 1)]), _Faulty(lose_call))


def test_contracts_read_the_state_before_the_block_by_prefix(
    world: World, store: LedgerStore
) -> None:
    world.advance(store, *(world.put(key, 1) for key in ("b", "ab", "a\x00", "a", "琼")))
    world.advance(store, world.transaction(("delete", ["ab"])))
    executed = store.execute(world.block(3, [world.transaction(("keys", ["a"]))]), world.runner)
    assert executed.transactions[0].outcome.calls[0].result == ["a", "a\x00"]
    assert store.state.keys("kv", "", 100) == ["a", "a\x00", "b", "founding", "琼"]
    assert store.state.keys("kv", "", 2) == ["a", "a\x00"]
    assert store.state.keys("k", "", 10) == []
