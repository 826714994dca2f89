"""Executing past blocks again: equal receipts under the same code, and what other code changes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.dry_run import MigrationFailed, NotReproduced, dry_run
from contracts.inline import InlineRunner
from contracts.local import MemoryState
from contracts.reexecution import OverlaidState, PastBlock, places_until, reexecute
from ledger import canonical, execution
from ledger.execution import QUARANTINED, BlockContext
from ledger.receipt import CallOutcome, TransactionOutcome
from ledger.transaction import Call, SignedTransaction
from ledger.types import Digest, Gas, Height, TimeMs

CHAIN = Digest(bytes(32))

PURSE = """
@call
def pay(name: str, amount: int) -> int:
    left = get("purse/" + name)
    left = 100 if left is None else left
    require(left >= amount, "TOO_LITTLE")
    put("purse/" + name, left - amount)
    emit("paid", {"name": name})
    return left - amount

@call
def close(name: str) -> list:
    delete("purse/" + name)
    return keys("purse/", 10)
"""

SHOP = """
@call
def buy(name: str) -> int:
    return call("purse", "pay", [name, 30])

@call
def look() -> int:
    return height()
"""


class Written:
    """Blocks executed one after another: the `Past` of a chain in memory."""

    def __init__(self, world):
        self.world = world
        self.states = {0: dict(world.entries)}
        self.blocks = {}

    def commit(self, *calls, signer="tourism"):
        n = len(self.blocks) + 1
        signed = []
        for position, call in enumerate(calls):
            made = self.world.transaction([call], signer)
            made = replace(made, nonce=n.to_bytes(8, "big") + position.to_bytes(8, "big"))
            signed.append(SignedTransaction(made, (), b""))
        block = PastBlock(CHAIN, Height(n), TimeMs(1_000 * n), tuple(signed), ())
        executed = reexecute(block, self.state(n - 1), InlineRunner())
        for each in executed:
            self.world.apply(each.outcome)
        self.states[n] = dict(self.world.entries)
        self.blocks[n] = replace(block, receipts=tuple(each.receipt for each in executed))
        return executed

    def block(self, height, until=None):
        assert until is None
        return self.blocks[height]

    def state(self, height):
        return MemoryState(self.states[height])


@pytest.fixture
def past(make_world):
    written = Written(make_world({"purse": PURSE, "shop": SHOP}))
    written.commit(Call("purse", "pay", ["a", 50]), Call("shop", "look", []))
    written.commit(Call("shop", "buy", ["a"]), Call("purse", "pay", ["b", 90]))
    written.commit()
    written.commit(Call("purse", "close", ["a"]), Call("purse", "pay", ["a", 1]))
    return written


def compare(past, source, name="purse", first=1):
    last = Height(len(past.blocks))
    return list(dry_run(past, name, source, Height(first), last))


def told(blocks):
    return [
        (each.height, each.before.receipt.index, each.what)
        for block in blocks
        for each in block.differences
    ]


def test_the_same_code_gives_the_committed_receipts(past) -> None:
    for height, block in past.blocks.items():
        again = reexecute(block, past.state(height - 1), InlineRunner())
        assert tuple(each.receipt for each in again) == block.receipts
    blocks = compare(past, PURSE)
    assert told(blocks) == []
    assert [(block.transactions, block.reached) for block in blocks] == [
        (2, 1), (2, 2), (0, 0), (2, 2)
    ]  # fmt: skip


def test_a_planted_difference_is_found_where_it_begins_and_flows_on(past) -> None:
    blocks = compare(past, PURSE.replace("100 if", "70 if"))
    everything = ("result", "writes")
    assert told(blocks) == [
        (1, 0, everything),
        (2, 0, ("status", "code", "gas", "result", "events", "writes")),
        (2, 1, ("status", "code", "gas", "result", "events", "writes")),
        (4, 0, ("gas", "result")),  # the purse that was not opened in block 2 is not listed
        (4, 1, everything),
    ]
    through_shop = blocks[1].differences[0]
    assert through_shop.before.outcome.calls[0].result == 20
    assert through_shop.after.outcome.code == "TOO_LITTLE"


def test_it_begins_on_the_state_before_the_first_block(past) -> None:
    blocks = compare(past, PURSE.replace("100 if", "70 if"), first=2)
    # The purse of a was opened in block 1, by the old code.
    assert [place[:2] for place in told(blocks)] == [(2, 1), (4, 0), (4, 1)]


def test_gas_alone_is_told_apart(past) -> None:
    blocks = compare(past, PURSE.replace("    emit", "    spare = left + 1\n    emit"))
    differences = [each for block in blocks for each in block.differences]
    assert len(differences) == 4
    assert all(each.gas_only for each in differences)


def test_writes_and_events_alone(past) -> None:
    silent = compare(past, PURSE.replace('emit("paid", {"name": name})', 'emit("paid", {})'))
    assert {what for _, _, what in told(silent)} == {("gas", "events")}
    moved = compare(past, PURSE.replace('"purse/" + name, left', '"wallet/" + name, left'))
    assert (1, 0, ("writes",)) in told(moved)


def test_a_contract_that_nobody_reaches_counts_nothing(past) -> None:
    blocks = compare(past, PURSE, name="credit")
    assert sum(block.reached for block in blocks) == 0
    assert told(blocks) == []


def test_code_that_moves_its_state_does_so_before_the_first_block(past) -> None:
    migrating = PURSE + '\ndef migrate() -> None:\n    put("purse/b", {amount})\n'
    assert told(compare(past, migrating.replace("{amount}", "100"), first=2)) == []
    blocks = compare(past, migrating.replace("{amount}", "95"), first=2)
    assert told(blocks) == [(2, 1, ("result", "writes"))]
    with pytest.raises(MigrationFailed, match="error VALUE"):
        compare(past, migrating.replace("{amount}", 'int("x")'))


@pytest.mark.parametrize("part", ["state", "receipt", "transaction"])
def test_a_past_that_is_not_the_chains_is_no_measure(past, part) -> None:
    block = past.blocks[2]
    if part == "state":
        past.states[0]["purse", "purse/a"] = canonical.encode(90)
    elif part == "receipt":
        wrong = replace(block.receipts[1], gas=Gas(block.receipts[1].gas + 1))
        past.blocks[2] = replace(block, receipts=(block.receipts[0], wrong))
    else:
        other = past.blocks[1].transactions[0]
        past.blocks[2] = replace(block, transactions=(block.transactions[0], other))
    with pytest.raises(NotReproduced) as found:
        compare(past, PURSE)
    assert found.value.height == (1 if part == "state" else 2)


def test_what_a_quorum_took_out_runs_no_code(past) -> None:
    taken, _ = past.blocks[1].transactions
    refused = CallOutcome("rejected", QUARANTINED, Gas(0))
    outcome = TransactionOutcome("rejected", QUARANTINED, Gas(0), (refused,))
    receipts = (
        execution.with_receipt(0, 0, taken, outcome).receipt,
        past.blocks[1].receipts[1],
    )
    block = replace(past.blocks[1], receipts=receipts)
    again = reexecute(block, past.state(0), InlineRunner())
    assert tuple(each.receipt for each in again) == receipts
    assert again[0].outcome.writes == {}


def test_a_block_runs_at_its_own_height_and_time(past) -> None:
    seen = []

    class Watching(InlineRunner):
        def run(self, context, transactions, state):
            seen.append(context)
            return super().run(context, transactions, state)

    reexecute(past.blocks[2], past.state(1), Watching())
    assert seen == [BlockContext(CHAIN, Height(2), TimeMs(2_000))]


def test_the_part_of_a_block_that_ends_with_a_transaction() -> None:
    ids = [Digest(bytes([number]) * 32) for number in range(4)]
    assert [places_until(ids, each) for each in (*ids, None, CHAIN[:31] + b"x")] == [
        1, 2, 3, 4, 4, 4
    ]  # fmt: skip


_KEYS = st.sampled_from(["a", "a/", "ab", "b", "b/", "ba"])
_ENTRIES = st.dictionaries(_KEYS, st.integers(0, 3), max_size=8)
_WRITES = st.lists(st.tuples(_KEYS, st.none() | st.integers(0, 3)), max_size=10)


@given(base=_ENTRIES, writes=_WRITES, prefix=st.text("ab/", max_size=2), limit=st.integers(0, 6))
def test_an_overlay_is_the_state_with_its_writes(base, writes, prefix, limit) -> None:
    def encoded(value):
        return None if value is None else canonical.encode(value)

    entries = {("x", key): canonical.encode(value) for key, value in base.items()}
    overlay = OverlaidState(MemoryState(dict(entries)))
    for key, value in writes:
        overlay.put({("x", key): encoded(value)})
        entries.pop(("x", key), None)
        if value is not None:
            entries["x", key] = canonical.encode(value)
    whole = MemoryState(entries)
    assert overlay.keys("x", prefix, limit) == whole.keys("x", prefix, limit)
    assert overlay.keys("y", prefix, limit) == []
    for key in {*base, *(key for key, _ in writes), "zz"}:
        assert overlay.get("x", key) == whole.get("x", key)
