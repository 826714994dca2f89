"""What the validator's engine tells the API: plain values, no behaviour.

HTTP codes stand here because a refusal and its code are one decision (see the table of bad input in
`ARCHITECTURE.md`); the API adds the words of a problem document. Left out: JSON and headers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ledger.receipt import CallOutcome, TransactionOutcome
from ledger.types import Digest, Epoch, Height, TimeMs, View

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
    """What a transaction would do on the state after block `height`; nothing is kept."""

    height: Height
    outcome: TransactionOutcome


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One other validator as its STATUS messages show it. `last_seen_ms` is UTC, None if never."""

    organisation: str
    name: str
    connected: bool
    height: Height
    last_seen_ms: TimeMs | None


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """The validator now. `height` and `header_hash` are the last certified block's.

    `primary` is the name of the view's primary; `suspects` names peers proven or reported faulty;
    `halted` says why voting stopped, None while it runs; `observer` follows without voting.
    """

    name: str
    organisation: str
    height: Height
    header_hash: Digest
    executed: Height
    epoch: Epoch
    view: View
    primary: str
    peers: tuple[PeerStatus, ...]
    suspects: tuple[str, ...]
    mempool_transactions: int
    mempool_bytes: int
    syncing: bool
    observer: bool
    halted: str | None


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether clients should be sent here; `reason` is a stable code when not."""

    ready: bool
    reason: str = ""
