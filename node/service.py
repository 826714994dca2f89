"""One validator, assembled: the only door through which the API reaches the engine.

Reads go straight to `store` (it answers at or below the certified height); everything else goes
through here. Left out: HTTP, configuration, unlocking keys, process signals.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consensus.config import Config, HeaderSummary, LedgerHead
from consensus.effects import Alarm, Effect, Evidence, ViewEntered
from consensus.events import Event
from consensus.messages import UnsignedMessage, encode
from consensus.replica import Replica
from consensus.verifier import Domain, Verifier
from contracts.runner import ExecutionStopped
from ledger.errors import StorageError
from ledger.genesis import Genesis
from ledger.hashing import sha256
from ledger.keys import SigningKey
from ledger.quarantine import QuarantineAwaited
from ledger.recovery import roll_forward
from ledger.storage.folder import DiskFolder
from ledger.store import LedgerStore
from ledger.transaction import SignedTransaction
from ledger.types import Digest, Epoch, Height, TimeMs
from node.admission import Gatekeeper, refusal_of
from node.answers import Admission, NodeStatus, Readiness, TransactionStatus
from node.bodies import Bodies
from node.body_collector import BodyCollector
from node.censorship import CensorshipWatch
from node.disk import Disk
from node.driver import Driver, Parts
from node.errors import in_words
from node.evidence import Case
from node.evidence_store import EvidenceStore
from node.execution_thread import BlockRunner, ExecutionThread
from node.frames import Lane
from node.index.service import IndexService
from node.intake import Intake, Taken
from node.mempool import Mempool, Pending
from node.proposer import Proposer
from node.recorder import Recorder
from node.relay import Relay
from node.standing import Standing, standing
from node.status import peer_statuses, suspects_of, view_line
from node.transport import Transport
from node.verifier_pool import VerifierPool
from node.views import ViewRunner, Views
from node.wal import VoteLog

log = logging.getLogger(__name__)

WAL_FOLDER: Final = "wal"

BEHIND_WINDOWS: Final = 4
"""How many windows the certified height may lie behind f+1 peers before the node is `syncing`."""

EVIDENCE_FOLDER: Final = "evidence"

HELD_MAX: Final = 1_024
"""Decided blocks held while the first of them cannot be executed. A validator that votes or fetches
is never so far behind; one that is makes its database anew, and is of no use before it has."""


@dataclass(frozen=True)
class ServiceOptions:
    """Where this validator lives and how it reaches the others.

    `home` holds `blocks/`, `ledger/` and `wal/`. `listen` is the (host, port) of the peer listener.
    `peers` overrides addresses of genesis: organisation -> ``host:port``. `record` is shown
    every event of the replica; into the folder `trace` goes all that happens to it, to be replayed
    (`node.recorder`). `stage` is told how long each stage took, in seconds.
    """

    home: Path
    listen: tuple[str, int]
    peers: Mapping[str, str] = field(default_factory=dict)
    record: Callable[[Event], None] = lambda event: None
    trace: Path | None = None
    stage: Callable[[str, float], None] = lambda name, seconds: None


@dataclass(frozen=True)
class PeerSecurity:
    """TLS 1.3 contexts of this validator's own certificate, as `node.tls` makes them."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def clock_ms() -> int:
    """UTC in milliseconds."""
    return time.time_ns() // 1_000_000


class NodeService:
    """A validator. `start`, use, `stop`; all methods belong to the event loop's thread."""

    def __init__(
        self,
        genesis: Genesis,
        organisation: str,
        key: SigningKey,
        security: PeerSecurity,
        store: LedgerStore,
        runner: BlockRunner,
        viewer: ViewRunner,
        options: ServiceOptions,
        index: IndexService | None = None,
    ) -> None:
        self.genesis = genesis
        self.organisation = organisation
        self.store = store
        self._options = options
        self._runner = runner
        self.views = Views(store, viewer, clock_ms)
        self.index = index
        self._names = {entry.organisation: entry.name for entry in genesis.validators}
        self._validators = genesis.validator_set
        self._domain = Domain(
            chain_id=genesis.chain_id,
            epoch=Epoch(0),
            validators=self._validators,
            window=genesis.parameters.window,
            base=Height(0),
            base_hash=store.executed_header(Height(0)).hash,
        )
        config = Config(
            domain=self._domain,
            me=organisation,
            rotation_blocks=genesis.parameters.rotation_blocks,
            idle_block_ms=genesis.parameters.idle_block_ms,
        )
        self._recorder: Recorder | None = None
        if options.trace is not None:
            self._recorder = Recorder(options.trace, config, key.sign)
        sign = key.sign if self._recorder is None else self._recorder.sign
        self._replica = Replica(config, sign)
        self._mempool = Mempool(genesis.parameters)
        self._gatekeeper = Gatekeeper(store, genesis.parameters)
        self._bodies = Bodies()
        self._verifying: set[Digest] = set()
        self._waiters: dict[Digest, list[asyncio.Future[None]]] = {}
        self._evidence: EvidenceStore | None = None
        self._view_changes: Counter[str] = Counter()
        self._evidence_writes: set[asyncio.Task[None]] = set()
        others = {e.organisation: e for e in genesis.validators if e.organisation != organisation}
        self._transport = Transport(
            addresses={name: options.peers.get(name, e.address) for name, e in others.items()},
            pinned={e.organisation: e.tls_certificate for e in genesis.validators},
            server_context=security.server,
            client_context=security.client,
            receiver=self._receive,
            on_change=self._link_changed,
        )
        self._relay = Relay(self._mempool, self._broadcast_transactions)
        self._pool: VerifierPool | None = None
        self._collector: BodyCollector | None = None
        self._intake: Intake | None = None
        self._driver: Driver | None = None
        self._disk: Disk | None = None
        self._execution: ExecutionThread | None = None

    # --- life ---

    async def start(self) -> None:
        """Recover, listen, connect and begin to vote.

        Raises `StorageError` (disk), `IntegrityError` (damaged data), `OSError` (address in use).
        """
        stopped = await asyncio.to_thread(self._roll_forward)
        certified = self.store.certified_height
        votes = VoteLog(DiskFolder(self._options.home / WAL_FOLDER), certified)
        self._disk = Disk(votes, self.store)
        self._evidence = await asyncio.to_thread(self._open_evidence)
        self._execution = ExecutionThread(self.store, self._runner, self._options.stage)
        self._pool = VerifierPool(self.genesis.chain_id, self.genesis.parameters)
        self._collector = BodyCollector(
            self._bodies,
            self._known,
            self._verifying.__contains__,
            self._pool.verify,
            self._send,
            lambda: self._others,
        )
        for held in votes.bodies:
            self._bodies.hold(held)
        recovered = self._recover(votes)
        self._driver = Driver(self._parts())
        self._intake = Intake(
            chain_id=self.genesis.chain_id,
            validators=self._validators,
            verifier=Verifier(self._domain),
            driver=self._driver,
            links=self._transport,
            bodies=self._bodies,
            collector=self._collector,
            mempool=self._mempool,
            source=self.store,
            quarantine=self.store.quarantine,
            relayed=self._relayed,
        )
        self._driver.on_fetch_blocks = self._intake.asked_for_blocks
        if stopped is not None:
            self._driver.execution.stop_at(Height(self.store.executed_height + 1), stopped)
        await self._transport.start(*self._options.listen)
        self._driver.start(recovered, certified)
        if self.index is not None:
            self.index.busy = lambda: len(self._mempool) > 0
            self.index.start()
        log.info(
            "recovered at height %d (certified %d), view %d, from %d records of votes",
            self.store.executed_height,
            certified,
            self._replica.status.view,
            len(votes.recovered),
        )

    async def stop(self) -> None:
        """Stop voting, let the disk come to rest, close every link. A second call does nothing."""
        if self._intake is not None:
            self._intake.stop()
        if self._driver is not None:
            await self._driver.stop()
        await self._transport.stop()
        await asyncio.gather(*self._evidence_writes, return_exceptions=True)
        for part in (self._execution, self._disk, self._pool, self._evidence, self._recorder):
            if part is not None:
                await asyncio.to_thread(part.close)
        await asyncio.to_thread(self.views.close)
        if self.index is not None:
            await asyncio.to_thread(self.index.stop)
        self._execution = self._disk = self._pool = None
        for waiting in self._waiters.values():
            for future in waiting:
                future.cancel()

    async def stopped(self) -> str | None:
        """Wait until the engine ends; the reason if it ended by itself (full disk, damage)."""
        assert self._driver is not None, "start first"
        try:
            await asyncio.shield(self._driver.ended)
        except Exception as error:
            return in_words(error)
        return None

    def _roll_forward(self) -> ExecutionStopped | QuarantineAwaited | None:
        """Execute what the database lacks; why it could not be done, if it could not."""
        if self.store.cut_bytes:
            cut = self.store.cut_bytes
            log.warning("cut %d bytes of a record that was never synced off the block files", cut)
        if self.store.rebuilt is not None:
            log.warning("the database was unusable (%s) and is made again", self.store.rebuilt)
        try:
            for n in roll_forward(self.store, self._runner):
                if n % 1_000 == 0:
                    log.info("executed block %d of %d", n, self.store.decided_height)
        except (ExecutionStopped, QuarantineAwaited) as error:
            if self.store.decided_height - self.store.executed_height > HELD_MAX:
                raise
            return error
        return None

    def _open_evidence(self) -> EvidenceStore:
        folder = DiskFolder(self._options.home / EVIDENCE_FOLDER)
        domain = self._domain
        return EvidenceStore(folder, domain.chain_id, domain.epoch, domain.validators)

    def _recover(self, votes: VoteLog) -> list[Effect]:
        now, head, gate = TimeMs(clock_ms()), self._head(votes), Verifier(self._domain)
        if self._recorder is None:
            return self._replica.recover(now, votes.recovered, head, gate)
        return self._recorder.recover(self._replica, now, votes.recovered, head, gate)

    def _record(self, event: Event, effects: list[Effect]) -> None:
        self._options.record(event)
        if self._recorder is not None:
            self._recorder.stepped(self._replica, event, effects)

    def _head(self, votes: VoteLog) -> LedgerHead:
        certified = self.store.certified_height
        return LedgerHead(
            certified=certified,
            certificate=self.store.own_certificate(certified) if certified else None,
            executed=self.store.executed_height,
            appended=tuple(
                (Height(n), self.store.decided_block(Height(n)).d)
                for n in range(self.store.executed_height + 1, self.store.decided_height + 1)
            ),
            bodies={held.digest: held.body.n for held in votes.bodies},
            header=self._header_summary,
        )

    def _header_summary(self, n: Height) -> HeaderSummary | None:
        """None also for one that is not kept: a view may have begun below the first kept height."""
        if not self.store.first_height <= n <= self.store.executed_height:
            return None
        header = self.store.executed_header(n)
        return HeaderSummary(header.hash, header.time_ms)

    def _parts(self) -> Parts:
        assert self._disk is not None
        assert self._execution is not None
        assert self._collector is not None
        parameters = self.genesis.parameters
        return Parts(
            replica=self._replica,
            disk=self._disk,
            execution=self._execution,
            bodies=self._bodies,
            collector=self._collector,
            mempool=self._mempool,
            relay=self._relay,
            proposer=Proposer(self.organisation, self._mempool, parameters.idle_block_ms),
            censorship=CensorshipWatch(parameters),
            links=self._transport,
            peers=self._others,
            parameters=parameters,
            watcher=self,
            clock_ms=clock_ms,
            record=self._record,
        )

    # --- what the API asks ---

    def ready(self) -> Readiness:
        """Whether this node is in step with a quorum and takes transactions."""
        driver = self._driver
        if driver is None:
            return Readiness(False, "starting")
        if driver.halted is not None:
            return Readiness(False, "halted")
        if self._transport.connections + 1 < self._validators.quorum:
            return Readiness(False, "no_quorum")
        status = self._replica.status
        if status.observer is not None:
            return Readiness(False, "observer")
        if self._syncing():
            return Readiness(False, "syncing")
        return Readiness(True)

    def status(self) -> NodeStatus:
        """The validator now."""
        replica = self._replica.status
        header = self.store.header(self.store.certified_height)
        driver = self._driver
        others = {name: self._names[name] for name in self._others}
        return NodeStatus(
            name=self._names[self.organisation],
            organisation=self.organisation,
            height=header.n,
            header_hash=header.hash,
            executed=self.store.executed_height,
            epoch=header.epoch,
            view=replica.view,
            primary=self._names[replica.primary],
            in_view_change=replica.in_view_change,
            view_changes=dict(self._view_changes),
            failed_views=replica.failed_views,
            peers=peer_statuses(replica, header.n, others, self._transport, clock_ms()),
            suspects=suspects_of(replica, self.evidence, self._names),
            evidence=len(self.evidence),
            missing=replica.missing,
            mempool_transactions=len(self._mempool),
            mempool_bytes=self._mempool.bytes,
            syncing=self._syncing(),
            observer=replica.observer,
            halted=None if driver is None else driver.halted,
            execution_stopped=driver is not None and driver.execution.stopped is not None,
            index=None if self.index is None else self.index.status,
        )

    def standing(self) -> Standing:
        """Where this validator stands, and why it does not vote if it does not."""
        halted = self._driver.halted if self._driver is not None else None
        without = 0
        if self._intake is not None:
            without = self._intake.without(Height(self.store.certified_height + 1))
        return standing(
            self._replica, self.store, self._names, self.organisation, self.ready(), halted, without
        )

    @property
    def evidence(self) -> list[Case]:
        """The contradictions that validators signed, oldest first."""
        return [] if self._evidence is None else self._evidence.cases

    async def submit(self, raw_transactions: Sequence[bytes]) -> list[Admission]:
        """Check and admit transactions, one answer each in order. Never raises for bad bytes."""
        if self._pool is None or self._driver is None or self._collector is None:
            return [Admission(None, 503, "starting") for _ in raw_transactions]
        answers: list[Admission | None] = [self._held(raw) for raw in raw_transactions]
        open_items = [i for i, known in enumerate(answers) if known is None]
        began = time.perf_counter()
        verdicts = await self._pool.verify([raw_transactions[i] for i in open_items])
        if open_items:
            self._options.stage("verify", time.perf_counter() - began)
        readiness = self.ready()
        fresh: list[Pending] = []
        for i, verdict in zip(open_items, verdicts, strict=True):
            if isinstance(verdict, SignedTransaction):
                answers[i] = self._admit(verdict, readiness, fresh)
                self._collector.transaction_arrived(verdict)
            else:
                answers[i] = refusal_of(verdict)
        if fresh:
            self._relay.add(fresh, clock_ms())
            self._driver.wake()
        return [answer for answer in answers if answer is not None]

    def transaction_status(self, tx_id: Digest) -> TransactionStatus:
        """Where the transaction stands, from the store and the mempool."""
        place = self.store.locate(tx_id)
        if place is not None:
            receipt = self.store.receipt(tx_id)
            assert receipt is not None
            ok = receipt.status == "ok"
            return TransactionStatus(tx_id, "committed" if ok else "failed", *place)
        if self._mempool.by_id(tx_id) is not None:
            return TransactionStatus(tx_id, "pending")
        until = self._mempool.left(tx_id)
        if until is None:
            return TransactionStatus(tx_id, "unknown")
        certified = self.store.header(self.store.certified_height)
        return TransactionStatus(tx_id, "expired" if certified.time_ms > until else "pending")

    async def wait_committed(self, tx_id: Digest, timeout: float) -> TransactionStatus:
        """Wait until the transaction is final (committed, failed or expired), `timeout` seconds at
        most, then return its status as it is."""
        deadline = asyncio.get_running_loop().time() + timeout
        while (status := self.transaction_status(tx_id)).state == "pending":
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            waiting = self._waiters.setdefault(tx_id, [])
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiting.append(future)
            await asyncio.wait([future], timeout=left)
            waiting.remove(future)
            if not waiting:
                self._waiters.pop(tx_id, None)
        return status

    # --- what the driver tells: `node.driver.Watcher` ---

    def certified(self, height: Height) -> None:
        """Blocks up to `height` are final: wake whoever waits for one of their transactions."""
        if self.index is not None:
            self.index.wake()
        for tx_id, waiting in list(self._waiters.items()):
            if self.transaction_status(tx_id).state != "pending":
                for future in waiting:
                    if not future.done():
                        future.set_result(None)

    def alarm(self, alarm: Alarm) -> None:
        """The driver logs alarms; `status` shows them."""

    def view_entered(self, entered: ViewEntered) -> None:
        """Say in one line why the view changed, and count why."""
        log.info("%s", view_line(entered, self._names))
        if entered.in_view_change:
            self._view_changes[entered.reason] += 1

    def evidence_found(self, evidence: Evidence) -> None:
        """Keep it, unless it says nothing new; the disk is waited for by a task."""
        assert self._evidence is not None
        case = Case.of(evidence.first, evidence.second)
        log.error("evidence: %s %s", self._names[case.organisation], case.words)
        name = self._evidence.take(case)
        if name is not None:
            task = asyncio.create_task(self._keep(self._evidence, name, case))
            self._evidence_writes.add(task)
            task.add_done_callback(self._evidence_writes.discard)

    async def _keep(self, store: EvidenceStore, name: str, case: Case) -> None:
        try:
            await asyncio.to_thread(store.write, name, case)
        except StorageError as error:
            # It is served all the same; whether this disk can hold votes is the driver's question.
            log.error("evidence/%s could not be kept: %s", name, error)

    # --- admission ---

    def _held(self, raw: bytes) -> Admission | None:
        """The answer to bytes that the mempool holds already."""
        pending = self._mempool.by_digest(sha256(raw))
        return None if pending is None else Admission(pending.signed.id, 200, "known")

    def _admit(
        self, signed: SignedTransaction, readiness: Readiness, fresh: list[Pending]
    ) -> Admission:
        now = clock_ms()
        tx_id = signed.id
        if (
            self._mempool.by_id(tx_id) is not None
            or self.store.was_executed(tx_id)
            or self.store.locate(tx_id) is not None
        ):
            return Admission(tx_id, 200, "known")
        refused = self._gatekeeper.refuse(signed, now)
        if refused is not None:
            return refused
        if not readiness.ready:
            return Admission(tx_id, 503, readiness.reason, "this node takes no transactions now")
        match self._mempool.add(signed, self._gatekeeper.organisation(signed.transaction), now):
            case "added":
                pending = self._mempool.by_id(tx_id)
                assert pending is not None
                fresh.append(pending)
                return Admission(tx_id, 202, "accepted")
            case "known":
                return Admission(tx_id, 200, "known")
            case "full":
                return Admission(tx_id, 503, "mempool_full", "too many transactions wait")
            case "lapsed":
                return Admission(tx_id, 410, "expired", "its valid_until_ms has passed")

    async def _relayed(self, raw_transactions: tuple[bytes, ...]) -> Taken:
        """Transactions that a peer passed on: verify those not known, and hold them.

        One of a late block is known and yet wanted when a body names it again.
        """
        assert self._pool is not None
        assert self._collector is not None
        assert self._driver is not None
        unknown = {
            digest: raw
            for raw in raw_transactions
            if (digest := sha256(raw)) not in self._verifying
            and (self._collector.wants(digest) or not self._mempool.knows(digest))
        }
        self._verifying.update(unknown)
        try:
            verdicts = await self._pool.verify(list(unknown.values()))
        finally:
            self._verifying.difference_update(unknown)
        now = clock_ms()
        good = [verdict for verdict in verdicts if isinstance(verdict, SignedTransaction)]
        in_vain = sum(not self._take_relayed(signed, now) for signed in good)
        if unknown:
            self._driver.wake()
        return Taken(len(verdicts) - len(good), in_vain)

    def _take_relayed(self, signed: SignedTransaction, now_ms: int) -> bool:
        """Hold it for a block to come, unless the mempool is full; False if it is not allowed."""
        assert self._collector is not None
        # One that was executed would wait for ever, and make us suspect every primary.
        executed = self.store.was_executed(signed.id)
        wanted = not executed and self._gatekeeper.refuse(signed, now_ms) is None
        if wanted:
            organisation = self._gatekeeper.organisation(signed.transaction)
            if self._mempool.add(signed, organisation, now_ms) == "added":
                pending = self._mempool.by_id(signed.id)
                assert pending is not None
                pending.relayed_ms = now_ms
        self._collector.transaction_arrived(signed)
        return wanted

    # --- links ---

    async def _receive(self, organisation: str, frames: list[bytes]) -> None:
        if self._intake is not None:
            await self._intake.receive(organisation, frames)

    def _link_changed(self, organisation: str, connected: bool) -> None:
        log.info("link to %s %s", self._names[organisation], "up" if connected else "down")

    def _broadcast_transactions(self, message: UnsignedMessage) -> None:
        self._transport.broadcast(Lane.TRANSACTIONS, encode(message))

    def _send(self, to: str, message: UnsignedMessage) -> None:
        self._transport.send(to, Lane.SYNC, encode(message))

    # --- small questions ---

    @property
    def _others(self) -> list[str]:
        return [name for name in self._validators.organisations if name != self.organisation]

    def _known(self, digest: Digest) -> SignedTransaction | None:
        pending = self._mempool.by_digest(digest)
        return None if pending is None else pending.signed

    def _syncing(self) -> bool:
        """Whether f+1 peers say that the chain is well ahead of us."""
        heights = sorted((peer.h for peer in self._replica.status.peers.values()), reverse=True)
        if len(heights) <= self._validators.f:
            return False
        window = self.genesis.parameters.window
        behind = heights[self._validators.f] - self.store.certified_height
        return behind > BEHIND_WINDOWS * window
