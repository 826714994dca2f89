"""The ids of transactions that could otherwise be executed again: the dedup set.

A transaction in a block of time t has valid_until <= t + lifetime. Once the chain's time is later
than that, no transaction of the block can be executed any more, and its ids are forgotten together.
The set is as large as what is executed in one lifetime, and a function of the chain alone.

Left out: storage (`ledger.store` keeps the ids of each block in a row), and pending transactions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from ledger.types import Digest, Height


@dataclass(frozen=True, slots=True)
class BlockIds:
    """What one block executed; `time_ms` is its header's."""

    n: Height
    time_ms: int
    ids: list[Digest]


class RecentIds:
    """Ids of the blocks younger than `lifetime_ms`, oldest block first."""

    def __init__(self, lifetime_ms: int, blocks: Iterable[BlockIds] = ()) -> None:
        self._lifetime_ms = lifetime_ms
        self._blocks: deque[BlockIds] = deque()
        self._ids: set[Digest] = set()
        for block in blocks:
            self._take(block)

    def __contains__(self, tx_id: object) -> bool:
        return tx_id in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def expired_at(self, time_ms: int) -> list[Height]:
        """Heights that `add` of a block of `time_ms` will forget."""
        found: list[Height] = []
        for block in self._blocks:
            if not self._expired(block, time_ms):
                break
            found.append(block.n)
        return found

    def add(self, block: BlockIds) -> None:
        """Remember the chain's next block and forget those that expired by its time."""
        while self._blocks and self._expired(self._blocks[0], block.time_ms):
            self._ids.difference_update(self._blocks.popleft().ids)
        self._take(block)

    def _expired(self, block: BlockIds, time_ms: int) -> bool:
        return block.time_ms + self._lifetime_ms < time_ms

    def _take(self, block: BlockIds) -> None:
        self._blocks.append(block)
        self._ids.update(block.ids)
