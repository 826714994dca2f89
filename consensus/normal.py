"""The normal case: a proposal becomes prepared, then decided (OSDI '99 §4.2).

A proposal within the window is checked by the driver before PREPARE. One up to W beyond it waits in
the log until the window moves; dropping it would cost a resend each time the primary is ahead.
Whatever was decided is appended to the block files in order, executed in order, and needs its
body for that.
"""

from __future__ import annotations

from typing import Final

from consensus.effects import AppendDecided, CheckBody, Execute, PersistBody
from consensus.events import BodyArrived, BodyChecked, Propose
from consensus.log import quorum_of
from consensus.messages import (
    KIND_COMMIT,
    KIND_PRE_PREPARE,
    REASON_EQUIVOCATION,
    FetchBody,
    PreparedCertificate,
    Vote,
)
from consensus.state import State
from consensus.verifier import Signed
from ledger.block import Body
from ledger.types import Digest, Height, View

TIMESTAMP_PAST_MS: Final = 2_000
TIMESTAMP_FUTURE_MS: Final = 500
TIMESTAMP_DOUBLINGS_MAX: Final = 8
"""How far a body's time may lie from ours, doubled with each failed view so that clocks that are
hours apart slow the chain down but never stop it. A body of the past was on its way for two
time-outs at most; a primary that dates its bodies back makes its turn longer by no more than that.
"""

BODY_RETRY_MS: Final = 500


def on_vote(s: State, vote: Signed[Vote]) -> None:
    """PRE-PREPARE, PREPARE or COMMIT of anyone, us included."""
    message = vote.message
    if not s.h < message.n <= s.h + 2 * s.domain.window:
        return
    earlier = s.log.add(vote, s.view)
    if earlier is not None:
        _contradiction(s, earlier, vote)
        return
    if message.kind == KIND_COMMIT:
        _maybe_decided(s, message.view, message.n, message.digest)
        return
    if message.view != s.view:
        return
    if message.kind == KIND_PRE_PREPARE:
        consider(s, message.n, again=True)
    maybe_prepared(s, message.n)


def _contradiction(s: State, earlier: Signed[Vote], vote: Signed[Vote]) -> None:
    s.accuse(earlier, vote)
    if vote.message.kind == KIND_PRE_PREPARE and vote.message.view == s.view:
        s.suspicion = REASON_EQUIVOCATION


def consider(s: State, n: Height, again: bool = False) -> None:
    """Have the body of the primary's proposal for `n` checked, if we may take it now.

    `again` asks the driver once more while its answer is outstanding.
    """
    if not s.may_vote or not max(s.h, s.safety.hi) < n <= s.window_end or n in s.safety.accepted:
        return
    proposal = s.log.pre_prepare(s.view, n, s.primary())
    if proposal is None or proposal.signer == s.me or (n in s.checking and not again):
        return
    s.checking[n] = proposal
    s.out.append(CheckBody(proposal.message.digest, n, s.view, proposal.signer))


def on_body_checked(s: State, event: BodyChecked) -> None:
    """PREPARE the proposal whose body turned out valid."""
    waiting = [n for n, item in s.checking.items() if item.message.digest == event.digest]
    for n in waiting:
        proposal = s.checking.pop(n)
        if not s.may_vote or proposal.message.view != s.view or not event.ok:
            continue
        if event.body is None or not _acceptable(s, n, event.body, event.digest):
            continue
        if n > s.window_end:
            continue
        ruling = s.safety.prepare(n, event.digest, proposal.signature)
        if ruling is None:
            continue
        keep_body(s, n, event.digest)
        s.persist(s.safety.anchored(n, s.certificate))
        s.persist(ruling.record)
        s.broadcast(ruling.vote)
        on_vote(s, ruling.vote)
        append_decided(s)


def _acceptable(s: State, n: Height, body: Body, digest: Digest) -> bool:
    """The replica's own part of validity; the driver's is size, gas and the transactions."""
    if body.digest != digest or (body.n, body.first_view, body.proposer) != (
        n,
        s.view,
        s.primary(),
    ):
        return False
    slack = 1 << min(s.failed_views, TIMESTAMP_DOUBLINGS_MAX)
    oldest = s.now_ms - TIMESTAMP_PAST_MS * slack
    return oldest <= body.timestamp_ms <= s.now_ms + TIMESTAMP_FUTURE_MS * slack


def keep_body(s: State, n: Height, digest: Digest) -> None:
    """Have the body on disk before anyone may count on our having it.

    Before the vote's record, too: a crash between them would bring back the vote alone.
    """
    if digest not in s.bodies:
        s.out.append(PersistBody(n, digest))
    s.bodies[digest] = max(n, s.bodies.get(digest, n))


def next_height(s: State) -> Height:
    """The first height for which the present view has no proposal."""
    return Height(max(s.h, s.safety.hi, s.appended, max(s.safety.accepted, default=s.h)) + 1)


def on_propose(s: State, event: Propose) -> None:
    """Send our own proposal. A body made for a slot that has gone is dropped."""
    body = event.body
    n = next_height(s)
    if not s.may_vote or n > s.window_end or not _acceptable(s, n, body, body.digest):
        return
    ruling = s.safety.propose(n, body.digest)
    if ruling is None:
        return
    keep_body(s, n, body.digest)
    s.persist(s.safety.anchored(n, s.certificate))
    s.persist(ruling.record)
    s.broadcast(ruling.vote)
    on_vote(s, ruling.vote)


def maybe_prepared(s: State, n: Height) -> None:
    """COMMIT once a quorum, the primary's PRE-PREPARE included, prepared what we accepted."""
    accepted = s.safety.accepted.get(n)
    if accepted is None or not s.may_vote:
        return
    known = s.safety.prepared.get(n)
    if known is not None and known.view == s.view:
        return
    tally = s.log.prepares(s.view, n, accepted.digest)
    if len(tally) < s.quorum:
        return
    certificate = PreparedCertificate(n, s.view, accepted.digest, quorum_of(tally, s.quorum))
    ruling = s.safety.commit(certificate)
    if ruling is None:
        return
    s.persist(ruling.record)
    s.broadcast(ruling.vote)
    on_vote(s, ruling.vote)


def _maybe_decided(s: State, view: View, n: Height, digest: Digest) -> None:
    """A quorum of COMMITs in any one view decides, whatever we think of that view."""
    if n in s.decided or n <= s.appended:
        return
    if len(s.log.commits(view, n, digest)) >= s.quorum:
        s.decided[n] = digest
        append_decided(s)


def append_decided(s: State) -> None:
    """Append and execute what is decided, in order, as far as bodies are in hand."""
    while True:
        n = Height(s.appended + 1)
        digest = s.decided.get(n)
        if digest is None:
            return
        if not s.has_body(n, digest):
            ask_for_body(s)
            return
        append(s, n, digest)


def append(s: State, n: Height, digest: Digest) -> None:
    """Make `digest` block `n`; the driver holds its body."""
    s.decided[n] = digest
    s.appended = n
    s.out.append(AppendDecided(n, digest))
    s.out.append(Execute(n, digest))


def missing_body(s: State) -> Digest | None:
    """The body that keeps the next decided height from being appended."""
    n = Height(s.appended + 1)
    digest = s.decided.get(n)
    return digest if digest is not None and not s.has_body(n, digest) else None


def ask_for_body(s: State) -> None:
    """Ask one peer for the missing body, the next one if the last did not answer in time."""
    digest = missing_body(s)
    if digest is None:
        return
    if s.body_asked_ms is not None and s.clock_ms - s.body_asked_ms < BODY_RETRY_MS:
        return
    s.body_asked_ms = s.clock_ms
    peers = list(s.peers)
    s.body_peer = (s.body_peer + 1) % len(peers)
    s.send(peers[s.body_peer], FetchBody(digest))


def on_body_arrived(s: State, event: BodyArrived) -> None:
    if event.digest != missing_body(s):
        return
    s.body_asked_ms = None
    keep_body(s, Height(s.appended + 1), event.digest)
    append_decided(s)
