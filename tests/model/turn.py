"""One input, taken by the product: the replica's turns and what its driver does with the effects.

Inputs are coarse: a quorum of votes is one input (the replica must do nothing before the last of
them), a body is checked, fetched and executed in the turn that asks for it. What a replica keeps of
others' votes between turns is forgotten: they are in the network and come again.

The driver here has the real one's rules: all that is durable in a turn first, in order, then the
rest. A crash leaves a prefix of the durable effects and sends nothing of its turn; what the
recovered replica will say again counts as said, for a message can always be late.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from consensus import records, view_change
from consensus.config import HeaderSummary, LedgerHead
from consensus.effects import (
    DURABLE,
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
)
from consensus.events import (
    BlocksFetched,
    BodyArrived,
    BodyChecked,
    Event,
    Executed,
    FetchedBlock,
    OwnVoteAnswered,
    Propose,
    Received,
)
from consensus.messages import KIND_COMMIT, KIND_PRE_PREPARE, KIND_PREPARE, FetchBody
from consensus.replica import Replica
from consensus.state import Fetch, State
from consensus.verifier import Signed
from ledger.certificate import Certificate
from ledger.types import Digest, Height, TimeMs, View
from tests.model.likeness import protocol_state
from tests.model.rules import Broken, Said, hear
from tests.model.scope import BASE_HASH, NOW_MS, Choice, World

LOST_IN_CRASH: Final = frozenset(("certificates", "fetched", "decided"))
"""What others' messages bring again; `decided` is what waits for a height below it."""


class Input(NamedTuple):
    """What may happen to a replica. `data` is a digest, header hash, `Change`s or a `Choice`."""

    kind: str
    view: int = -1
    n: int = -1
    data: Any = None


@dataclass(frozen=True)
class Disk:
    """What survives a crash. `chain` holds the digests of the executed blocks 1..n."""

    log: tuple[records.Record, ...] = ()
    bodies: tuple[tuple[Digest, Height], ...] = ()
    chain: tuple[Digest, ...] = ()
    certificate: Certificate | None = None


class Crash(Exception):
    """Thrown in the middle of a turn."""


@dataclass
class Turn:
    """An input being taken by a copy of a local state."""

    world: World
    name: str
    replica: Replica
    disk: Disk
    said: Said
    rules: bool
    crash_after: int | None = None
    """Crash once this many durable effects are carried out, before any send."""
    signed: list[Hashable] = field(default_factory=list)
    durable: int = 0
    acts: int = 0
    fetched: Digest | None = None

    @property
    def state(self) -> State:
        return self.replica._state

    def feed(self, event: Event) -> None:
        """One event, and those that its effects call for."""
        self.carry_out(self.replica.step(event))

    def carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, DURABLE):
                if self.durable == self.crash_after:
                    raise Crash
                self._store(effect)
                self.durable += 1
                self.acts += 1
        if self.durable == self.crash_after:
            raise Crash
        answers: list[Event] = []
        for effect in effects:
            match effect:
                case Broadcast(message) | Send(_, message):
                    if isinstance(message, FetchBody):
                        self.fetched = message.digest
                        answers.append(BodyArrived(NOW_MS, message.digest))
                    elif isinstance(message, Signed):
                        self._say(message)
                case CheckBody(digest):
                    body = self.world.bodies.get(digest)
                    answers.append(BodyChecked(NOW_MS, digest, body, body is not None))
                case Execute(n):
                    header = self.world.header_hash(self.disk.chain[:n])
                    answers.append(Executed(NOW_MS, n, header, TimeMs(NOW_MS + n)))
                case SaveCertificate(certificate):
                    self.disk = replace(self.disk, certificate=certificate)
                    self.acts += 1
                case Alarm():
                    raise Broken(f"raises an alarm: {effect.kind.value}, {effect.detail}")
                case Evidence(first) if first.signer not in self.world.liars:
                    raise Broken(f"accuses honest {first.signer} of {first.message}")
        for answer in answers:
            self.feed(answer)

    def _store(self, effect: Persist | PersistBody | AppendDecided) -> None:
        disk = self.disk
        match effect:
            case Persist(record):
                self.disk = replace(disk, log=(*disk.log, record))
            case PersistBody(n, digest):
                bodies = {**dict(disk.bodies), digest: n}
                self.disk = replace(disk, bodies=tuple(bodies.items()))
            case AppendDecided(n, digest):
                if n != len(disk.chain) + 1:
                    raise Broken(f"appends height {n} to a chain of {len(disk.chain)}")
                self.disk = replace(disk, chain=(*disk.chain, digest))

    def _say(self, message: Signed[Any]) -> None:
        before = self.said
        self.said, facts = hear(self.world, self.replica, before, message, self.rules)
        if facts:
            self.acts += 1
        self.signed += facts

    # --- inputs ---

    def take(self, given: Input) -> None:
        handler: Callable[[Input], None] = getattr(self, "_on_" + given.kind)
        handler(given)

    def _received(self, signed: Signed[Any]) -> None:
        self.feed(Received(NOW_MS, signed.signer, signed))

    def _on_proposal(self, given: Input) -> None:
        """The PRE-PREPARE of the view's primary, with its body."""
        primary = self.world.primary(given.view)
        if primary != self.name:
            vote = self.world.vote(primary, KIND_PRE_PREPARE, given.view, given.n, given.data)
            self._received(vote)

    def _on_propose(self, given: Input) -> None:
        """Transactions wait and we lead: propose this body."""
        self.feed(Propose(NOW_MS, self.world.bodies[given.data]))

    def _on_prepares(self, given: Input) -> None:
        """PREPAREs of backups; the PRE-PREPARE counts where it was accepted."""
        self._refill()
        tally = self.state.log.prepares(View(given.view), Height(given.n), given.data)
        self._quorum(
            {self.world.primary(given.view): None, **tally},
            lambda name: self.world.vote(name, KIND_PREPARE, given.view, given.n, given.data),
        )

    def _on_commits(self, given: Input) -> None:
        self._refill()
        tally = self.state.log.commits(View(given.view), Height(given.n), given.data)
        self._quorum(
            tally, lambda name: self.world.vote(name, KIND_COMMIT, given.view, given.n, given.data)
        )

    def _on_checkpoints(self, given: Input) -> None:
        self._refill()
        tally = self.state.log.checkpoints(Height(given.n)).get(given.data, {})
        self._quorum(tally, lambda name: self.world.checkpoint(name, given.n, given.data))

    def _refill(self) -> None:
        """File our own votes, and the proposals we accepted, as recovery does."""
        s = self.state
        for vote in s.safety.votes():
            s.log.add(vote, s.view)
        for n, item in s.safety.accepted.items():
            proposal = self.world.vote(s.primary(), KIND_PRE_PREPARE, s.view, n, item.digest)
            s.log.add(proposal, s.view)
        for checkpoint in s.safety.checkpoints():
            s.log.add_checkpoint(checkpoint)

    def _quorum(self, tally: dict[str, Any], vote: Callable[[str], Signed[Any]]) -> None:
        """Give just as many votes as make a quorum with those in hand; one fewer moves nothing."""
        missing = max(1, self.world.quorum - len(tally))
        senders = [name for name in self.world.names if name not in tally and name != self.name]
        acts = self.acts
        for name in senders[: missing - 1]:
            self._received(vote(name))
        if self.acts != acts:
            raise Broken("acts on fewer votes than a quorum")
        for name in senders[missing - 1 : missing]:
            self._received(vote(name))

    def _on_blocks(self, given: Input) -> None:
        """A peer gives the certified blocks that we lack up to height n."""
        s = self.state
        peer = next(iter(s.peers))
        chain = self.world.chains[given.data]
        blocks = tuple(
            FetchedBlock(
                Height(n),
                chain[n - 1],
                self.world.header_hash(chain[:n]),
                self.world.certificate(n, given.data) if n == given.n else None,
            )
            for n in range(s.h + 1, given.n + 1)
        )
        if blocks:
            s.fetch = Fetch(peer, s.clock_ms)
            self.feed(BlocksFetched(NOW_MS, peer, blocks))

    def _on_change(self, given: Input) -> None:
        """Time runs out, or enough others left: change to this view."""
        view_change.start(self.state, View(given.view), "the model says so")
        self.carry_out(self.replica._take_effects())

    def _on_lead(self, given: Input) -> None:
        """VIEW-CHANGEs of q-1 others."""
        senders = [name for name in self.world.names if name != self.name]
        for name, change in zip(senders, given.data, strict=False):
            signed = self.world.view_change(name, change)
            assert signed is not None
            self._received(signed)

    def _on_new_view(self, given: Input) -> None:
        choice: Choice = given.data
        if self.world.primary(choice.view) != self.name:
            signed = self.world.new_view(self.world.shown[choice], choice.proposals)
            assert signed is not None
            self._received(signed)

    def _on_crash(self, given: Input) -> None:
        """The process dies and starts from its disk. `data` "bare": the Certificate was lost."""
        before = self.replica
        if given.data == "bare":
            self.disk = replace(self.disk, certificate=None)
        self.recover()
        if given.data != "bare" and self.rules:
            had, has = protocol_state(before), protocol_state(self.replica)
            lost = [key for key in had if key not in LOST_IN_CRASH and had[key] != has.get(key)]
            if lost:
                raise Broken(f"does not recover what it had before the crash: {', '.join(lost)}")

    def _on_torn(self, given: Input) -> None:
        """A crash inside the turns of the input `data`, after `n` of its durable effects."""
        self.crash_after = given.n
        try:
            self.take(given.data)
        except Crash:
            self.crash_after = None
            self.recover()

    # --- start ---

    def recover(self) -> None:
        """Start from the disk; peers answer with the highest vote they saw."""
        world, disk = self.world, self.disk
        certified = 0 if disk.certificate is None else disk.certificate.n

        def header(n: Height) -> HeaderSummary | None:
            if n > len(disk.chain):
                return None
            made = world.header_hash(disk.chain[:n]) if n else BASE_HASH
            return HeaderSummary(made, TimeMs(NOW_MS + n))

        head = LedgerHead(
            certified=Height(certified),
            certificate=disk.certificate,
            executed=Height(len(disk.chain)),
            appended=(),
            bodies={digest: n for digest, n in disk.bodies if n > certified},
            header=header,
        )
        self.replica = Replica(world.config(self.name), world.keys.signer(self.name))
        log = [records.decode(records.encode(record)) for record in disk.log]
        self.carry_out(self.replica.recover(NOW_MS, log, head, world.verifier))
        votes = self.said.highest(world, self.name)
        for peer in [name for name in world.names if name != self.name][: world.quorum - 1]:
            self.feed(OwnVoteAnswered(NOW_MS, peer, votes))
        safety = self.state.safety
        again = [safety.view_change, *safety.votes(), *safety.checkpoints()]
        for message in again:
            if message is not None:
                self._say(message)
