"""Starting: back from the write-ahead log and the ledger, and never twice with one key.

A log that was lost, or rolled back with its virtual machine, does not know what its key has
signed; peers do. So at start a replica asks them for its own highest vote, and votes once q-1
have answered and none has shown a vote above its log, or a CHECKPOINT above its ledger.
Otherwise it follows as an observer until its key is rotated. Questions are answered at any time,
also while starting, so that a whole network can start at once; what peers answer they find in
their own logs and Certificates too, so that it outlives a power loss of all.

A log is never empty once its key was used: the first start writes `Highest` before all else. An
empty log beside a ledger that is not is therefore a lost one, whatever peers remember.

A replica that halted because its header was not the certified one stays halted, start after start,
until its ledger has the certified header. Then it takes that height from the Certificate it kept
and goes on; for the heights it may have signed wrongly it never signs again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from consensus import checkpoints, view_change
from consensus.config import LedgerHead
from consensus.effects import Alarm, AlarmKind, Execute
from consensus.events import OwnVoteAnswered, OwnVoteAsked
from consensus.messages import (
    Checkpoint,
    Envelope,
    NewView,
    OwnVote,
    OwnVoteQuery,
    PrePrepare,
    SignedMessage,
    ViewChange,
    Vote,
)
from consensus.new_view import content
from consensus.records import (
    BodyRecord,
    Certified,
    Diverged,
    Highest,
    Prepared,
    PrePrepared,
    Record,
    Retired,
    VoteRecord,
)
from consensus.state import State, message_position, vote_position
from consensus.verifier import (
    AnySigned,
    MessageRefused,
    Signed,
    Verifier,
    checkpoint_of,
    votes_of,
)
from ledger.types import Height

STARTING: Final = "asking peers for our own highest vote"


def recover(s: State, records: Sequence[Record], head: LedgerHead, verifier: Verifier) -> None:
    """Rebuild `s`. Raises `MessageRefused` and its kin if a record is not what we wrote."""
    _take_head(s, head)
    votes = [record for record in records if not isinstance(record, BodyRecord)]
    for record in votes:
        if record.epoch == s.domain.epoch:
            _take_record(s, record, verifier)
    _compare_again(s, head)
    if s.safety.anchor is not None:
        checkpoints.certify(s, s.safety.anchor.certificate)
    s.safety.sign_again()
    for vote in s.safety.votes():
        s.log.add(vote, s.view)
    _restore_proposals(s, verifier)
    s.ready = s.h >= s.view_lo
    start_header = head.header(min(s.view_lo, s.executed))
    s.view_lo_time_ms = None if start_header is None else start_header.time_ms
    s.observer = None if s.halted is not None else STARTING
    if s.safety.retired is not None:
        _stay_retired(s, s.safety.retired)
    elif not votes:
        _begin_log(s)
    s.known_highest = s.safety.highest or (-1, -1)
    for n, digest in head.appended:
        s.decided[n] = digest
        s.appended = n
        s.out.append(Execute(n, digest))
    # Also what was executed once, and must be again.
    s.known_executed = s.appended
    if s.halted is None:
        ask_own_vote(s)


def _begin_log(s: State) -> None:
    """Mark an empty log as begun, or know it as lost by the ledger beside it."""
    if s.executed > s.domain.base:
        _retire(s, s.executed, f"the log of votes is empty, the ledger is at height {s.executed}")
        return
    first = Highest(s.domain.epoch, s.view, s.domain.base)
    s.safety.restore_highest(first)
    s.persist(first)


def _take_head(s: State, head: LedgerHead) -> None:
    s.safety.certified(head.certified)
    s.certificate = head.certificate
    if head.certificate is not None:
        s.h_hash = head.certificate.header_hash
    s.executed = s.appended = head.executed
    for number in range(head.certified, head.executed + 1):
        header = head.header(Height(number))
        if header is not None:
            s.headers[Height(number)] = header
    s.bodies = {digest: n for digest, n in head.bodies.items() if n > head.certified}


def _take_record(s: State, record: VoteRecord, verifier: Verifier) -> None:
    if isinstance(record, Highest):
        s.safety.restore_highest(record)
    elif isinstance(record, Diverged):
        verifier.certificate(record.certificate)
        s.safety.diverged = record if record.signed_to > s.h else None
    elif isinstance(record, Retired):
        s.safety.retired = record
    elif isinstance(record, Certified):
        verifier.certificate(record.certificate)
        s.safety.restore_anchor(record)
    elif isinstance(record, PrePrepared):
        s.safety.restore_vote(record)
    elif isinstance(record, Prepared):
        verifier.prepared(s.me, record.certificate)
        s.safety.restore_vote(record)
        primary = s.primary(record.certificate.view)
        for vote in votes_of(record.epoch, record.certificate, primary):
            note_vote(s, vote)
    else:
        signed = verifier.verify(record.message)
        if isinstance(signed, Signed) and isinstance(signed.message, ViewChange):
            s.safety.restore_view_change(cast("Signed[ViewChange]", signed))
            return
        if not isinstance(signed, Signed) or not isinstance(signed.message, NewView):
            raise MessageRefused(s.me, "a record of a view holds another message")
        note_vote(s, signed)
        due = content(change.message for change in signed.message.view_changes)
        s.safety.enter(cast("Signed[NewView]", signed), due)
        s.view_lo = due.lo


def _compare_again(s: State, head: LedgerHead) -> None:
    """If we halted once: stay halted, or go on from the Certificate if our header is repaired."""
    diverged = s.safety.diverged
    if diverged is None or diverged.n <= s.h:
        return
    own = head.header(diverged.n)
    if own is None:
        s.fetched[diverged.n] = (diverged.certified, diverged.certificate)
    elif own.hash != diverged.certified:
        s.stay_halted(diverged.n, own.hash, diverged.certified)
        return
    checkpoints.certify(s, diverged.certificate)


def _restore_proposals(s: State, verifier: Verifier) -> None:
    """File the PRE-PREPAREs we accepted: they count as the primary's PREPAREs."""
    for n, item in s.safety.accepted.items():
        message = PrePrepare(s.view, n, item.digest)
        claim = Envelope(s.domain.epoch, s.primary(), message, item.signature)
        signed = verifier.verify(claim.encode())
        if isinstance(signed, Signed):
            s.log.add(cast("Signed[Vote]", signed), s.view)


def ask_own_vote(s: State) -> None:
    """Ask those who have not answered yet."""
    if s.retired:
        return
    for organisation in s.peers:
        if organisation not in s.answers:
            s.send(organisation, OwnVoteQuery())


def on_asked(s: State, event: OwnVoteAsked) -> None:
    """Show the asker its highest vote and its CHECKPOINT in our Certificate, if we hold any."""
    peer = s.peers.get(event.sender)
    if peer is None:
        return
    certificate = s.certificate
    checkpoint = None if certificate is None else checkpoint_of(certificate, event.sender)
    held = (peer.highest_vote, checkpoint)
    s.send(event.sender, OwnVote(tuple(vote.encode() for vote in held if vote is not None)))


def on_answered(s: State, event: OwnVoteAnswered) -> None:
    """Count an answer; one that comes late can still show that our key is in use elsewhere."""
    if s.retired or event.sender not in s.peers:
        return
    if any(vote.signer != s.me for vote in event.votes):
        return
    if s.observer is None:
        for vote in event.votes:
            on_own_message(s, vote)
        return
    for vote in event.votes:
        if _beyond(vote.message, s.known_highest, s.known_executed):
            _retire_by(s, vote)
            return
    s.answers[event.sender] = None
    if len(s.answers) >= s.quorum - 1:
        _begin_to_vote(s)


def _beyond(message: SignedMessage, highest: tuple[int, int], appended: Height) -> bool:
    """Whether a message under our key is above our log; a CHECKPOINT, above our blocks."""
    if isinstance(message, Checkpoint):
        return message.n > appended
    position = vote_position(message)
    return position is not None and position > highest


def _retire_by(s: State, vote: AnySigned) -> None:
    view, n = message_position(vote.message)
    if isinstance(vote.message, Checkpoint):
        detail = f"a peer holds our CHECKPOINT of height {n}, our ledger ends before it"
    else:
        detail = f"a peer holds our vote of view {view} at height {n}, our log says otherwise"
    _retire(s, Height(n), detail)


def _retire(s: State, n: Height, detail: str) -> None:
    s.safety.retired = Retired(s.domain.epoch, n, detail)
    s.persist(s.safety.retired)
    _stay_retired(s, s.safety.retired)


def _stay_retired(s: State, record: Retired) -> None:
    """As `_retire`, where the log says so already."""
    s.observer = "our key voted beyond our log; rotate the key to vote again"
    s.out.append(Alarm(AlarmKind.OBSERVER, record.n, None, None, record.reason))


def _begin_to_vote(s: State) -> None:
    s.observer = None
    s.timer_ms = s.clock_ms
    s.say_again()
    for number in range(s.h + 1, s.executed + 1):
        checkpoints.send_checkpoint(s, Height(number))
        checkpoints.settle(s, Height(number))
    view_change.vote_obliged(s)
    view_change.lead_if_due(s)


def note_vote(s: State, signed: AnySigned) -> None:
    """Remember the highest vote of each peer, for when it asks."""
    position = vote_position(signed.message)
    peer = s.peers.get(signed.signer)
    if position is not None and peer is not None and position > peer.highest_position:
        peer.highest_vote, peer.highest_position = signed, position


def on_own_message(s: State, signed: AnySigned) -> None:
    """A peer sent something signed by our key. If we did not sign it, the key is in use elsewhere.

    Only the key's holder can bring this about, so it can't be used to silence us.
    """
    if s.retired:
        return
    highest = s.safety.highest or (-1, -1)
    if _beyond(signed.message, highest, s.appended) or s.safety.contradicts(signed):
        _retire_by(s, signed)
