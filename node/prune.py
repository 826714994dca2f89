"""Giving up old blocks in the folder of a node that is stopped.

First the **base**: a snapshot of the lowest height to be kept, from which a lost database can be
made again. Once it is whole, its height is the first one that is answered for, and everything below
goes, in an order that may be broken off anywhere (`LedgerStore.prune_to`): a node that starts
meanwhile is a pruned one whose rows are not all gone, and the next run goes on.

Left out: doing this in a running node, where a snapshot and the deletions would stand in the way of
blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Final

from ledger import snapshot, snapshot_take
from ledger.genesis import Genesis
from ledger.storage.folder import DiskFolder
from ledger.store import base_folder
from ledger.types import Height
from node.errors import Refused
from node.home import Home
from node.opened import open_ledger
from node.restore import drop_older_bases

KEEP_MIN: Final = 16
"""Fewest blocks kept: four windows, so that a validator that was away for a moment is served blocks
and needs no snapshot. A day of full blocks is some 100,000."""


class KeepsTooFew(Refused):
    """Fewer blocks to keep than other validators may need."""

    code = "keeps_too_few"
    hint = f"keep at least {KEEP_MIN}; a lagging validator is served from what is kept"

    def __init__(self, keep: int) -> None:
        self.keep = keep
        super().__init__(f"expected to keep at least {KEEP_MIN} blocks, got {keep}")


class Prune:
    """A pruning of one home, whose lock the caller holds. A context manager."""

    def __init__(self, place: Home, genesis: Genesis, keep: int) -> None:
        """Open the ledger. `keep` counts the blocks below the newest certified one that stay.

        Raises `KeepsTooFew`, and what `open_ledger` raises.
        """
        if keep < KEEP_MIN:
            raise KeepsTooFew(keep)
        self._place = place
        self._opened = ExitStack()
        self._store = self._opened.enter_context(open_ledger(place, genesis))
        self.before: Height = self._store.first_height
        newest = self._store.certified_height
        self.newest: Height = newest
        found = None
        if newest > keep:
            found = snapshot_take.height_for(self._store, Height(newest - keep))
        self.first: Height = found or self.before
        """The first height that stays; `before`, if nothing is to go."""

    def __enter__(self) -> Prune:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    def write_base(self) -> Iterator[int]:
        """Write the base, unless it is there; yield the number of chunks so far."""
        folder = base_folder(self._place.root, self.first)
        if not self.first or (folder / snapshot.MANIFEST_NAME).exists():
            return
        folder.parent.mkdir(exist_ok=True)
        target = DiskFolder(folder)
        try:
            store = self._store
            certificate = snapshot_take.certificate_of(store, self.first)
            chunks = snapshot_take.take(store, self.first)
            yield from snapshot.write(target, chunks, store.header(self.first), certificate)
        finally:
            target.close()

    def run(self) -> Iterator[Height]:
        """Give up what is below `first`; yield each height that is done."""
        if self.first:
            yield from self._store.prune_to(self.first)
            self._store.compact()
            drop_older_bases(self._place.root, self.first)
