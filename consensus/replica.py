"""The replica: one validator's part in PBFT, as a pure machine.

    replica = Replica(config, sign)
    effects = replica.recover(now_ms, records, head, verifier)    once, before any event
    effects = replica.step(event)

Nothing here awaits, reads a clock or touches a disk. Given the same start and the same events, a
replica returns the same effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.config import Config, LedgerHead
from consensus.effects import Alarm, Effect
from consensus.events import Event
from consensus.records import Record
from consensus.verifier import Sign, Verifier
from ledger.types import Digest, Height, TimeMs, View


@dataclass(frozen=True, slots=True)
class ProposalSlot:
    """The next body we may propose: `Body(n, view, me, ...)`; `in_flight` proposals are undecided.

    The driver proposes when transactions wait and (nothing is in flight, or a batch is full, or
    the oldest has waited 20 ms), or when no block came for the idle period.
    """

    n: Height
    view: View
    in_flight: int


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """What a peer last said of itself, and when we last heard anything from it."""

    h: Height
    executed: Height
    view: View
    in_view_change: bool
    heard_ms: TimeMs


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """A snapshot for the API, metrics and logs; `peers` by organisation.

    `observer` is None for a replica that votes, else why it does not.
    """

    view: View
    primary: str
    in_view_change: bool
    certified: Height
    executed: Height
    appended: Height
    view_changes: int
    failed_views: int
    suspects: tuple[str, ...]
    missing: Digest | None
    observer: str | None
    halted: Alarm | None
    evidence: int
    peers: dict[str, PeerStatus]


class Replica:
    """One validator in one epoch. `sign` makes its signatures; it must be deterministic."""

    def __init__(self, config: Config, sign: Sign) -> None:
        raise NotImplementedError

    def recover(
        self, now_ms: TimeMs, records: Sequence[Record], head: LedgerHead, verifier: Verifier
    ) -> list[Effect]:
        """Rebuild from the write-ahead log and the ledger, ask peers for our own highest vote.

        Executes what was appended but not executed. Raises what `Verifier.verify` raises if a
        record's message does not verify.
        """
        raise NotImplementedError

    def step(self, event: Event) -> list[Effect]:
        """Take one event; return what to do, in order (see `consensus.effects`)."""
        raise NotImplementedError

    @property
    def proposal_slot(self) -> ProposalSlot | None:
        """What we may propose now, or None: not primary, no room, or not yet allowed to vote."""
        raise NotImplementedError

    @property
    def status(self) -> ReplicaStatus:
        """A fresh snapshot; cheap enough for each scrape, not for each vote."""
        raise NotImplementedError

    def compact(self) -> list[Record]:
        """What a new log segment must begin with before older segments may be dropped.

        Bodies aside: the driver copies the `BodyRecord`s of `bodies_needed`.
        """
        raise NotImplementedError

    @property
    def bodies_needed(self) -> dict[Digest, Height]:
        """Bodies to keep on disk and serve: all we prepared above the certified height."""
        raise NotImplementedError
