"""The order in which things become durable."""

from __future__ import annotations

from random import Random
from typing import Any

from consensus.records import Highest
from ledger.block_files import BlockFiles, StoredBlock
from ledger.certificate import Certificate
from ledger.storage.memory import MemoryFolder
from ledger.types import Digest, Epoch, Height, Signature, View
from node.disk import Disk
from node.wal import VoteLog

CERTIFICATE = Certificate(
    Epoch(0), Height(1), Digest(b"\x01" * 32), (("org0", Signature(b"\x01" + bytes(64))),)
)


class Blocks:
    """The block files alone, as the disk sees the ledger."""

    def __init__(self, folder: MemoryFolder) -> None:
        self.files = BlockFiles(folder)
        self.files.append_decided(StoredBlock(Height(1), Digest(b"\x02" * 32), b"body", ()))

    def save_certificate(self, certificate: Certificate) -> None:
        self.files.append_certificate(certificate)

    def sync_blocks(self) -> None:
        self.files.sync()


async def test_votes_are_forgotten_only_below_a_certificate_that_outlives_power_loss() -> None:
    blocks, wal = MemoryFolder(), MemoryFolder()
    ledger: Any = Blocks(blocks)
    disk = Disk(VoteLog(wal, Height(0)), ledger)
    disk.save_certificate(CERTIFICATE)
    await disk.compact([Highest(Epoch(0), View(0), Height(1))], [])
    for seed in range(20):
        again = BlockFiles(blocks.after_power_loss(Random(seed)))
        assert again.certified_height == 1
    disk.close()
