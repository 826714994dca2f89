"""When the primary proposes, and what.

A body is made when transactions wait and nothing is in flight, or a body's worth waits, or the
oldest has waited 20 ms; an empty one when nothing happened for the idle period, so that time passes
on the chain and a dead primary is noticed. The replica says whether there is a slot at all.
"""

from __future__ import annotations

from typing import Final

from consensus.replica import ProposalSlot
from ledger.block import Body
from ledger.types import TimeMs
from node.bodies import HeldBody
from node.mempool import Mempool

WAIT_MS: Final = 20
"""How long a transaction waits for company while another body is in flight; a few syncs."""


class Proposer:
    """Builds bodies of `organisation` from the mempool. Times are milliseconds of UTC."""

    def __init__(self, organisation: str, mempool: Mempool, idle_block_ms: int) -> None:
        self._organisation = organisation
        self._mempool = mempool
        self._idle_block_ms = idle_block_ms

    def due_in_ms(self, slot: ProposalSlot, now_ms: int, last_block_ms: int) -> int | None:
        """In how many milliseconds `slot` should be used: 0 for now, None for not by time alone."""
        oldest_ms = self._mempool.oldest_arrival_ms()
        if oldest_ms is None:
            if slot.in_flight > 0:
                return None
            return max(0, last_block_ms + self._idle_block_ms - now_ms)
        if slot.in_flight == 0 or self._mempool.full_body_waits():
            return 0
        return max(0, oldest_ms + WAIT_MS - now_ms)

    def build(self, slot: ProposalSlot, now_ms: int) -> HeldBody:
        """The body for `slot`, its transactions held in the mempool."""
        chosen = self._mempool.take(now_ms)
        body = Body(
            n=slot.n,
            first_view=slot.view,
            proposer=self._organisation,
            timestamp_ms=TimeMs(now_ms),
            transaction_digests=tuple(pending.signed.digest for pending in chosen),
        )
        return HeldBody(body, body.encode(), tuple(pending.signed for pending in chosen))
