"""Bringing an index from its own height to the ledger's certified one.

A step takes the blocks after the index's height together, as many as change some hundreds of
entries, and writes what those entries are at the last of them: what an entry was in between is in
no index. A contract whose fields are not what the index has, because it was deployed or upgraded,
is read whole in the same step. An index that holds nothing yet is the case in which that is true of
every contract. So is one that the ledger cannot take on: it stands above the certified height (a
power loss took certificates, or the ledger came from a backup), or below the blocks that are kept.

A long step gives way: it pauses between pages for as long as a page took, and so leaves half of
the interpreter's time to consensus, whatever else it has to do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Final

from ledger.execution import StateKey
from ledger.types import Digest, Height
from node.index.interface import Change, Index, Standing
from node.index.ledger_source import LedgerSource

log = logging.getLogger(__name__)

STEP_ENTRIES: Final = 1_000
"""Changed entries after which a step takes no further block: some 100 ms."""

STEP_BLOCKS: Final = 1_000
"""Blocks of a step, be they empty."""


class Follower:
    """Brings `index` along `source`. One thread."""

    def __init__(
        self,
        index: Index,
        source: LedgerSource,
        chain_id: Digest,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._index = index
        self._source = source
        self._chain_id = chain_id
        self._sleep = sleep
        self._standing: Standing | None = None
        self._paused = 0.0

    @property
    def height(self) -> Height | None:
        """The height of the index as far as it is known; None before it has one."""
        return None if self._standing is None else self._standing.height

    def open(self) -> None:
        """Connect, also anew after an error. Raises `IndexUnavailable`, `IndexDamaged`."""
        self._standing = None
        standing = self._index.open(self._chain_id)
        if standing.height is not None and not self._can_go_on(standing.height):
            log.warning("the query index, at block %d, is made anew", standing.height)
            self._index.reset(keep=False)
            standing = self._index.open(self._chain_id)
        self._standing = standing

    def make_anew(self) -> None:
        """Put a damaged index aside and begin empty. Raises as `open`."""
        self._standing = None
        self._index.reset(keep=True)
        self.open()

    def step(self) -> bool:
        """Take some blocks; False if there were none to take. `open` first.

        Raises `IndexUnavailable`, `IndexDamaged`, after which `open` comes first again, and what
        reading the ledger does.
        """
        standing = self._standing
        assert standing is not None, "open first"
        certified = self._source.certified_height
        if standing.height is not None and standing.height >= certified:
            return False
        self._standing = None
        self._paused = time.monotonic()
        written: dict[StateKey, Height] = {}
        height = certified
        if standing.height is not None:
            height = self._collect(standing.height, certified, written)
        fields = self._source.fields(height)
        fresh = {name for name in fields if standing.fields.get(name) != fields[name]}
        cleared = fresh | (standing.fields.keys() - fields.keys())
        kept = {
            name: block
            for name, block in written.items()
            if name[0] in fields and name[0] not in fresh
        }
        self._index.apply(height, fields, cleared, self._changes(kept, fields, fresh, height))
        self._standing = Standing(height, fields)
        return True

    def _can_go_on(self, height: Height) -> bool:
        first = self._source.first_kept_height
        return first - 1 <= height <= self._source.certified_height

    def _collect(self, after: Height, certified: Height, written: dict[StateKey, Height]) -> Height:
        """Add what blocks beyond `after` wrote to `written`; the last block that was taken."""
        height = after
        while height < min(certified, after + STEP_BLOCKS) and len(written) < STEP_ENTRIES:
            height = Height(height + 1)
            written.update(dict.fromkeys(self._source.changed(height), height))
        return height

    def _changes(
        self,
        written: dict[StateKey, Height],
        fields: dict[str, tuple[str, ...]],
        fresh: set[str],
        height: Height,
    ) -> Iterator[Change]:
        yield from self._source.changes(written, fields, height)
        for name in sorted(fresh):
            yield from self._source.entries(name, fields[name], height, self._give_way)

    def _give_way(self) -> None:
        self._sleep(time.monotonic() - self._paused)
        self._paused = time.monotonic()
