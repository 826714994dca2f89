"""Leaving a view and beginning the next (OSDI '99 §4.4), SUSPECT, and planned rotation.

A working view is left only when a quorum SUSPECTs its primary, when f+1 replicas have already
left for higher views, or when the primary's turn is over. Until the NEW-VIEW comes, PRE-PREPARE
and PREPARE are ignored; COMMIT, CHECKPOINT and blocks still count, so a decision made in the old
view is not lost on anyone.

Three rules go beyond the paper, each against a chain halted for good by one liar: a replica takes
the NEW-VIEW's highest Certificate as its own and votes in the view only once it got there; nothing
at or below hi is accepted but the O[n]; and the NEW-VIEW is itself the pre-prepare of each O[n].
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from consensus import checkpoints, normal
from consensus.config import TICK_MS
from consensus.effects import ViewEntered
from consensus.messages import (
    REASON_CENSORSHIP,
    REASON_EQUIVOCATION,
    REASON_JOINED,
    REASON_TIMEOUT,
    Envelope,
    NewView,
    Status,
    Suspect,
    ViewChange,
)
from consensus.new_view import NewViewContent, content
from consensus.state import Peer, State
from consensus.verifier import Signed, proposals_of
from ledger.types import TimeMs, View

SUSPECT_LIFETIME_MS: Final = 10_000
"""How long a SUSPECT counts; its signer repeats it each tick while it means it."""

HEARD_MS: Final = 10_000
"""A primary not heard from for this long is skipped by planned rotation."""

LAG_WINDOWS: Final = 4
"""A primary this many windows behind is skipped by it, too: it catches up, or cannot execute."""

REASONS: Final = {
    REASON_EQUIVOCATION: "the primary contradicted itself",
    REASON_CENSORSHIP: "the primary passed over an organisation",
    REASON_TIMEOUT: "no progress in time",
    REASON_JOINED: "others suspect the primary",
}
"""The most telling first."""


def start(s: State, view: View, reason: str, by: tuple[tuple[str, str], ...] = ()) -> None:
    """Change to `view`. A replica that must not vote stays where it is and follows.

    `by` says who made us (see `ViewEntered`).
    """
    if s.observer is not None:
        return
    left, blockless_ms = s.view, s.clock_ms - s.last_block_ms
    ruling = s.safety.leave(view, s.h_hash, s.certificate)
    if ruling is None:
        return
    s.checking.clear()
    s.timer_ms = s.clock_ms
    s.gathered = False
    s.view_changes += 1
    s.persist(ruling.record)
    s.broadcast(ruling.vote)
    s.out.append(ViewEntered(view, s.primary(), True, reason, left, by, blockless_ms))
    _gather(s)
    lead_if_due(s)


def on_view_change(s: State, vote: Signed[ViewChange]) -> None:
    peer = s.peers.get(vote.signer)
    if peer is None:
        return
    known = peer.view_change
    if known is not None and vote.message.view <= known.message.view:
        if vote.message.view == known.message.view and vote.message != known.message:
            s.accuse(known, vote)
        return
    peer.view_change = vote
    if vote.message.certificate is not None:
        checkpoints.certify(s, vote.message.certificate)
    _join(s)
    _gather(s)
    lead_if_due(s)


def _gather(s: State) -> None:
    """Start the timer once a quorum waits for the NEW-VIEW as we do (OSDI '99 §4.5.2)."""
    if s.gathered or not s.safety.in_view_change:
        return
    held = [peer.view_change for peer in s.peers.values()]
    here = sum(vote is not None and vote.message.view >= s.view for vote in held)
    if here + 1 >= s.quorum:
        s.gathered = True
        s.timer_ms = s.clock_ms


def _join(s: State) -> None:
    """Follow f+1 others to the (f+1)-th highest of their views: at least one is honest."""
    ahead = {
        organisation: peer.view_change.message.view
        for organisation, peer in s.peers.items()
        if peer.view_change is not None and peer.view_change.message.view > s.view
    }
    if len(ahead) >= s.weak:
        if s.safety.in_view_change:
            s.failed_views += 1
        by = tuple((organisation, f"left for view {view}") for organisation, view in ahead.items())
        view = sorted(ahead.values(), reverse=True)[s.weak - 1]
        start(s, view, "others left the view", by)


def lead_if_due(s: State) -> None:
    """Send NEW-VIEW as primary, once a quorum changed to our view and we reached its height."""
    if not s.safety.in_view_change or not s.safety.is_primary or s.observer is not None:
        return
    votes: list[Signed[ViewChange]] = [
        peer.view_change
        for peer in s.peers.values()
        if peer.view_change is not None and peer.view_change.message.view == s.view
    ]
    if s.safety.view_change is not None:
        votes.append(s.safety.view_change)
    if len(votes) < s.quorum:
        return
    chosen: Iterable[Envelope[ViewChange]] = sorted(votes, key=lambda vote: vote.signer)[: s.quorum]
    due = content(vote.message for vote in chosen)
    if due.lo_certificate is not None:
        checkpoints.certify(s, due.lo_certificate)
    if s.h < due.lo:
        return
    ruling = s.safety.lead(chosen, due)
    if ruling is not None:
        s.persist(ruling.record)
        s.broadcast(ruling.vote)
        _entered(s, due, s.view)


def on_new_view(s: State, vote: Signed[NewView]) -> None:
    view = vote.message.view
    current = s.safety.new_view
    if current is not None and current.message.view == view and current.message != vote.message:
        s.accuse(current, vote)
    if view < s.view or (view == s.view and not s.safety.in_view_change):
        return
    due = content(change.message for change in vote.message.view_changes)
    if due.lo_certificate is not None:
        checkpoints.certify(s, due.lo_certificate)
    left = s.view
    ruling = s.safety.enter(vote, due)
    if ruling is not None:
        s.persist(ruling.record)
        _entered(s, due, left)


def _entered(s: State, due: NewViewContent, left: View) -> None:
    s.checking.clear()
    s.view_lo = due.lo
    s.view_lo_time_ms = None
    s.ready = False
    s.timer_ms = s.clock_ms
    blockless_ms = s.clock_ms - s.last_block_ms
    reason = f"new view from height {due.lo}"
    s.out.append(ViewEntered(s.view, s.primary(), False, reason, left, (), blockless_ms))
    ready_if_reached(s)


def ready_if_reached(s: State) -> None:
    """Begin to vote in the view once its first height is our certified one."""
    if s.ready or s.safety.in_view_change or s.h < s.view_lo:
        return
    s.ready = True
    start = s.headers.get(s.view_lo) or s.headers.get(s.h)
    if s.view_lo_time_ms is None and start is not None:
        s.view_lo_time_ms = start.time_ms
    vote_obliged(s)


def vote_obliged(s: State) -> None:
    """PREPARE every O[n] above the certified height, executed or not. No body is needed."""
    new_view = s.safety.new_view
    if new_view is None or not s.may_vote:
        return
    for proposal in proposals_of(new_view):
        n, digest = proposal.message.n, proposal.message.digest
        if n <= s.h:
            continue
        normal.on_vote(s, proposal)
        ruling = s.safety.prepare(n, digest, proposal.signature)
        if ruling is not None:
            s.broadcast(ruling.vote)
            normal.on_vote(s, ruling.vote)


def on_suspect(s: State, sender: str, vote: Signed[Suspect]) -> None:
    """Taken on its signer's own link only: an old one replayed by another must not count."""
    peer = s.peers.get(sender)
    if peer is None or vote.signer != sender:
        return
    if peer.suspect is None or vote.message.view >= peer.suspect.view:
        peer.suspect = vote.message
        peer.suspect_ms = s.clock_ms
        count_suspects(s)


def active_suspects(s: State) -> list[tuple[str, Suspect]]:
    """The SUSPECTs against the present view that still count, ours included."""
    held = [(organisation, peer.suspect, peer.suspect_ms) for organisation, peer in s.peers.items()]
    held.append((s.me, s.own_suspect, s.own_suspect_ms))
    return [
        (organisation, suspect)
        for organisation, suspect, at_ms in held
        if suspect is not None
        and suspect.view >= s.view
        and suspect.h >= s.h - s.domain.window
        and s.clock_ms - at_ms <= SUSPECT_LIFETIME_MS
    ]


def suspicions(s: State) -> tuple[tuple[str, str], ...]:
    """Who wants to leave the present view, and why in words."""
    return tuple(
        (organisation, REASONS.get(suspect.reason, "no reason given"))
        for organisation, suspect in active_suspects(s)
    )


def suspect(s: State, reason: int) -> None:
    """Tell everyone that we want to leave the view; keep working in it.

    While no quorum has come to the view that we changed to, nothing is known against its primary:
    what we want the others to leave are the views before it.
    """
    if s.observer is not None:
        return
    others = sum(organisation != s.me for organisation, _ in active_suspects(s))
    early = s.safety.in_view_change and not s.gathered and others < s.weak
    message = Suspect(View(s.view - early), s.h, reason)
    s.own_suspect, s.own_suspect_ms = message, TimeMs(s.clock_ms)
    s.broadcast(s.sign(message))
    count_suspects(s)


def count_suspects(s: State) -> None:
    """A quorum leaves the view; f+1 make us say that we suspect, too."""
    active = active_suspects(s)
    if len(active) >= s.quorum:
        s.failed_views += 1
        by = suspicions(s)
        told = [reason for _, reason in by]
        gravest = next((reason for reason in REASONS.values() if reason in told), told[0])
        start(s, View(s.view + 1), gravest, by)
    elif len(active) >= s.weak and all(organisation != s.me for organisation, _ in active):
        suspect(s, REASON_JOINED)


def rotate_if_due(s: State) -> None:
    """Hand over to the next primary that is alive, so that the recovery path runs every day."""
    if not s.may_vote or s.h == s.config.epoch_end:
        return
    made = s.h - s.view_lo
    if made < s.config.rotation_blocks and not _turn_is_over(s, made):
        return
    for step in range(1, s.validators.n + 1):
        view = View(s.view + step)
        peer = s.peers.get(s.primary(view))
        alive = peer is None or _could_lead(s, peer)
        if alive:
            start(s, view, "planned rotation")
            return


def _could_lead(s: State, peer: Peer) -> bool:
    """Whether it was heard from, and may reach the new view's first height without delay."""
    if peer.heard_ms is None or s.clock_ms - peer.heard_ms > HEARD_MS:
        return False
    return peer.status is None or peer.status.h + LAG_WINDOWS * s.domain.window >= s.h


def _turn_is_over(s: State, made: int) -> bool:
    header = s.headers.get(s.h)
    if made < s.config.rotation_blocks_min or header is None or s.view_lo_time_ms is None:
        return False
    return header.time_ms - s.view_lo_time_ms >= s.config.rotation_ms


def help_into_view(s: State, organisation: str, status: Status) -> None:
    """Show the NEW-VIEW to a peer that is below our view or still waits for it.

    Once a tick at most: a STATUS is small and a NEW-VIEW is not, and a flood of the one must not
    buy a flood of the other.
    """
    new_view, peer = s.safety.new_view, s.peers[organisation]
    if new_view is None or (status.view, not status.in_view_change) >= (s.view, True):
        return
    if peer.helped_ms is None or s.clock_ms - peer.helped_ms >= TICK_MS:
        peer.helped_ms = s.clock_ms
        s.send(organisation, new_view)
