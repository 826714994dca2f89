"""One simulated validator: a replica, its fake disk, and a driver with the real one's rules.

The driver here does what `consensus.effects` asks: the durable half of a turn first, then the
rest. A crash may come between any two effects; what was durable stays, in order, up to there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from consensus import records
from consensus.config import Config, HeaderSummary, LedgerHead
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
from consensus.events import (
    BlocksFetched,
    BodyArrived,
    BodyChecked,
    Event,
    Executed,
    FetchedBlock,
    OwnVoteAnswered,
    OwnVoteAsked,
    Propose,
    Received,
    Tick,
)
from consensus.messages import (
    Checkpoint,
    Commit,
    FetchBlocks,
    FetchBody,
    NewView,
    OwnVote,
    OwnVoteQuery,
    Prepare,
    PrePrepare,
    SignedMessage,
    UnsignedMessage,
    ViewChange,
)
from consensus.replica import Replica
from consensus.verifier import Signed
from ledger.block import Body, null_digest
from ledger.certificate import Certificate
from ledger.errors import QiongError
from ledger.types import Digest, Height, TimeMs
from tests.simulation.world import Block, World, block_after, header_hash

BATCH = 8
FETCH_BLOCKS = 16
WAL_LENGTH_MAX = 400
"""Records after which the log is compacted, as the real driver drops old segments."""


@dataclass
class Disk:
    """What survives a crash."""

    wal: list[records.Record] = field(default_factory=list)
    wal_bodies: dict[Digest, tuple[Height, Body]] = field(default_factory=dict)
    decided: dict[Height, tuple[Digest, Body | None]] = field(default_factory=dict)
    blocks: dict[Height, Block] = field(default_factory=dict)
    certificates: dict[Height, Certificate] = field(default_factory=dict)
    compacted: int = 0


@dataclass(frozen=True)
class Proposed:
    """A PRE-PREPARE's frame with its body beside it."""

    data: bytes
    body: Body | None


@dataclass(frozen=True)
class BlocksAnswer:
    blocks: tuple[Block, ...]
    certificates: Mapping[Height, Certificate]


@dataclass(frozen=True)
class BodyAnswer:
    body: Body


@dataclass(frozen=True)
class OwnVoteAnswer:
    vote: bytes | None


class Node:
    """A validator that follows the protocol."""

    def __init__(self, world: World, name: str, config: Config | None = None) -> None:
        self.world = world
        self.name = name
        self.config = config or Config(world.domain, name)
        self.disk = Disk()
        self.replica: Replica | None = None
        self.generation = 0
        self.crash_chance = 0.0
        self.clock_offset = 0
        self.execution_ms = 3
        self.paused = False
        self.wrong_from: Height | None = None
        """From this height on, execution gives another header here."""
        self.alarms: list[Alarm] = []
        self.evidence: list[Evidence] = []
        self.entered: list[ViewEntered] = []
        self.bodies: dict[Digest, Body] = {}
        self.executing: list[tuple[Height, Digest]] = []
        self.done: dict[Digest, None] = {}
        self.proposed: dict[Height, tuple[Digest, ...]] = {}
        self.last_block_at = 0
        world.nodes[name].append(self)

    # --- life ---

    @property
    def alive(self) -> bool:
        return self.replica is not None

    @property
    def now_ms(self) -> TimeMs:
        return TimeMs(self.world.wall_ms + self.clock_offset)

    def start(self) -> None:
        """Boot from what the disk holds."""
        if self.alive:
            return
        self.generation += 1
        disk = self.disk
        executed = max(disk.blocks, default=Height(0))
        certified = max((n for n in disk.certificates if n <= executed), default=Height(0))
        for n in [n for n in disk.certificates if n > executed]:
            del disk.certificates[n]
        head = LedgerHead(
            certified=certified,
            certificate=disk.certificates.get(certified),
            executed=executed,
            appended=tuple((n, disk.decided[n][0]) for n in sorted(disk.decided) if n > executed),
            bodies={digest: n for digest, (n, _) in disk.wal_bodies.items()},
            header=self._header,
        )
        self.bodies = {digest: body for digest, (_, body) in disk.wal_bodies.items()}
        self.executing = []
        self.proposed = {}
        self.last_block_at = self.world.now
        self.replica = Replica(self.config, self.world.keys.signer(self.name))
        wal = [records.decode(records.encode(record)) for record in disk.wal]
        self._carry_out(self.replica.recover(self.now_ms, wal, head, self.world.verifier))
        self.world.after(self.world.random.randint(1, 250), self._tick, self.generation)

    def _header(self, n: Height) -> HeaderSummary | None:
        block = self.disk.blocks.get(n)
        return None if block is None else HeaderSummary(self._hash(block), block.time_ms)

    def _hash(self, block: Block) -> Digest:
        if self.wrong_from is not None and block.n >= self.wrong_from:
            return header_hash(block.n, block.d, block.parent, TimeMs(block.time_ms + 7))
        return block.hash

    def crash(self) -> None:
        if self.alive:
            self.world.totals.crashes += 1
            self.replica = None
            self.generation += 1

    def _tick(self, generation: int) -> None:
        if generation != self.generation:
            return
        self.world.after(250, self._tick, generation)
        if not self.paused:
            self.step(Tick(self.now_ms, self.waiting()))

    def waiting(self) -> bool:
        return len(self.done) < len(self.world.transactions)

    # --- the turn ---

    def step(self, event: Event) -> None:
        if self.replica is None:
            return
        self._carry_out(self.replica.step(event))
        if self.replica is not None:
            self._propose()

    def _carry_out(self, effects: list[Effect]) -> None:
        ordered = [effect for effect in effects if isinstance(effect, DURABLE)]
        ordered += [effect for effect in effects if not isinstance(effect, DURABLE)]
        stop = len(ordered)
        if self.crash_chance and self.world.random.random() < self.crash_chance:
            stop = self.world.random.randint(0, len(ordered))
            self._apply(ordered[:stop])
            self.crash()
            return
        self._apply(ordered)

    def _apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Broadcast(message):
                    self.send([to for to in self.world.names if to != self.name], message)
                case Send(to, message):
                    self.send([to], message)
                case Persist(record):
                    self.disk.wal.append(record)
                case PersistBody(n, digest):
                    self.disk.wal_bodies[digest] = (n, self.bodies[digest])
                case AppendDecided(n, digest):
                    self._append(n, digest)
                case Execute(n, digest):
                    self.executing.append((n, digest))
                    if len(self.executing) == 1:
                        self._execute_next()
                case CheckBody(digest):
                    self.world.after(1, self._check_body, self.generation, digest)
                case SaveCertificate(certificate):
                    self._save(certificate)
                case Alarm():
                    self._alarm(effect)
                case Evidence(first, second):
                    self._evidence(first, second)
                case ViewEntered():
                    self.entered.append(effect)

    def send(self, to: list[str], message: Signed[SignedMessage] | UnsignedMessage) -> None:
        """Put a message on the links to `to`, once it has passed the checks."""
        frame: object = message
        if isinstance(message, Signed):
            if message.signer == self.name and self.world.is_honest(self.name):
                self.world.check_sent(self.name, message)
                self._check_recorded(message)
            frame = message.encode()
            if isinstance(message.message, PrePrepare):
                frame = Proposed(message.encode(), self.bodies.get(message.message.digest))
        for name in to:
            self.world.deliver(self.name, name, frame)

    def _check_recorded(self, signed: Signed[SignedMessage]) -> None:
        """What a message promises is on disk (design: durability table)."""
        message, wal = signed.message, self.disk.wal
        if isinstance(message, PrePrepare | Prepare):
            recorded = any(
                (isinstance(r, records.PrePrepared) and _same(r, message))
                or isinstance(r, records.NewViewTaken)
                for r in reversed(wal)
            )
        elif isinstance(message, Commit):
            recorded = any(
                isinstance(r, records.Prepared) and _same(r.certificate, message)
                for r in reversed(wal)
            )
        elif isinstance(message, ViewChange):
            recorded = any(isinstance(r, records.ViewChanged) for r in reversed(wal))
        elif isinstance(message, NewView):
            recorded = any(isinstance(r, records.NewViewTaken) for r in reversed(wal))
        elif isinstance(message, Checkpoint):
            recorded = message.n in self.disk.blocks
        else:
            return
        if not recorded:
            self.world.fail(f"{self.name} sent {message} without its record")

    def _alarm(self, alarm: Alarm) -> None:
        self.alarms.append(alarm)
        expected = self.wrong_from is not None or alarm.kind is AlarmKind.NONDETERMINISM
        if self.world.is_honest(self.name) and not expected:
            self.world.fail(f"{self.name} raised {alarm}")

    def _evidence(self, first: Signed[SignedMessage], second: Signed[SignedMessage]) -> None:
        self.evidence.append(Evidence(first, second))
        self.world.totals.evidence += 1
        if self.world.is_honest(first.signer) and self.world.is_honest(self.name):
            self.world.fail(f"evidence against honest {first.signer}: {first} {second}")

    # --- ledger ---

    def _append(self, n: Height, digest: Digest) -> None:
        body = None if digest == null_digest(n) else self.bodies[digest]
        if n - 1 not in self.disk.decided and n != 1:
            self.world.fail(f"{self.name} appended {n} out of order")
        self.disk.decided[n] = (digest, body)
        if self.world.is_honest(self.name):
            self.world.check_decided(self.name, n, digest)

    def _execute_next(self) -> None:
        if self.executing:
            self.world.after(self.execution_ms, self._executed, self.generation)

    def _executed(self, generation: int) -> None:
        if generation != self.generation or not self.executing:
            return
        n, digest = self.executing.pop(0)
        body = self.disk.decided[n][1]
        if n not in self.disk.blocks:
            parent = self.disk.blocks.get(Height(n - 1))
            if parent is None and n != 1:
                self.world.fail(f"{self.name} executed {n} without its parent")
            self.disk.blocks[n] = block_after(parent, n, digest, body)
        block = self.disk.blocks[n]
        self.last_block_at = self.world.now
        for transaction in body.transaction_digests if body else ():
            self.done[transaction] = None
        self.step(Executed(self.now_ms, n, self._hash(block), block.time_ms))
        if generation == self.generation:
            self._execute_next()

    def _save(self, certificate: Certificate) -> None:
        n = certificate.n
        self.disk.certificates[n] = certificate
        if self.world.is_honest(self.name):
            self.world.verifier.certificate(certificate)
            self.world.check_certified(self.name, n, certificate.header_hash)
        disk = self.disk
        disk.wal_bodies = {d: item for d, item in disk.wal_bodies.items() if item[0] > n}
        if len(disk.wal) - disk.compacted > WAL_LENGTH_MAX and self.replica is not None:
            disk.wal = self.replica.compact()
            disk.compacted = len(disk.wal)

    # --- proposals ---

    def _propose(self) -> None:
        assert self.replica is not None
        slot = self.replica.proposal_slot
        if slot is None:
            return
        executed = max(self.disk.blocks, default=0)
        taken = {d for n, digests in self.proposed.items() if n > executed for d in digests}
        batch: list[Digest] = []
        for transaction in self.world.transactions[-200:]:
            if transaction not in self.done and transaction not in taken:
                batch.append(transaction)
                if len(batch) == BATCH:
                    break
        idle = self.world.now - self.last_block_at >= 10_000 and slot.in_flight == 0
        if not batch and not idle:
            return
        if slot.in_flight and len(batch) < BATCH:
            return
        self.proposed[slot.n] = tuple(batch)
        body = Body(slot.n, slot.view, self.name, self.now_ms, tuple(batch))
        self.bodies[body.digest] = body
        self.last_block_at = self.world.now
        self.step(Propose(self.now_ms, body))

    def _check_body(self, generation: int, digest: Digest) -> None:
        if generation == self.generation:
            body = self.bodies.get(digest)
            self.step(BodyChecked(self.now_ms, digest, body, body is not None))

    # --- frames ---

    def on_frame(self, sender: str, frame: object) -> None:
        if self.replica is None or self.paused:
            return
        match frame:
            case bytes():
                self._on_signed(sender, frame)
            case Proposed(data, body):
                if body is not None:
                    self.bodies[body.digest] = body
                self._on_signed(sender, data)
            case FetchBlocks(first):
                self._serve_blocks(sender, first)
            case BlocksAnswer():
                self._on_blocks(sender, frame)
            case FetchBody(digest):
                body = self.bodies.get(digest)
                if body is not None:
                    self.world.deliver(self.name, sender, BodyAnswer(body))
            case BodyAnswer(body):
                self.bodies[body.digest] = body
                self.step(BodyArrived(self.now_ms, body.digest))
            case OwnVoteQuery():
                self.step(OwnVoteAsked(self.now_ms, sender))
            case OwnVote():
                try:
                    votes = self.world.verifier.own_votes(frame)
                except QiongError:
                    return
                self.step(OwnVoteAnswered(self.now_ms, sender, votes))

    def _on_signed(self, sender: str, data: bytes) -> None:
        signed = self.world.verify(data)
        if signed is not None:
            self.step(Received(self.now_ms, sender, signed))

    def _serve_blocks(self, sender: str, first: Height) -> None:
        disk = self.disk
        end = max((n for n in disk.certificates if n < first + FETCH_BLOCKS), default=Height(0))
        if end < first:
            end = min((n for n in disk.certificates if n >= first), default=Height(0))
        blocks = tuple(disk.blocks[n] for n in sorted(disk.blocks) if first <= n <= end)
        certificates = {n: c for n, c in disk.certificates.items() if first <= n <= end}
        self.world.deliver(self.name, sender, BlocksAnswer(blocks, certificates))

    def _on_blocks(self, sender: str, answer: BlocksAnswer) -> None:
        """Check a run of blocks as the real driver does: linked, and certified at its end."""
        fetched: list[FetchedBlock] = []
        try:
            for before, block in zip((None, *answer.blocks), answer.blocks, strict=False):
                own_parent = self.disk.blocks.get(Height(block.n - 1))
                parent = before.hash if before is not None else None
                if parent is None and own_parent is not None:
                    parent = self._hash(own_parent)
                body_fits = block.d == (
                    null_digest(block.n) if block.body is None else block.body.digest
                )
                if (parent is not None and block.parent != parent) or not body_fits:
                    self._no_blocks(sender)
                    return
                certificate = answer.certificates.get(block.n)
                if certificate is not None:
                    self.world.verifier.certificate(certificate)
                    if (certificate.n, certificate.header_hash) != (block.n, block.hash):
                        self._no_blocks(sender)
                        return
                fetched.append(FetchedBlock(block.n, block.d, block.hash, certificate))
        except QiongError:
            self._no_blocks(sender)
            return
        if fetched and fetched[-1].certificate is None:
            self._no_blocks(sender)
            return
        for block in answer.blocks:
            if block.body is not None:
                self.bodies[block.d] = block.body
        self.step(BlocksFetched(self.now_ms, sender, tuple(fetched)))

    def _no_blocks(self, sender: str) -> None:
        self.step(BlocksFetched(self.now_ms, sender, ()))


def _same(record: object, message: SignedMessage) -> bool:
    return (record.view, record.n, record.digest) == (message.view, message.n, message.digest)  # type: ignore[attr-defined,union-attr]
