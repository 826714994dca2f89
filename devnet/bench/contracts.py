"""What a contract call costs, in processor time of both processes and in gas.

The sample's licences are issued, suspended and revoked, and its credit attestations made, one call
a transaction in blocks of BATCH, through a validator's own runner and a locked-down worker. The
time is the processor's, of validator and worker together, from handing over the batch until its
outcomes are parsed. Who else uses the machine can only make it longer.

    validator  rows, prefetched state, checks of the outcomes
    pipe       the validator's side of it: encoding, sending, receiving, decoding
    worker     all of the worker's, its side of the pipe included

Left out: what consensus and ledger do with a transaction (signatures, receipts, state tree, disk).
State is a dictionary in memory. A method's first block is not counted: in it the validator learns
which keys the method reads.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Final, cast

from contracts import registry_layout, shipped
from contracts.local import MemoryState
from contracts.registry_layout import Member, Organisation
from contracts.runner import WorkerRunner
from contracts.sandbox import Answer, Sandbox
from devnet import sample
from devnet.bench.process import process_seconds
from ledger import canonical
from ledger.execution import BlockContext, StateKey
from ledger.hashing import ZERO_DIGEST, sha256
from ledger.keys import SigningKey
from ledger.transaction import Call, Transaction
from ledger.types import Gas, Height, PublicKey, TimeMs

BATCH: Final = 500
"""Transactions of a full block."""

RUNS: Final = 5
"""How often the whole sample is run, each time on an empty chain and with a fresh worker."""

GAS_LIMIT: Final = Gas(300_000)
TIME_MS: Final = TimeMs(1_767_225_600_000)
"""2026-01-01 UTC."""

REASON: Final = "年度检查不合格"


class CallFailed(Exception):
    """A call of the sample did not end well: the figures would be those of another path."""


@dataclass(frozen=True, slots=True)
class CallCost:
    """One method: microseconds of processor time a transaction, medians over blocks, and gas."""

    method: str
    transactions: int
    gas: float
    validator: float
    pipe: float
    worker: float
    total: float

    @property
    def per_second(self) -> int:
        """Calls that one processor serves in a second."""
        return int(1e6 / self.total)


@dataclass(frozen=True, slots=True)
class _Block:
    """Seconds of processor time, and gas, of one block."""

    transactions: int
    gas: int
    validator: float
    pipe: float
    worker: float


def measure(
    runs: int = RUNS, *, insecure: bool = False, progress: Callable[[], None] = lambda: None
) -> list[CallCost]:
    """The costs of the library's calls; `progress` is called after each run.

    Raises `SandboxUnavailable`, and `CallFailed` if the library and the sample do not fit.
    """
    blocks: dict[str, list[_Block]] = {}
    for _ in range(runs):
        for method, measured in _run(insecure=insecure).items():
            blocks.setdefault(method, []).extend(measured[1:])
        progress()
    return [_cost(method, measured) for method, measured in blocks.items()]


def _cost(method: str, blocks: list[_Block]) -> CallCost:
    def median(seconds: Callable[[_Block], float]) -> float:
        return statistics.median(seconds(block) / block.transactions * 1e6 for block in blocks)

    transactions = sum(block.transactions for block in blocks)
    return CallCost(
        method,
        transactions,
        sum(block.gas for block in blocks) / transactions,
        median(lambda block: block.validator),
        median(lambda block: block.pipe),
        median(lambda block: block.worker),
        median(lambda block: block.validator + block.pipe + block.worker),
    )


def _run(*, insecure: bool) -> dict[str, list[_Block]]:
    """Run the whole sample once; blocks by method, in order."""
    entries = _genesis()
    state = MemoryState(entries)
    measured: dict[str, list[_Block]] = {}
    height = 0
    with closing(_TimedSandbox(insecure=insecure)) as sandbox:
        sandbox.start()
        runner = WorkerRunner(sandbox)
        for method, transactions in _transactions().items():
            for first in range(0, len(transactions), BATCH):
                height += 1
                block = transactions[first : first + BATCH]
                context = BlockContext(ZERO_DIGEST, Height(height), TIME_MS)
                cost, writes = _execute(sandbox, runner, context, block, state)
                measured.setdefault(method, []).append(cost)
                entries.update(cast("Mapping[StateKey, bytes]", writes))
                runner.committed(context.height, writes)
    return measured


def _execute(
    sandbox: _TimedSandbox,
    runner: WorkerRunner,
    context: BlockContext,
    transactions: list[Transaction],
    state: MemoryState,
) -> tuple[_Block, dict[StateKey, bytes | None]]:
    sandbox.seconds = 0.0
    ours, workers = time.process_time(), process_seconds(sandbox.pid)
    outcomes = runner.run(context, transactions, state)
    ours, workers = time.process_time() - ours, process_seconds(sandbox.pid) - workers
    writes: dict[StateKey, bytes | None] = {}
    for outcome in outcomes:
        if outcome.status != "ok":
            raise CallFailed(f"{outcome.status} {outcome.code}")
        writes.update(outcome.writes)
    gas = sum(outcome.gas for outcome in outcomes)
    pipe = sandbox.seconds
    return _Block(len(outcomes), gas, ours - pipe, pipe, workers), writes


class _TimedSandbox(Sandbox):
    """Adds up this process's own time within requests."""

    seconds = 0.0

    def request(
        self, message: tuple[object, ...], reply: Callable[[Answer], tuple[object, ...]]
    ) -> object:
        began = time.process_time()
        try:
            return super().request(message, reply)
        finally:
            self.seconds += time.process_time() - began


def _transactions() -> dict[str, list[Transaction]]:
    """The sample's calls by method, each signed by its issuer."""
    licences = sample.licences()
    methods: dict[str, Iterable[tuple[str, Call]]] = {
        "licence.issue": (
            (row.issuer, _call("licence", "issue", row.id, row.type, row.holder, row.issued,
                               row.expires))
            for row in licences
        ),
        "licence.suspend": (
            (row.issuer, _call("licence", "suspend", row.id, REASON)) for row in licences
        ),
        "licence.revoke": (
            (row.issuer, _call("licence", "revoke", row.id, REASON)) for row in licences
        ),
        "credit.attest": (
            (row.issuer, _call("credit", "attest", row.subject, row.list, row.grade, row.evidence,
                               row.expires))
            for row in sample.attestations()
        ),
    }  # fmt: skip
    keys = {department.uscc: _key(department.uscc) for department in sample.departments()}
    return {
        method: [_transaction(keys[issuer], call) for issuer, call in calls]
        for method, calls in methods.items()
    }


def _call(contract: str, method: str, *args: str) -> Call:
    return Call(contract, method, list(args))


def _transaction(key: PublicKey, call: Call) -> Transaction:
    return Transaction(ZERO_DIGEST, bytes(16), TIME_MS, GAS_LIMIT, (call,), False, (key,))


def _key(uscc: str) -> PublicKey:
    return SigningKey.from_seed(sha256(uscc.encode())).public


def _genesis() -> dict[StateKey, bytes]:
    """The library deployed, and each department with one key that holds its roles."""
    accreditations = sample.accreditations()
    organisations = []
    for department in sample.departments():
        issuer_roles = accreditations[department.uscc]
        roles = (registry_layout.SUBMITTER, *issuer_roles)
        members = (Member(_key(department.uscc).hex(), roles),)
        organisations.append(
            Organisation(department.uscc, department.name, "government", issuer_roles, members)
        )
    rows = [*shipped.seed_entries(), *registry_layout.seed_entries(organisations)]
    return {
        (contract, key): canonical.encode(cast(canonical.Value, value))
        for contract, key, value in rows
    }
