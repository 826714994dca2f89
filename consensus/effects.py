"""What a replica asks its driver to do. The order of the returned list is data.

The driver carries out a turn in two halves: first everything durable (`Persist`, `PersistBody`,
`AppendDecided`) in order and one sync, then all the rest in order. A message therefore never
leaves before what it promises is on disk. Should the process die between, recovery finds either
nothing of the turn, or a prefix of its records and none of its messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from consensus.messages import UnsignedMessage
from consensus.records import Record
from consensus.verifier import AnySigned
from ledger.certificate import Certificate
from ledger.types import Digest, Height, View


@dataclass(frozen=True, slots=True)
class Persist:
    """Append `record` to the write-ahead log; durable before any send of this turn."""

    record: Record


@dataclass(frozen=True, slots=True)
class PersistBody:
    """Append a `BodyRecord` to the write-ahead log: the driver holds the body and transactions."""

    n: Height
    digest: Digest


@dataclass(frozen=True, slots=True)
class AppendDecided:
    """Append the decided block to the block files, durably. Heights come in order.

    `digest` is `null_digest(n)` for NULL, else of a body that was persisted or fetched.
    """

    n: Height
    digest: Digest


@dataclass(frozen=True, slots=True)
class Execute:
    """Execute appended block `n` and answer `Executed`. Heights come in order."""

    n: Height
    digest: Digest


@dataclass(frozen=True, slots=True)
class Send:
    """Send to one peer. A PRE-PREPARE goes with its BODY frame just before it."""

    to: str
    message: AnySigned | UnsignedMessage


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send to every other validator. A PRE-PREPARE goes with its BODY frame just before it."""

    message: AnySigned | UnsignedMessage


@dataclass(frozen=True, slots=True)
class CheckBody:
    """Check the body of a PRE-PREPARE (fetching what is missing from `sender`); answer
    `BodyChecked`. Asked again while unanswered only when the PRE-PREPARE comes again.
    """

    digest: Digest
    n: Height
    view: View
    sender: str


@dataclass(frozen=True, slots=True)
class SaveCertificate:
    """Block `certificate.n` is certified, and with it every block below.

    Store the certificate beside the block, answer clients, drop bodies at or below that height.
    """

    certificate: Certificate


class AlarmKind(Enum):
    """What people must look at."""

    DIVERGED = "diverged"
    """Our header differs from the certified one. The replica has halted for good."""
    NONDETERMINISM = "nondeterminism"
    """Validators' headers for one height differ and none is certified."""
    OBSERVER = "observer"
    """Our key voted beyond our log (lost, rolled back or cloned): never vote with it again."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Tell people. `own` and `other` are header hashes where the alarm is about headers."""

    kind: AlarmKind
    n: Height
    own: Digest | None
    other: Digest | None
    detail: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two messages that an honest validator would not both have signed. Keep and serve them."""

    first: AnySigned
    second: AnySigned


@dataclass(frozen=True, slots=True)
class ViewEntered:
    """For the log and metrics: we started a view change to `view`, or took part in `view`.

    `left` is where we were (`view` itself if the change to it had begun before). `by` names the
    validators that made us leave, each with its own reason in words; `blockless_ms` is for how long
    no block had been executed.
    """

    view: View
    primary: str
    in_view_change: bool
    reason: str
    left: View
    by: tuple[tuple[str, str], ...]
    blockless_ms: int


Effect: TypeAlias = (
    Persist
    | PersistBody
    | AppendDecided
    | Execute
    | Send
    | Broadcast
    | CheckBody
    | SaveCertificate
    | Alarm
    | Evidence
    | ViewEntered
)
"""`Persist`, `PersistBody` and `AppendDecided` are the durable ones."""

DURABLE = (Persist, PersistBody, AppendDecided)
