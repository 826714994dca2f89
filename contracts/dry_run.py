"""Trying new code of a contract on transactions of the past: whose receipts would differ?

The same blocks are executed twice from the same state on: as they were, and with the new code in
force from the first of them. All their transactions run, in order, for what one writes another
reads; each way goes on from what it wrote itself. As they were must give the committed receipts, or
nothing that is compared with them says anything (`NotReproduced`).

Transactions are told apart by status, code, gas, results, events and writes. Those that reach the
contract are counted, directly or through others, so that "no difference" can be told from "never
called".

A `migrate()` of the new code runs before the first block, signed by nobody; those of
upgrades in these blocks do not, for their code is never in force.

Left out: what would have been sent had the new code been there. Both ways run in this process (see
*Trust* in `contracts.tracing`; watching which contracts are reached needs it here too).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from contracts.dialect import Compiled, Instance, Verdict, compile_source, instantiate
from contracts.inline import InlineRunner
from contracts.reexecution import OverlaidState, Past, PastBlock, reexecute
from contracts.worker.executor import Arguments, Executor, Transaction, TransactionRow
from contracts.worker.host import Host
from contracts.worker.state import Committed, Writes
from ledger import canonical
from ledger.errors import IntegrityError, QiongError
from ledger.execution import ExecutedTransaction, StateView
from ledger.transaction import TRANSACTION_GAS_MAX
from ledger.types import Digest, Height

KINDS: Final = ("status", "code", "gas", "result", "events", "writes")
"""What may differ between two executions of a transaction."""


class NotReproduced(IntegrityError):
    """A transaction executed again as it was, with another receipt than the committed one."""

    code = "not_reproduced"
    hint = "the state or the code here is not the chain's: ask another node, or check this version"

    def __init__(self, height: Height, tx_id: Digest) -> None:
        self.height = height
        self.tx_id = tx_id
        super().__init__(
            f"block {height}: {tx_id.hex()} executed again has another receipt than was committed"
        )


class MigrationFailed(QiongError):
    """The new code's `migrate()` does not end well on the state before the first block."""

    code = "migration_failed"
    hint = "`migrate()` must end well, or there is no upgrade"

    def __init__(self, height: Height, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__(f"migrate() before block {height}: {verdict.status} {verdict.code}")


@dataclass(frozen=True)
class Difference:
    """A transaction that would have ended otherwise; `what` names some of `KINDS`."""

    height: Height
    before: ExecutedTransaction
    after: ExecutedTransaction
    what: tuple[str, ...]

    @property
    def gas_only(self) -> bool:
        return self.what == ("gas",)


@dataclass(frozen=True)
class BlockComparison:
    """One block; `reached` counts its transactions whose calls reach the contract."""

    height: Height
    transactions: int
    reached: int
    differences: tuple[Difference, ...]


def dry_run(
    past: Past, name: str, source: str, first: Height, last: Height
) -> Iterator[BlockComparison]:
    """Execute blocks `first` to `last` as they were and with `source` as the code of `name`.

    Yields each block when it is compared. Raises `CompileRefused`, `NotReproduced`,
    `MigrationFailed`, and what `past` raises.
    """
    compiled = compile_source(source)
    base = past.state(Height(first - 1))
    old, new = OverlaidState(base), OverlaidState(base)
    runner, other = _Watched(), _NewCode(name, compiled)
    for n in range(first, last + 1):
        block = past.block(Height(n))
        before = reexecute(block, old, runner)
        _check(block, before)
        if compiled.migrates and n == first:
            new.put(other.migrate(block, new))
        after = reexecute(block, new, other)
        differences = [
            Difference(block.height, a, b, what)
            for a, b in zip(before, after, strict=True)
            if (what := _what_differs(a, b))
        ]
        reached = sum(name in a | b for a, b in zip(runner.reached(), other.reached(), strict=True))
        for state, executed in ((old, before), (new, after)):
            for each in executed:
                state.put(each.outcome.writes)
        yield BlockComparison(block.height, len(before), reached, tuple(differences))


def _check(block: PastBlock, executed: tuple[ExecutedTransaction, ...]) -> None:
    for committed, each in zip(block.receipts, executed, strict=True):
        if each.receipt != committed:
            raise NotReproduced(block.height, committed.tx_id)


def _what_differs(before: ExecutedTransaction, after: ExecutedTransaction) -> tuple[str, ...]:
    """Which of `KINDS` differ."""

    def parts(each: ExecutedTransaction) -> dict[str, object]:
        outcome = each.outcome
        return {
            "status": [outcome.status, *(call.status for call in outcome.calls)],
            "code": [outcome.code, *(call.code for call in outcome.calls)],
            "gas": [outcome.gas, *(call.gas for call in outcome.calls)],
            "result": [canonical.encode(call.result) for call in outcome.calls],
            "events": each.event_leaves,
            "writes": outcome.writes,
        }

    one, other = parts(before), parts(after)
    return tuple(kind for kind in KINDS if one[kind] != other[kind])


class _Watched(InlineRunner):
    """Runs like any runner and notes which contracts each transaction reaches."""

    def __init__(self) -> None:
        super().__init__()
        self._executor = self._watched = _WatchedExecutor(self._state)

    def reached(self) -> list[set[str]]:
        """The contracts that each transaction since the last question reached."""
        found, self._watched.reached = self._watched.reached, []
        return found


class _WatchedExecutor(Executor):
    def __init__(self, committed: Committed) -> None:
        super().__init__(committed)
        self.reached: list[set[str]] = []

    def _transaction(self, transaction: Transaction) -> TransactionRow:
        self.reached.append(set())
        return super()._transaction(transaction)

    def _invoke(self, sender: str, contract: str, method: str, args: Arguments) -> object:
        self.reached[-1].add(contract)
        return super()._invoke(sender, contract, method, args)


class _NewCode(_Watched):
    """Runs with new code of one contract, whatever version is in force."""

    def __init__(self, name: str, compiled: Compiled) -> None:
        super().__init__()
        self._executor = self._watched = self._new = _NewCodeExecutor(self._state, name, compiled)

    def migrate(self, block: PastBlock, state: StateView) -> Writes:
        """What the new code's `migrate()` writes at the beginning of `block`."""
        self._state.view = state
        try:
            return self._new.migrate_alone(block.height, block.time_ms)
        except Verdict as verdict:
            raise MigrationFailed(block.height, verdict) from None


class _NewCodeExecutor(_WatchedExecutor):
    """Takes the new code wherever a version of the contract is asked for. What the platform's own
    contract stores of versions stays as it was."""

    def __init__(self, committed: Committed, name: str, compiled: Compiled) -> None:
        super().__init__(committed)
        self._name = name
        host = self._host(name)
        self._new = instantiate(compiled, host.table(), self._meter), host

    def _instance(self, contract: str, source_hash: bytes) -> tuple[Instance, Host]:
        return self._new if contract == self._name else super()._instance(contract, source_hash)

    def migrate(self, contract: str, source_hash: bytes) -> None:
        # An upgrade of the past: the code that it brought is not there, nor is its migration.
        if contract != self._name:
            super().migrate(contract, source_hash)

    def migrate_alone(self, height: int, time_ms: int) -> Writes:
        self._begin(height, time_ms)
        self._meter.reset(TRANSACTION_GAS_MAX)
        super().migrate(self._name, b"")
        self.scope.state.end_call(keep=True)
        return self.scope.state.end_transaction(keep=True)
