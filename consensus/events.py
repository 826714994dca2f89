"""Everything that can happen to a replica. Each event carries `now_ms`: the core has no clock.

An event is a value, so a driver that records them can replay an incident exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from consensus.verifier import AnySigned
from ledger.block import Body
from ledger.certificate import Certificate
from ledger.types import Digest, Height, TimeMs


@dataclass(frozen=True, slots=True)
class Received:
    """A verified message came over the link of `sender`, who need not be its signer."""

    now_ms: TimeMs
    sender: str
    signed: AnySigned


@dataclass(frozen=True, slots=True)
class Propose:
    """The driver built a body for `Replica.proposal_slot`; it holds every transaction of it."""

    now_ms: TimeMs
    body: Body


@dataclass(frozen=True, slots=True)
class BodyChecked:
    """Answer to `CheckBody`: whether body and transactions are valid apart from what the replica
    checks itself (n, first_view, proposer, timestamp). `body` is None where it was not found or
    not readable. If `ok`, the driver holds the body and all its transactions.
    """

    now_ms: TimeMs
    digest: Digest
    body: Body | None
    ok: bool


@dataclass(frozen=True, slots=True)
class BodyArrived:
    """Answer to a `FetchBody`: the body with this digest and all its transactions are in hand."""

    now_ms: TimeMs
    digest: Digest


@dataclass(frozen=True, slots=True)
class Executed:
    """Block `n` was executed and its LevelDB batch synced; its header has this hash and time."""

    now_ms: TimeMs
    n: Height
    header_hash: Digest
    time_ms: TimeMs


@dataclass(frozen=True, slots=True)
class FetchedBlock:
    """One block of an answer to `FetchBlocks`; `digest` is d of its header."""

    n: Height
    digest: Digest
    header_hash: Digest
    certificate: Certificate | None


@dataclass(frozen=True, slots=True)
class BlocksFetched:
    """Answer to `FetchBlocks`: `blocks` ascend by one and the driver checked all of them.

    That is: each header's parent is the hash of the one before (the first one's the own header at
    n-1 where known), the last has a Certificate, every Certificate verifies, bodies match `digest`
    and the driver holds them with their transactions. Empty where the peer had nothing or lied.
    """

    now_ms: TimeMs
    sender: str
    blocks: tuple[FetchedBlock, ...]


@dataclass(frozen=True, slots=True)
class OwnVoteAsked:
    """`sender` starts and asks for its own highest vote."""

    now_ms: TimeMs
    sender: str


@dataclass(frozen=True, slots=True)
class OwnVoteAnswered:
    """`sender` answered our question: what it holds signed by us (`Verifier.own_votes`)."""

    now_ms: TimeMs
    sender: str
    votes: tuple[AnySigned, ...]


@dataclass(frozen=True, slots=True)
class Censored:
    """The oldest waiting transaction of `organisation` was passed over; see the censorship rule."""

    now_ms: TimeMs
    organisation: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Every `TICK_MS`; `waiting` says whether any transaction waits in the mempool."""

    now_ms: TimeMs
    waiting: bool


Event: TypeAlias = (
    Received
    | Propose
    | BodyChecked
    | BodyArrived
    | Executed
    | BlocksFetched
    | OwnVoteAsked
    | OwnVoteAnswered
    | Censored
    | Tick
)
