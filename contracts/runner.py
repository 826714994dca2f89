"""Running calls for execution, queries and simulation: the `CallRunner` of the ledger.

A batch goes to a locked-down worker as one frame, with the state it will probably read; what the
worker asks for beyond that is answered from the same state.

The worker remembers state between blocks. It may, only while there is no doubt what it remembers: a
block's writes are taken up when `committed` says so, for the block that was run last, and any other
turn of events (another height, a lost worker, no word of a commit) makes it forget everything.

A lost worker is replaced and the batch tried again, for what kills a worker is usually this
machine. After ATTEMPTS the runner gives up with `ExecutionStopped`: the node stops executing and
raises an alarm, since no receipt could be the same on every validator.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from contracts import deployment_layout, outcomes, registry_layout
from contracts.prefetch import SEARCHED_MAX, Prefetcher
from contracts.remembered import Remembered
from contracts.sandbox import Answer, Sandbox, WorkerLost
from contracts.simulation import RecordedState, Simulation
from contracts.worker import wire
from contracts.worker.executor import CALL_GAS_MAX
from ledger import canonical, fields
from ledger.errors import FieldError, QiongError
from ledger.execution import BlockContext, StateKey, StateView
from ledger.receipt import CallOutcome, TransactionOutcome
from ledger.transaction import Call, Transaction
from ledger.types import Height, PublicKey

ATTEMPTS: Final = 3
"""The first try, one for bad luck, one to be sure; a poison transaction fails all three at once."""

SENT_BYTES_MAX: Final = 8 << 20
"""State sent along with one batch; beyond it the worker asks for what it lacks."""

LISTED_MAX: Final = 1 << 20
"""Keys a worker may ask for at once: a contract's listing and what this block wrote over it."""

Parsed = TypeVar("Parsed")


class ExecutionStopped(QiongError):
    """No worker could finish block `height`: stop executing, keep serving, call a person."""

    code = "execution_stopped"
    hint = "compare with other validators; `qiong node quarantine` takes a poison transaction out"

    def __init__(self, height: int, attempts: int, reason: str) -> None:
        self.height = height
        self.attempts = attempts
        self.reason = reason
        super().__init__(f"block {height} not executed in {attempts} attempts: {reason}")


class WorkerRunner:
    """Runs calls in a worker of its own. Threads may share it; they take turns."""

    def __init__(self, sandbox: Sandbox, attempts: int = ATTEMPTS) -> None:
        self._sandbox = sandbox
        self._attempts = attempts
        self._prefetcher = Prefetcher()
        self._remembered = Remembered()
        self._lock = threading.Lock()

    def run(
        self, context: BlockContext, transactions: Sequence[Transaction], state: StateView
    ) -> list[TransactionOutcome]:
        """Execute `transactions` as block `context.height` on `state`, the state of its parent.

        Raises `ExecutionStopped`, `SandboxUnavailable`, and what `state` raises.
        """
        calls = [call for transaction in transactions for call in transaction.calls]
        signers = [key for transaction in transactions for key in transaction.signers]
        batch = _Batch(self._prefetcher, self._remembered, state, calls)
        rows = [_transaction_fields(transaction) for transaction in transactions]

        def message() -> tuple[object, ...]:
            base = self._remembered.base(context.chain_id, context.height - 1)
            entries = batch.entries(signers)
            return (wire.RUN, base, context.height, context.time_ms, entries, rows)

        with self._lock:
            done = self._request(
                context, message, batch, lambda value: outcomes.transactions(value, transactions)
            )
            writes: dict[StateKey, bytes | None] = {}
            for outcome in done:
                writes.update(outcome.writes)
            self._remembered.ran(context.height, writes)
            return done

    def committed(self, height: Height, writes: Mapping[StateKey, bytes | None]) -> None:
        """Block `height` is in the chain, with its net `writes` (`Executed.writes`).

        Call it for every block, those without transactions too, and what the worker remembers
        stays good for the next one.
        """
        with self._lock:
            self._remembered.committed(height, writes)

    def query(
        self, context: BlockContext, call: Call, state: StateView, gas_limit: int = CALL_GAS_MAX
    ) -> CallOutcome:
        """Run a view on `state`, the state after block `context.height`; `now()` is its time.

        Raises as `run` does.
        """
        batch = _Batch(self._prefetcher, self._remembered, state, [call])
        row = (call.contract, call.method, call.args)

        def message() -> tuple[object, ...]:
            base = self._remembered.base(context.chain_id, context.height)
            entries = batch.entries([])
            return (wire.QUERY, base, context.height, context.time_ms, entries, row, gas_limit)

        with self._lock:
            return self._request(
                context, message, batch, lambda value: outcomes.call(value, gas_limit)
            )

    def simulate(
        self, context: BlockContext, transaction: Transaction, state: StateView
    ) -> Simulation:
        """What `transaction` alone would do as block `context.height` on `state`, and what it reads
        of it. Raises as `run` does."""
        recorded = RecordedState(state)
        # No calls: nothing is learnt from what is asked, and nothing guessed.
        batch = _Batch(Prefetcher(), Remembered(), recorded, [])
        rows = [_transaction_fields(transaction)]

        def message() -> tuple[object, ...]:
            recorded.begin()
            return (wire.RUN, wire.RESET, context.height, context.time_ms, {}, rows)

        with self._lock:
            self._remembered.forget()
            (outcome,) = self._request(
                context, message, batch, lambda value: outcomes.transactions(value, [transaction])
            )
            return recorded.simulation(outcome)

    def close(self) -> None:
        """End the worker."""
        with self._lock:
            self._sandbox.close()
            self._remembered.forget()

    def _request(
        self,
        context: BlockContext,
        message: Callable[[], tuple[object, ...]],
        batch: _Batch,
        parse: Callable[[object], Parsed],
    ) -> Parsed:
        reason = ""
        for _ in range(self._attempts):
            try:
                if not self._sandbox.running:
                    self._remembered.forget()
                return parse(self._sandbox.request(message(), batch.reply))
            except WorkerLost as lost:
                reason = lost.reason
            except FieldError as error:
                reason = str(error)
                self._sandbox.close()
            except BaseException:
                # Whatever it was, it may have left a request half done.
                self._sandbox.close()
                raise
        raise ExecutionStopped(context.height, self._attempts, reason)


class _Batch:
    """The state that one request reads: what is sent along, and answers to the worker's questions.

    Both are told to `remembered`, which knows what the worker has.
    """

    def __init__(
        self,
        prefetcher: Prefetcher,
        remembered: Remembered,
        state: StateView,
        calls: Sequence[Call],
    ) -> None:
        self._prefetcher = prefetcher
        self._remembered = remembered
        self._state = state
        self._calls = calls
        self._searched = 0

    def entries(self, signers: Iterable[PublicKey]) -> dict[StateKey, bytes | None]:
        """What the worker will probably read and does not remember: deployments of the contracts
        called, members and organisations of the signers, and guesses."""
        entries: dict[StateKey, bytes | None] = {}
        for contract in dict.fromkeys(call.contract for call in self._calls):
            self._read(entries, (deployment_layout.CONTRACT, contract))
        for signer in dict.fromkeys(signers):
            name = (registry_layout.CONTRACT, registry_layout.member_key(signer.hex()))
            member = self._read(entries, name)
            if member is not None:
                organisation = registry_layout.organisation_in(canonical.decode(member))
                key = registry_layout.organisation_key(str(organisation))
                self._read(entries, (registry_layout.CONTRACT, key))
        return self._guess(entries)

    def reply(self, question: Answer) -> tuple[object, ...]:
        """The answer to GET or KEYS. Raises `FieldError` for a question out of form."""
        if question[0] == wire.KEYS:
            _, contract, prefix, limit = fields.array(question, "question", 4)
            keys = self._state.keys(
                _text(contract), _text(prefix), fields.natural(limit, "question.limit", LISTED_MAX)
            )
            return (keys,)
        _, contract, key = fields.array(question, "question", 3)
        name = (_text(contract), _text(key))
        data = self._state.get(*name)
        self._remembered.add(name, data)
        self._searched += 1
        learnt = self._searched <= SEARCHED_MAX and self._prefetcher.learn(self._calls, *name)
        return data, self._guess({}) if learnt else {}

    def _guess(self, entries: dict[StateKey, bytes | None]) -> dict[StateKey, bytes | None]:
        size = 0
        for call in self._calls:
            for name in self._prefetcher.guesses(call):
                data = self._read(entries, name)
                size += len(data) if data is not None else 0
            if size > SENT_BYTES_MAX:
                break
        return entries

    def _read(self, entries: dict[StateKey, bytes | None], name: StateKey) -> bytes | None:
        """Put the entry `name` into `entries` unless the worker has it; the bytes read, if any."""
        if name in self._remembered:
            return None
        data = entries[name] = self._state.get(*name)
        self._remembered.add(name, data)
        return data


def _transaction_fields(transaction: Transaction) -> tuple[object, ...]:
    calls = [(call.contract, call.method, call.args) for call in transaction.calls]
    return list(transaction.signers), transaction.gas_limit, transaction.atomic, calls


def _text(value: object) -> str:
    if type(value) is not str:
        raise FieldError("question", "a string", value)
    return value
