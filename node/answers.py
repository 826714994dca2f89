"""What the validator's engine tells the API: plain values, no behaviour.

HTTP codes stand here because a refusal and its code are one decision (see the table of bad input in
`ARCHITECTURE.md`); the API adds the words of a problem document. Left out: JSON and headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from contracts.simulation import Simulation
from ledger.receipt import CallOutcome
from ledger.types import Digest, Epoch, Height, TimeMs, View
from node.index.interface import IndexStatus

TransactionState: TypeAlias = Literal["unknown", "pending", "committed", "failed", "expired"]
"""`pending`: admitted, no certificate yet. `expired`: a certified header is later than its
`valid_until_ms` and it was not executed, so it never will be. `unknown`: this node cannot say."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to one submitted transaction.

    `id` is None when the bytes are no transaction. `http` is 202 (admitted), 200 (known already,
    same id) or the code of a refusal; `code` is `accepted`, `known` or the refusal's stable code.
    """

    id: Digest | None
    http: int
    code: str
    detail: str = ""

    @property
    def admitted(self) -> bool:
        return self.http in (200, 202)


@dataclass(frozen=True, slots=True)
class TransactionStatus:
    """Where a transaction stands. `height` and `index` are set once it is committed or failed."""

    id: Digest
    state: TransactionState
    height: Height | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """What a read-only call returned, on the state after block `height` (certified)."""

    height: Height
    outcome: CallOutcome


@dataclass(frozen=True, slots=True)
class SimulationAnswer:
    """What a transaction would do in a block at `time_ms`, on the state after block `height`."""

    height: Height
    time_ms: TimeMs
    simulation: Simulation


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One other validator as its STATUS messages show it. `last_seen_ms` is UTC, None if never.

    `behind` counts the blocks that we have certified and it has not; it and `view` are None until
    it was heard from. `refused` counts what it delivered and we threw away; for `kept_out_seconds`
    more no link is taken from it.
    """

    organisation: str
    name: str
    connected: bool
    height: Height
    last_seen_ms: TimeMs | None
    behind: int | None = None
    view: View | None = None
    in_view_change: bool = False
    refused: int = 0
    kept_out_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Suspect:
    """A validator that there is reason to distrust. `by` names those who told us; nobody did where
    its own signatures prove it."""

    organisation: str
    name: str
    reason: str
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """The validator now. `height` and `header_hash` are the last certified block's.

    `primary` is the name of the view's primary. `view_changes` counts those begun since the start
    by their reason, `failed_views` the views in a row that came to nothing. `missing` is the body
    that keeps a decided block from being executed. `observer` says why this node follows without
    voting, `halted` why voting stopped; None while it votes.
    """

    name: str
    organisation: str
    height: Height
    header_hash: Digest
    executed: Height
    epoch: Epoch
    view: View
    primary: str
    in_view_change: bool
    view_changes: Mapping[str, int]
    failed_views: int
    peers: tuple[PeerStatus, ...]
    suspects: tuple[Suspect, ...]
    evidence: int
    missing: Digest | None
    mempool_transactions: int
    mempool_bytes: int
    syncing: bool
    observer: str | None
    halted: str | None
    execution_stopped: bool = False
    """Whether it is because a block cannot be executed."""
    index: IndexStatus | None = None
    """The query index, None where this node keeps none."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether clients should be sent here; `reason` is a stable code when not."""

    ready: bool
    reason: str = ""
