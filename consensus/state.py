"""What a running replica knows, and how its parts speak: by appending effects to `out`.

The parts (`normal`, `checkpoints`, `view_change`, `catch_up`, `timers`, `recovery`) are functions
over this one state. Votes leave through `Safety` alone. Everything iterated is a list or a dict
in a fixed order, so that a replay gives the same effects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from consensus.config import Config, HeaderSummary
from consensus.effects import Alarm, AlarmKind, Broadcast, Effect, Evidence, Persist, Send
from consensus.log import VoteLog
from consensus.messages import (
    KIND_COMMIT,
    KIND_NEW_VIEW,
    KIND_PRE_PREPARE,
    KIND_PREPARE,
    KIND_VIEW_CHANGE,
    PrePrepare,
    SignedMessage,
    Status,
    Suspect,
    UnsignedMessage,
    ViewChange,
)
from consensus.records import Diverged, Record
from consensus.safety import Safety
from consensus.verifier import AnySigned, Sign, Signed, sign
from ledger.block import null_digest
from ledger.certificate import Certificate
from ledger.types import Digest, Height, TimeMs, View

EVIDENCE_MAX: Final = 256
"""Pieces of evidence reported in one run. One suffices to convict; a liar can make any number."""

_NEVER: Final = TimeMs(0)


@dataclass(slots=True)
class Peer:
    """What another validator showed of itself."""

    heard_ms: TimeMs | None = None
    status: Status | None = None
    helped_ms: TimeMs | None = None
    """When we last showed it our NEW-VIEW."""
    suspect: Suspect | None = None
    suspect_ms: TimeMs = _NEVER
    view_change: Signed[ViewChange] | None = None
    highest_vote: AnySigned | None = None
    highest_position: tuple[int, int] = (-1, -1)


@dataclass(slots=True)
class Fetch:
    """A question for blocks under way."""

    peer: str
    since_ms: TimeMs


class State:
    """One replica's state.

    `now_ms` is the wall clock of the event in hand and serves timestamps alone. `clock_ms` is the
    replica's own running time, which jumps of the wall clock do not move; timers use it.
    """

    def __init__(self, config: Config, key: Sign) -> None:
        domain = config.domain
        self.config = config
        self.domain = domain
        self.validators = domain.validators
        self.me = config.me
        self.key = key
        self.quorum = domain.validators.quorum
        self.weak = domain.validators.f + 1
        self.peers = {
            organisation: Peer()
            for organisation in domain.validators.organisations
            if organisation != config.me
        }
        self.safety = Safety(domain, config.me, key)
        self.log = VoteLog()
        self.out: list[Effect] = []
        self.now_ms = TimeMs(0)
        self.clock_ms = TimeMs(0)

        self.h_hash = domain.base_hash
        self.certificate: Certificate | None = None
        self.executed = domain.base
        self.appended = domain.base
        self.headers: dict[Height, HeaderSummary] = {}
        self.decided: dict[Height, Digest] = {}
        self.bodies: dict[Digest, Height] = {}
        self.fetched: dict[Height, tuple[Digest, Certificate]] = {}
        """Header hashes that fetched blocks name, each with a Certificate of it or of a later block
        of its chain; to be compared once executed."""
        self.certificates: dict[Height, Certificate] = {}
        """Certificates of heights not executed yet."""

        self.view_lo = domain.base
        self.ready = True
        """We have reached the view's first height and may vote in it."""
        self.checking: dict[Height, Signed[PrePrepare]] = {}
        self.view_lo_time_ms: TimeMs | None = None
        self.view_changes = 0
        self.gathered = False
        """A quorum changed to the view that we wait for, or to a later one."""

        self.timer_ms = TimeMs(0)
        self.last_tick_ms = TimeMs(0)
        """Clock of the last tick; `timer_ms` and `last_block_ms` are clocks too."""
        self.last_block_ms = TimeMs(0)
        self.failed_views = 0
        self.in_contact = False
        self.suspicion: int | None = None
        """Reason to suspect the primary found in this turn."""
        self.own_suspect: Suspect | None = None
        self.own_suspect_ms = TimeMs(0)
        self.position: tuple[object, ...] = ()
        """Heights and view, as of the last tick."""
        self.held = 0
        """The votes held, as of the last tick."""
        self.still_ticks = 0
        """Ticks since heights or view moved, while votes are held."""
        self.fetch: Fetch | None = None
        self.fetch_peer = 0
        self.body_peer = 0
        self.body_asked_ms: TimeMs | None = None
        self.nondeterminism: Height | None = None

        self.observer: str | None = None
        self.answers: dict[str, None] = {}
        self.known_highest: tuple[int, int] = (-1, -1)
        self.known_executed = domain.base
        """What log and ledger held at start."""
        self.halted: Alarm | None = None
        self.evidence: dict[tuple[str, int, int, int], None] = {}

    # --- shorthands ---

    @property
    def view(self) -> View:
        return self.safety.view

    @property
    def h(self) -> Height:
        """The certified height."""
        return self.safety.h

    @property
    def window_end(self) -> Height:
        """Highest height that may be proposed: window, epoch and rotation all allow it."""
        end = min(self.h + self.domain.window, self.view_lo + self.config.rotation_blocks)
        if self.config.epoch_end is not None:
            end = min(end, self.config.epoch_end)
        return Height(end)

    @property
    def may_vote(self) -> bool:
        """Taking part in the present view: not changing it, at its first height, not muted."""
        return not self.safety.in_view_change and self.ready and self.observer is None

    @property
    def retired(self) -> bool:
        """An observer until its key is rotated."""
        return self.safety.retired is not None

    def primary(self, view: View | None = None) -> str:
        return self.validators.primary(self.view if view is None else view)

    def has_body(self, n: Height, digest: Digest) -> bool:
        return digest in self.bodies or digest == null_digest(n)

    # --- effects ---

    def persist(self, record: Record | None) -> None:
        if record is not None:
            self.out.append(Persist(record))

    def broadcast(self, message: AnySigned | UnsignedMessage) -> None:
        self.out.append(Broadcast(message))

    def send(self, to: str, message: AnySigned | UnsignedMessage) -> None:
        self.out.append(Send(to, message))

    def say_again(self) -> None:
        """Send again what we voted and still stand for: it may have been lost, or never sent."""
        if self.safety.view_change is not None:
            self.broadcast(self.safety.view_change)
        for vote in self.safety.votes():
            self.broadcast(vote)
        for checkpoint in self.safety.checkpoints():
            self.broadcast(checkpoint)

    def sign(self, message: SignedMessage) -> AnySigned:
        """Sign what is no vote (STATUS, SUSPECT); votes go through `safety`."""
        return sign(self.domain, self.me, message, self.key)

    def accuse(self, first: AnySigned, second: AnySigned) -> None:
        """Report two messages that contradict each other, once."""
        position = message_position(second.message)
        key = (second.signer, second.message.kind, *position)
        if key not in self.evidence and len(self.evidence) < EVIDENCE_MAX:
            self.evidence[key] = None
            self.out.append(Evidence(first, second))

    def halt(self, n: Height, own: Digest, certified: Digest, certificate: Certificate) -> None:
        """Stop until our ledger is repaired: our header for `n` is not the certified one."""
        epoch, signed_to = self.domain.epoch, self.executed
        known = self.safety.diverged
        if known is not None:
            signed_to = max(signed_to, known.signed_to)
        self.safety.diverged = Diverged(epoch, n, own, certified, signed_to, certificate)
        self.persist(self.safety.diverged)
        self.stay_halted(n, own, certified)

    def stay_halted(self, n: Height, own: Digest, certified: Digest) -> None:
        """As `halt`, where the log says so already."""
        detail = "our execution gave another header than the certified one"
        self.halted = Alarm(AlarmKind.DIVERGED, n, own, certified, detail)
        self.out.append(self.halted)


def message_position(message: SignedMessage) -> tuple[int, int]:
    """(view, n) of a message, 0 for what it does not have."""
    view = getattr(message, "view", 0)
    return view, getattr(message, "n", 0)


def vote_position(message: SignedMessage) -> tuple[int, int] | None:
    """(view, n) of a message that counts for the lost-log rule; None for the others."""
    return message_position(message) if message.kind in _COUNTED else None


_COUNTED: Final = (
    KIND_PRE_PREPARE,
    KIND_PREPARE,
    KIND_COMMIT,
    KIND_VIEW_CHANGE,
    KIND_NEW_VIEW,
)
