"""The folder of a node whose database was changed before it executed block 4."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from consensus import records
from consensus.records import Diverged, Highest, Record
from ledger import canonical, schema
from ledger.block_files import BlockFiles
from ledger.certificate import Certificate
from ledger.genesis import Genesis
from ledger.storage.folder import DiskFolder
from ledger.storage.leveldb import LevelDBStore
from ledger.storage.memory import MemoryFolder, MemoryStore
from ledger.store import LedgerStore
from ledger.types import Digest, Epoch, Height, View
from node.config import NodeConfig
from node.home import Home
from node.wal import VoteLog
from tests.ledger.ledger_world import World

DIVERGED_AT = Height(4)
LAST = 6
CERTIFIED = 3


@dataclass
class DivergedHome:
    """`right` are the headers that everyone else has, by height; its own from 4 on differ."""

    place: Home
    world: World
    right: list[Digest]
    certificate: Certificate

    @property
    def genesis(self) -> Genesis:
        return self.world.genesis

    def config(self, **changes: object) -> NodeConfig:
        values: dict[str, object] = dict.fromkeys(NodeConfig.__dataclass_fields__)
        values |= {"organisation": "org1", "free_bytes_min": 0}
        return NodeConfig(**(values | changes))  # type: ignore[arg-type]

    def vote(self, *written: Record) -> None:
        """Append to the log of votes."""
        log = VoteLog(DiskFolder(self.place.wal), Height(0))
        log.append([records.encode(record) for record in written])
        log.close()

    @property
    def record(self) -> Diverged:
        """What the node wrote when it halted."""
        own = self.headers()[DIVERGED_AT]
        return Diverged(
            Epoch(0), DIVERGED_AT, own, self.right[DIVERGED_AT], Height(LAST), self.certificate
        )

    def headers(self) -> list[Digest]:
        """The node's own, of every executed block."""
        store = LedgerStore.open(self.place.root, self.genesis)
        try:
            heights = range(store.executed_height + 1)
            return [store.executed_header(Height(n)).hash for n in heights]
        finally:
            store.close()


def make(root: Path) -> DivergedHome:
    """A node that executed six blocks, the last three wrongly, and knows certificates of three."""
    place, world = Home(root), World()
    place.logs.mkdir(parents=True)
    truth = LedgerStore(world.genesis, MemoryStore(), BlockFiles(MemoryFolder()))
    for n in range(1, LAST + 1):
        world.advance(truth, world.transaction(("add", ["sum", n])))
    for n in range(1, LAST + 1):
        store = LedgerStore.open(root, world.genesis)
        world.apply(store, truth.decided_block(Height(n)).decode(), certify=n <= CERTIFIED)
        store.close()
        if n == CERTIFIED:
            _change(place, "sum", 100)
    right = [truth.executed_header(Height(n)).hash for n in range(LAST + 1)]
    made = DivergedHome(place, world, right, world.certify(truth, DIVERGED_AT))
    made.vote(Highest(Epoch(0), View(0), Height(LAST)))
    return made


def _change(place: Home, key: str, value: int) -> None:
    """Change a value where it lies."""
    kv = LevelDBStore(place.ledger)
    row = schema.by_name("kv", key)
    data = kv.get(row)
    assert data is not None
    height, _ = schema.decode_state(data)
    kv.write({row: schema.encode_state(height, canonical.encode(value))}, sync=True)
    kv.close()
