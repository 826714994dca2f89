"""What every liar shares: the honest engine, and hands that can reach into what leaves it.

A liar is the product's own `Driver` with parts replaced. It holds its validator's real consensus
key and TLS identity, so that it can sign whatever it likes under its own name, and forge nothing of
others. Its replica is honest; lies are told on the way out. What an honest validator would stop at
(its own key seen elsewhere, votes that its log does not hold) a liar does not notice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from consensus.effects import Alarm
from consensus.events import Event, OwnVoteAnswered, Received
from consensus.messages import PrePrepare, SignedMessage, Status, UnsignedMessage, encode
from consensus.state import State
from consensus.verifier import AnySigned, Signed
from ledger.certificate import message_bytes
from node.driver import Driver, Parts
from node.frames import Lane
from node.intake import Intake


@dataclass(frozen=True)
class Options:
    """What a kind of lie may be told: `victim` is an organisation, `rate` is messages a second."""

    victim: str | None = None
    rate: int = 400


class Liar(Driver):
    """The honest driver without shame; kinds override `tell`, `answers` and the like."""

    kind: ClassVar[str] = "twin"

    def __init__(self, parts: Parts, options: Options) -> None:
        super().__init__(parts)
        self.options = options

    @property
    def state(self) -> State:
        return self._parts.replica._state

    @property
    def peers(self) -> list[str]:
        return list(self.state.peers)

    def post(self, event: Event) -> None:
        if isinstance(event, Received) and event.signed.signer == self.state.me:
            return
        if isinstance(event, OwnVoteAnswered):
            event = OwnVoteAnswered(event.now_ms, event.sender, ())
        super().post(event)

    # --- what leaves ---

    def tell(self, to: Sequence[str], message: AnySigned | UnsignedMessage) -> None:
        """Send what the honest replica wants sent; a kind of lie sends something else."""
        for name in to:
            super()._send(name, message)

    def say(self, to: Sequence[str], message: SignedMessage) -> None:
        """Sign a lie and send it, a PRE-PREPARE with its BODY frame before it."""
        frames = [self.state.sign(message).encode()]
        if isinstance(message, PrePrepare):
            body = self._body_beside(message.digest)
            if body is not None:
                frames.insert(0, encode(body))
        for name in to:
            for frame in frames:
                self._parts.links.send(name, Lane.CONSENSUS, frame)

    def signature(self, message: SignedMessage) -> bytes:
        """Our signature over `message`."""
        domain = self.state.domain
        data = message_bytes(domain.chain_id, domain.epoch, message.kind, message.to_value())
        return self.state.key(data)

    def _broadcast(self, message: AnySigned | UnsignedMessage) -> None:
        if isinstance(message, Signed) and isinstance(message.message, Status):
            self.each_tick()
        self.tell(self.peers, message)

    def _send(self, to: str, message: AnySigned | UnsignedMessage) -> None:
        self.tell([to], message)

    def each_tick(self) -> None:
        """Every 250 ms; for lies that need no occasion."""

    # --- what is asked and heard ---

    def answers(self, message: UnsignedMessage) -> UnsignedMessage:
        """The answer to a peer's question; `message` is the honest one."""
        return message

    def overhears(self, frame: bytes) -> None:
        """A frame came from a peer."""

    def _alarm(self, alarm: Alarm) -> None:
        """Whatever its own lies bring about, a liar goes on."""


class LyingIntake(Intake):
    """Lets the liar hear every frame and word every answer."""

    _driver: Liar

    async def receive(self, peer: str, frames: list[bytes]) -> None:
        for frame in frames:
            self._driver.overhears(frame)
        await super().receive(peer, frames)

    def _answer(self, peer: str, message: UnsignedMessage) -> None:
        super()._answer(peer, self._driver.answers(message))
