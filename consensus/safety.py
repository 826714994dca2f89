"""The rules that keep a replica from ever contradicting itself, and the little state they need.

Whatever the rest of the core decides to do, a vote leaves only through here. Each method either
signs, returning the record that must be durable before the vote is sent; or returns the vote
it signed earlier; or refuses (None). The rules are PBFT's (OSDI '99 §4):

- at most one proposal accepted per (view, n), and in a view begun by NEW-VIEW only its own O[n]
  up to hi;
- COMMIT only what was accepted in the present view and prepared by a quorum;
- after VIEW-CHANGE to v, no PREPARE and no COMMIT below v, ever;
- VIEW-CHANGE carries, for every height above the certified one, the prepared certificate of the
  highest view;
- one header per height, and none where an earlier one of ours turned out wrong.

State survives a crash through the records alone (`restore`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from consensus import records
from consensus.messages import (
    Checkpoint,
    Commit,
    Envelope,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    SignedMessage,
    ViewChange,
    Vote,
)
from consensus.new_view import NewViewContent
from consensus.verifier import Domain, Sign, Signed, proposals_of, sign
from ledger.certificate import Certificate
from ledger.types import Digest, Height, Signature, View

VoteT = TypeVar("VoteT", bound=SignedMessage)


@dataclass(frozen=True, slots=True)
class Ruling(Generic[VoteT]):
    """A vote that may be sent once `record` is durable (None: it already is)."""

    vote: Signed[VoteT]
    record: records.Record | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The one proposal taken at (present view, n), with the primary's PRE-PREPARE signature."""

    digest: Digest
    signature: Signature
    obliged: bool
    """Part of the NEW-VIEW, whose record stands for it."""


Position: TypeAlias = tuple[View, Height]


class Safety:
    """What one key has voted in one epoch."""

    def __init__(self, domain: Domain, me: str, key: Sign) -> None:
        self._domain = domain
        self._me = me
        self._key = key
        self.view = View(0)
        self.in_view_change = False
        self.h = domain.base
        self.hi = domain.base
        self.accepted: dict[Height, Accepted] = {}
        self.prepared: dict[Height, PreparedCertificate] = {}
        self.view_change: Signed[ViewChange] | None = None
        self.new_view: Signed[NewView] | None = None
        self.highest: Position | None = None
        self.diverged: records.Diverged | None = None
        """Why we halted, until the heights we may have signed wrongly are certified."""
        self.anchor: records.Certified | None = None
        """The highest Certificate in the log: it proves a window of heights above it."""
        self.retired: records.Retired | None = None
        """Why this key is silent for the rest of the epoch."""
        self._votes: dict[Height, dict[int, Signed[Vote]]] = {}
        self._checkpoints: dict[Height, Signed[Checkpoint]] = {}

    def _signed(self, message: VoteT) -> Signed[VoteT]:
        return sign(self._domain, self._me, message, self._key)

    def _stored(self, n: Height, kind: int) -> Signed[Vote] | None:
        return self._votes.get(n, {}).get(kind)

    def _remember(self, vote: Signed[Vote]) -> None:
        message = vote.message
        self._votes.setdefault(message.n, {})[message.kind] = vote
        self._raise_highest(message.view, message.n)

    def _raise_highest(self, view: View, n: Height) -> None:
        if self.highest is None or (view, n) > self.highest:
            self.highest = (view, n)

    @property
    def is_primary(self) -> bool:
        return self._domain.validators.primary(self.view) == self._me

    def votes(self) -> list[Signed[Vote]]:
        """Our votes of the present view above the certified height, to be sent again."""
        return [vote for n in sorted(self._votes) for vote in self._votes[n].values()]

    def checkpoints(self) -> list[Signed[Checkpoint]]:
        return [self._checkpoints[n] for n in sorted(self._checkpoints)]

    def contradicts(self, signed: Signed[SignedMessage]) -> bool:
        """Whether a message under our key differs from the vote we remember in its place."""
        message = signed.message
        if isinstance(message, Checkpoint):
            checkpoint = self._checkpoints.get(message.n)
            return checkpoint is not None and checkpoint.message != message
        if not isinstance(message, PrePrepare | Prepare | Commit):
            return False
        known = self._stored(message.n, message.kind)
        if known is None or known.message.view != message.view:
            return False
        return known.message.digest != message.digest

    def anchored(self, n: Height, certificate: Certificate | None) -> records.Certified | None:
        """What must be durable with a first vote at `n`, `certificate` being that of `h`."""
        if certificate is None or n <= self._anchored_to + self._domain.window:
            return None
        record = records.Certified(certificate)
        self.restore_anchor(record)
        return record

    @property
    def _anchored_to(self) -> Height:
        return self._domain.base if self.anchor is None else self.anchor.certificate.n

    # --- the three votes of a view ---

    def _may_accept(self, n: Height, digest: Digest) -> bool:
        if self.in_view_change or not self.h < n <= self.h + self._domain.window:
            return False
        accepted = self.accepted.get(n)
        return accepted.digest == digest if accepted is not None else n > self.hi

    def propose(self, n: Height, digest: Digest) -> Ruling[Vote] | None:
        """PRE-PREPARE as primary of the present view."""
        stored = self._stored(n, PrePrepare.kind)
        if not self.is_primary or not self._may_accept(n, digest):
            return None
        if stored is not None:
            return Ruling(stored, None)
        vote: Signed[Vote] = self._signed(PrePrepare(self.view, n, digest))
        return Ruling(vote, self._accept(n, digest, vote))

    def prepare(self, n: Height, digest: Digest, signature: Signature) -> Ruling[Vote] | None:
        """PREPARE the primary's proposal; `signature` is its PRE-PREPARE's."""
        stored = self._stored(n, Prepare.kind)
        if self.is_primary or not self._may_accept(n, digest):
            return None
        if stored is not None:
            return Ruling(stored, None)
        known = self.accepted.get(n)
        vote: Signed[Vote] = self._signed(Prepare(self.view, n, digest))
        if known is not None:
            self._remember(vote)
            return Ruling(vote, None)
        record = records.PrePrepared(self._domain.epoch, self.view, n, digest, signature)
        self.accepted[n] = Accepted(digest, signature, obliged=False)
        self._remember(vote)
        return Ruling(vote, record)

    def _accept(self, n: Height, digest: Digest, vote: Signed[Vote]) -> records.PrePrepared:
        self.accepted[n] = Accepted(digest, vote.signature, obliged=False)
        self._remember(vote)
        return records.PrePrepared(self._domain.epoch, self.view, n, digest, vote.signature)

    def commit(self, certificate: PreparedCertificate) -> Ruling[Vote] | None:
        """COMMIT what this certificate shows prepared in the present view."""
        n = certificate.n
        accepted = self.accepted.get(n)
        if self.in_view_change or certificate.view != self.view or n <= self.h:
            return None
        if accepted is None or accepted.digest != certificate.digest:
            return None
        stored = self._stored(n, Commit.kind)
        if stored is not None:
            return Ruling(stored, None)
        self.prepared[n] = certificate
        vote: Signed[Vote] = self._signed(Commit(self.view, n, certificate.digest))
        self._remember(vote)
        return Ruling(vote, records.Prepared(self._domain.epoch, certificate))

    def checkpoint(self, n: Height, header_hash: Digest) -> Signed[Checkpoint] | None:
        """CHECKPOINT the executed header; it is durable in the ledger already."""
        if self.diverged is not None and n <= self.diverged.signed_to:
            return None
        stored = self._checkpoints.get(n)
        if stored is None:
            stored = self._checkpoints[n] = self._signed(Checkpoint(n, header_hash))
        return stored if stored.message.header_hash == header_hash else None

    # --- views ---

    def leave(
        self, view: View, stable_hash: Digest, certificate: Certificate | None
    ) -> Ruling[ViewChange] | None:
        """VIEW-CHANGE to a higher view; `certificate` is that of the certified height.

        Whatever we prepared lies in its window, also after a power loss (`anchored`).
        """
        if view <= self.view:
            return None
        prepared = tuple(self.prepared[n] for n in sorted(self.prepared) if n > self.h)
        vote = self._signed(ViewChange(view, self.h, stable_hash, certificate, prepared))
        self._leave(vote)
        return Ruling(vote, records.ViewChanged(self._domain.epoch, vote.encode()))

    def _leave(self, vote: Signed[ViewChange]) -> None:
        self.view = vote.message.view
        self.in_view_change = True
        self.view_change = vote
        self.new_view = None
        self.accepted.clear()
        self._votes.clear()
        self._raise_highest(self.view, Height(0))

    def lead(
        self, changes: Iterable[Envelope[ViewChange]], due: NewViewContent
    ) -> Ruling[NewView] | None:
        """NEW-VIEW as primary of the view we changed to; `due` is what `changes` oblige us to."""
        if not self.in_view_change or not self.is_primary:
            return None
        proposals = tuple(
            Proposal(n, digest, self._signed(PrePrepare(self.view, n, digest)).signature)
            for n, digest in due.digests
        )
        return self.enter(self._signed(NewView(self.view, tuple(changes), proposals)), due)

    def enter(self, new_view: Signed[NewView], due: NewViewContent) -> Ruling[NewView] | None:
        """Take part in the view of a verified NEW-VIEW; never in a lower one than the present."""
        view = new_view.message.view
        if view < self.view or (view == self.view and not self.in_view_change):
            return None
        self.view = view
        self.in_view_change = False
        self.view_change = None
        self.new_view = new_view
        self.hi = due.hi
        if due.lo_certificate is not None:
            self.restore_anchor(records.Certified(due.lo_certificate))
        self.accepted.clear()
        self._votes.clear()
        for proposal in proposals_of(new_view):
            if proposal.message.n > self.h:
                message = proposal.message
                self.accepted[message.n] = Accepted(message.digest, proposal.signature, True)
        self._raise_highest(view, due.hi)
        return Ruling(new_view, records.NewViewTaken(self._domain.epoch, new_view.encode()))

    # --- after a crash ---

    def restore_vote(self, record: records.PrePrepared | records.Prepared) -> None:
        """Take back what a record of this epoch says; records come in the order of the log."""
        if isinstance(record, records.PrePrepared):
            self._raise_highest(record.view, record.n)
            if record.view == self.view and record.n > self.h:
                self.accepted[record.n] = Accepted(record.digest, record.signature, False)
            return
        certificate = record.certificate
        self._raise_highest(certificate.view, certificate.n)
        known = self.prepared.get(certificate.n)
        if certificate.n > self.h and (known is None or known.view < certificate.view):
            self.prepared[certificate.n] = certificate

    def restore_view_change(self, vote: Signed[ViewChange]) -> None:
        self._leave(vote)

    def restore_anchor(self, record: records.Certified) -> None:
        if record.certificate.n > self._anchored_to:
            self.anchor = record

    def restore_highest(self, record: records.Highest) -> None:
        self._raise_highest(record.view, record.n)

    def sign_again(self) -> None:
        """Once all records are back: our votes of the present view, the same bytes as before.

        PREPAREs of O[n] are left to whoever knows that the view's first height is reached.
        """
        if self.in_view_change:
            return
        for n, accepted in self.accepted.items():
            if not accepted.obliged:
                vote: Vote
                if self.is_primary:
                    vote = PrePrepare(self.view, n, accepted.digest)
                else:
                    vote = Prepare(self.view, n, accepted.digest)
                self._remember(self._signed(vote))
        for n, certificate in self.prepared.items():
            if certificate.view == self.view:
                self._remember(self._signed(Commit(self.view, n, certificate.digest)))

    def compact(self) -> list[records.Record]:
        """The fewest records that `restore_*` needs to reach this state."""
        epoch = self._domain.epoch
        kept: list[records.Record] = []
        if self.highest is not None:
            kept.append(records.Highest(epoch, *self.highest))
        if self.view_change is not None:
            kept.append(records.ViewChanged(epoch, self.view_change.encode()))
        if self.new_view is not None:
            kept.append(records.NewViewTaken(epoch, self.new_view.encode()))
        for n, item in sorted(self.accepted.items()):
            if not item.obliged:
                kept.append(records.PrePrepared(epoch, self.view, n, item.digest, item.signature))
        kept += [records.Prepared(epoch, self.prepared[n]) for n in sorted(self.prepared)]
        if self.anchor is not None:
            kept.append(self.anchor)
        if self.diverged is not None:
            kept.append(self.diverged)
        if self.retired is not None:
            kept.append(self.retired)
        return kept

    # --- time passes ---

    def certified(self, h: Height) -> None:
        """Height `h` is certified: nothing at or below it needs a vote or a proof again."""
        self.h = h
        for table in (self.accepted, self.prepared, self._votes, self._checkpoints):
            for n in [n for n in table if n <= h]:
                del table[n]
        if self.diverged is not None and self.diverged.signed_to <= h:
            self.diverged = None
