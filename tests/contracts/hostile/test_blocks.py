"""The dearest blocks there can be: what a worker keeps and sends for one fits it by far."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contracts.runner import WorkerRunner
from contracts.worker import executor
from ledger.execution import BlockContext
from ledger.genesis import Parameters
from ledger.hashing import sha256
from ledger.receipt import TransactionOutcome
from ledger.transaction import CALL_GAS_MIN, CALLS_MAX, Call, Transaction
from ledger.types import Gas, Height
from tests.contracts.hostile.engines import TIME_MS, Watched, state_of, transaction

FLOODS = {
    "results": "return X",
    "results of state": "put('a', X)\nreturn get('a')",
    "events": "for i in range(5):\n    emit('e', {'x': X[:5000]})",
    "writes": "for i in range(4):\n    put('a' + str(i), X)",
    "cycles": "for i in range(200):\n    l = [W[1:]]\n    l.append(l)",
    "cycles grown old": (
        "for i in range(60):\n    l = [W[1:]]\n    l.append(l)\n    k.append(l)\n"
        "for i in range(5):\n    k.append(zip(range(9999), range(9999)))"
    ),
    "texts kept": "l = []\nfor i in range(n):\n    l.append(X + 'x')\nreturn len(l)",
}
COUNT_MAX = {"cycles": 8, "cycles grown old": 16, "texts kept": 16}
"""Calls that are enough to fill the worker, if nothing is swept."""

MEMORY_BYTES_MAX = 200 << 20
"""Of 256 MB: the rest is for state that is remembered."""


@pytest.fixture
def worker() -> Iterator[Watched]:
    sandbox = Watched()
    yield sandbox
    sandbox.close()


def test_calls_that_offer_nothing_take_their_room_all_the_same(worker: Watched) -> None:
    """Else a body of 4 MB holds 400,000 of them, each with an outcome."""
    assert CALL_GAS_MIN == executor.CALL_GAS
    runner = WorkerRunner(worker)
    context = BlockContext(sha256(b"calls"), Height(1), TIME_MS)
    calls = (Call("m", "f", []),) * 600
    one = transaction(calls[0], 1)
    many = Transaction(one.chain_id, one.nonce, TIME_MS, Gas(1), calls, False, one.signers)
    assert many.block_gas == 600 * CALL_GAS_MIN
    count = Parameters().body_gas_max // many.block_gas
    outcomes = list(runner.run(context, [many] * count, state_of([])))
    assert {(outcome.status, outcome.gas) for outcome in outcomes} == {("out_of_gas", 1)}
    assert worker.peak_bytes() < MEMORY_BYTES_MAX


def alike(call: Call, gas: int, count: int) -> list[Transaction]:
    """As many calls, each with its share of the gas, in few transactions."""
    one = transaction(call, gas)
    whole, rest = divmod(count, CALLS_MAX)
    return [
        Transaction(
            one.chain_id, one.nonce, TIME_MS, Gas(gas * size), (call,) * size, False, one.signers
        )
        for size in [CALLS_MAX] * whole + [rest] * bool(rest)
    ]


@pytest.mark.parametrize("flood", FLOODS)
def test_a_block_of_floods_fits(flood: str, worker: Watched) -> None:
    lines = "".join(f"    {line}\n" for line in FLOODS[flood].split("\n"))
    source = "X = '\u743c' * 21000\nW = '\U0001f600' * 65536\n\n"
    source += f"@call\ndef main(n: int):\n    k = []\n{lines}"
    runner = WorkerRunner(worker)
    state = state_of([("main", source)])
    context = BlockContext(sha256(source.encode()), Height(1), TIME_MS)
    call = Call("main", "main", [40])

    def run(transactions: list[Transaction]) -> list[TransactionOutcome]:
        return list(runner.run(context, transactions, state))

    (first,) = run([transaction(call, 300_000)])
    assert first.status == "ok"
    count = min(Parameters().body_gas_max // first.gas, COUNT_MAX.get(flood, CALLS_MAX))
    outcomes = run(alike(call, first.gas, count))
    assert {outcome.status for outcome in outcomes} == {"ok"}
    assert sum(outcome.gas for outcome in outcomes) == first.gas * count
    assert worker.peak_bytes() < MEMORY_BYTES_MAX
