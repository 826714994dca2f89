"""All kinds of liars by name, and twins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from consensus.effects import Effect
from consensus.events import Event, OwnVoteAnswered, Received
from tests.simulation.adversary import Adversary, Message
from tests.simulation.adversary_primary import (
    Censor,
    Equivocator,
    LowProposer,
    Repeater,
    SilentPrimary,
    SlowPrimary,
    Starver,
    WrongBody,
)
from tests.simulation.adversary_views import BadLeader, ForkingLeader, Hider, HugeViews, Stormer
from tests.simulation.adversary_votes import (
    Forger,
    LyingServer,
    Mutator,
    Replayer,
    Sleeper,
    Traitor,
    YesSayer,
)
from tests.simulation.disk import Disk
from tests.simulation.world import World

KINDS: Final[dict[str, type[Adversary]]] = {
    "equivocator": Equivocator,
    "traitor": Traitor,
    "yes-sayer": YesSayer,
    "hider": Hider,
    "bad-leader": BadLeader,
    "forking-leader": ForkingLeader,
    "low-proposer": LowProposer,
    "mutator": Mutator,
    "stormer": Stormer,
    "huge-views": HugeViews,
    "lying-server": LyingServer,
    "starver": Starver,
    "silent-primary": SilentPrimary,
    "slow-primary": SlowPrimary,
    "censor": Censor,
    "wrong-body": WrongBody,
    "repeater": Repeater,
    "replayer": Replayer,
    "forger": Forger,
    "sleeper": Sleeper,
}


class Twin(Adversary):
    """One key run twice, and neither heeds the other's votes: each talks to its own part."""

    side: frozenset[str] = frozenset()

    def step(self, event: Event) -> list[Effect]:
        if isinstance(event, OwnVoteAnswered):
            event = replace(event, votes=())
        elif isinstance(event, Received) and event.signed.signer == self.name:
            return []
        return super().step(event)

    def send(self, to: Sequence[str], message: Message) -> None:
        super().send([name for name in to if name in self.side], message)

    def on_frame(self, sender: str, frame: object) -> None:
        if sender in self.side:
            super().on_frame(sender, frame)


def make_twins(world: World, name: str) -> list[Adversary]:
    """Two nodes under one name; sometimes one validator talks to both."""
    rng, others = world.random, list(world.others[name])
    rng.shuffle(others)
    middle = rng.randint(1, len(others) - 1)
    overlap = others[middle : middle + rng.randint(0, 1)]
    twins = [Twin(world, name, Disk()), Twin(world, name, Disk())]
    twins[0].side = frozenset(others[:middle] + overlap)
    twins[1].side = frozenset(others[middle:])
    return list(twins)
