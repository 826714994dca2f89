"""Where the calls of a test run are executed, and what is noted about them.

Theory: a test run has one laboratory. All chains of it share one runner, because compiled contracts
depend on nothing but their source; and all calls are noted in one record, from which the report is
made. The current laboratory is a variable of this module, since tests make chains wherever they
like, property tests one for each example.

Two ways to execute: in this process, where lines can be traced, or in the locked-down worker that
validators use, where they cannot. Status, code and gas are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from contracts.inline import InlineRunner
from contracts.runner import WorkerRunner
from contracts.sandbox import Sandbox
from contracts.testing.contract import Contract
from contracts.testing.coverage import LineTracer
from ledger.execution import BlockContext, StateKey, StateView
from ledger.receipt import CallOutcome, TransactionOutcome
from ledger.transaction import Call, Transaction
from ledger.types import Digest, Gas, Height

T = TypeVar("T")

UnderTest = Mapping[str, Contract]
"""The contracts a test has deployed, by their names on its chain."""


@dataclass
class MethodRecord:
    """Calls of one method: the gas of those that ended ok, and how many did not."""

    gas: list[int] = field(default_factory=list)
    failed: int = 0


class Record:
    """What was seen of each contract under test."""

    def __init__(self) -> None:
        self.methods: dict[Contract, dict[str, MethodRecord]] = {}
        self.lines: dict[Contract, set[int]] = {}

    def deployed(self, contract: Contract) -> None:
        """Count `contract` among those under test, called or not."""
        self.methods.setdefault(contract, {name: MethodRecord() for name in contract.methods})
        self.lines.setdefault(contract, set())

    def call(self, contract: Contract, method: str, outcome: CallOutcome) -> None:
        known = self.methods[contract].get(method)
        if known is None:
            return
        if outcome.status == "ok":
            known.gas.append(outcome.gas)
        else:
            known.failed += 1


class Lab:
    """Executes for every chain of one test run."""

    def __init__(self, *, worker: bool = False) -> None:
        self.record = Record()
        self.worker = worker
        self._chains = 0
        self._inline = InlineRunner()
        self._worker = WorkerRunner(Sandbox()) if worker else None

    def new_chain_id(self) -> Digest:
        """A chain id of its own, so that no worker takes one chain's state for another's."""
        self._chains += 1
        return Digest(self._chains.to_bytes(32, "big"))

    def run(
        self,
        context: BlockContext,
        transaction: Transaction,
        state: StateView,
        under_test: UnderTest,
    ) -> tuple[TransactionOutcome, str]:
        """Execute `transaction`; its outcome, and file and line that the code reached last."""
        runner = self._worker or self._inline
        (outcome,), where = self._traced(
            under_test, lambda: runner.run(context, [transaction], state)
        )
        for call, result in zip(transaction.calls, outcome.calls, strict=True):
            self._note(under_test, call, result)
        return outcome, where

    def query(
        self, context: BlockContext, call: Call, state: StateView, gas: Gas, under_test: UnderTest
    ) -> tuple[CallOutcome, str]:
        """Run a view; its outcome, and file and line that the code reached last."""
        runner = self._worker or self._inline
        outcome, where = self._traced(under_test, lambda: runner.query(context, call, state, gas))
        self._note(under_test, call, outcome)
        return outcome, where

    def committed(self, height: Height, writes: Mapping[StateKey, bytes | None]) -> None:
        """A chain has taken up block `height`."""
        if self._worker is not None:
            self._worker.committed(height, writes)

    def close(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.close()

    def _note(self, under_test: UnderTest, call: Call, outcome: CallOutcome) -> None:
        contract = under_test.get(call.contract)
        if contract is not None:
            self.record.call(contract, call.method, outcome)

    def _traced(self, under_test: UnderTest, execute: Callable[[], T]) -> tuple[T, str]:
        if self.worker:
            return execute(), ""
        tracer = LineTracer(lambda: self._inline.running)
        try:
            with tracer:
                result = execute()
        except BaseException:
            # No outcome but a fault: what the executor holds is in doubt.
            self._inline = InlineRunner()
            raise
        for name, lines in tracer.lines.items():
            contract = under_test.get(name)
            if contract is not None:
                self.record.lines[contract] |= lines
        name, line = tracer.last or ("", 0)
        contract = under_test.get(name)
        return result, f"{contract.path if contract else name}:{line}" if name else ""


_current: Lab = Lab()


def current() -> Lab:
    """The laboratory of this test run."""
    return _current


@contextmanager
def installed(lab: Lab) -> Iterator[Lab]:
    """Make `lab` the current one, and close it in the end."""
    global _current
    before, _current = _current, lab
    try:
        yield lab
    finally:
        _current = before
        lab.close()
