"""What arrives on a link, sorted: votes to the replica, transactions to the mempool, questions
answered at once.

Signed messages pass `consensus.verifier` and become events. Unsigned ones prove themselves or are
questions: they are dealt with here, and the replica only hears the outcome. A frame that does not
verify ends the link that it came on, unless it is of another epoch and so merely late; and so does
a relayed transaction that its relayer cannot have verified.

What a peer may ask for, and how much processor time its frames may take, is `node.conduct`'s.
Answers that read the disk are made in a thread, one at a time per peer. A question too many is
dropped; whoever means it asks again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple, Protocol

from consensus.events import (
    BlocksFetched,
    OwnVoteAnswered,
    OwnVoteAsked,
    Received,
)
from consensus.messages import (
    Blocks,
    BodyData,
    FetchBlocks,
    FetchBody,
    FetchTransactions,
    OwnVote,
    OwnVoteQuery,
    Transactions,
    UnsignedMessage,
    encode,
)
from consensus.verifier import AnySigned, Signed, Verifier, WrongEpoch
from ledger.errors import IntegrityError, InvalidInput, StorageError
from ledger.types import Digest, Height
from ledger.validators import ValidatorSet
from node import catch_up
from node.bodies import Bodies
from node.body_collector import BodyCollector
from node.catch_up import BlockSource, CheckedBlock
from node.conduct import IN_VAIN_SECONDS, Allowance, Conduct
from node.driver import Driver, Links
from node.frames import Lane
from node.mempool import Mempool

log = logging.getLogger(__name__)

VERIFYING_MAX: Final = 8_000
"""Relayed transactions of one peer under verification: about a second of work for two threads."""

SLICE_SECONDS: Final = 0.005
"""Processor time that one peer's frames take before others have their turn."""

ASKED_MAX: Final = 4
"""Questions for blocks to one peer whose answers are taken: the last of each kind, and one more
each that comes late."""

ANSWER_TRANSACTIONS_BYTES: Final = 4 << 20
"""Single transactions in one answer; a whole body at most."""


class PeerLinks(Links, Protocol):
    """What this module needs of `node.transport`."""

    @property
    def conduct(self) -> Conduct: ...

    def expel(self, organisation: str, reason: str) -> None: ...


class Taken(NamedTuple):
    """How many relayed transactions do not verify, and how many do and were executed already or
    are not allowed."""

    bad: int
    in_vain: int


class Intake:
    """Takes the frames of all peers. Belongs to the event loop's thread."""

    def __init__(
        self,
        *,
        chain_id: Digest,
        validators: ValidatorSet,
        verifier: Verifier,
        driver: Driver,
        links: PeerLinks,
        bodies: Bodies,
        collector: BodyCollector,
        mempool: Mempool,
        source: BlockSource,
        quarantine: Callable[[Height, Digest, bytes], None],
        relayed: Callable[[tuple[bytes, ...]], Coroutine[Any, Any, Taken]],
    ) -> None:
        self._chain_id = chain_id
        self._validators = validators
        self._verifier = verifier
        self._driver = driver
        self._links = links
        self._bodies = bodies
        self._collector = collector
        self._mempool = mempool
        self._source = source
        self._quarantine = quarantine
        self._relayed = relayed
        self._asked: dict[str, deque[Height]] = {}
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.dropped: Counter[str] = Counter()
        """Relayed transactions dropped while that peer's earlier ones were being verified."""
        self.unanswered: Counter[str] = Counter()
        """Questions dropped because that peer asks too many."""
        self._verifying: Counter[str] = Counter()
        self._without: dict[str, Height] = {}

    def without(self, n: Height) -> int:
        """How many peers said last that they do not keep blocks from a height down to `n`."""
        return sum(first >= n for first in self._without.values())

    async def receive(self, peer: str, frames: list[bytes]) -> None:
        """Take the frames of one WebSocket message; waits while the inbox is full, or while the
        peer has used more processor time than it may."""
        began = time.thread_time()
        for frame in frames:
            try:
                message = self._verifier.verify(frame)
            except WrongEpoch as error:
                self._links.conduct.refused[peer] += 1
                log.debug("refused a frame from %s: %s", peer, error)
                continue
            except (InvalidInput, IntegrityError) as error:
                self._links.expel(peer, f"delivered what does not verify ({error})")
                return
            if isinstance(message, Blocks) and message.first in self._asked.get(peer, ()):
                # We wanted it, so it is on our account.
                began = time.thread_time()
            self._take(peer, message)
            if time.thread_time() - began > SLICE_SECONDS:
                await asyncio.sleep(self._bill(peer, began))
                began = time.thread_time()
        await asyncio.sleep(self._bill(peer, began))
        await self._driver.room()

    def _take(self, peer: str, message: AnySigned | UnsignedMessage) -> None:
        if isinstance(message, Signed):
            self._driver.post(Received(self._driver.now(), peer, message))
        elif isinstance(message, Transactions):
            self._take_transactions(peer, message.transactions)
        else:
            self._unsigned(peer, message)

    def _bill(self, peer: str, began: float) -> float:
        """Put the time since `began` on the peer's account; the seconds until it is paid."""
        now = asyncio.get_running_loop().time()
        return self._allowance(peer).cpu.take(time.thread_time() - began, now)

    def _allowance(self, peer: str) -> Allowance:
        return self._links.conduct.allowance(peer, asyncio.get_running_loop().time())

    def _take_transactions(self, peer: str, transactions: tuple[bytes, ...]) -> None:
        """Have them verified beside what follows on the link: votes don't wait for that."""
        if self._verifying[peer] + len(transactions) > VERIFYING_MAX:
            # They are relayed again while they wait, and asked for if a body names them.
            self.dropped[peer] += len(transactions)
            return
        self._verifying[peer] += len(transactions)
        task = asyncio.create_task(self._verify_relayed(peer, transactions))
        self._tasks.add(task)

        def done(finished: asyncio.Task[None]) -> None:
            self._verifying[peer] -= len(transactions)
            self._ended("transactions of " + peer, finished)

        task.add_done_callback(done)

    async def _verify_relayed(self, peer: str, transactions: tuple[bytes, ...]) -> None:
        taken = await self._relayed(transactions)
        if taken.bad:
            self._links.expel(peer, f"relayed {taken.bad} transactions that do not verify")
        if taken.in_vain:
            now = asyncio.get_running_loop().time()
            self._allowance(peer).cpu.take(taken.in_vain * IN_VAIN_SECONDS, now)

    def asked_for_blocks(self, peer: str, message: FetchBlocks) -> None:
        """We ask `peer` for blocks: the replica that is behind, or execution that stands still."""
        asked = self._asked.setdefault(peer, deque(maxlen=ASKED_MAX))
        if message.first not in asked:
            asked.append(message.first)

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _unsigned(self, peer: str, message: UnsignedMessage) -> None:
        match message:
            case BodyData():
                self._collector.body_arrived(self._bodies.propose(peer, message))
            case Blocks():
                if message.first in (asked := self._asked.get(peer, deque())):
                    asked.remove(message.first)
                    self._in_background(peer + "'s blocks", self._take_blocks(peer, message))
            case OwnVote():
                self._own_vote(peer, message)
            case _ if self._may_ask(peer):
                self._asked_by(peer, message)
            case _:
                self.unanswered[peer] += 1

    def _may_ask(self, peer: str) -> bool:
        """Whether another question of `peer` is answered; it pays for it."""
        now = asyncio.get_running_loop().time()
        allowance = self._allowance(peer)
        return allowance.answers.spend(0, now) and allowance.questions.spend(1, now)

    def _asked_by(self, peer: str, message: UnsignedMessage) -> None:
        match message:
            case FetchBody(digest):
                held = self._bodies.get(digest)
                if held is not None:
                    self._answer(peer, held.message())
            case FetchTransactions(digests):
                self._answer_transactions(peer, digests)
            case FetchBlocks(first):
                self._in_background(peer, self._answer_blocks(peer, first))
            case OwnVoteQuery():
                self._driver.post(OwnVoteAsked(self._driver.now(), peer))
            case _:
                raise AssertionError("no question")

    def _own_vote(self, peer: str, message: OwnVote) -> None:
        try:
            votes = self._verifier.own_votes(message)
        except (InvalidInput, IntegrityError) as error:
            self._links.expel(peer, f"answered with a vote that does not verify ({error})")
            return
        self._driver.post(OwnVoteAnswered(self._driver.now(), peer, votes))

    def _answer(self, peer: str, message: UnsignedMessage) -> None:
        data = encode(message)
        self._allowance(peer).answers.take(len(data), asyncio.get_running_loop().time())
        self._links.send(peer, Lane.SYNC, data)

    def _answer_transactions(self, peer: str, digests: tuple[Digest, ...]) -> None:
        held = self._bodies.transactions(digests)
        found: list[bytes] = []
        size = 0
        for digest in digests:
            pending = self._mempool.by_digest(digest)
            signed = held.get(digest) if pending is None else pending.signed
            if signed is not None and size + len(signed.raw) <= ANSWER_TRANSACTIONS_BYTES:
                size += len(signed.raw)
                found.append(signed.raw)
        if found:
            self._answer(peer, Transactions(tuple(found)))

    async def _answer_blocks(self, peer: str, first: Height) -> None:
        blocks = await asyncio.to_thread(catch_up.serve, self._source, first)
        self._answer(peer, blocks)

    async def _take_blocks(self, peer: str, blocks: Blocks) -> None:
        # Only those are asked who say that they are beyond it.
        if blocks.blocks:
            self._without.pop(peer, None)
        elif self._without.get(peer) != blocks.first:
            self._without[peer] = blocks.first
            log.warning("%s does not keep block %d any more", peer, blocks.first)
        try:
            checked = await asyncio.to_thread(
                catch_up.check,
                blocks,
                self._header_hash(Height(blocks.first - 1)),
                self._chain_id,
                self._validators,
            )
        except IntegrityError as error:
            self._links.conduct.refused[peer] += 1
            log.warning("%s: %s", peer, error)
            checked = []
        try:
            if await asyncio.to_thread(self._store_quarantines, checked):
                self._driver.execution.quarantine_came()
        except StorageError as error:
            self._driver.fail(error)
            return
        for item in checked:
            if item.held is not None:
                self._bodies.hold(item.held)
        fetched = tuple(item.fetched for item in checked)
        self._driver.post(BlocksFetched(self._driver.now(), peer, fetched))

    def _store_quarantines(self, checked: Sequence[CheckedBlock]) -> bool:
        """Keep what was taken out of blocks that we have not certified; whether any was new.

        The blocks are certified, so their quarantines are what a quorum executed by.
        """
        new = False
        for item in checked:
            n = item.fetched.n
            if not item.quarantines or n <= self._source.certified_height:
                continue
            known = self._source.quarantined(n)
            for record in item.quarantines:
                if record.removal.tx_id not in known:
                    self._quarantine(n, record.removal.tx_id, record.encode())
                    new = True
        return new

    def _header_hash(self, n: Height) -> Digest | None:
        return self._source.header(n).hash if n <= self._source.certified_height else None

    def _in_background(self, key: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` unless its kind is running for this peer already."""
        if key in self._busy:
            work.close()
            return
        self._busy.add(key)
        task = asyncio.create_task(work)
        self._tasks.add(task)

        def done(finished: asyncio.Task[None]) -> None:
            self._busy.discard(key)
            self._ended(key, finished)

        task.add_done_callback(done)

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("while serving %s: %s", key, error)
