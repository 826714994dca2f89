"""Running calls in this process, with nothing but the dialect between them and it.

The same executor as the worker's, without the worker: for tests, simulators and dry chains, where
starting a process costs more than it protects. Outcomes take the way of the worker's, through
canonical bytes and checks, so both runners give the same objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from contracts import outcomes
from contracts.simulation import RecordedState, Simulation
from contracts.worker import executor, wire
from ledger import canonical
from ledger.execution import BlockContext, StateKey, StateView
from ledger.receipt import CallOutcome, TransactionOutcome
from ledger.transaction import Call, Transaction
from ledger.types import Height


class InlineRunner:
    """A `CallRunner` without a process. For one thread."""

    def __init__(self) -> None:
        self._state = _Borrowed()
        self._executor = executor.Executor(self._state)

    def run(
        self, context: BlockContext, transactions: Sequence[Transaction], state: StateView
    ) -> list[TransactionOutcome]:
        """As `WorkerRunner.run`; an exception that is no outcome passes through as it is."""
        self._state.view = state
        plain = [_plain(transaction) for transaction in transactions]
        rows = self._executor.run(context.height, context.time_ms, plain)
        answer = canonical.pack(wire.block_columns(rows))
        return outcomes.transactions(canonical.decode(answer), transactions)

    def query(
        self,
        context: BlockContext,
        call: Call,
        state: StateView,
        gas_limit: int = executor.CALL_GAS_MAX,
    ) -> CallOutcome:
        """As `WorkerRunner.query`."""
        self._state.view = state
        row = self._executor.query(context.height, context.time_ms, _plain_call(call), gas_limit)
        answer = canonical.pack(list(row))
        return outcomes.call(canonical.decode(answer), gas_limit)

    @property
    def running(self) -> str:
        """The contract whose code runs now, for whoever traces it; empty between calls."""
        return self._executor.running

    def simulate(
        self, context: BlockContext, transaction: Transaction, state: StateView
    ) -> Simulation:
        """As `WorkerRunner.simulate`."""
        recorded = RecordedState(state)
        (outcome,) = self.run(context, [transaction], recorded)
        return recorded.simulation(outcome)

    def committed(self, height: Height, writes: Mapping[StateKey, bytes | None]) -> None:
        """Nothing is remembered from block to block."""

    def close(self) -> None:
        """There is nothing to end."""


class _Borrowed:
    """The state of whichever run is under way."""

    view: StateView

    def get(self, contract: str, key: str) -> bytes | None:
        return self.view.get(contract, key)

    def keys(self, contract: str, prefix: str, limit: int) -> list[str]:
        return self.view.keys(contract, prefix, limit)


def _plain(transaction: Transaction) -> executor.Transaction:
    calls = [_plain_call(call) for call in transaction.calls]
    return executor.Transaction(
        transaction.signers, transaction.gas_limit, transaction.atomic, calls
    )


def _plain_call(call: Call) -> executor.Call:
    # Contracts may change their arguments; through the worker's pipe they get copies as well.
    args = cast(executor.Arguments, canonical.decode(canonical.encode(call.args)))
    return executor.Call(call.contract, call.method, args)
