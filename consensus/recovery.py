"""Starting: back from the write-ahead log and the ledger, and never twice with one key.

A log that was lost, or rolled back with its virtual machine, does not know what its key has
signed; peers do. So at start a replica asks them for its own highest vote, and votes once q-1
have answered and none has shown a vote above its log. Otherwise it follows as an observer until
its key is rotated. Questions are answered at any time, also while starting, so that a whole
network can start at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from consensus import checkpoints, view_change
from consensus.config import LedgerHead
from consensus.effects import Alarm, AlarmKind, Execute
from consensus.events import OwnVoteAnswered, OwnVoteAsked
from consensus.messages import (
    Envelope,
    NewView,
    OwnVote,
    OwnVoteQuery,
    PrePrepare,
    ViewChange,
    Vote,
)
from consensus.new_view import content
from consensus.records import (
    BodyRecord,
    Highest,
    NewViewTaken,
    Prepared,
    PrePrepared,
    Record,
    ViewChanged,
)
from consensus.state import State, vote_position
from consensus.verifier import AnySigned, MessageRefused, Signed, Verifier
from ledger.types import Height

STARTING: Final = "asking peers for our own highest vote"


def recover(s: State, records: Sequence[Record], head: LedgerHead, verifier: Verifier) -> None:
    """Rebuild `s`. Raises `MessageRefused` and its kin if a record is not what we wrote."""
    _take_head(s, head)
    for record in records:
        if isinstance(record, BodyRecord) or record.epoch != s.domain.epoch:
            continue
        _take_record(s, record, verifier)
    s.safety.sign_again()
    for vote in s.safety.votes():
        s.log.add(vote, s.view)
    _restore_proposals(s, verifier)
    s.ready = s.h >= s.view_lo
    start_header = head.header(min(s.view_lo, s.executed))
    s.view_lo_time_ms = None if start_header is None else start_header.time_ms
    s.known_highest = s.safety.highest or (-1, -1)
    s.observer = STARTING
    for n, digest in head.appended:
        s.decided[n] = digest
        s.appended = n
        s.out.append(Execute(n, digest))
    ask_own_vote(s)


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


def _take_record(
    s: State,
    record: PrePrepared | Prepared | ViewChanged | NewViewTaken | Highest,
    verifier: Verifier,
) -> None:
    if isinstance(record, Highest):
        s.safety.restore_highest(record)
    elif isinstance(record, PrePrepared | Prepared):
        s.safety.restore_vote(record)
    else:
        signed = verifier.verify(record.message)
        if isinstance(signed, Signed) and isinstance(signed.message, ViewChange):
            s.safety.restore_view_change(cast("Signed[ViewChange]", signed))
            return
        if not isinstance(signed, Signed) or not isinstance(signed.message, NewView):
            raise MessageRefused(s.me, "a record of a view holds another message")
        due = content(change.message for change in signed.message.view_changes)
        s.safety.enter(cast("Signed[NewView]", signed), due)
        s.view_lo = due.lo


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
    peer = s.peers.get(event.sender)
    if peer is not None:
        vote = peer.highest_vote
        s.send(event.sender, OwnVote(None if vote is None else vote.encode()))


def on_answered(s: State, event: OwnVoteAnswered) -> None:
    if s.observer is None or s.retired or event.sender not in s.peers:
        return
    vote = event.vote
    if vote is not None:
        position = vote_position(vote.message)
        if vote.signer != s.me or position is None:
            return
        if position > s.known_highest:
            _retire(s, vote, position)
            return
    s.answers[event.sender] = None
    if len(s.answers) >= s.quorum - 1:
        _begin_to_vote(s)


def _retire(s: State, vote: AnySigned, position: tuple[int, int]) -> None:
    s.retired = True
    s.observer = "our key voted beyond our log; rotate the key to vote again"
    view, n = position
    detail = f"a peer holds our vote of view {view} at height {n}, our log ends before it"
    s.out.append(Alarm(AlarmKind.OBSERVER, Height(n), None, None, detail))


def _begin_to_vote(s: State) -> None:
    s.observer = None
    s.timer_ms = s.clock_ms
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
    position = vote_position(signed.message)
    if position is None or s.retired:
        return
    if position > (s.safety.highest or (-1, -1)) or s.safety.contradicts(signed):
        _retire(s, signed, position)
