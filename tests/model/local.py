"""One honest replica: its states as numbers, and what each input does to each of them.

A local state is a real `Replica` with what its disk holds and a `Said`: what its key has signed,
as the others saw it. States that differ in nothing but clocks, counters and the votes of others
are one state. `Locals.take` runs the product once for each (state, input) and remembers.

Inputs are coarse: a quorum of votes is one input (the replica must do nothing before the last of
them), a body is checked, fetched and executed in the turn that asks for it. What a replica keeps of
others' votes between turns is forgotten: they are in the network and come again. Two honest
replicas with no view to lead are run under one name.
"""

from __future__ import annotations

import copy
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
from consensus.log import VoteLog
from consensus.messages import (
    KIND_COMMIT,
    KIND_PRE_PREPARE,
    KIND_PREPARE,
    FetchBody,
    NewView,
    PreparedCertificate,
    ViewChange,
)
from consensus.replica import Replica
from consensus.state import Fetch, Peer, State
from consensus.verifier import Signed
from ledger.certificate import Certificate
from ledger.types import Digest, Height, TimeMs, View
from tests.model.rules import Broken, Said, hear
from tests.model.scope import BASE_HASH, NOW_MS, Choice, World

VOLATILE: Final = frozenset(
    (
        *("config", "domain", "validators", "me", "key", "quorum", "weak", "safety", "log", "out"),
        *("now_ms", "clock_ms", "timer_ms", "last_tick_ms", "last_block_ms", "view_lo_time_ms"),
        *("peers", "answers", "known_highest", "known_executed", "evidence", "nondeterminism"),
        *("own_suspect", "own_suspect_ms", "suspicion", "in_contact", "marker"),
        *("view_changes", "failed_views", "fetch", "fetch_peer", "body_peer", "body_asked_ms"),
    )
)
"""What a replica knows beyond the protocol's state: who it is, time, and what others said."""

OWN: Final = frozenset(("_domain", "_me", "_key", "highest"))
"""Of `Safety`; `highest` is judged when a replica recovers."""

DEAD_IN_VIEW_CHANGE: Final = frozenset(("view_lo", "ready", "hi"))
"""Of the view that was left; NEW-VIEW sets them again."""

LOST_IN_CRASH: Final = frozenset(("certificates", "fetched", "headers"))
"""What others' messages bring again."""


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


@dataclass(slots=True)
class Local:
    """One local state. `path` is the state and the input that first led here."""

    name: str
    replica: Replica
    disk: Disk
    said: Said
    path: tuple[int, Input] | None
    view: int
    h: int


class Step(NamedTuple):
    """A transition: the state it leads to, what was newly signed, a body others had to give."""

    to: int
    signed: tuple[Hashable, ...]
    fetched: Digest | None


class Crash(Exception):
    """Thrown in the middle of a turn."""


def _protocol_state(replica: Replica, last_view: int | None = None) -> dict[str, Hashable]:
    """Equal for replicas that behave equally. In `last_view` older certificates are of no use."""
    s = replica._state
    dead = DEAD_IN_VIEW_CHANGE if s.safety.in_view_change else frozenset()
    kept = {key: _plain(value) for key, value in vars(s).items() if key not in VOLATILE | dead}
    kept["decided"] = _plain({n: item for n, item in s.decided.items() if n > s.appended})
    for key, value in vars(s.safety).items():
        if key not in OWN | dead:
            kept["safety." + key] = _plain(value)
    if s.view == last_view and not s.safety.in_view_change:
        new = {n: item for n, item in s.safety.prepared.items() if item.view == last_view}
        kept["safety.prepared"] = _plain(new)
    return kept


def _plain(value: Any) -> Hashable:
    """A value without signatures: a certificate counts for what it says."""
    if isinstance(value, dict):
        return tuple(sorted((key, _plain(item)) for key, item in value.items()))
    if isinstance(value, Signed):
        message = value.message
        if isinstance(message, ViewChange | NewView):
            return value.signature
        return (value.signer, message.kind, *message.to_value())
    if isinstance(value, PreparedCertificate):
        return (value.n, value.view, value.digest)
    if isinstance(value, Certificate):
        return (value.n, value.header_hash)
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    return value


def _clone(replica: Replica) -> Replica:
    """A replica in the same state that has heard nothing from others."""
    old = replica._state
    new = copy.copy(replica)
    state: State = copy.copy(old)
    state.safety = _copied(old.safety)
    for key, value in vars(old).items():
        if isinstance(value, dict):
            setattr(state, key, dict(value))
    state.log = VoteLog()
    state.peers = {name: Peer() for name in old.peers}
    state.out = []
    new._state = state
    return new


def _copied(safety: Any) -> Any:
    new = copy.copy(safety)
    for key, value in vars(safety).items():
        if isinstance(value, dict):
            items = value.items()
            setattr(new, key, {k: dict(v) if isinstance(v, dict) else v for k, v in items})
    return new


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
            had, has = _protocol_state(before), _protocol_state(self.replica)
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


class Locals:
    """All local states seen, and the transitions between them.

    With `last_view`, states are one that differ in what matters to later views only.
    """

    def __init__(self, world: World, rules: bool, last_view: int | None = None) -> None:
        self.world = world
        self.last_view = last_view
        self.rules = rules
        self.states: list[Local] = []
        self.views: list[int] = []
        self.runs = 0
        self._numbers: dict[Hashable, int] = {}
        self._steps: dict[tuple[int, Input], Step | None] = {}
        self._durable: dict[tuple[int, Input], int] = {}
        self._starts: dict[str, int] = {}

    def start(self, name: str) -> int:
        """The state of a validator that starts for the first time."""
        if name not in self._starts:
            world = self.world
            blank = Replica(world.config(name), world.keys.signer(name))
            turn = Turn(world, name, blank, Disk(), Said(), self.rules)
            turn.recover()
            self._starts[name] = self._intern(turn, None)
        return self._starts[name]

    def take(self, number: int, given: Input) -> Step | None:
        """What `given` does in state `number`; None if nothing. Raises `Broken`."""
        key = (number, given)
        if key not in self._steps:
            self._steps[key] = self._run(number, given)
        return self._steps[key]

    def _run(self, number: int, given: Input) -> Step | None:
        self.runs += 1
        local = self.states[number]
        copied = _clone(local.replica)
        turn = Turn(self.world, local.name, copied, local.disk, local.said, self.rules)
        turn.take(given)
        self._durable[(number, given)] = turn.durable
        to = self._intern(turn, (number, given))
        if to == number and not turn.signed:
            return None
        return Step(to, tuple(turn.signed), turn.fetched)

    def durable(self, number: int, given: Input) -> int:
        """How many durable effects `given` has, over all of its turns."""
        self.take(number, given)
        return self._durable.get((number, given), 0)

    def _intern(self, turn: Turn, path: tuple[int, Input] | None) -> int:
        s = turn.state
        certified = s.domain.base if self.world.scope.crash else s.h
        said = turn.said.settled(s.view, s.safety.in_view_change, certified)
        protocol = tuple(_protocol_state(turn.replica, self.last_view).items())
        key: Hashable = (turn.name, protocol, turn.disk.chain, said)
        if s.view == self.last_view and not s.safety.in_view_change:
            key = (turn.name, protocol, turn.disk.chain, replace(said, commits=frozenset()))
        known = self._numbers.get(key)
        if known is not None:
            return known
        local = Local(turn.name, turn.replica, turn.disk, said, path, int(s.view), int(s.h))
        self.states.append(local)
        self.views.append(local.view)
        self._numbers[key] = number = len(self.states) - 1
        return number

    def transferred(self, number: int, name: str) -> int:
        """The state that the same inputs lead another validator to."""
        local = self.states[number]
        if local.name == name:
            return number
        if local.path is None:
            return self.start(name)
        before, given = local.path
        start = self.transferred(before, name)
        step = self.take(start, given)
        return start if step is None else step.to
