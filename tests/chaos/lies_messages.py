"""Lies of any validator, primary or not: about votes, views, the past and what a message is."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from consensus.config import TICK_MS
from consensus.messages import (
    MESSAGE_BYTES_MAX,
    REASON_TIMEOUT,
    Checkpoint,
    Commit,
    Envelope,
    NewView,
    Prepare,
    PrePrepare,
    Proposal,
    SignedMessage,
    Suspect,
    UnsignedMessage,
    ViewChange,
)
from consensus.new_view import content
from consensus.verifier import AnySigned, Signed
from ledger import canonical
from ledger.hashing import sha256
from ledger.types import Height, View
from node.driver import Parts
from node.frames import Lane
from tests.chaos.lies_base import Liar, Options

HUGE_VIEW: Final = View(2**31)

REPLAYED_MAX: Final = 4_000
"""Frames remembered for replay: some minutes of an idle chain, the last seconds of a busy one."""

MUTATED: Final = 0.3
"""Share of its own messages that the mutator changes."""

FOURTH_TICKS: Final = 20
"""How long the forking leader waits for one VIEW-CHANGE more than it needs."""


class Starver(Liar):
    """Sends nothing at all to `victim` (by default the first of the others)."""

    kind = "starve"

    def start(self, *arguments: object) -> None:
        super().start(*arguments)  # type: ignore[arg-type]
        links = self._parts.links._links  # type: ignore[attr-defined]
        links[self.options.victim or self.peers[0]].send = lambda lane, frame: None


class Replayer(Liar):
    """Sends what it and others once said, again and again, whatever the view."""

    kind = "replay"

    def __init__(self, parts: Parts, options: Options) -> None:
        super().__init__(parts, options)
        self._old: deque[bytes] = deque(maxlen=REPLAYED_MAX)

    def overhears(self, frame: bytes) -> None:
        self._old.append(frame)

    def tell(self, to: Sequence[str], message: AnySigned | UnsignedMessage) -> None:
        if isinstance(message, Signed):
            self._old.append(message.encode())
        super().tell(to, message)

    def each_tick(self) -> None:
        count = min(len(self._old), self.options.rate * TICK_MS // 1000)
        for frame in random.sample(self._old, count):
            self._parts.links.broadcast(Lane.CONSENSUS, frame)


class HugeViewer(Liar):
    """Sends one VIEW-CHANGE for view 2^31 as soon as its links stand."""

    kind = "huge-view"
    said = False

    def each_tick(self) -> None:
        links = self._parts.links
        if not self.said and all(links.connected(name) for name in self.peers):  # type: ignore[attr-defined]
            self.said = True
            self.say(self.peers, _view_change(self, HUGE_VIEW))


class Stormer(Liar):
    """`rate` VIEW-CHANGEs and SUSPECTs a second, for views near and far."""

    kind = "storm"

    def start(self, *arguments: object) -> None:
        super().start(*arguments)  # type: ignore[arg-type]
        self._spawn(self._storm(), "storm")

    async def _storm(self) -> None:
        while True:
            await asyncio.sleep(2 / self.options.rate)
            view = View(self.state.view + random.choice((1, 2, 7, 1_000, HUGE_VIEW)))
            self.say(self.peers, _view_change(self, view))
            self.say(self.peers, Suspect(view, self.state.h, REASON_TIMEOUT))


def _view_change(liar: Liar, view: View) -> ViewChange:
    s = liar.state
    return ViewChange(view, s.h, s.h_hash, s.certificate, ())


class Mutator(Liar):
    """Changes a field of its own messages now and then and signs the result."""

    kind = "mutate"

    def tell(self, to: Sequence[str], message: AnySigned | UnsignedMessage) -> None:
        for name in to:
            if isinstance(message, Signed) and random.random() < MUTATED:
                self.say([name], self._mutated(message.message))
            else:
                super().tell([name], message)

    @staticmethod
    def _mutated(message: SignedMessage) -> SignedMessage:
        changes: list[SignedMessage] = []
        if not isinstance(message, Checkpoint):
            view = max(0, message.view + random.choice((-1, 1, 5, HUGE_VIEW)))
            changes.append(replace(message, view=View(view)))
        if isinstance(message, PrePrepare | Prepare | Commit | Checkpoint):
            n = max(0, message.n + random.choice((-1, 1, 4, 9)))
            changes.append(replace(message, n=Height(n)))
        if isinstance(message, PrePrepare | Prepare | Commit):
            changes.append(replace(message, digest=sha256(message.digest)))
        if isinstance(message, Checkpoint):
            changes.append(replace(message, header_hash=sha256(message.header_hash)))
        return random.choice(changes)


class BadLeader(Liar):
    """Begins its views with a NEW-VIEW that does not follow from its VIEW-CHANGEs.

    Half of the others get the true one, the other half another digest for each O[n] and one more.
    """

    kind = "bad-new-view"

    def tell(self, to: Sequence[str], message: AnySigned | UnsignedMessage) -> None:
        if not isinstance(message, Signed) or not isinstance(message.message, NewView):
            return super().tell(to, message)
        lying = self._lying(message.message)
        for name in to:
            self.say([name], lying if self.peers.index(name) % 2 else message.message)
        return None

    def _lying(self, new_view: NewView) -> NewView:
        last = content(change.message for change in new_view.view_changes).hi
        wrong = [(item.n, sha256(item.digest)) for item in new_view.proposals]
        wrong.append((Height(last + 1), sha256(b"one more")))
        return replace(new_view, proposals=_proposals(self, new_view.view, wrong))


class ForkingLeader(Liar):
    """Makes two valid NEW-VIEWs from two quorums of VIEW-CHANGEs and sends both to all."""

    kind = "two-new-views"
    waited = 0

    def tell(self, to: Sequence[str], message: AnySigned | UnsignedMessage) -> None:
        if not isinstance(message, Signed) or not isinstance(message.message, NewView):
            super().tell(to, message)

    def each_tick(self) -> None:
        s = self.state
        held = s.safety.new_view
        if held is None or held.signer != s.me:
            self.waited = 0
            return
        self.waited += 1
        known: dict[str, Envelope[ViewChange]] = {
            change.signer: change for change in held.message.view_changes
        }
        for name, peer in s.peers.items():
            if peer.view_change is not None and peer.view_change.message.view == s.view:
                known[name] = peer.view_change
        changes = [known[signer] for signer in sorted(known)]
        pair = [self._new_view(changes[: s.quorum]), self._new_view(changes[-s.quorum :])]
        if len(changes) > s.quorum or self.waited > FOURTH_TICKS:
            for name in self.peers:
                for new_view in pair if self.peers.index(name) % 2 else reversed(pair):
                    self.say([name], new_view)

    def _new_view(self, changes: Sequence[Envelope[ViewChange]]) -> NewView:
        view = self.state.view
        due = content(change.message for change in changes)
        return NewView(view, tuple(changes), _proposals(self, view, due.digests))


def _proposals(
    liar: Liar, view: View, digests: Sequence[tuple[Height, bytes]]
) -> tuple[Proposal, ...]:
    return tuple(
        Proposal(n, digest, liar.signature(PrePrepare(view, n, digest)))  # type: ignore[arg-type]
        for n, digest in digests
    )


class Babbler(Liar):
    """Frames that are no messages: noise, deep nesting, wrong types, claims of size, too long."""

    kind = "garbage"
    ticks = 0

    def each_tick(self) -> None:
        self.ticks += 1
        frames = [
            random.randbytes(1_000),
            b"\x91" * 100_000,
            canonical.encode([1, 2, 3]),
            canonical.encode([0, 3, "nobody", [0, 0, bytes(32)], bytes(65)]),
            canonical.encode([2**60, []]),
            b"\xdd\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff\xff",
        ]
        if self.ticks % 8 == 0:
            frames.append(bytes(MESSAGE_BYTES_MAX))
        if self.ticks % 20 == 0:
            frames.append(bytes(MESSAGE_BYTES_MAX + 1))
        # The first one that is read ends the link: every kind gets its turn.
        random.shuffle(frames)
        for frame in frames:
            self._parts.links.broadcast(Lane.CONSENSUS, frame)
