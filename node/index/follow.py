"""Bringing an index from its own height to the ledger's certified one.

A step takes the blocks after the index's height together, as many as change some hundreds of
entries, and writes what those entries are at the last of them: what an entry was in between is in
no index. A contract whose fields are not what the index has, because it was deployed or upgraded,
is read whole in the same step. An index that holds nothing yet is the case in which that is true of
every contract. So is one that the ledger cannot take on: it stands above the certified height (a
power loss took certificates, or the ledger came from a backup), or below the blocks that are kept.

Consensus comes first. An entry costs the index about as much work as the rest of the node does for
a transaction (some 100 us, in the same interpreter and on the same disk), so the follower rests
after each piece of work: for as long as that took where the node has nothing else to do, nine times
as long where transactions wait. Under a load that goes on the index falls behind, says so by its
height, and comes up again when the load is over.
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

STEP_ENTRIES: Final = 500
"""Changed entries after which a step takes no further block: some 50 ms."""

STEP_BLOCKS: Final = 1_000
"""Blocks of a step, be they empty."""

REST: Final = 1.0
REST_WHILE_BUSY: Final = 9.0
"""Rest after a piece of work, in multiples of the time it took."""


class Interrupted(Exception):
    """The follower was told to end in the middle of a step, which then did not happen."""


class Follower:
    """Brings `index` along `source`. One thread.

    `rest` waits for some seconds and says whether to end; `busy` says whether transactions wait.
    """

    def __init__(
        self,
        index: Index,
        source: LedgerSource,
        chain_id: Digest,
        rest: Callable[[float], bool],
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._index = index
        self._source = source
        self._chain_id = chain_id
        self._rest = rest
        self._busy = busy
        self._standing: Standing | None = None
        self._began = 0.0

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

        Raises `IndexUnavailable`, `IndexDamaged`, `Interrupted`, after which `open` comes first
        again, and what reading the ledger does.
        """
        standing = self._standing
        assert standing is not None, "open first"
        certified = self._source.certified_height
        if standing.height is not None and standing.height >= certified:
            return False
        self._standing = None
        self._began = time.monotonic()
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
        self._rest(self._due())
        return True

    def _can_go_on(self, height: Height) -> bool:
        return self._source.first_height <= height <= self._source.certified_height

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
        if self._rest(self._due()):
            raise Interrupted
        self._began = time.monotonic()

    def _due(self) -> float:
        """Seconds of rest for the work since the last one."""
        return (time.monotonic() - self._began) * (REST_WHILE_BUSY if self._busy() else REST)
