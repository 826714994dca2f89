"""Liars in any role: votes, certificates, replays, lies to those who ask."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from consensus.messages import (
    Checkpoint,
    Commit,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    SignedMessage,
    Status,
    UnsignedMessage,
    ViewChange,
)
from ledger.certificate import Certificate
from ledger.hashing import sha256
from ledger.types import Digest, Height, Signature, TimeMs, View
from tests.simulation.adversary import Adversary, Message
from tests.simulation.adversary_primary import Equivocator
from tests.simulation.chain import BlocksAnswer, Proposed
from tests.simulation.disk import Disk
from tests.simulation.intake import Intake
from tests.simulation.world import World

REMEMBERED = 400
"""Frames that `Replayer` keeps."""


class YesSayer(Adversary):
    """PREPAREs and COMMITs every digest it hears of, in every view, to everyone."""

    def __init__(self, world: World, name: str, disk: Disk | None = None) -> None:
        super().__init__(world, name, disk)
        self._answered: dict[tuple[View, Height, Digest], None] = {}

    def on_frame(self, sender: str, frame: object) -> None:
        data = frame.data if isinstance(frame, Proposed) else frame
        signed = self.world.verify(data) if isinstance(data, bytes) and self.alive else None
        if signed is not None and isinstance(signed.message, PrePrepare | Prepare):
            self._say_yes(signed.message)
        super().on_frame(sender, frame)

    def _say_yes(self, vote: PrePrepare | Prepare) -> None:
        key = (vote.view, vote.n, vote.digest)
        if key in self._answered:
            return
        self._answered[key] = None
        if self.world.validators.primary(vote.view) != self.name:
            self.put(self.others(), Prepare(*key))
        self.put(self.others(), Commit(*key))


class Traitor(YesSayer, Equivocator):
    """As primary proposes two bodies, as backup votes for whatever anyone proposes."""


class Mutator(Adversary):
    """Changes a field of its own messages now and then and signs the result."""

    def send(self, to: Sequence[str], message: Message) -> None:
        sent = self.own(message)
        if sent is None or self.world.random.random() >= 0.3:
            return super().send(to, message)
        for name in to:
            self.put([name], self._mutate(sent))
        return None

    def _mutate(self, message: SignedMessage) -> SignedMessage:
        rng = self.world.random
        choice = rng.randint(0, 3)
        if choice == 0 and hasattr(message, "view"):
            step = rng.choice((-1, 1, 5, 2**31))
            return replace(message, view=View(max(0, message.view + step)))  # type: ignore[arg-type]
        if choice == 1 and hasattr(message, "n"):
            step = rng.choice((-1, 1, 4, 9))
            return replace(message, n=Height(max(0, message.n + step)))  # type: ignore[arg-type]
        if choice == 2 and isinstance(message, PrePrepare | Prepare | Commit):
            return replace(message, digest=sha256(message.digest))
        if isinstance(message, Checkpoint):
            return replace(message, header_hash=sha256(message.header_hash))
        return message


class Replayer(Adversary):
    """Keeps what it hears and says, and sends old pieces to anyone."""

    def __init__(self, world: World, name: str, disk: Disk | None = None) -> None:
        super().__init__(world, name, disk)
        self._kept: deque[object] = deque(maxlen=REMEMBERED)

    def on_frame(self, sender: str, frame: object) -> None:
        if isinstance(frame, bytes | Proposed) and self.world.random.random() < 0.2:
            self._kept.append(frame)
        super().on_frame(sender, frame)

    def send(self, to: Sequence[str], message: Message) -> None:
        super().send(to, message)
        if isinstance(self.own(message), Status) and self._kept:
            for name in to:
                for _ in range(2):
                    frame = self.world.random.choice(self._kept)
                    self.world.deliver(self.name, name, frame)


class Forger(Adversary):
    """Makes certificates that are none: q-1, duplicate or foreign signers, other content."""

    def send(self, to: Sequence[str], message: Message) -> None:
        sent = self.own(message)
        if isinstance(sent, ViewChange):
            return self.put(to, self.forged(sent.view))
        if isinstance(sent, Status):
            lie = self.forged(View(sent.view + 1))
            self.put(to, lie)
            self.put(to, NewView(sent.view, (), ()))
            lie_about_h = replace(sent, h=Height(sent.h + 50))
            return self.put(to, lie_about_h)
        return super().send(to, message)

    def forged(self, view: View) -> ViewChange:
        rng = self.world.random
        n = Height(self.state.h + rng.choice((1, 2, 40)))
        header = sha256(b"forged header")
        certificate = Certificate(self.world.domain.epoch, n, header, self._signatures(n, header))
        prepared = PreparedCertificate(
            Height(n + 1), View(max(0, view - 1)), sha256(b"forged"), self._any_signatures()
        )
        return ViewChange(view, n, header, certificate, (prepared,))

    def _signatures(self, n: Height, header: bytes) -> tuple[tuple[str, Signature], ...]:
        own = self.signed(Checkpoint(n, cast(Any, header))).signature
        return tuple((name, own if name == self.name else other) for name, other in self._pairs())

    def _any_signatures(self) -> tuple[tuple[str, Signature], ...]:
        return tuple(self._pairs())

    def _pairs(self) -> list[tuple[str, Signature]]:
        """A quorum, one too few, one name twice, or a name that is no validator's."""
        rng, quorum = self.world.random, self.world.validators.quorum
        real = self.state.certificate
        signatures = dict(real.signatures) if real is not None else {}
        fake = Signature(b"\x01" + bytes(64))
        names = sorted(rng.sample(self.world.names, quorum))
        kind = rng.randint(0, 3)
        if kind == 0:
            names.pop()
        elif kind == 1:
            names[-1] = names[0]
        elif kind == 2:
            names[-1] = "stranger"
        return [(name, signatures.get(name, fake)) for name in names]


class LyingServer(Adversary):
    """Claims a height of a million and serves blocks that are not the chain's."""

    def _forget_memory(self) -> None:
        super()._forget_memory()
        self.intake = LyingIntake(self)

    def send(self, to: Sequence[str], message: Message) -> None:
        sent = self.own(message)
        if isinstance(sent, Status):
            return self.put(to, replace(sent, h=Height(10**6), executed=Height(10**6)))
        return super().send(to, message)


class LyingIntake(Intake):
    """Serves altered blocks, a certificate of another height, or blocks without one."""

    def serve_blocks(self, sender: str, first: Height) -> None:
        real = self._node.ledger.run(first)
        rng, blocks, certificates = self._world.random, real.blocks, dict(real.certificates)
        kind = rng.randint(0, 3)
        if kind == 0:
            blocks = tuple(replace(item, time_ms=TimeMs(item.time_ms + 1)) for item in blocks)
        elif kind == 1 and blocks:
            body = blocks[-1].body
            lie = None if body is None else replace(body, timestamp_ms=TimeMs(1))
            blocks = (*blocks[:-1], replace(blocks[-1], body=lie))
        elif kind == 2:
            certificates = {}
        else:
            certificates = {n: replace(item, n=Height(n + 1)) for n, item in certificates.items()}
        self._world.deliver(self._node.name, sender, BlocksAnswer(blocks, certificates))


class Sleeper(Adversary):
    """Answers nobody who asks; votes for what it likes."""

    def send(self, to: Sequence[str], message: Message) -> None:
        if isinstance(message, UnsignedMessage) or self.world.random.random() < 0.5:
            super().send(to, message)

    def on_frame(self, sender: str, frame: object) -> None:
        if isinstance(frame, bytes | Proposed):
            super().on_frame(sender, frame)
