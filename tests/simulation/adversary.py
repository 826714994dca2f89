"""Validators that lie: what they have in common.

Each runs the honest core and twists what leaves it; their keys are real. Whatever they sign, they
cannot sign for others: the fake signatures see to that as Ed25519 would. The kinds are in
`adversary_primary`, `adversary_views` and `adversary_votes`, their list in `adversaries`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from consensus.messages import PrePrepare, SignedMessage, UnsignedMessage
from consensus.verifier import AnySigned, Signed, sign
from ledger.block import Body
from tests.simulation.chain import Proposed
from tests.simulation.disk import Disk
from tests.simulation.node import Node
from tests.simulation.world import World

Message = AnySigned | UnsignedMessage


class Adversary(Node):
    """Base: signs anything with its own key."""

    def __init__(self, world: World, name: str, disk: Disk | None = None) -> None:
        super().__init__(world, name, disk)
        world.faulty[name] = None

    def signed(self, message: SignedMessage) -> AnySigned:
        return sign(self.world.domain, self.name, message, self.world.keys.signer(self.name))

    def put(self, to: Sequence[str], message: SignedMessage, body: Body | None = None) -> None:
        """Send what the core did not say."""
        data = self.signed(message).encode()
        for name in to:
            if name != self.name:
                frame = Proposed(data, body) if isinstance(message, PrePrepare) else data
                self.world.deliver(self.name, name, frame)

    def others(self) -> list[str]:
        return list(self.world.others[self.name])

    def halves(self) -> tuple[list[str], list[str]]:
        """The others in two parts, at random."""
        others = self.others()
        self.world.random.shuffle(others)
        middle = self.world.random.randint(1, len(others) - 1)
        return others[:middle], others[middle:]

    def own(self, message: Message) -> SignedMessage | None:
        """The content of a message of our own core; None for questions and data."""
        return message.message if isinstance(message, Signed) else None

    @property
    def state(self) -> Any:
        """The core's state: a liar reads what it likes."""
        return self.replica._state
