"""The one thread that executes decided blocks and commits what follows from them.

Voting goes on meanwhile: the driver submits a block and hears of it when its LevelDB batch is
synced. Blocks are executed in the order they were submitted. A block whose outcome no worker can
tell raises `ExecutionStopped`, and nothing of it happens: nobody may guess a receipt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from ledger.block import DecidedBlock
from ledger.execution import CallRunner, StateKey
from ledger.store import LedgerStore
from ledger.types import Digest, Height, TimeMs


class BlockRunner(CallRunner, Protocol):
    """A `CallRunner` that is told which blocks are in the chain."""

    def committed(self, height: Height, writes: Mapping[StateKey, bytes | None]) -> None:
        """Block `height` is in the chain, with its net `writes`."""
        ...


class ExecutionThread:
    """Executes on `store` with `runner`; `stage` is told how long each stage took, in seconds."""

    def __init__(
        self,
        store: LedgerStore,
        runner: BlockRunner,
        stage: Callable[[str, float], None] = lambda name, seconds: None,
    ) -> None:
        self._store = store
        self._runner = runner
        self._stage = stage
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="execution")

    def submit(
        self, n: Height, block: DecidedBlock | None, certified: Digest | None
    ) -> asyncio.Future[tuple[Digest, TimeMs]]:
        """Execute and commit block `n`: the header's hash and time.

        `block` is read from the block files where it is None; `certified` is its certified header,
        if known. The future raises storage and integrity errors, what `LedgerStore.execute` raises
        and what the runner raises.
        """
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._executor, self._execute, n, block, certified)

    def close(self) -> None:
        """Let the block in hand end; what was not begun is executed at the next start."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _execute(
        self, n: Height, block: DecidedBlock | None, certified: Digest | None
    ) -> tuple[Digest, TimeMs]:
        store = self._store
        began = time.perf_counter()
        block = block or store.decided_block(n).decode()
        executed = store.execute(block, self._runner, certified)
        ran = time.perf_counter()
        store.commit(executed)
        self._runner.committed(n, executed.writes)
        self._stage("execute", ran - began)
        self._stage("commit", time.perf_counter() - ran)
        return executed.header.hash, executed.header.time_ms
