"""Ledgers in memory, snapshots of them in memory, and comparing what two ledgers answer."""

from __future__ import annotations

from collections.abc import Iterable

from ledger import snapshot, snapshot_take
from ledger.block_files import BlockFiles
from ledger.genesis import Genesis
from ledger.snapshot import MANIFEST_NAME, Manifest
from ledger.storage.memory import MemoryFolder, MemoryStore
from ledger.store import LedgerStore
from ledger.types import Height


class MemorySource:
    """A snapshot as a dict of files."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def manifest(self) -> bytes:
        return self.files[MANIFEST_NAME]

    def chunk(self, index: int) -> bytes:
        return self.files[snapshot.chunk_name(index)]


def open_store(
    genesis: Genesis,
    kv: MemoryStore | None = None,
    folder: MemoryFolder | None = None,
    base: MemorySource | None = None,
) -> LedgerStore:
    blocks = BlockFiles(folder or MemoryFolder(), segment_bytes=1_500)
    return LedgerStore(genesis, kv or MemoryStore(), blocks, base)


def take(store: LedgerStore, n: Height | None = None) -> MemorySource:
    n = store.certified_height if n is None else n
    folder = MemoryFolder()
    certificate = snapshot_take.certificate_of(store, n)
    for _ in snapshot.write(folder, snapshot_take.take(store, n), store.header(n), certificate):
        pass
    return MemorySource({name: folder.read(name, 0, folder.size(name)) for name in folder.names()})


def made_of(records: Iterable[list[object]], manifest: Manifest) -> MemorySource:
    """A snapshot of `records` whose chunks have the hashes that its manifest says."""
    folder = MemoryFolder()
    chunks = snapshot_take._chunks(records)  # type: ignore[arg-type]
    for _ in snapshot.write(folder, chunks, manifest.header, manifest.certificate):
        pass
    return MemorySource({name: folder.read(name, 0, folder.size(name)) for name in folder.names()})


def said(store: LedgerStore, n: Height, keys: Iterable[str]) -> list[object]:
    """All that a ledger answers of height `n`."""
    names = store.keys_at("kv", "", 1_000, n)
    return [
        store.header(n),
        store.stored_block(n) if n else None,
        store.result_entries(n),
        names,
        [store.state_at("kv", key, n) for key in keys],
        list(store.state_entries(n)),
        store.state.root_at(n),
    ]
