"""Where a node that does not run stands, as its folder tells.

Opens what the next start would open, under the folder's lock, and runs no contract. Like a start it
cuts the unfinished tail of a log off; unlike a start it makes nothing anew, so whatever is damaged
stays as it is for people to look at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from consensus.records import Diverged, Record, Retired
from ledger.block_files import BlockFiles
from ledger.errors import IntegrityError, InvalidInput, StorageError
from ledger.genesis import Genesis
from ledger.quarantine import QuarantineAwaited
from ledger.storage.folder import DiskFolder
from ledger.storage.leveldb import LevelDBStore
from ledger.store import LedgerStore
from ledger.types import Height
from node.config import NodeConfig
from node.errors import in_words
from node.home import Home
from node.metrics import free_bytes
from node.standing import Divergence, Standing, StandingState
from node.wal import VoteLog


@dataclass(frozen=True)
class StoppedNode:
    """`ledger` is None where the database is missing or unusable."""

    standing: Standing
    ledger: LedgerStore | None


@contextmanager
def inspect(place: Home, genesis: Genesis, config: NodeConfig) -> Iterator[StoppedNode]:
    """Open the folder of a node that is stopped. Raises `HomeInUse` if it is not."""
    with place.lock(), ExitStack() as opened:
        try:
            blocks = opened.enter_context(contextlib.closing(BlockFiles(DiskFolder(place.blocks))))
            votes = VoteLog(DiskFolder(place.wal), blocks.certified_height)
            votes.close()
        except (IntegrityError, StorageError, InvalidInput) as damage:
            yield StoppedNode(_standing(genesis, config, "damaged", in_words(damage)), None)
            return
        store, trouble = _open_ledger(place, genesis, blocks, opened)
        found = _found(place, genesis, config, blocks, store, votes.recovered)
        if trouble and found.state == "stopped":
            found = _standing(genesis, config, "damaged", trouble, blocks)
        yield StoppedNode(found, store)


def _open_ledger(
    place: Home, genesis: Genesis, blocks: BlockFiles, opened: ExitStack
) -> tuple[LedgerStore | None, str]:
    """The ledger; or None and what is wrong with its database, empty if it is not there."""
    if not place.ledger.is_dir() or not any(place.ledger.glob("CURRENT")):
        return None, ""
    try:
        kv = opened.enter_context(contextlib.closing(LevelDBStore(place.ledger)))
        return LedgerStore(genesis, kv, blocks), ""
    except (IntegrityError, StorageError, InvalidInput) as damage:
        return None, in_words(damage)


def _found(
    place: Home,
    genesis: Genesis,
    config: NodeConfig,
    blocks: BlockFiles,
    store: LedgerStore | None,
    votes: list[Record],
) -> Standing:
    """The gravest thing first."""
    diverged = next((item for item in reversed(votes) if isinstance(item, Diverged)), None)
    certified = Height(0) if store is None else store.certified_height
    if diverged is not None and diverged.n > certified:
        n = diverged.n
        if store is None or store.executed_height < n:
            reason = f"block {n}, at which it halted, is executed again at the next start"
            return _standing(genesis, config, "repaired", reason, blocks, store)
        own = store.executed_header(n).hash
        if own == diverged.certified:
            reason = f"the header of block {n} is the certified one now"
            return _standing(genesis, config, "repaired", reason, blocks, store)
        divergence = Divergence.of(diverged, own)
        reason = f"our header of block {n} is not the certified one"
        return _standing(genesis, config, "diverged", reason, blocks, store, divergence)
    retired = next((item for item in votes if isinstance(item, Retired)), None)
    if retired is not None:
        return _standing(genesis, config, "log_lost", retired.reason, blocks, store)
    if store is not None and (awaited := _awaited(store)) is not None:
        return _standing(genesis, config, "execution_stopped", str(awaited), blocks, store)
    free = free_bytes(place.root)
    if free < config.free_bytes_min:
        reason = (
            f"{free} bytes of disk are free, {config.free_bytes_min} are the least "
            "(disk.free_bytes_min)"
        )
        return _standing(genesis, config, "disk_floor", reason, blocks, store)
    if not votes and blocks.last_height > 0:
        reason = f"the log of votes is empty and the ledger is at block {blocks.last_height}"
        return _standing(genesis, config, "log_lost", reason, blocks, store)
    return _standing(genesis, config, "stopped", "nothing is wrong on its disk", blocks, store)


def _awaited(store: LedgerStore) -> QuarantineAwaited | None:
    """Why the next block is not executed at the next start, if we signed a quarantine for it."""
    n = Height(store.executed_height + 1)
    missing = store.promised(n) - store.quarantined(n).keys()
    return QuarantineAwaited(n, missing) if missing else None


def _standing(
    genesis: Genesis,
    config: NodeConfig,
    state: StandingState,
    reason: str,
    blocks: BlockFiles | None = None,
    store: LedgerStore | None = None,
    divergence: Divergence | None = None,
) -> Standing:
    organisation = config.organisation
    names = {entry.organisation: entry.name for entry in genesis.validators}
    return Standing(
        state=state,
        reason=reason,
        organisation=organisation,
        name=names.get(organisation, organisation),
        height=Height(0) if store is None else store.certified_height,
        executed=Height(0) if store is None else store.executed_height,
        decided=Height(0) if blocks is None else blocks.last_height,
        highest=Height(0),
        divergence=divergence,
    )
