"""Noticing a primary that passes one organisation over.

The oldest waiting transaction of an organisation was known for more than 3 s while the primary
made at least 3 blocks that had room for it: then an honest primary, which takes organisations in
turn and oldest first, would have taken it. A flood frames nobody, since only the oldest of each
organisation counts and blocks without room do not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ledger.genesis import Parameters
from node.bodies import HeldBody
from node.mempool import Pending

PATIENCE_MS: Final = 3_000
"""Less than half a turn; a transaction that waits was relayed again ten times by then."""

BLOCKS_WITH_ROOM: Final = 3
BLOCKS_REMEMBERED: Final = 1_024
"""Blocks of one primary looked back on: four times its turn of 256."""


@dataclass(frozen=True, slots=True)
class _Room:
    decided_ms: int
    transactions: int
    gas: int
    bytes: int


class CensorshipWatch:
    """Remembers what room the present primary's blocks had. Times are this node's clock."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._blocks: deque[_Room] = deque(maxlen=BLOCKS_REMEMBERED)

    def new_primary(self) -> None:
        self._blocks.clear()

    def decided(self, held: HeldBody, now_ms: int) -> None:
        """The present primary got this body decided."""
        limits = self._parameters
        used = sum(signed.transaction.block_gas for signed in held.transactions)
        size = sum(len(signed.raw) for signed in held.transactions)
        self._blocks.append(
            _Room(
                now_ms,
                limits.body_transactions_max - len(held.transactions),
                limits.body_gas_max - used,
                limits.body_bytes_max - size,
            )
        )

    def passed_over(self, oldest: Iterable[Pending], now_ms: int) -> list[str]:
        """Organisations whose oldest waiting transaction the primary should have taken."""
        return [
            pending.sender
            for pending in oldest
            if now_ms - pending.arrived_ms > PATIENCE_MS
            and self._chances(pending) >= BLOCKS_WITH_ROOM
        ]

    def _chances(self, pending: Pending) -> int:
        return sum(
            room.transactions > 0
            and room.gas >= pending.gas
            and room.bytes >= pending.size
            and room.decided_ms > pending.arrived_ms
            for room in self._blocks
        )
