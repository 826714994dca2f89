"""Transactions and calls: gas shares, layers of writes, statuses. One implementation for all runs.

The worker process runs it over state that the validator sends; `contracts.inline.InlineRunner`
runs it in the validator's own process, for tests and dry runs.

The rules (consensus.md *Transactions*): a call may use CALL_GAS_MAX or what is left, whichever is
less. Independent calls each own an equal share of the transaction's limit plus what earlier ones
left over, and each has its own outcome. Atomic calls stand or fall together: after a failure the
other calls' outcomes say `reverted`, ATOMIC, so that no proof of one call can claim what was never
written. A failed call writes nothing, and its gas is charged all the same.

Only a `Verdict` or a refusal ends a call here. Any other exception is a fault of this process
(memory, a bug); it passes through and never becomes an outcome.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Final, NamedTuple

from contracts import deployment_layout, registry_layout
from contracts.dialect import (
    ContractError,
    Instance,
    LimitExceeded,
    Meter,
    OutOfGas,
    Reverted,
    Verdict,
)
from contracts.worker.directory import Directory
from contracts.worker.host import WRITTEN_SHIFT, Event, Host, Scope, packed
from contracts.worker.loader import Loader
from contracts.worker.platform import Platform, Rejected
from contracts.worker.state import Committed, LayeredState, Writes

CALL_GAS_MAX: Final = 300_000
"""At most 40 ms at the worst price per gas. The platform's own contract may use all that its
transaction has: the longest source costs more to compile than one call may."""

CALL_GAS: Final = 50
"""What any call costs before its code runs: finding the contract, binding arguments, a receipt."""

RESULT_BYTES_MAX: Final = 65_536 + 1_024
"""One longest string, like a stored value."""

SWEEP_GAS: Final = 100_000
"""A list that holds itself outlives its call, and what it holds with it. After so much gas the
collector looks for such garbage between two calls: it is paid for, so there are 26 MB at most."""

CALL_DEPTH_MAX: Final = 8
"""Contracts calling contracts; with 32 frames each that stays below the recursion limit."""

CODE_BYTES_MAX: Final = 64
"""As in receipts (`ledger.receipt.CODE_SIZE_MAX`)."""

Arguments = list[object] | dict[str, object]


class Call(NamedTuple):
    contract: str
    method: str
    args: Arguments


class Transaction(NamedTuple):
    """What execution needs of a transaction; `signers` are public keys, algorithm byte included.

    Only unpacked here, as its calls are: a plain tuple from the pipe is one as it is.
    """

    signers: Sequence[bytes]
    gas_limit: int
    atomic: bool
    calls: Sequence[Call]


class CallRow(NamedTuple):
    """One call's outcome; `code` is empty when `status` is ok."""

    status: str
    code: str
    gas: int
    result: object


class TransactionRow(NamedTuple):
    """A transaction's outcome.

    Where there is one for each transaction, rows are made by `tuple.__new__`: that of a NamedTuple
    is a function in Python, which costs more than all else about a row.
    """

    status: str
    code: str
    gas: int
    calls: list[CallRow]
    events: list[Event]
    writes: Writes


class Executor:
    """Runs blocks and views over `committed` state. Instances of contracts outlive a run; the
    state they see does not. After an exception other than `Rejected` the executor is spent."""

    def __init__(self, committed: Committed) -> None:
        self._committed = committed
        self._meter = Meter(0)
        self._directory = Directory()
        self.standing = self._directory.standing
        self.registry = self._directory.registry
        self.deployment = self._directory.deployment
        self._active: list[str] = []
        self._ready: dict[str, tuple[str, Instance, Host]] = {}
        self._unswept = 0
        self._loader = Loader(self.deployment, self._host, self._meter)
        self.load_new = self._loader.load_new
        self._platform = Platform(self, self._meter)
        self._begin(0, 0)

    def run(
        self, height: int, time_ms: int, transactions: Sequence[Transaction]
    ) -> list[TransactionRow]:
        """Execute the transactions of block `height` in order."""
        self._begin(height, time_ms)
        return [self._transaction(transaction) for transaction in transactions]

    def query(self, height: int, time_ms: int, call: Call, gas_limit: int) -> CallRow:
        """Run a view at the state of block `height`; `now()` is `time_ms`."""
        self._begin(height, time_ms)
        self.scope.viewing = True
        return self._call(call, gas_limit)

    def _begin(self, height: int, time_ms: int) -> None:
        state = LayeredState(self._committed)
        self.scope = Scope(state, height, time_ms)
        self._directory.begin(state)
        self._ready.clear()

    @property
    def writes(self) -> Writes:
        """What the last run wrote, all transactions together."""
        return self.scope.state.block

    @property
    def running(self) -> str:
        """The contract whose code runs, for whoever traces it; empty between calls."""
        return self._active[-1] if self._active else ""

    def _transaction(self, transaction: Transaction) -> TransactionRow:
        keys, gas_limit, atomic, calls = transaction
        signers = [key.hex() for key in keys]
        self.scope.signers = signers
        for key in signers:
            if registry_layout.SUBMITTER in self.standing(key).roles:
                break
        else:
            refused = CallRow("rejected", "missing_role", 0, None)
            return TransactionRow("rejected", "missing_role", 0, [refused] * len(calls), [], {})
        if len(calls) == 1:
            return self._single(calls[0], gas_limit)
        if atomic:
            return self._atomic(calls, gas_limit)
        return self._independent(calls, gas_limit)

    def _single(self, call: Call, gas_limit: int) -> TransactionRow:
        """What `_independent` and `_atomic` both come to for one call."""
        scope = self.scope
        scope.index = 0
        row = self._call(call, gas_limit)
        status, code, gas, _ = row
        kept = status == "ok"
        writes = scope.state.end_single_call(keep=kept)
        events = scope.events if kept else []
        return tuple.__new__(TransactionRow, (status, code, gas, [row], events, writes))

    def _independent(self, calls: Sequence[Call], gas_limit: int) -> TransactionRow:
        state = self.scope.state
        share, left = divmod(gas_limit, len(calls))
        rows: list[CallRow] = []
        events: list[Event] = []
        ended: CallRow | None = None
        for index, call in enumerate(calls):
            left += share
            self.scope.index = index
            row = self._call(call, left)
            left -= row.gas
            rows.append(row)
            succeeded = row.status == "ok"
            state.end_call(keep=succeeded)
            if succeeded:
                events += self.scope.events
            if ended is None or (succeeded and ended.status != "ok"):
                ended = row
        assert ended is not None
        gas = gas_limit - left
        writes = state.end_transaction(keep=True)
        return TransactionRow(ended.status, ended.code, gas, rows, events, writes)

    def _atomic(self, calls: Sequence[Call], gas_limit: int) -> TransactionRow:
        state = self.scope.state
        left = gas_limit
        rows: list[CallRow] = []
        events: list[Event] = []
        for index, call in enumerate(calls):
            self.scope.index = index
            row = self._call(call, left)
            left -= row.gas
            rows.append(row)
            state.end_call(keep=row.status == "ok")
            if row.status != "ok":
                state.end_transaction(keep=False)
                undone = [CallRow("reverted", "ATOMIC", each.gas, None) for each in rows[:-1]]
                never = CallRow("reverted", "ATOMIC", 0, None)
                skipped = [never] * (len(calls) - index - 1)
                gas = gas_limit - left
                all_rows = [*undone, row, *skipped]
                return TransactionRow(row.status, row.code, gas, all_rows, [], {})
            events += self.scope.events
        gas = gas_limit - left
        return TransactionRow("ok", "", gas, rows, events, state.end_transaction(keep=True))

    def _call(self, call: Call, left: int) -> CallRow:
        """Run one call with what is `left` of the transaction's gas."""
        contract, method, args = call
        scope = self.scope
        to_platform = contract == deployment_layout.CONTRACT and not scope.viewing
        if self._unswept >= SWEEP_GAS:
            self._sweep()
        meter = self._meter
        cell = meter.cell
        limit = left if to_platform or left < CALL_GAS_MAX else CALL_GAS_MAX
        meter.limit = limit
        cell[0] = limit - CALL_GAS
        scope.events = []
        scope.reads = 0
        self._active.clear()
        sender = scope.signers[0] if scope.signers else ""
        try:
            if cell[0] < 0:
                raise OutOfGas
            if to_platform:
                self._ready.clear()
                value = self._platform.invoke(method, args)
            else:
                value = self._invoke(sender, contract, method, args)
            if value is not None:
                meter.charge(_result_size(value) >> WRITTEN_SHIFT)
            status, code = "ok", ""
        except Verdict as verdict:
            (status, code), value = _receipt_code(verdict), None
        except Rejected as refusal:
            status, code, value = "rejected", refusal.code, None
        gas = limit - cell[0] if cell[0] > 0 else limit
        self._unswept += gas
        return tuple.__new__(CallRow, (status, code, gas, value))

    def _sweep(self) -> None:
        self._unswept = 0
        # Both young generations: a collection during the call may have moved what it held.
        gc.collect(1)

    def _invoke(self, sender: str, contract: str, method: str, args: Arguments) -> object:
        status, instance, host = self._ready.get(contract) or self._bind(contract)
        known = instance.compiled.methods.get(method)
        if known is None:
            raise Rejected("unknown_method")
        if known.kind == "call":
            if self.scope.viewing:
                raise Rejected("unknown_method")
            if status == deployment_layout.FROZEN:
                raise Rejected(status)
        elif not self._active and not self.scope.viewing:
            # Contracts may call views, transactions not: they would be calls for nothing.
            raise Rejected("unknown_method")
        host.sender_name = sender
        self._active.append(contract)
        try:
            return instance.invoke(method, args)
        finally:
            self._active.pop()

    def _bind(self, contract: str) -> tuple[str, Instance, Host]:
        """What of `contract` is in force now, ready to run, and its status.

        Remembered for the block, until some call of it wrote into the platform's name space.
        """
        found = deployment_layout.in_force(self.deployment, contract, self.scope.height)
        if found is None:
            raise Rejected("unknown_contract")
        if found.status == deployment_layout.RETIRED:
            raise Rejected(found.status)
        bound = (found.status, *self._instance(contract, found.source_hash))
        if deployment_layout.CONTRACT not in self.scope.state.written:
            self._ready[contract] = bound
        return bound

    def nested(self, caller: str, contract: str, method: str, args: Arguments) -> object:
        """`call(...)` from a contract. No contract can be entered twice at a time, and there is
        nothing to catch a failure with: whatever ends the inner call ends the outer one."""
        if contract in self._active:
            raise LimitExceeded("REENTRY")
        if len(self._active) == CALL_DEPTH_MAX:
            raise LimitExceeded("CALL_DEPTH")
        try:
            return self._invoke(caller, contract, method, args)
        except Rejected as refusal:
            if refusal.code in (deployment_layout.FROZEN, deployment_layout.RETIRED):
                raise Reverted(refusal.code.upper()) from None
            raise ContractError("NAME") from None

    def migrate(self, contract: str, source_hash: bytes) -> None:
        """Run `migrate()` of a version of `contract` that is in force from now on."""
        instance, host = self._instance(contract, source_hash)
        host.sender_name = deployment_layout.CONTRACT
        self._active.append(contract)
        try:
            instance.migrate()
        finally:
            self._active.pop()

    def _instance(self, contract: str, source_hash: bytes) -> tuple[Instance, Host]:
        """The version of `contract` with this source, ready to run."""
        instance, host, _ = self._loader.load(contract, source_hash)
        return instance, host

    def _host(self, contract: str) -> Host:
        """The host functions of `contract`. A tracer puts its own in their place."""
        return Host(contract, self, self._meter)


def _result_size(value: object) -> int:
    """Canonical bytes of a result: every validator keeps them, as it keeps events."""
    size = len(packed(value))
    if size > RESULT_BYTES_MAX:
        raise LimitExceeded("RESULT_SIZE")
    return size


def _receipt_code(verdict: Verdict) -> tuple[str, str]:
    """Status and code as a receipt can hold them: a contract chooses the text of its own codes."""
    code = verdict.code
    try:
        if len(code.encode()) <= CODE_BYTES_MAX:
            return verdict.status, code
    except UnicodeEncodeError:
        pass
    return "limit", "CODE"
