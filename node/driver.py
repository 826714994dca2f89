"""The one task that owns the replica: events in, effects out, in order.

A turn takes every event that waits, steps the replica through them and carries out what came back:
first everything durable, with one sync of the write-ahead log for all of it, then the sends and the
rest. While the disk works the loop goes on and the next turn's events gather, so under load the
cost of a sync is shared by whatever arrived meanwhile.

A failed write or sync, damaged data or a diverged ledger ends voting: `halted` says why and
`ended` is set. Nothing is retried. A block that cannot be executed ends nothing: the node goes on
with what can be done without its result (`node.block_execution`).

Left out: frames and what unsigned messages ask for (`node.intake`), blocks for lagging peers
(`node.catch_up`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from consensus.config import TICK_MS
from consensus.effects import (
    DURABLE,
    Alarm,
    AlarmKind,
    AppendDecided,
    Broadcast,
    CheckBody,
    Effect,
    Evidence,
    Execute,
    Persist,
    PersistBody,
    SaveCertificate,
    Send,
    ViewEntered,
)
from consensus.events import BodyArrived, BodyChecked, Censored, Event, Executed, Propose, Tick
from consensus.messages import (
    BodyData,
    FetchBlocks,
    FetchBody,
    NewView,
    Prepare,
    PrePrepare,
    UnsignedMessage,
    encode,
)
from consensus.replica import Replica
from consensus.verifier import AnySigned, Signed
from ledger.block import null_digest
from ledger.errors import QiongError
from ledger.genesis import Parameters
from ledger.types import Digest, Height, TimeMs
from node.block_execution import BlockExecution
from node.bodies import Bodies, HeldBody, within_limits
from node.body_collector import BodyCollector, BodyNotFound
from node.censorship import CensorshipWatch
from node.disk import Disk, DiskBatch
from node.errors import WAY_OUT, in_words
from node.execution_thread import ExecutionThread
from node.frames import Lane
from node.mempool import Mempool
from node.proposer import Proposer
from node.relay import Relay

log = logging.getLogger(__name__)

TURN_EVENTS_MAX: Final = 512
"""Events of one turn: bounds how long sends wait for a flood of events to be stepped through."""

INBOX_EVENTS_MAX: Final = 8_192
"""Where links are read more slowly; some seconds of votes of 32 validators."""


class Links(Protocol):
    """What the driver needs of `node.transport`."""

    def send(self, organisation: str, lane: Lane, frame: bytes) -> None: ...

    def broadcast(self, lane: Lane, frame: bytes) -> None: ...


class Watcher(Protocol):
    """Who is told what happened, for the API, metrics and logs."""

    def certified(self, height: Height) -> None: ...

    def alarm(self, alarm: Alarm) -> None: ...

    def view_entered(self, entered: ViewEntered) -> None: ...

    def evidence_found(self, evidence: Evidence) -> None: ...


@dataclass(frozen=True)
class Parts:
    """What the driver works with, made by `node.service`."""

    replica: Replica
    disk: Disk
    execution: ExecutionThread
    bodies: Bodies
    collector: BodyCollector
    mempool: Mempool
    relay: Relay
    proposer: Proposer
    censorship: CensorshipWatch
    links: Links
    peers: Sequence[str]
    parameters: Parameters
    watcher: Watcher
    clock_ms: Callable[[], int]
    record: Callable[[Event, list[Effect]], None]
    """Told each event with what came of it."""


class Driver:
    """Runs one replica. Everything here belongs to the event loop's thread."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._inbox: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._collecting: dict[Digest, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._last_block_ms = parts.clock_ms()
        self._reported: Height = Height(0)
        self.on_fetch_blocks: Callable[[str, FetchBlocks], None] = lambda to, message: None
        """Told that blocks are asked of a peer, by whoever takes its answer (`node.intake`)."""
        self.execution = BlockExecution(
            parts.execution,
            parts.peers,
            parts.replica.certified_hash,
            lambda to, n: self._send(to, FetchBlocks(n)),
            lambda n, header_hash, time_ms: self.post(
                Executed(self.now(), n, header_hash, time_ms)
            ),
        )
        self._halted: str | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the driver can't go on (storage, damage)."""

    @property
    def halted(self) -> str | None:
        """Why this validator stopped voting, or cannot execute what it votes for."""
        return self._halted or self.execution.stopped

    def start(self, recovered: list[Effect], certified: Height) -> None:
        """Carry out what recovery asked for, then run."""
        self._reported = certified
        self._spawn(self._run(recovered), "driver")
        self._spawn(self._tick(), "ticks")

    async def stop(self) -> None:
        """End after the effects in hand; a second call does nothing."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()

    def post(self, event: Event) -> None:
        """Put an event into the inbox."""
        self._inbox.append(event)
        self._wake.set()
        if len(self._inbox) >= INBOX_EVENTS_MAX:
            self._room.clear()

    async def room(self) -> None:
        """Wait until the inbox takes more; for whoever reads a link."""
        await self._room.wait()

    def wake(self) -> None:
        """Something outside the replica changed (a transaction came): look for work."""
        self._wake.set()

    def now(self) -> TimeMs:
        return TimeMs(self._parts.clock_ms())

    # --- turns ---

    async def _run(self, recovered: list[Effect]) -> None:
        try:
            await self._carry_out(recovered)
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._turn()
        except Exception as error:
            # Whatever it was, half a turn may be done: going on could contradict it.
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """End voting for good; called by any part that met storage trouble. The first one counts.

        A typed error is one line; only a bug of ours shows where it happened.
        """
        if self.ended.done():
            return
        if self._halted is None:
            self._halted = in_words(error)
        bug = None if isinstance(error, QiongError) else error
        log.critical("stopped voting: %s", in_words(error), exc_info=bug)
        log.debug("it happened here", exc_info=error)
        self.ended.set_exception(error)
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    async def _turn(self) -> None:
        parts = self._parts
        effects: list[Effect] = []
        for _ in range(min(len(self._inbox), TURN_EVENTS_MAX)):
            effects += self._step(self._inbox.popleft())
        effects += self._propose_if_due()
        if len(self._inbox) < INBOX_EVENTS_MAX:
            self._room.set()
        await self._carry_out(effects)
        if self._inbox:
            self._wake.set()
        if parts.disk.compaction_due:
            await parts.disk.compact(parts.replica.compact(), self._needed_bodies())

    def _step(self, event: Event) -> list[Effect]:
        effects = self._parts.replica.step(event)
        self._parts.record(event, effects)
        self._mark_transactions(effects)
        return effects

    def _mark_transactions(self, effects: list[Effect]) -> None:
        """Hold the transactions of proposals in force; a new view puts no old one in force."""
        mempool, bodies = self._parts.mempool, self._parts.bodies
        if any(isinstance(item, ViewEntered) and not item.in_view_change for item in effects):
            mempool.release_all()
        for effect in effects:
            if isinstance(effect, Broadcast) and isinstance(effect.message, Signed):
                for digest in _proposed(effect.message):
                    held = bodies.get(digest)
                    if held is not None:
                        mempool.hold(held.body.transaction_digests)

    def _needed_bodies(self) -> list[HeldBody]:
        found = map(self._parts.bodies.get, self._parts.replica.bodies_needed)
        return [held for held in found if held is not None]

    async def _tick(self) -> None:
        parts = self._parts
        while True:
            await asyncio.sleep(self._next_tick_ms() / 1000)
            now = self.now()
            parts.mempool.expire(now)
            parts.relay.again(now)
            self.post(Tick(now, waiting=len(parts.mempool) > 0))
            for n in self.execution.resumed(now):
                self._spawn(self.execution.run(n, None), f"execute {n}")
            for organisation in parts.censorship.passed_over(parts.mempool.oldest(), now):
                self.post(Censored(now, organisation))

    def _next_tick_ms(self) -> int:
        """A tick, or less if the replica's time-out expires before."""
        left = self._parts.replica.timer_left_ms(self.now())
        return left if 0 < left < TICK_MS else TICK_MS

    def _propose_if_due(self) -> list[Effect]:
        """Use the proposal slot if its time has come, else come back when it will have."""
        parts = self._parts
        effects: list[Effect] = []
        while (slot := parts.replica.proposal_slot) is not None:
            now = self.now()
            due_in_ms = parts.proposer.due_in_ms(slot, now, self._last_block_ms)
            if due_in_ms is None:
                break
            if due_in_ms > 0:
                self._wake_in(due_in_ms)
                break
            parts.relay.flush()
            held = parts.proposer.build(slot, now)
            parts.bodies.hold(held)
            self._last_block_ms = now
            answer = self._step(Propose(now, held.body))
            effects += answer
            if not any(_proposes(effect, held.digest) for effect in answer):
                parts.mempool.release(held.body.transaction_digests)
                break
        return effects

    def _wake_in(self, milliseconds: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(milliseconds / 1000, self._wake.set)

    # --- effects ---

    async def _carry_out(self, effects: list[Effect]) -> None:
        durable = [effect for effect in effects if isinstance(effect, DURABLE)]
        if durable:
            await self._write(durable)
        for effect in effects:
            match effect:
                case Broadcast(message):
                    self._broadcast(message)
                case Send(to, message):
                    self._send(to, message)
                case Execute(n, digest):
                    self._execute(n, digest)
                case CheckBody():
                    self._check_body(effect)
                case SaveCertificate(certificate):
                    self._parts.disk.save_certificate(certificate)
                    self._certified(certificate.n)
                case ViewEntered():
                    self._view_entered(effect)
                case Alarm():
                    self._alarm(effect)
                case Evidence():
                    self._parts.watcher.evidence_found(effect)
                case _:
                    pass

    async def _write(self, durable: Iterable[Persist | PersistBody | AppendDecided]) -> None:
        """Everything durable of a turn, in order, with one sync of the write-ahead log."""
        bodies = self._parts.bodies
        batch = DiskBatch()
        for effect in durable:
            if isinstance(effect, Persist):
                batch.record(effect.record)
                continue
            held = bodies.get(effect.digest)
            if isinstance(effect, PersistBody):
                assert held is not None, "the replica persists only bodies we said we hold"
                batch.record(held.record())
            else:
                assert held is not None or effect.digest == null_digest(effect.n)
                batch.decided(effect.n, effect.digest, held)
                self._last_block_ms = self.now()
                if held is not None:
                    self._parts.censorship.decided(held, self.now())
        await self._parts.disk.write(batch)

    def _broadcast(self, message: AnySigned | UnsignedMessage) -> None:
        links = self._parts.links
        if isinstance(message, Signed):
            if isinstance(message.message, PrePrepare):
                body = self._body_beside(message.message.digest)
                if body is not None:
                    links.broadcast(Lane.CONSENSUS, encode(body))
            links.broadcast(Lane.CONSENSUS, message.encode())
        else:
            links.broadcast(Lane.SYNC, encode(message))

    def _send(self, to: str, message: AnySigned | UnsignedMessage) -> None:
        links = self._parts.links
        if isinstance(message, Signed):
            if isinstance(message.message, PrePrepare):
                body = self._body_beside(message.message.digest)
                if body is not None:
                    links.send(to, Lane.CONSENSUS, encode(body))
            links.send(to, Lane.CONSENSUS, message.encode())
            return
        if isinstance(message, FetchBody):
            # The collector asks, and asks others if this one does not answer.
            self._fetch_body(message.digest, to)
            return
        if isinstance(message, FetchBlocks):
            self.on_fetch_blocks(to, message)
        links.send(to, Lane.SYNC, encode(message))

    def _body_beside(self, digest: Digest) -> BodyData | None:
        """The BODY frame of a PRE-PREPARE, without the transactions that were relayed."""
        held = self._parts.bodies.get(digest)
        if held is None:
            return None
        by_digest = self._parts.mempool.by_digest
        unknown: list[bytes] = []
        for signed in held.transactions:
            pending = by_digest(signed.digest)
            if pending is None or pending.relayed_ms is None:
                unknown.append(signed.raw)
        return BodyData(held.encoded, tuple(unknown))

    def _execute(self, n: Height, digest: Digest) -> None:
        held = self._parts.bodies.get(digest)
        block = None if held is None else held.decided(n)
        self._spawn(self.execution.run(n, block), f"execute {n}")

    # --- bodies ---

    def _check_body(self, effect: CheckBody) -> None:
        held = self._parts.collector.assemble(effect.digest)
        if held is not None:
            self._body_checked(effect.digest, held)
        elif effect.digest not in self._collecting:
            self._spawn(self._collect(effect.digest, effect.sender), "collect a body")

    async def _collect(self, digest: Digest, source: str) -> None:
        """Answer both questions for a body: is it valid, and has it arrived."""
        self._collecting[digest] = None
        try:
            held = await self._parts.collector.collect(digest, source)
            self._body_checked(digest, held)
            self.post(BodyArrived(self.now(), digest))
        except BodyNotFound as error:
            log.warning("%s", error)
            self.post(BodyChecked(self.now(), digest, None, ok=False))
        finally:
            self._collecting.pop(digest, None)

    def _body_checked(self, digest: Digest, held: HeldBody) -> None:
        ok = within_limits(held, self._parts.parameters)
        self.post(BodyChecked(self.now(), digest, held.body, ok))

    def _fetch_body(self, digest: Digest, source: str) -> None:
        if digest in self._parts.bodies:
            self.post(BodyArrived(self.now(), digest))
        elif digest not in self._collecting:
            self._spawn(self._collect(digest, source), "fetch a body")

    # --- what became of it ---

    def _certified(self, height: Height) -> None:
        """Blocks up to `height` have a certificate: their transactions are final."""
        parts = self._parts
        for held in parts.bodies.between(self._reported, height):
            if parts.disk.decided_digest(held.body.n) == held.digest:
                parts.mempool.finish(signed for signed in held.transactions)
            else:
                parts.mempool.release(held.body.transaction_digests)
        parts.bodies.drop_certified(height)
        self._reported = max(self._reported, height)
        parts.watcher.certified(height)

    def _view_entered(self, effect: ViewEntered) -> None:
        self._parts.censorship.new_primary()
        self._parts.watcher.view_entered(effect)

    def _alarm(self, alarm: Alarm) -> None:
        detail = f"{alarm.detail} (hint: {WAY_OUT})"
        log.critical("alarm %s at height %d: %s", alarm.kind.value, alarm.n, detail)
        if alarm.kind is not AlarmKind.NONDETERMINISM:
            self._halted = f"{alarm.kind.value}: {detail}"
        if alarm.kind is AlarmKind.DIVERGED:
            self.execution.diverged(Height(self._reported + 1))
        self._parts.watcher.alarm(alarm)

    def _spawn(self, work: object, name: str) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self.fail(error)


def _proposed(signed: AnySigned) -> tuple[Digest, ...]:
    """The bodies that our own message puts in force."""
    message = signed.message
    if isinstance(message, PrePrepare | Prepare):
        return (message.digest,)
    if isinstance(message, NewView):
        return tuple(item.digest for item in message.proposals)
    return ()


def _proposes(effect: Effect, digest: Digest) -> bool:
    return (
        isinstance(effect, Broadcast)
        and isinstance(effect.message, Signed)
        and isinstance(effect.message.message, PrePrepare)
        and effect.message.message.digest == digest
    )
