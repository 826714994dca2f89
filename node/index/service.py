"""The index of a running node: a thread that follows the ledger, and a short line of searches.

Whatever happens to the database happens to searches alone: the follower says so in the log, tries
again after a while, and makes anew what is damaged; every other part of the node goes on. Searches
wait in threads of their own, because a server that hangs must not take those of other reads.

What was found is held against the ledger before it is answered. An entry that the ledger does not
have as the index says shows a damaged index, which is then made anew. Left out: what an index fails
to find. That is why no listing is more than this node's word.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from contracts.deployment_layout import Deployed
from ledger import canonical
from ledger.errors import QiongError
from ledger.types import Digest, Height
from node.errors import in_words
from node.index.follow import Follower, Interrupted
from node.index.interface import (
    Index,
    IndexBehind,
    IndexDamaged,
    IndexStatus,
    IndexUnavailable,
)
from node.index.ledger_source import Ledger, LedgerSource
from node.index.values import Condition, row_of

log = logging.getLogger(__name__)

SEARCHERS: Final = 2
"""Threads that search; the database does the work, outside the interpreter."""

WAITING_MAX: Final = 64
"""Searches in line: a second of ordinary ones, some milliseconds each."""

RETRY_SECONDS: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits between attempts to reach a database, the last one again and again."""

STOP_SECONDS_MAX: Final = 10.0
"""Longest that the end of a node waits for a step."""

LOG_EVERY: Final = 1_000
"""Blocks between two lines of the log while an index catches up."""


class IndexBusy(QiongError):
    """Too many searches wait."""

    code = "index_busy"
    hint = "ask again later, or ask another node"


@dataclass(frozen=True, slots=True)
class Item:
    """An entry that was found, with its value and the block that wrote it last."""

    key: str
    value: canonical.Value
    changed: Height


@dataclass(frozen=True, slots=True)
class Answer:
    """The first entries that met the conditions, at `height`; `more` if there are others."""

    height: Height
    items: tuple[Item, ...]
    more: bool


class IndexService:
    """`index`, kept in step with `ledger`. `start`, use, `stop`.

    `wake` may be called from any thread, `search` in the event loop. `busy` is asked, from the
    follower's thread, whether transactions wait.
    """

    def __init__(self, index: Index, ledger: Ledger, chain_id: Digest) -> None:
        self.busy: Callable[[], bool] = lambda: False
        self._index = index
        self._ledger = ledger
        self._source = LedgerSource(ledger)
        self._ended = threading.Event()
        self._wake = threading.Event()
        self._follower = Follower(
            index, self._source, chain_id, self._ended.wait, lambda: self.busy()
        )
        self._thread = threading.Thread(target=self._follow, name="index", daemon=True)
        self._searchers = ThreadPoolExecutor(SEARCHERS, thread_name_prefix="index-search")
        self._waiting = 0
        self._height: Height | None = None
        self._problem: str | None = None
        self._damaged: str | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End or give up the step in hand and close the database.

        Waits for both, but not long for a server that hangs: what it does not commit never was.
        """
        self._ended.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS_MAX)
        self._searchers.shutdown(wait=True, cancel_futures=True)
        self._index.close()

    def wake(self) -> None:
        """There are newly certified blocks."""
        self._wake.set()

    @property
    def status(self) -> IndexStatus:
        """The index now."""
        return IndexStatus(self._index.database, self._height, self._problem)

    def fields_of(self, deployed: Deployed, height: Height) -> tuple[str, ...]:
        """The fields that can be searched of a contract deployed at `height`."""
        return self._source.fields_of(deployed, height)

    async def search(
        self,
        contract: str,
        fields: tuple[str, ...],
        conditions: Sequence[Condition],
        after: str | None,
        limit: int,
    ) -> Answer:
        """The first `limit` entries beyond the key `after` that meet all `conditions`.

        Raises `IndexBusy`, `IndexBehind`, `SearchTooSlow`, `IndexUnavailable`, `IndexDamaged`, and
        what reading the ledger does.
        """
        if self._waiting >= WAITING_MAX:
            raise IndexBusy(f"{self._waiting} searches wait already")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            question = contract, fields, conditions, after, limit
            return await loop.run_in_executor(self._searchers, self._search, *question)
        except IndexDamaged as error:
            self._damaged = error.reason
            self._wake.set()
            raise
        finally:
            self._waiting -= 1

    def _search(
        self,
        contract: str,
        fields: tuple[str, ...],
        conditions: Sequence[Condition],
        after: str | None,
        limit: int,
    ) -> Answer:
        if self._height is None:
            if self._problem is not None:
                raise IndexUnavailable(self._problem)
            raise IndexBehind("the query index is being made")
        found = self._index.search(contract, fields, conditions, after, limit + 1)
        items = tuple(
            self._item(contract, key, found.height, fields, conditions)
            for key in found.keys[:limit]
        )
        return Answer(found.height, items, len(found.keys) > limit)

    def _item(
        self,
        contract: str,
        key: str,
        height: Height,
        fields: tuple[str, ...],
        conditions: Sequence[Condition],
    ) -> Item:
        entry = self._ledger.entry_at(contract, key, height)
        if entry is None:
            raise IndexDamaged(f"the ledger has no entry {contract}/{key} at block {height}")
        value = canonical.decode(entry.value)
        row = row_of(value, entry.written, fields)
        if not all(condition.holds(row) for condition in conditions):
            raise IndexDamaged(f"the ledger has another entry {contract}/{key} at block {height}")
        return Item(key, value, entry.written)

    # --- the follower's thread ---

    def _follow(self) -> None:
        failures = 0
        opened = False
        while not self._ended.is_set():
            try:
                if self._damaged is not None:
                    self._make_anew(self._damaged)
                elif not opened:
                    self._follower.open()
                opened = True
                self._steps()
                failures = 0
                self._wake.wait()
                self._wake.clear()
            except Interrupted:
                return
            except IndexDamaged as error:
                opened = False
                self._damaged = error.reason
                self._ended.wait(RETRY_SECONDS[0])
            except Exception as error:
                opened = False
                self._fail(error)
                self._ended.wait(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1

    def _make_anew(self, reason: str) -> None:
        log.error("the query index is damaged (%s) and is made anew", reason)
        self._height = None
        self._follower.make_anew()
        self._damaged = None

    def _steps(self) -> None:
        """Catch up with the ledger."""
        self._height = self._follower.height
        began = self._height
        while not self._ended.is_set() and self._damaged is None and self._follower.step():
            height = self._height = self._follower.height
            if height is not None and (began is None or height - began >= LOG_EVERY):
                log.info("the query index is at block %d", height)
                began = height
        if self._problem is not None:
            log.info("the query index is in order again")
            self._problem = None

    def _fail(self, error: Exception) -> None:
        """Say what is wrong, once for as long as it stays the same."""
        self._height = None
        problem = error.reason if isinstance(error, IndexUnavailable) else in_words(error)
        if problem != self._problem:
            trace = None if isinstance(error, QiongError) else error
            log.error("the query index does not follow: %s", problem, exc_info=trace)
        self._problem = problem
