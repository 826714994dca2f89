"""Processor time per gas of everything a contract can do, in a locked-down worker.

Each row of `gas_rows` spends the gas of a whole call; what the worker's processor took for it,
divided by that gas, should be the same for every row. A row far above the median is underpriced:
whoever finds it makes blocks slow for little gas. A row far below is dear, and harms nobody.

Left out: compiling, which is paid by the byte and node, and the validator's side of each call.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final, cast

from contracts import deployment_layout, registry_layout
from contracts.local import MemoryState
from contracts.registry_layout import Member, Organisation
from contracts.runner import WorkerRunner
from contracts.sandbox import Sandbox
from contracts.worker.executor import CALL_GAS_MAX
from devnet.bench import gas_rows
from devnet.bench.process import process_seconds
from ledger import canonical
from ledger.execution import BlockContext, StateKey
from ledger.hashing import ZERO_DIGEST
from ledger.keys import SigningKey
from ledger.transaction import NONCE_SIZE, Call, Transaction
from ledger.types import Gas, Height, TimeMs

RUNS: Final = 4
"""The first, in which the worker compiles, is not counted; of the others the least."""

RATIO_MAX: Final = 3.0
"""A row may cost this many times the median."""

SECONDS_MAX: Final = 0.1
"""What one call may take of the worker's processor, whatever it does."""

TIME_MS: Final = TimeMs(1_767_225_600_000)
KEY: Final = SigningKey.from_seed(bytes(32)).public


class RowFailed(Exception):
    """A row did not end with its gas: it measures nothing."""


@dataclass(frozen=True, slots=True)
class RowCost:
    """Nanoseconds of the worker's processor per gas, and seconds of a whole call."""

    name: str
    nanoseconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """`rows` from the dearest for its gas down."""

    rows: list[RowCost]

    @property
    def median(self) -> float:
        """Nanoseconds per gas."""
        return statistics.median(row.nanoseconds for row in self.rows)

    def ratio(self, row: RowCost) -> float:
        return row.nanoseconds / self.median

    @property
    def underpriced(self) -> list[RowCost]:
        return [row for row in self.rows if self.ratio(row) > RATIO_MAX]

    @property
    def slow(self) -> list[RowCost]:
        """Rows whose call takes longer than any call may."""
        return [row for row in self.rows if row.seconds > SECONDS_MAX]


def calibrate(
    names: list[str] | None = None,
    *,
    insecure: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> Calibration:
    """Measure the rows `names`, or all; `progress` is called after each.

    Raises `SandboxUnavailable`, and `RowFailed` for a row that does not end with its gas.
    """
    wanted = list(gas_rows.ROWS) if names is None else names
    rows: list[RowCost] = []
    with closing(Sandbox(insecure=insecure)) as sandbox:
        sandbox.start()
        for name in wanted:
            seconds = min(list(_runs(sandbox, name))[1:])
            rows.append(RowCost(name, seconds / CALL_GAS_MAX * 1e9, seconds))
            progress()
    return Calibration(sorted(rows, key=lambda row: -row.nanoseconds))


def _runs(sandbox: Sandbox, name: str) -> Iterator[float]:
    """Seconds of the worker's processor for each run of a row."""
    runner = WorkerRunner(sandbox)  # a new one makes the worker forget the row before
    state = MemoryState(_genesis(gas_rows.source(*gas_rows.ROWS[name])))
    call = Call("main", "main", [3])
    transaction = Transaction(
        ZERO_DIGEST, bytes(NONCE_SIZE), TIME_MS, Gas(CALL_GAS_MAX), (call,), False, (KEY,)
    )
    for _ in range(RUNS):
        before = process_seconds(sandbox.pid)
        (outcome,) = runner.run(BlockContext(ZERO_DIGEST, Height(1), TIME_MS), [transaction], state)
        if outcome.status != "out_of_gas":
            raise RowFailed(f"{name}: {outcome.status} {outcome.code}, gas {outcome.gas}")
        yield process_seconds(sandbox.pid) - before


def _genesis(source: str) -> dict[StateKey, bytes]:
    """One key that may submit and holds a role, the row's contract, and one to be called."""
    roles = (registry_layout.SUBMITTER, "issuer:bench")
    author = Organisation(
        "bench", "Bench", "enterprise", ("issuer:bench",), (Member(KEY.hex(), roles),)
    )
    rows = [
        *deployment_layout.seed_entries([("main", source), ("other", gas_rows.OTHER)]),
        *registry_layout.seed_entries([author]),
        *(("main", key, value) for key, value in gas_rows.STATE.items()),
    ]
    return {
        (contract, key): canonical.encode(cast(canonical.Value, value))
        for contract, key, value in rows
    }
