"""Liars that do harm around view changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from consensus.messages import (
    Commit,
    Envelope,
    NewView,
    PrePrepare,
    Proposal,
    Status,
    Suspect,
    ViewChange,
)
from consensus.new_view import content
from consensus.verifier import Signed
from ledger.hashing import sha256
from ledger.types import Height, View
from tests.simulation.adversary import Adversary, Message


class Hider(Adversary):
    """Hides prepared certificates in VIEW-CHANGE, or all it certified; silent COMMITs."""

    def send(self, to: Sequence[str], message: Message) -> None:
        sent, rng = self.own(message), self.world.random
        if isinstance(sent, ViewChange):
            kept = sent.prepared[: rng.randint(0, len(sent.prepared))]
            if rng.random() < 0.3:
                domain = self.world.domain
                return self.put(to, ViewChange(sent.view, domain.base, domain.base_hash, None, ()))
            return self.put(to, replace(sent, prepared=kept))
        if isinstance(sent, Commit) and rng.random() < 0.5:
            return None
        return super().send(to, message)


class BadLeader(Adversary):
    """As primary of a new view shows other proposals than follow, or two different NEW-VIEWs."""

    def send(self, to: Sequence[str], message: Message) -> None:
        real = self.own(message)
        if not isinstance(real, NewView):
            return super().send(to, message)
        n = Height(max((item.n for item in real.proposals), default=self.state.h) + 1)
        lies = [self._lie(real, item.n) for item in real.proposals]
        lying = tuple(lies) if lies else (self._lie(real, n),)
        left, right = self.halves()
        self.put([name for name in to if name in left], real)
        self.put([name for name in to if name in right], replace(real, proposals=lying))
        return None

    def _lie(self, real: NewView, n: Height) -> Proposal:
        digest = sha256(b"lie %d" % n)
        return Proposal(n, digest, self.signed(PrePrepare(real.view, n, digest)).signature)


class ForkingLeader(Adversary):
    """Makes different valid NEW-VIEWs from different quorums of VIEW-CHANGEs."""

    def send(self, to: Sequence[str], message: Message) -> None:
        real = self.own(message)
        if not isinstance(real, NewView):
            return super().send(to, message)
        for name in to:
            other = self._of_another_quorum(real)
            if other is None:
                super().send([name], message)
            else:
                self.put([name], other)
        return None

    def _of_another_quorum(self, real: NewView) -> NewView | None:
        known: dict[str, Envelope[ViewChange]] = {c.signer: c for c in real.view_changes}
        for peer in self.state.peers.values():
            change = peer.view_change
            if change is not None and change.message.view == real.view:
                known.setdefault(change.signer, change)
        names = sorted(known)
        self.world.random.shuffle(names)
        quorum = self.world.validators.quorum
        if len(names) < quorum:
            return None
        chosen = tuple(known[name] for name in sorted(names[:quorum]))
        proposals = tuple(
            Proposal(n, digest, self.signed(PrePrepare(real.view, n, digest)).signature)
            for n, digest in content(change.message for change in chosen).digests
        )
        return NewView(real.view, chosen, proposals)


class Stormer(Adversary):
    """Storms with VIEW-CHANGEs and SUSPECTs at each tick."""

    steps: tuple[int, ...] = (1, 2, 7)

    def send(self, to: Sequence[str], message: Message) -> None:
        super().send(to, message)
        if isinstance(self.own(message), Status):
            s = self.state
            view = View(s.view + self.world.random.choice(self.steps))
            self.put(to, ViewChange(view, s.h, s.h_hash, s.certificate, ()))
            self.put(to, Suspect(View(s.view + 3), s.h, 1))


class HugeViews(Stormer):
    """As `Stormer`, with views that nobody will live to see."""

    steps = (2**31, 2**62, 10**6)

    def send(self, to: Sequence[str], message: Message) -> None:
        sent = self.own(message)
        if isinstance(sent, Status) and isinstance(message, Signed):
            lie = replace(sent, view=View(2**40), in_view_change=True)
            super().send(to, self.signed(lie))
        else:
            super().send(to, message)
