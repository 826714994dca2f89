"""Folders of nodes with some blocks, and snapshots of them in folders."""

from __future__ import annotations

from pathlib import Path

from ledger import snapshot
from ledger.block_files import BlockFiles
from ledger.genesis import Genesis
from ledger.snapshot import FolderSource
from ledger.storage.folder import DiskFolder
from ledger.storage.memory import MemoryFolder, MemoryStore
from ledger.store import LedgerStore
from ledger.types import Height
from node.home import Home
from tests.ledger.ledger_world import World
from tests.ledger.snapshots import MemorySource, take


def chain(blocks: int) -> tuple[World, LedgerStore]:
    """A chain in memory, of blocks that write and change values."""
    world = World()
    store = LedgerStore(world.genesis, MemoryStore(), BlockFiles(MemoryFolder()))
    for n in range(1, blocks + 1):
        world.advance(store, world.put(f"k{n % 7}", n), world.put(f"only{n}", "x" * 50))
    return world, store


def home_with(root: Path, world: World, truth: LedgerStore, blocks: int) -> Home:
    """A home that holds the first `blocks` blocks of `truth`."""
    place = Home(root)
    place.logs.mkdir(parents=True)
    store = LedgerStore.open(root, world.genesis)
    for n in range(1, blocks + 1):
        world.apply(store, truth.decided_block(Height(n)).decode())
    store.close()
    return place


def folder_with(path: Path, source: MemorySource) -> FolderSource:
    """The snapshot of `source` as a folder."""
    folder = DiskFolder(path)
    for name, data in source.files.items():
        folder.create(name, data)
    folder.close()
    return FolderSource(path)


def snapshot_of(path: Path, store: LedgerStore, n: int) -> FolderSource:
    return folder_with(path, take(store, Height(n)))


def head_of(place: Home, genesis: Genesis) -> tuple[int, int, bytes]:
    """The first height, the newest one and its header hash, as the next start finds them."""
    store = LedgerStore.open(place.root, genesis)
    try:
        return store.first_height, store.certified_height, store.head.hash
    finally:
        store.close()


def chunk_count(source: FolderSource) -> int:
    return len(snapshot.Manifest.decode(source.manifest()).chunks)
