"""Liars that do harm while they are the primary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from consensus.messages import Commit, FetchBody, NewView, PrePrepare
from consensus.verifier import Signed
from ledger.block import Body
from ledger.hashing import sha256
from ledger.types import Digest, Height, TimeMs
from tests.simulation.adversary import Adversary, Message
from tests.simulation.chain import Proposed
from tests.simulation.disk import Disk
from tests.simulation.world import World

CENSORED = "censored"
"""The organisation whose transactions `Censor` passes over."""


class Equivocator(Adversary):
    """Proposes two bodies, to two parts of the others, and votes for both."""

    def send(self, to: Sequence[str], message: Message) -> None:
        real = self.own(message)
        body = self.intake.bodies.get(real.digest) if isinstance(real, PrePrepare) else None
        if not isinstance(real, PrePrepare) or body is None:
            return super().send(to, message)
        other = replace(body, timestamp_ms=TimeMs(body.timestamp_ms - 1))
        left, right = self.halves()
        self.intake.hold(other)
        self.put(left, real, body)
        self.put(right, PrePrepare(real.view, real.n, other.digest), other)
        self.put(left, Commit(real.view, real.n, real.digest))
        self.put(right, Commit(real.view, real.n, other.digest))
        return None


class SilentPrimary(Adversary):
    """Proposes nothing and begins no view; does everything else."""

    def send(self, to: Sequence[str], message: Message) -> None:
        if not isinstance(self.own(message), PrePrepare | NewView):
            super().send(to, message)


class SlowPrimary(Adversary):
    """Proposes one height at a time, each just under the time-out."""

    share = 0.7
    """Of the time-out; the rest goes to ticks and links."""

    def send(self, to: Sequence[str], message: Message) -> None:
        if not isinstance(self.own(message), PrePrepare):
            return super().send(to, message)
        delay = int(self.world.config(self.name).timeout_ms * self.share)
        self.world.after(delay, self._late, to, message)
        return None

    def _late(self, to: Sequence[str], message: Message) -> None:
        if self.alive:
            super().send(to, message)


class Censor(Adversary):
    """Never proposes a transaction of one organisation."""

    def batch(self) -> list[Digest]:
        waiting = self.pool.waiting
        self.pool.hold([item for item, entry in waiting.items() if entry.sender == CENSORED])
        return self.pool.batch()


class Starver(Adversary):
    """Gives f of the others nothing at all."""

    def __init__(self, world: World, name: str, disk: Disk | None = None) -> None:
        super().__init__(world, name, disk)
        others = self.others()
        world.random.shuffle(others)
        self.starved = others[: world.validators.f]

    def send(self, to: Sequence[str], message: Message) -> None:
        super().send([name for name in to if name not in self.starved], message)


class LowProposer(Adversary):
    """Proposes at heights long settled and far ahead, beside its honest part."""

    def send(self, to: Sequence[str], message: Message) -> None:
        super().send(to, message)
        sent = self.own(message)
        if isinstance(sent, PrePrepare | NewView):
            certified = self.state.h
            for n in range(max(1, certified - 2), certified + 12):
                nonsense = (sha256(b"low %d" % n),)
                body = Body(Height(n), sent.view, self.name, self.now_ms, nonsense)
                self.put(to, PrePrepare(sent.view, Height(n), body.digest), body)


class WrongBody(Adversary):
    """Sends, beside a proposal, a body of another digest, and answers nobody who asks for it."""

    def send(self, to: Sequence[str], message: Message) -> None:
        sent = self.own(message)
        body = self.intake.bodies.get(sent.digest) if isinstance(sent, PrePrepare) else None
        if body is None or not isinstance(message, Signed) or self.world.random.random() < 0.5:
            return super().send(to, message)
        wrong = replace(body, timestamp_ms=TimeMs(body.timestamp_ms + 1))
        for name in to:
            frame = Proposed(self.world.encode(message), wrong)
            self.world.deliver(self.name, name, frame)
        return None

    def on_frame(self, sender: str, frame: object) -> None:
        if not isinstance(frame, FetchBody):
            super().on_frame(sender, frame)


class Repeater(Adversary):
    """Proposes transactions that were executed long ago, again and again."""

    def batch(self) -> list[Digest]:
        fresh = self.pool.batch()
        done = list(self.ledger.executed_in)
        return [*fresh[:4], self.world.random.choice(done)] if fresh and done else fresh
