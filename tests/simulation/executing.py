"""A node's execution thread and its ledger: blocks appended, executed, certified."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from consensus.effects import AppendDecided
from consensus.events import Executed
from ledger.block import null_digest
from ledger.certificate import Certificate
from ledger.types import Height

if TYPE_CHECKING:
    from tests.simulation.node import Node


class Executing:
    """Belongs to one run of one node; the ledger it works on is on the node's disk."""

    def __init__(self, node: Node) -> None:
        self._node: Any = node
        self._world = node.world
        self.queue: deque[Height] = deque()
        """Heights asked for and not executed."""

    def append(self, effect: AppendDecided) -> None:
        """Write a decided block to the block files."""
        node, n, digest = self._node, effect.n, effect.digest
        body = None if digest == null_digest(n) else node.intake.bodies[digest]
        if n != 1 and n - 1 not in node.ledger.decided:
            self._world.checker.fail(f"{node.name} appended {n} out of order")
        node.ledger.decide(n, digest, body)
        node.proposing.block_made()
        if body is not None:
            node.pool.decided(body, node.now_ms)
        if self._world.is_honest(node.name):
            self._world.checker.decided(node.name, n, digest)

    def start(self, n: Height) -> None:
        """Execute `n` when those before it are done."""
        self.queue.append(n)
        if len(self.queue) == 1:
            self._world.after(self._node.execution_ms, self._finished)

    def roll_forward(self) -> None:
        """Execute all that was decided, before the replica starts."""
        ledger = self._node.ledger
        while (n := Height(ledger.executed + 1)) in ledger.decided:
            self._execute(n)

    def _execute(self, n: Height) -> None:
        ledger = self._node.ledger
        block = ledger.execute(n)
        if self._world.is_honest(self._node.name):
            self._world.checker.executed(self._node.name, block, ledger.blocks.get(n - 1))

    def _finished(self) -> None:
        node = self._node
        if node.executing is not self or not node.alive:
            return
        n = self.queue.popleft()
        if n not in node.ledger.blocks:
            self._execute(n)
        block = node.ledger.blocks[n]
        if block.body is not None:
            node.pool.executed(block.body.transaction_digests)
        if self.queue:
            self._world.after(node.execution_ms, self._finished)
        node.post(Executed(node.now_ms, n, node.header_hash(n), block.time_ms))

    def save(self, certificate: Certificate) -> None:
        node, world = self._node, self._world
        node.ledger.save(certificate)
        if world.is_honest(node.name):
            signers = (signer for signer, _ in certificate.signatures)
            world.verifier.certificate(certificate)
            world.checker.saved(node.name, certificate.n, certificate.header_hash, signers)
        node.intake.certified(certificate.n)
