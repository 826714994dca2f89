"""When a simulated primary proposes, and what: the rules of `node.driver` and `node.proposer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from consensus.effects import Effect, PersistBody
from consensus.events import Propose
from ledger.block import Body
from ledger.types import Digest
from tests.simulation.chain import BATCH

if TYPE_CHECKING:
    from tests.simulation.node import Node

WAIT_MS: Final = 20
"""How long a transaction waits for company while another body is in flight."""

IDLE_MS: Final = 10_000


class Proposing:
    """Belongs to one run of one node; forgotten in a crash."""

    def __init__(self, node: Node) -> None:
        self._node: Any = node
        self._world = node.world
        self._last_block_at = self._world.now
        self._wake_at: int | None = None

    def block_made(self) -> None:
        """A block was proposed or decided just now."""
        self._last_block_at = self._world.now

    def propose_if_due(self) -> list[Effect]:
        """Use the replica's slots as far as their time has come."""
        node = self._node
        effects: list[Effect] = []
        if not node.pool.waiting and not self._idle():
            return effects
        while (slot := node.replica.proposal_slot) is not None:
            batch = node.batch()
            if not self._due(slot.in_flight, batch):
                break
            body = Body(slot.n, slot.view, node.name, node.now_ms, tuple(batch))
            node.intake.hold(body)
            node.pool.hold(batch)
            self.block_made()
            answer = node.step(Propose(node.now_ms, body))
            effects += answer
            if not any(isinstance(effect, PersistBody) for effect in answer):
                node.pool.release(batch)
                break
        return effects

    def _due(self, in_flight: int, batch: list[Digest]) -> bool:
        """Whether to use the slot now; if only later, the node is woken then to look again."""
        if not batch:
            return in_flight == 0 and self._idle()
        if in_flight == 0 or len(batch) == BATCH:
            return True
        node, now = self._node, self._world.now
        wait: int = node.pool.waiting[batch[0]].arrived_ms + WAIT_MS - node.now_ms
        if wait > 0 and (self._wake_at is None or self._wake_at <= now):
            self._wake_at = now + min(wait, WAIT_MS)
            self._world.after(min(wait, WAIT_MS), self._woken)
        return wait <= 0

    def _idle(self) -> bool:
        return self._world.now - self._last_block_at >= IDLE_MS

    def _woken(self) -> None:
        if self._node.proposing is self:
            self._node.go_on()
