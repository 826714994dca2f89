"""Random arguments: every kind of value that a transaction can carry, at the edges of each."""

from __future__ import annotations

import random
from typing import Final

from ledger import canonical

EDGES: Final = (0, 1, 2, 3, -1, 7, 63, 64, 1000, 10_000, 65_536, 2**31, 2**61 - 1, 2**63 - 1)
TEXTS: Final = (
    "", "a", "a/1", "main", "other", "status", "__class__", "{0.__class__}", "%s%n", "琼", "\x00",
    "é" * 300, "a" * 64, "a" * 4096, "1" * 77, "-0", " 1", "\u202e", "\U0010ffff", "key/",
)  # fmt: skip


def arguments(rng: random.Random) -> list[canonical.Value] | dict[str, canonical.Value]:
    """What a call passes: one integer half of the time, else whatever is allowed on the wire."""
    draw = rng.randrange(8)
    if draw < 4:
        return [rng.choice((3, rng.choice(EDGES), -rng.choice(EDGES), -(2**63)))]
    if draw < 6:
        return [value(rng, 3)]
    if draw == 6:
        return [value(rng, 4) for _ in range(rng.randrange(4))]
    return {rng.choice(("n", "m", "self", "")): value(rng, 3) for _ in range(rng.randrange(3))}


def value(rng: random.Random, depth: int) -> canonical.Value:
    """A value at most `depth` containers deep, but for the rare tower."""
    draw = rng.randrange(10 if depth else 6)
    if draw < 2:
        return rng.choice((1, -1)) * rng.choice(EDGES)
    if draw < 4:
        return rng.choice(TEXTS)
    if draw == 4:
        return rng.choice((None, True, False, b"", b"\xff" * 40))
    if draw == 5:
        return tower(rng.choice((8, 24, 26)))
    if draw < 8:
        return [value(rng, depth - 1) for _ in range(rng.choice((0, 1, 2, 5, 40)))]
    return {rng.choice(TEXTS): value(rng, depth - 1) for _ in range(rng.choice((0, 1, 3)))}


def tower(height: int) -> canonical.Value:
    """Lists in lists. With all around them they stay below the 32 of canonical bytes."""
    found: canonical.Value = 1
    for _ in range(height):
        found = [found]
    return found
