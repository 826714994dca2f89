"""What survives a crash: the write-ahead log of votes and the ledger.

**What a torn turn leaves.** The driver writes a turn's records with one append and one sync, then
its decided blocks, each synced, then sends. A crash while it writes therefore leaves a prefix of
the turn's records and no block; or all records and a prefix of the blocks; and in both cases
nothing of it was sent. What earlier turns wrote is synced and stays. Certificates are written
to the block files without a sync, so a power loss may take those newer than the last decided block.

There are two logs of one interface. `ListLog` keeps records in a list and tears at record
boundaries. `SegmentedLog` is the product's: `node.wal` over the memory folder, whose power loss
also cuts inside a record or leaves sectors of zeros.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

from consensus import records
from consensus.messages import Envelope, NewView, ViewChange, decode
from consensus.records import BodyRecord, NewViewTaken, Prepared, PrePrepared, Record, ViewChanged
from ledger.block import Body
from ledger.storage.errors import StoreFailed
from ledger.storage.memory import MemoryFolder
from ledger.types import Digest, Height
from node.wal import VoteLog
from tests.simulation.chain import GENESIS, Ledger

COMPACT_RECORDS: Final = 60
"""Records after which `ListLog` is compacted: often, so that crashes come near it."""

SEGMENT_BYTES: Final = 16 << 10
"""Bytes after which `SegmentedLog` is compacted, for the same reason."""


class Log(Protocol):
    """A write-ahead log as the simulated driver uses it."""

    @property
    def compaction_due(self) -> bool: ...

    def append(self, items: Sequence[Record]) -> None:
        """Write and sync."""

    def tear(self, items: Sequence[Record], rng: random.Random) -> None:
        """The process died, or power was lost, while `append` was at work."""

    def compact(self, items: Sequence[Record]) -> None:
        """Begin anew with `items`."""

    def reopen(self, certified: Height) -> tuple[list[Record], list[Body]]:
        """What a restart reads: the votes in order, and the bodies above `certified`."""

    def delete(self) -> None:
        """Someone removed the files."""


class ListLog:
    """Records in a list."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._compacted = 0

    @property
    def compaction_due(self) -> bool:
        return len(self._records) - self._compacted > COMPACT_RECORDS

    def append(self, items: Sequence[Record]) -> None:
        self._records += items

    def tear(self, items: Sequence[Record], rng: random.Random) -> None:
        self._records += items[: rng.randint(0, len(items))]

    def compact(self, items: Sequence[Record]) -> None:
        self._records = list(items)
        self._compacted = len(items)

    def reopen(self, certified: Height) -> tuple[list[Record], list[Body]]:
        votes: list[Record] = []
        bodies: list[Body] = []
        for item in self._records:
            content = records.decode(records.encode(item))
            if not isinstance(content, BodyRecord):
                votes.append(content)
            elif (body := Body.decode(content.body)).n > certified:
                bodies.append(body)
        return votes, bodies

    def delete(self) -> None:
        self.compact([])


class SegmentedLog:
    """The product's log on a folder in memory."""

    def __init__(self) -> None:
        self.folder = MemoryFolder()
        self.cut_bytes = 0
        """What openings cut off as torn tails."""
        self._log: VoteLog | None = None

    def _open(self, certified: Height = GENESIS) -> VoteLog:
        if self._log is None:
            self._log = VoteLog(self.folder, certified, segment_bytes=SEGMENT_BYTES)
            self.cut_bytes += self._log._log.cut_bytes
        return self._log

    @property
    def compaction_due(self) -> bool:
        return self._open().compaction_due

    def append(self, items: Sequence[Record]) -> None:
        self._open().append([records.encode(item) for item in items])

    def tear(self, items: Sequence[Record], rng: random.Random) -> None:
        if items:
            self._open()
            self.folder.fail_next_sync = True
            with suppress(StoreFailed):
                self.append(items)
        self.folder = self.folder.after_power_loss(rng)
        self._log = None

    def compact(self, items: Sequence[Record]) -> None:
        self._open().compact([records.encode(item) for item in items])

    def reopen(self, certified: Height) -> tuple[list[Record], list[Body]]:
        """Raises `LogCorrupt` or `VoteDamaged` if the files were damaged."""
        self._log = None
        log = self._open(certified)
        return log.recovered, [held.body for held in log.bodies]

    def delete(self) -> None:
        self.folder = MemoryFolder()
        self._log = None

    def flip_bit(self, rng: random.Random) -> None:
        """Damage a byte that was once safe."""
        files = self.folder._files
        name = rng.choice(sorted(files))
        position = rng.randrange(len(files[name]))
        files[name][position] ^= 1 << rng.randrange(8)


class Disk:
    """One validator's disk, and an index of what its log promises."""

    def __init__(self, log: Log | None = None) -> None:
        self.log: Log = ListLog() if log is None else log
        self.ledger = Ledger()
        self._promises: dict[tuple[object, ...], None] = {}

    def write(self, items: Sequence[Record]) -> None:
        if items:
            self.log.append(items)
            self._index(items)

    def compact(self, items: Sequence[Record]) -> None:
        """As `node.disk`: what lets votes be forgotten is safe before they are."""
        self.ledger.loose.clear()
        self.log.compact(items)
        self._promises.clear()
        self._index(items)

    def reopen(self) -> tuple[list[Record], list[Body]]:
        votes, bodies = self.log.reopen(self.ledger.certified)
        self._promises.clear()
        self._index(votes)
        return votes, bodies

    def promises(self, kind: int, *position: object) -> bool:
        """Whether a record of this kind for this position is safe.

        PREPARED and PRE-PREPARED: (view, n, digest); the others: (encoded message).
        """
        return (kind, *position) in self._promises

    def _index(self, items: Sequence[Record]) -> None:
        promises = self._promises
        for item in items:
            if isinstance(item, PrePrepared):
                promises[(item.kind, item.view, item.n, item.digest)] = None
            elif isinstance(item, Prepared):
                certificate = item.certificate
                key = (item.kind, certificate.view, certificate.n, certificate.digest)
                promises[key] = None
            elif isinstance(item, ViewChanged | NewViewTaken):
                promises[(item.kind, item.message)] = None
                for view, n, digest in obliged(item):
                    promises[(PrePrepared.kind, view, n, digest)] = None


def obliged(item: ViewChanged | NewViewTaken) -> list[tuple[int, Height, Digest]]:
    """The proposals that a NEW-VIEW's record stands for."""
    message = message_of(item)
    if not isinstance(message, NewView):
        return []
    return [(message.view, entry.n, entry.digest) for entry in message.proposals]


def message_of(item: ViewChanged | NewViewTaken) -> ViewChange | NewView:
    envelope = decode(item.message)
    assert isinstance(envelope, Envelope)
    assert isinstance(envelope.message, ViewChange | NewView)
    return envelope.message
