"""What lies in the home of a stopped node, and ways to spoil it.

Looking is done on a copy: opening a log cuts its torn tail, and a test wants to see that the node
does.
"""

from __future__ import annotations

import contextlib
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from consensus.records import Record
from contracts.runner import WorkerRunner
from contracts.sandbox import Sandbox
from ledger.genesis import Genesis
from ledger.recovery import roll_forward
from ledger.storage.folder import DiskFolder
from ledger.store import BLOCKS_FOLDER, LedgerStore
from ledger.types import Digest, Height
from ledger.verification import verify_ledger
from node.service import WAL_FOLDER
from node.wal import VoteLog
from tests.chaos.strace import PARTS, SEGMENT

SEGMENT_HEADER_BYTES = 56
RECORD_HEADER_BYTES = 64
"""See `ledger.storage.segments`: CRCs 8, payload length 8, sequence 8, synced 8, hash 32."""


@contextlib.contextmanager
def copied(home: Path) -> Iterator[Path]:
    """A copy of the data of a stopped node."""
    with tempfile.TemporaryDirectory(prefix="qiong-home-") as scratch:
        for part in PARTS:
            if (home / part).exists():
                shutil.copytree(home / part, Path(scratch) / part)
        yield Path(scratch)


def votes(home: Path) -> list[Record]:
    """The records in its log of votes, in order."""
    with copied(home) as copy, closing(VoteLog(DiskFolder(copy / WAL_FOLDER), Height(0))) as log:
        return log.recovered


def headers(home: Path, genesis: Genesis) -> list[Digest]:
    """Its header hashes once it is opened and rolled forward as at a start; all of it holds.

    The database is not made anew for that: whatever killed the node left it at some block.
    """
    with ExitStack() as stack:
        copy = stack.enter_context(copied(home))
        store = stack.enter_context(closing(LedgerStore.open(copy, genesis)))
        assert store.rebuilt is None
        sandbox = Sandbox()
        sandbox.start()
        runner = stack.enter_context(closing(WorkerRunner(sandbox)))
        for _ in roll_forward(store, runner):
            pass
        return [store.executed_header(n).hash for n in verify_ledger(store)]


def heights(home: Path, genesis: Genesis) -> tuple[Height, Height]:
    """The newest executed and the newest decided block."""
    with copied(home) as copy, closing(LedgerStore.open(copy, genesis)) as store:
        return store.executed_height, store.decided_height


def decided(home: Path, genesis: Genesis, n: Height) -> Digest:
    """What was decided at `n`."""
    with copied(home) as copy, closing(LedgerStore.open(copy, genesis)) as store:
        return store.decided_block(n).d


def records_of(segment: Path) -> list[tuple[int, int]]:
    """Where each record of a segment begins and ends, in bytes."""
    data = segment.read_bytes()
    found: list[tuple[int, int]] = []
    position = SEGMENT_HEADER_BYTES
    while position < len(data):
        (length,) = struct.unpack_from(">Q", data, position + 8)
        end = position + RECORD_HEADER_BYTES + length + -length % 8
        found.append((position, end))
        position = end
    return found


def flip(path: Path, position: int) -> None:
    """Flip one bit of the byte at `position`."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << position % 8
    path.write_bytes(data)


def wal(home: Path) -> Path:
    return home / WAL_FOLDER / SEGMENT


def blocks(home: Path) -> Path:
    return home / BLOCKS_FOLDER / SEGMENT
