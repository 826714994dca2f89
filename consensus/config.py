"""What a replica is given: its epoch's rules, who it is, and what its ledger holds at start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from consensus.verifier import Domain
from ledger.certificate import Certificate
from ledger.types import Digest, Height, TimeMs

TICK_MS: Final = 250
"""Period of `Tick`: STATUS, resends and timers. A quarter of the shortest time-out."""

TIMEOUT_LAN_MS: Final = 1_000
TIMEOUT_WAN_MS: Final = 3_000
"""T0, the first time-out: a few round trips and syncs, above the 0.7 s a full body may execute."""

ROTATION_MS: Final = 8_000
"""A primary's turn. Turns of equal time leave a slow primary its own share and no more; one of a
minute, beside turns that end after R blocks, took most of the chain's time."""

ROTATION_BLOCKS_MIN: Final = 4
"""Blocks a turn has at least, so that an idle chain rests; made just under the time-out they take
no longer than a turn."""


@dataclass(frozen=True, slots=True)
class Config:
    """One replica in one epoch. `epoch_end` is the epoch's last height, None while it has none.

    `rotation_blocks` is R; a primary also hands over when header time has moved `rotation_ms` and
    it made `rotation_blocks_min` blocks. `idle_block_ms` is genesis' period of empty blocks.
    """

    domain: Domain
    me: str
    timeout_ms: int = TIMEOUT_LAN_MS
    rotation_blocks: int = 256
    rotation_blocks_min: int = ROTATION_BLOCKS_MIN
    rotation_ms: int = ROTATION_MS
    idle_block_ms: int = 10_000
    epoch_end: Height | None = None


@dataclass(frozen=True, slots=True)
class HeaderSummary:
    """Of an executed header: its hash and time."""

    hash: Digest
    time_ms: TimeMs


HeaderLookup: TypeAlias = Callable[[Height], HeaderSummary | None]


@dataclass(frozen=True, slots=True)
class LedgerHead:
    """The ledger when the replica starts.

    `certificate` is the highest stored, at height `certified` (None at the epoch's base);
    `executed` the highest height in LevelDB; `appended` the (n, d) in the block files above it,
    ascending; `bodies` what the write-ahead log's `BodyRecord`s hold, digest to height; `header`
    finds an executed header, None below what is kept.
    """

    certified: Height
    certificate: Certificate | None
    executed: Height
    appended: tuple[tuple[Height, Digest], ...]
    bodies: Mapping[Digest, Height]
    header: HeaderLookup
