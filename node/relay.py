"""Passing transactions on, so that every validator verifies them once and early.

What clients give to this node goes to all peers at once, in batches: a few milliseconds of waiting
make one frame of hundreds of transactions. What still waits after half a second goes again, oldest
first and bounded, whoever relayed it first: a primary that says it never got it must not be right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from consensus.messages import Transactions, UnsignedMessage
from node.mempool import Mempool, Pending

DELAY_SECONDS: Final = 0.003
"""Waiting for company: adds less to the latency than one sync does."""

BATCH_TRANSACTIONS: Final = 500
BATCH_BYTES: Final = 256 << 10
"""Where a batch is sent without waiting: half a body, and one link batch."""

AGAIN_AFTER_MS: Final = 500
AGAIN_TRANSACTIONS: Final = 64
AGAIN_BYTES: Final = 256 << 10
"""Relayed again per tick: enough to get the oldest through, 1 MB/s at most."""


class Relay:
    """Batches for all peers. Belongs to the event loop's thread."""

    def __init__(self, mempool: Mempool, broadcast: Callable[[UnsignedMessage], None]) -> None:
        self._mempool = mempool
        self._broadcast = broadcast
        self._batch: list[Pending] = []
        self._batch_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, fresh: Iterable[Pending], now_ms: int) -> None:
        """Pass on transactions that clients gave to this node."""
        for pending in fresh:
            self._batch.append(pending)
            self._batch_bytes += pending.size
            pending.relayed_ms = now_ms
            if len(self._batch) >= BATCH_TRANSACTIONS or self._batch_bytes >= BATCH_BYTES:
                self.flush()
        if self._batch and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_SECONDS, self.flush)

    def again(self, now_ms: int) -> None:
        """Relay the oldest transactions that still wait (see the module)."""
        late = self._mempool.to_relay(now_ms - AGAIN_AFTER_MS, AGAIN_TRANSACTIONS, AGAIN_BYTES)
        for pending in late:
            pending.relayed_ms = now_ms
        self._send(late)

    def flush(self) -> None:
        """Send the batch now, as before a body that names its transactions."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        self._send(batch)

    def _send(self, batch: list[Pending]) -> None:
        if batch:
            self._broadcast(Transactions(tuple(pending.signed.raw for pending in batch)))
