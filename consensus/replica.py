"""The replica: one validator's part in PBFT, as a pure machine.

    replica = Replica(config, sign)
    effects = replica.recover(now_ms, records, head, verifier)    once, before any event
    effects = replica.step(event)

Nothing here awaits, reads a clock or touches a disk. Given the same start and the same events, a
replica returns the same effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never, cast

from consensus import catch_up, checkpoints, normal, recovery, timers, view_change
from consensus.config import TICK_MS, Config, LedgerHead
from consensus.effects import Alarm, Effect
from consensus.events import (
    BlocksFetched,
    BodyArrived,
    BodyChecked,
    Censored,
    Event,
    Executed,
    OwnVoteAnswered,
    OwnVoteAsked,
    Propose,
    Received,
    Tick,
)
from consensus.messages import (
    REASON_CENSORSHIP,
    Checkpoint,
    Commit,
    NewView,
    Prepare,
    PrePrepare,
    Status,
    Suspect,
    ViewChange,
    Vote,
)
from consensus.records import Diverged, Record
from consensus.state import State
from consensus.verifier import Sign, Signed, Verifier
from ledger.types import Digest, Height, TimeMs, View

JUMP_MS: Final = 5_000
"""A longer step of the wall clock is a pause or a clock set anew; timers count it as one tick."""


@dataclass(frozen=True, slots=True)
class ProposalSlot:
    """The next body we may propose: `Body(n, view, me, ...)`; `in_flight` proposals are undecided.

    The driver proposes when transactions wait and (nothing is in flight, or a batch is full, or
    the oldest has waited 20 ms), or when no block came for the idle period.
    """

    n: Height
    view: View
    in_flight: int


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """What a peer last said of itself, and how long ago we last heard anything from it."""

    h: Height
    executed: Height
    view: View
    in_view_change: bool
    silent_ms: int


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """A snapshot for the API, metrics and logs; `peers` by organisation.

    `view_changes` counts all since the start, `failed_views` those in a row that came to nothing;
    `suspicions` are who wants to leave the view, and why in words. `observer` is None for a replica
    that votes, else why it does not; `nondeterminism` is the
    height whose headers differ with none certified, if there is one.
    """

    view: View
    primary: str
    in_view_change: bool
    certified: Height
    executed: Height
    appended: Height
    view_changes: int
    failed_views: int
    suspicions: tuple[tuple[str, str], ...]
    missing: Digest | None
    observer: str | None
    halted: Alarm | None
    nondeterminism: Height | None
    evidence: int
    peers: dict[str, PeerStatus]


class Replica:
    """One validator in one epoch. `sign` makes its signatures; it must be deterministic."""

    def __init__(self, config: Config, sign: Sign) -> None:
        self._state = State(config, sign)
        self._considered: tuple[object, ...] = ()

    def recover(
        self, now_ms: TimeMs, records: Sequence[Record], head: LedgerHead, verifier: Verifier
    ) -> list[Effect]:
        """Rebuild from the write-ahead log and the ledger, ask peers for our own highest vote.

        Executes what was appended but not executed. Raises what `Verifier.verify` raises if a
        record's message does not verify.
        """
        self._state.now_ms = now_ms
        recovery.recover(self._state, records, head, verifier)
        return self._take_effects()

    def step(self, event: Event) -> list[Effect]:
        """Take one event; return what to do, in order (see `consensus.effects`)."""
        s = self._state
        elapsed = event.now_ms - s.now_ms
        s.now_ms = event.now_ms
        s.clock_ms = TimeMs(s.clock_ms + (elapsed if 0 <= elapsed <= JUMP_MS else TICK_MS))
        if s.halted is None:
            self._dispatch(event)
        if s.halted is None:
            self._follow_up()
        return self._take_effects()

    def _take_effects(self) -> list[Effect]:
        effects, self._state.out = self._state.out, []
        return effects

    def _dispatch(self, event: Event) -> None:
        s = self._state
        match event:
            case Received():
                self._on_received(event)
            case BodyChecked():
                normal.on_body_checked(s, event)
            case Executed():
                checkpoints.on_executed(s, event)
            case Propose():
                normal.on_propose(s, event)
            case Tick():
                timers.on_tick(s, event)
            case BodyArrived():
                normal.on_body_arrived(s, event)
            case BlocksFetched():
                catch_up.on_blocks(s, event)
            case OwnVoteAsked():
                recovery.on_asked(s, event)
            case OwnVoteAnswered():
                recovery.on_answered(s, event)
            case Censored():
                view_change.suspect(s, REASON_CENSORSHIP)
            case _:
                assert_never(event)

    def _on_received(self, event: Received) -> None:
        s, signed = self._state, event.signed
        sender = s.peers.get(event.sender)
        if sender is not None:
            sender.heard_ms = s.clock_ms
        if signed.signer == s.me:
            recovery.on_own_message(s, signed)
            return
        recovery.note_vote(s, signed)
        message = signed.message
        if isinstance(message, PrePrepare | Prepare | Commit):
            normal.on_vote(s, cast("Signed[Vote]", signed))
        elif isinstance(message, Checkpoint):
            checkpoints.on_checkpoint(s, cast("Signed[Checkpoint]", signed))
        elif isinstance(message, Status):
            if sender is not None and signed.signer == event.sender:
                sender.status = message
                view_change.help_into_view(s, event.sender, message)
        elif isinstance(message, ViewChange):
            view_change.on_view_change(s, cast("Signed[ViewChange]", signed))
        elif isinstance(message, NewView):
            view_change.on_new_view(s, cast("Signed[NewView]", signed))
        else:
            view_change.on_suspect(s, event.sender, cast("Signed[Suspect]", signed))

    def _follow_up(self) -> None:
        """Whatever became possible because a height, the view or the right to vote changed."""
        s = self._state
        if s.suspicion is not None:
            reason, s.suspicion = s.suspicion, None
            view_change.suspect(s, reason)
        while True:
            position = (s.h, s.view, s.safety.in_view_change, s.ready, s.observer)
            if position == self._considered:
                return
            self._considered = position
            view_change.ready_if_reached(s)
            view_change.lead_if_due(s)
            view_change.rotate_if_due(s)
            for number in range(s.h + 1, s.window_end + 1):
                normal.consider(s, Height(number))

    @property
    def proposal_slot(self) -> ProposalSlot | None:
        """What we may propose now, or None: not primary, no room, or not yet allowed to vote."""
        s = self._state
        n = normal.next_height(s)
        if s.halted is not None or not s.may_vote or not s.safety.is_primary or n > s.window_end:
            return None
        return ProposalSlot(n, s.view, in_flight=n - 1 - s.appended)

    def timer_left_ms(self, now_ms: TimeMs) -> int:
        """How long until the time-out expires if nothing moves; 0 or less once it has.

        A driver that ticks just then spares waiting clients half a tick of a silent primary.
        """
        s = self._state
        return timers.timeout_ms(s) - (s.clock_ms - s.timer_ms) - (now_ms - s.now_ms)

    @property
    def status(self) -> ReplicaStatus:
        """A fresh snapshot; cheap enough for each scrape, not for each vote."""
        s = self._state
        peers = {
            organisation: PeerStatus(
                peer.status.h,
                peer.status.executed,
                peer.status.view,
                peer.status.in_view_change,
                s.clock_ms - (peer.heard_ms or 0),
            )
            for organisation, peer in s.peers.items()
            if peer.status is not None
        }
        return ReplicaStatus(
            view=s.view,
            primary=s.primary(),
            in_view_change=s.safety.in_view_change,
            certified=s.h,
            executed=s.executed,
            appended=s.appended,
            view_changes=s.view_changes,
            failed_views=s.failed_views,
            suspicions=view_change.suspicions(s),
            missing=normal.missing_body(s),
            observer=s.observer,
            halted=s.halted,
            nondeterminism=s.nondeterminism,
            evidence=len(s.evidence),
            peers=peers,
        )

    @property
    def diverged(self) -> Diverged | None:
        """Why we halted; kept after the repair, until the heights signed wrongly are certified."""
        return self._state.safety.diverged

    def certified_hash(self, n: Height) -> Digest | None:
        """The certified header of a height that is not executed yet, as far as we know it."""
        fetched = self._state.fetched.get(n)
        if fetched is not None:
            return fetched[0]
        certificate = self._state.certificates.get(n)
        return None if certificate is None else certificate.header_hash

    def signers(self, n: Height) -> dict[Digest, tuple[str, ...]]:
        """Who signed which header at the uncertified height `n`, as far as we heard."""
        tallies = self._state.log.checkpoints(n)
        return {header_hash: tuple(sorted(tally)) for header_hash, tally in tallies.items()}

    def compact(self) -> list[Record]:
        """What a new log segment must begin with before older segments may be dropped.

        Bodies aside: the driver copies the `BodyRecord`s of `bodies_needed`.
        """
        return self._state.safety.compact()

    @property
    def bodies_needed(self) -> dict[Digest, Height]:
        """Bodies to keep on disk and serve: all we prepared above the certified height."""
        return dict(self._state.bodies)
