"""What comes over a node's links, and what it asks for: bodies, blocks, its own votes.

The part of the driver that `node.intake`, `node.body_collector` and `node.catch_up` are in the
product: nothing reaches the replica that was not verified, blocks only as a certified run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from consensus.events import (
    BlocksFetched,
    BodyArrived,
    BodyChecked,
    FetchedBlock,
    OwnVoteAnswered,
    OwnVoteAsked,
    Received,
)
from consensus.messages import FetchBlocks, FetchBody, OwnVote, OwnVoteQuery
from ledger.block import Body, null_digest
from ledger.errors import QiongError
from ledger.types import Digest, Height
from tests.simulation.chain import BATCH, Block, BlocksAnswer, BodyAnswer, Proposed, Relayed

if TYPE_CHECKING:
    from tests.simulation.node import Node

GIVE_UP_MS: Final = 10_000
"""After this a body counts as not found."""

SERVED_AFTER_CERTIFIED: Final = 8
"""Heights a body is kept after its certificate; a slower peer fetches blocks."""

COLLECTED_MAX: Final = 32


@dataclass(slots=True)
class _Wanted:
    """A body that is being collected."""

    source: str
    since: int
    asked: int = 0


class Intake:
    """Belongs to one run of one node; forgotten in a crash."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._world = node.world
        self.bodies: dict[Digest, Body] = {}
        self._wanted: dict[Digest, _Wanted] = {}

    # --- bodies ---

    def hold(self, body: Body) -> None:
        self.bodies[body.digest] = body

    def certified(self, height: Height) -> None:
        oldest = height - SERVED_AFTER_CERTIFIED
        for digest in [d for d, body in self.bodies.items() if body.n < oldest]:
            del self.bodies[digest]

    def check(self, digest: Digest, sender: str) -> None:
        """Answer `CheckBody`: at once, or when the body came."""
        if digest in self.bodies:
            self._world.after(self._node.check_ms, self._checked, self, digest)
        else:
            self._collect(digest, sender)

    def fetch(self, digest: Digest, source: str) -> None:
        """Answer `FetchBody` with `BodyArrived`."""
        if digest in self.bodies:
            self._world.after(0, self._arrived, self, digest)
        else:
            self._collect(digest, source)

    def _collect(self, digest: Digest, source: str) -> None:
        if digest not in self._wanted and len(self._wanted) < COLLECTED_MAX:
            self._wanted[digest] = _Wanted(source, self._world.now)
            self._ask(digest)

    def ask_again(self) -> None:
        """A tick: ask the next peer for each body that did not come."""
        for digest, wanted in list(self._wanted.items()):
            if self._world.now - wanted.since >= GIVE_UP_MS:
                del self._wanted[digest]
                node = self._node
                node.post(BodyChecked(node.now_ms, digest, None, ok=False))
            else:
                self._ask(digest)

    def _ask(self, digest: Digest) -> None:
        wanted = self._wanted[digest]
        others = [name for name in self._world.others[self._node.name] if name != wanted.source]
        sources = [wanted.source, *others]
        to = sources[wanted.asked % len(sources)]
        wanted.asked += 1
        self._world.deliver(self._node.name, to, FetchBody(digest))

    def _came(self, body: Body) -> None:
        self.hold(body)
        if self._wanted.pop(body.digest, None) is not None:
            self._checked(self, body.digest)
            self._arrived(self, body.digest)

    def _checked(self, run: Intake, digest: Digest) -> None:
        node = self._node
        if node.intake is run:
            body = self.bodies.get(digest)
            ok = body is not None and _valid(body)
            node.post(BodyChecked(node.now_ms, digest, body, ok))

    def _arrived(self, run: Intake, digest: Digest) -> None:
        node = self._node
        if node.intake is run and digest in self.bodies:
            node.post(BodyArrived(node.now_ms, digest))

    # --- frames ---

    def on_frame(self, sender: str, frame: object) -> None:
        node = self._node
        match frame:
            case bytes():
                self._on_signed(sender, frame)
            case Proposed(data, body):
                if body is not None:
                    self._came(body)
                self._on_signed(sender, data)
            case Relayed(transactions):
                node.take_transactions(transactions, relay=False)
            case FetchBlocks(first):
                self.serve_blocks(sender, first)
            case BlocksAnswer():
                self._on_blocks(sender, frame)
            case FetchBody(digest):
                held = self.bodies.get(digest)
                if held is not None:
                    self._world.deliver(node.name, sender, BodyAnswer(held))
            case BodyAnswer(body):
                self._came(body)
            case OwnVoteQuery():
                node.post(OwnVoteAsked(node.now_ms, sender))
            case OwnVote():
                try:
                    votes = self._world.verifier.own_votes(frame)
                except QiongError:
                    return
                node.post(OwnVoteAnswered(node.now_ms, sender, votes))

    def _on_signed(self, sender: str, data: bytes) -> None:
        signed = self._world.verify(data)
        if signed is not None:
            self._node.post(Received(self._node.now_ms, sender, signed))

    # --- blocks ---

    def serve_blocks(self, sender: str, first: Height) -> None:
        self._world.deliver(self._node.name, sender, self._node.ledger.run(first))

    def _on_blocks(self, sender: str, answer: BlocksAnswer) -> None:
        try:
            fetched = self._checked_run(answer)
        except (QiongError, _Lie):
            fetched = []
        if fetched:
            for block in answer.blocks:
                if block.body is not None:
                    self.hold(block.body)
        node = self._node
        node.post(BlocksFetched(node.now_ms, sender, tuple(fetched)))

    def _checked_run(self, answer: BlocksAnswer) -> list[FetchedBlock]:
        """Check as the real driver does: linked, bodies match, certified at the end."""
        fetched: list[FetchedBlock] = []
        before: Block | None = None
        for block in answer.blocks:
            self._check_link(block, before)
            certificate = answer.certificates.get(block.n)
            if certificate is not None:
                self._world.verifier.certificate(certificate)
                if (certificate.n, certificate.header_hash) != (block.n, block.hash):
                    raise _Lie
            fetched.append(FetchedBlock(block.n, block.d, block.hash, certificate))
            before = block
        if fetched and fetched[-1].certificate is None:
            raise _Lie
        return fetched

    def _check_link(self, block: Block, before: Block | None) -> None:
        node: Any = self._node
        own = node.ledger.blocks.get(Height(block.n - 1))
        parent = None
        if before is not None:
            parent = before.hash
            if block.n != before.n + 1:
                raise _Lie
        elif own is not None:
            parent = node.header_hash(own.n)
        digest = null_digest(block.n) if block.body is None else block.body.digest
        if block.d != digest or (parent is not None and block.parent != parent):
            raise _Lie


class _Lie(Exception):
    """A run of blocks that does not hold together."""


def _valid(body: Body) -> bool:
    transactions = body.transaction_digests
    return len(transactions) <= BATCH and len(set(transactions)) == len(transactions)
