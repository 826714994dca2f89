"""One simulated validator: a replica, its disk, and a driver with the real one's rules.

A turn takes every event that waits, writes what is durable, and only then speaks (see
`consensus.effects` and `node.driver`). While the disk works, events wait. A crash may come
between any two effects; what a torn turn leaves is in `tests.simulation.disk`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from consensus import records
from consensus.config import HeaderSummary, LedgerHead
from consensus.effects import (
    Alarm,
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
from consensus.events import Censored, Event, Tick
from consensus.messages import (
    FetchBody,
    NewView,
    Prepare,
    PrePrepare,
    SignedMessage,
    UnsignedMessage,
)
from consensus.replica import Replica
from consensus.verifier import Signed
from ledger.block import Body
from ledger.errors import IntegrityError
from ledger.types import Digest, Height, TimeMs, View
from tests.simulation import judge
from tests.simulation.chain import GENESIS_HEADER, START_MS, Proposed, Relayed
from tests.simulation.disk import Disk
from tests.simulation.executing import Executing
from tests.simulation.intake import Intake
from tests.simulation.pool import Pool
from tests.simulation.proposing import Proposing

if TYPE_CHECKING:
    from tests.simulation.world import World

TURN_EVENTS_MAX: Final = 512


@dataclass
class Turn:
    """The effects of one turn, as the driver sorts them."""

    records: list[records.Record] = field(default_factory=list)
    blocks: list[AppendDecided] = field(default_factory=list)
    rest: list[Effect] = field(default_factory=list)

    @property
    def durable(self) -> int:
        return len(self.records) + len(self.blocks)


class Node:
    """A validator that follows the protocol."""

    def __init__(self, world: World, name: str, disk: Disk | None = None) -> None:
        self.world = world
        self.name = name
        self.disk = disk or Disk()
        self.replica: Any = None
        self.refused: IntegrityError | None = None
        """Why it does not start any more: its log is damaged."""
        self.crash_chance = 0.0
        """Of a crash in any one turn."""
        self.torn_chance = 0.0
        """Of a crash while any one turn's records are being written."""
        self.crash_plan: dict[int, int] = {}
        """Turn number -> how many of its effects happen before the crash."""
        self.turns = 0
        self.clock_offset = 0
        self.clock_jump = 0
        """A step of the clock that passes; `clock_offset` stays."""
        self.clock_drift = 0.0
        self.disk_ms = 0
        self.execution_ms = 3
        self.check_ms = 0
        self.rolls_forward = True
        """Executes what was decided before the replica starts, as the real node does."""
        self.paused = False
        self.wrong_from: Height | None = None
        """From this height on, execution gives another header here."""
        self.lost_log = False
        self.alarms: list[Alarm] = []
        self.evidence: list[Evidence] = []
        self.entered: list[tuple[int, ViewEntered]] = []
        self._entered_at: list[Height] = []
        self._generation = 0
        self._forget_memory()
        world.nodes[name].append(self)

    def _forget_memory(self) -> None:
        self.inbox: deque[Event] = deque()
        self.frames: list[tuple[str, object]] = []
        """What came while paused."""
        self.pool = Pool()
        self.intake = Intake(self)
        self.executing = Executing(self)
        self._writing: Turn | None = None
        self.proposing = Proposing(self)

    @property
    def ledger(self) -> Any:
        return self.disk.ledger

    @property
    def alive(self) -> bool:
        return self.replica is not None

    @property
    def certified(self) -> Height:
        """The certified height as the replica has it (`status` is dear)."""
        h: Height = self.replica._state.h
        return h

    @property
    def now_ms(self) -> TimeMs:
        drift = int(self.world.now * self.clock_drift)
        return TimeMs(self.world.wall_ms + self.clock_offset + self.clock_jump + drift)

    @property
    def views_since_certified(self) -> int:
        """Views entered since the heights in hand could be proposed."""
        oldest = self.certified - 2 * self.world.domain.window
        return sum(h >= oldest for h in self._entered_at)

    # --- life ---

    def start(self) -> None:
        """Boot from what the disk holds. A damaged log ends it: it says so and does not vote."""
        if self.alive or self.refused is not None:
            return
        self._generation += 1
        self._forget_memory()
        try:
            votes, bodies = self.disk.reopen()
        except IntegrityError as error:
            self.refused = error
            return
        if self.rolls_forward:
            self.executing.roll_forward()
        for body in bodies:
            self.intake.hold(body)
        self.replica = Replica(self.world.config(self.name), self.world.keys.signer(self.name))
        head = self._head(bodies)
        self._carry_out(self.replica.recover(self.now_ms, votes, head, self.world.verifier))
        if self.replica is not None:
            first = self.world.random.randint(1, 250)
            self.world.after(first, self._tick, self._generation)

    def _head(self, bodies: list[Body]) -> LedgerHead:
        ledger = self.ledger
        certified = ledger.certified
        appended = sorted(n for n in ledger.decided if n > ledger.executed)
        return LedgerHead(
            certified=certified,
            certificate=ledger.certificates.get(certified),
            executed=ledger.executed,
            appended=tuple((n, ledger.decided[n][0]) for n in appended),
            bodies={body.digest: body.n for body in bodies},
            header=self._header,
        )

    def _header(self, n: Height) -> HeaderSummary | None:
        if n == 0:
            return HeaderSummary(GENESIS_HEADER, TimeMs(START_MS))
        block = self.ledger.blocks.get(n)
        return None if block is None else HeaderSummary(self.header_hash(n), block.time_ms)

    def header_hash(self, n: Height) -> Digest:
        """The hash of our own header `n`, which a node that executes differently gets wrong."""
        block_hash: Digest = self.ledger.blocks[n].hash
        if self.wrong_from is not None and n >= self.wrong_from:
            return Digest(bytes(32 - len(self.name)) + self.name.encode())
        return block_hash

    def crash(self, *, power: bool = False) -> None:
        """The process ends. With `power`, what was not synced goes as well."""
        if not self.alive:
            return
        self.world.totals.crashes += 1
        self.replica = None
        self._generation += 1
        if self._writing is not None:
            self._tear(self._writing, self.world.random.randint(0, self._writing.durable))
        if power:
            self.ledger.lose(self.world.random.randint(0, len(self.ledger.loose)))

    def lose_log(self) -> None:
        """Its log of votes is deleted while it is down. It must not vote with its key again."""
        self.crash()
        self.disk.log.delete()
        self.lost_log = True

    def pause(self) -> None:
        """SIGSTOP: what comes waits in the links' buffers."""
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        frames, self.frames = self.frames, []
        for sender, frame in frames:
            self.on_frame(sender, frame)
        self.go_on()

    def _tick(self, generation: int) -> None:
        if generation != self._generation:
            return
        self.world.after(250, self._tick, generation)
        if self.paused:
            return
        late = self.pool.late(self.now_ms)
        if late:
            self.relay(late)
        self.intake.ask_again()
        self.world.checker.bounded(self)
        self.post(Tick(self.now_ms, waiting=bool(self.pool.waiting)))
        for organisation in self.pool.passed_over(self.now_ms):
            self.post(Censored(self.now_ms, organisation))

    # --- transactions ---

    def take_transactions(
        self, transactions: tuple[tuple[Digest, str], ...], *, relay: bool
    ) -> None:
        """From a client (`relay`: pass them on) or from a peer."""
        if not self.alive or self.paused:
            return
        fresh = [
            (transaction, sender)
            for transaction, sender in transactions
            if transaction not in self.ledger.executed_in
            and self.pool.add(transaction, sender, self.now_ms)
        ]
        if relay and fresh:
            self.relay(tuple(fresh))
        if fresh:
            self.go_on()

    def relay(self, transactions: tuple[tuple[Digest, str], ...]) -> None:
        frame = Relayed(transactions)
        for name in self.world.others[self.name]:
            self.world.deliver(self.name, name, frame)

    # --- the turn ---

    def post(self, event: Event) -> None:
        if self.replica is not None:
            self.inbox.append(event)
            self.go_on()

    def go_on(self) -> None:
        """Turn after turn, until nothing waits or the disk is at work."""
        while self.replica is not None and self._writing is None and not self.paused:
            effects: list[Effect] = []
            for _ in range(min(len(self.inbox), TURN_EVENTS_MAX)):
                effects += self.step(self.inbox.popleft())
            effects += self.proposing.propose_if_due()
            if effects:
                self._carry_out(effects)
            elif not self.inbox:
                return

    def step(self, event: Event) -> list[Effect]:
        """Step the replica; hold the transactions of proposals in force."""
        effects: list[Effect] = self.replica.step(event)
        for effect in effects:
            if isinstance(effect, ViewEntered) and not effect.in_view_change:
                self.pool.release_all()
            elif isinstance(effect, Broadcast):
                message = effect.message.message if isinstance(effect.message, Signed) else None
                if isinstance(message, PrePrepare | Prepare):
                    self._hold(message.digest)
                elif isinstance(message, NewView):
                    for item in message.proposals:
                        self._hold(item.digest)
        return effects

    def _hold(self, digest: Digest) -> None:
        body = self.intake.bodies.get(digest)
        if body is not None:
            self.pool.hold(body.transaction_digests)

    def _carry_out(self, effects: list[Effect]) -> None:
        turn = Turn()
        for effect in effects:
            if isinstance(effect, Persist):
                turn.records.append(effect.record)
            elif isinstance(effect, PersistBody):
                body = self.intake.bodies[effect.digest]
                turn.records.append(records.BodyRecord(body.encode(), ()))
            elif isinstance(effect, AppendDecided):
                turn.blocks.append(effect)
            else:
                turn.rest.append(effect)
                if isinstance(effect, SaveCertificate):
                    self.world.checker.reached(self.name, effect.certificate.n)
        self.turns += 1
        stop = self._crash_point(turn)
        if stop is not None and stop <= turn.durable:
            self._writing = None
            self._tear(turn, stop)
            self.crash()
        elif turn.durable and self.disk_ms:
            self._writing = turn
            self.world.after(self.disk_ms, self._written, self._generation, turn, stop)
        else:
            self._finish(turn, stop)

    def _crash_point(self, turn: Turn) -> int | None:
        """How many effects happen before this turn's crash; None if it has none."""
        rng = self.world.random
        if self.turns in self.crash_plan:
            return self.crash_plan[self.turns]
        if turn.records and self.torn_chance and rng.random() < self.torn_chance:
            return rng.randint(0, turn.durable)
        if self.crash_chance and rng.random() < self.crash_chance:
            return rng.randint(0, turn.durable + len(turn.rest))
        return None

    def _tear(self, turn: Turn, stop: int) -> None:
        """Of the durable effects the first `stop` happened before the crash."""
        if stop < len(turn.records):
            self.disk.log.tear(turn.records, self.world.random)
            return
        self.disk.write(turn.records)
        for effect in turn.blocks[: stop - len(turn.records)]:
            self.executing.append(effect)

    def _written(self, generation: int, turn: Turn, stop: int | None) -> None:
        if generation == self._generation:
            self._writing = None
            self._finish(turn, stop)
            self.go_on()

    def _finish(self, turn: Turn, stop: int | None) -> None:
        self.disk.write(turn.records)
        judge.written(self, turn.records)
        for block in turn.blocks:
            self.executing.append(block)
        kept = len(turn.rest) if stop is None else stop - turn.durable
        for effect in turn.rest[:kept]:
            self._apply(effect)
        if stop is not None:
            self.crash()
        elif self.replica is not None and self.disk.log.compaction_due:
            self._compact()

    def _compact(self) -> None:
        held = (self.intake.bodies.get(digest) for digest in self.replica.bodies_needed)
        bodies = [records.BodyRecord(body.encode(), ()) for body in held if body is not None]
        self.disk.compact([*self.replica.compact(), *bodies])

    def _apply(self, effect: Effect) -> None:
        match effect:
            case Broadcast(message):
                self.send(self.world.others[self.name], message)
            case Send(to, message):
                self.send((to,), message)
            case Execute(n):
                self.executing.start(n)
            case CheckBody(digest, _, _, sender):
                self.intake.check(digest, sender)
            case SaveCertificate(certificate):
                self.executing.save(certificate)
            case Alarm():
                self.alarms.append(effect)
                judge.alarm_raised(self, effect)
            case Evidence(first, second):
                self.evidence.append(effect)
                judge.evidence_found(self, first, second)
            case ViewEntered():
                self._view_entered(effect)

    # --- speaking ---

    def send(self, to: Sequence[str], message: Signed[SignedMessage] | UnsignedMessage) -> None:
        """Put a message on the links to `to`, once it has passed the checks."""
        if isinstance(message, FetchBody) and to:
            self.intake.fetch(message.digest, to[0])
            return
        frame: object = message
        if isinstance(message, Signed):
            judge.sending(self, message)
            frame = self.world.encode(message)
            if isinstance(message.message, PrePrepare):
                frame = Proposed(frame, self.intake.bodies.get(message.message.digest))
        for name in to:
            self.world.deliver(self.name, name, frame)

    def _view_entered(self, effect: ViewEntered) -> None:
        if effect.in_view_change and self.world.is_honest(self.name):
            left = self.entered[-1][1].view if self.entered else View(0)
            self.world.checker.view_started(effect.view, left, effect.reason)
        self.entered.append((self.world.now, effect))
        self._entered_at.append(self.certified)
        self.pool.watch.new_primary()

    def batch(self) -> list[Digest]:
        """What a body would hold now."""
        return self.pool.batch()

    # --- frames ---

    def on_frame(self, sender: str, frame: object) -> None:
        if self.replica is None:
            return
        if self.paused:
            self.frames.append((sender, frame))
        else:
            self.intake.on_frame(sender, frame)
