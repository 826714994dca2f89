"""Everything that must be durable before a turn's messages leave, in one thread.

A turn's records go to the write-ahead log with one sync, decided blocks to the block files with
theirs. The driver waits for `write` and for nothing else, so there is one writer at a time. LevelDB
is not written here: it follows from the block files (`node.execution_thread`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from consensus import records
from consensus.records import Record
from ledger.block import BlockHeader, DecidedBlock
from ledger.certificate import Certificate
from ledger.types import Digest, Height
from node.bodies import HeldBody
from node.wal import VoteLog


class BlockSink(Protocol):
    """The part of the ledger store that keeps what was decided and certified."""

    def append_decided(self, block: DecidedBlock, body: bytes | None = None) -> None: ...

    def save_certificate(self, certificate: Certificate) -> None: ...

    def sync_blocks(self) -> None: ...

    def executed_header(self, n: Height) -> BlockHeader: ...


@dataclass
class DiskBatch:
    """What one turn writes."""

    records: list[Record] = field(default_factory=list)
    blocks: list[tuple[DecidedBlock, bytes | None]] = field(default_factory=list)
    """Each with its encoded body, None for NULL."""

    def record(self, record: Record) -> None:
        self.records.append(record)

    def decided(self, n: Height, digest: Digest, held: HeldBody | None) -> None:
        if held is None:
            self.blocks.append((DecidedBlock(n, digest, None, ()), None))
        else:
            self.blocks.append((held.decided(n), held.encoded))


class Disk:
    """The write-ahead log and the block files behind one thread."""

    def __init__(self, log: VoteLog, blocks: BlockSink) -> None:
        self._log = log
        self._blocks = blocks
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="disk")

    @property
    def compaction_due(self) -> bool:
        return self._log.compaction_due

    async def write(self, batch: DiskBatch) -> None:
        """Return once all of `batch` survives power loss. Raises storage errors: then stop."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._write, batch)

    async def compact(self, begin: Sequence[Record], bodies: Sequence[HeldBody]) -> None:
        """Let the write-ahead log begin anew with `begin` and `bodies`."""
        kept = [*begin, *(held.record() for held in bodies)]
        await asyncio.get_running_loop().run_in_executor(self._executor, self._compact, kept)

    def save_certificate(self, certificate: Certificate) -> None:
        """Store it beside its block; unsynced, so cheap enough for the event loop's thread."""
        self._blocks.save_certificate(certificate)

    def decided_digest(self, n: Height) -> Digest:
        """The digest that was decided at the executed height `n`."""
        return self._blocks.executed_header(n).d

    def close(self) -> None:
        """Let the write in hand end, then close the write-ahead log."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._log.close()

    def _compact(self, kept: Sequence[Record]) -> None:
        # Votes are forgotten because a Certificate stands above them: it must not vanish after.
        self._blocks.sync_blocks()
        self._log.compact([records.encode(item) for item in kept])

    def _write(self, batch: DiskBatch) -> None:
        if batch.records:
            self._log.append([records.encode(item) for item in batch.records])
        for block, body in batch.blocks:
            self._blocks.append_decided(block, body)
