"""The ledger in the folder of a node that is stopped, opened as it is: nothing is made anew.

A start begins a damaged database again and executes the blocks (`LedgerStore.open`); a tool that
looks or takes away must not, so here damage is an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

from ledger.block_files import BlockFiles
from ledger.genesis import Genesis
from ledger.storage.folder import DiskFolder
from ledger.storage.leveldb import LevelDBStore
from ledger.store import LedgerStore
from node.errors import Refused
from node.home import Home


class NoDatabase(Refused):
    """The home has no database to look at."""

    code = "no_database"
    hint = "start the node once, or make it anew with `qiong db rebuild`"

    def __init__(self, place: Home) -> None:
        self.path = str(place.ledger)
        super().__init__(f"{place.ledger} holds no database")


@contextmanager
def open_ledger(place: Home, genesis: Genesis) -> Iterator[LedgerStore]:
    """Open the ledger of `place`, whose lock the caller holds.

    Raises `NoDatabase`, `StoreCorrupt`, `BlockFilesDamaged` and other storage errors.
    """
    if not (place.ledger / "CURRENT").exists():
        raise NoDatabase(place)
    with (
        contextlib.closing(BlockFiles(DiskFolder(place.blocks))) as blocks,
        contextlib.closing(LevelDBStore(place.ledger)) as kv,
    ):
        yield LedgerStore(genesis, kv, blocks)
