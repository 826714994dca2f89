"""Links between simulated validators, and what happens to frames on them.

Each pair has two directed links. A frame is lost, doubled, delayed or damaged by chance, and a
blocked link delivers nothing. `filter` is for tests that stage one exact situation.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from tests.simulation.chain import Proposed

STRAGGLE_MAX = 100
"""A straggler takes up to this many times its delay: some ticks, so that it arrives in a later
view or window."""


def pass_all(sender: str, to: str, frame: object) -> bool:
    return True


@dataclass
class Network:
    """How links behave just now. Times in milliseconds, chances in [0, 1]."""

    delay_min: int = 1
    delay_max: int = 5
    loss: float = 0.0
    duplicate: float = 0.0
    straggle: float = 0.0
    corrupt: float = 0.0
    """Chance that one bit of a signed message is flipped."""
    slow: dict[str, int] = field(default_factory=dict)
    """Extra delay of everything a validator sends."""
    blocked: dict[tuple[str, str], None] = field(default_factory=dict)
    filter: Callable[[str, str, object], bool] = pass_all

    def calm(self) -> None:
        """All links work again; the usual delay stays."""
        self.loss = self.duplicate = self.straggle = self.corrupt = 0.0
        self.slow.clear()
        self.blocked.clear()
        self.filter = pass_all

    def cut(self, sender: str, to: str) -> None:
        self.blocked[(sender, to)] = None

    def join(self, sender: str, to: str) -> None:
        self.blocked.pop((sender, to), None)

    def partition(self, left: Iterable[str], right: Iterable[str]) -> None:
        """Cut both directions between every pair across the two sides."""
        far = list(right)
        for a in left:
            for b in far:
                self.cut(a, b)
                self.cut(b, a)

    def isolate(self, name: str, names: Iterable[str]) -> None:
        self.partition([name], [other for other in names if other != name])

    def heal(self) -> None:
        self.blocked.clear()

    def delays(self, rng: random.Random, sender: str, to: str) -> Sequence[int]:
        """The delay of each copy of a frame that arrives; none if it is lost."""
        chance = rng.random
        if (self.blocked and (sender, to) in self.blocked) or (self.loss and chance() < self.loss):
            return ()
        low = self.delay_min
        first = low + int(chance() * (self.delay_max - low + 1))
        if self.slow:
            first += self.slow.get(sender, 0)
        if self.straggle and chance() < self.straggle:
            first *= rng.randint(2, STRAGGLE_MAX)
        if self.duplicate and chance() < self.duplicate:
            return (first, first + rng.randint(0, 20 * self.delay_max))
        return (first,)

    def damaged(self, rng: random.Random, frame: object) -> object:
        """The frame, perhaps with one bit of its bytes flipped."""
        if not self.corrupt or rng.random() >= self.corrupt:
            return frame
        if isinstance(frame, bytes):
            return flipped(rng, frame)
        if isinstance(frame, Proposed):
            return replace(frame, data=flipped(rng, frame.data))
        return frame


def flipped(rng: random.Random, data: bytes) -> bytes:
    bit = rng.randrange(8 * len(data))
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
