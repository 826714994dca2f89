"""Where this validator stands, and why it does not vote if it does not.

One word of `StandingState` and what belongs to it: the two headers of a divergence with the
Certificate that decides between them, or who signed which header when none is certified. The API
serves it (`/v1/why`), `node.stopped` makes it of the folder of a node that does not run, and
`qiong node why` explains it and names the way out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from consensus.records import Diverged
from consensus.recovery import STARTING
from consensus.replica import Replica
from ledger import fields
from ledger.certificate import Certificate
from ledger.errors import FieldError
from ledger.store import LedgerStore
from ledger.types import Digest, Height
from node.answers import Readiness

StandingState: TypeAlias = Literal[
    "voting",
    "starting",
    "behind",
    "left_behind",
    "no_quorum",
    "observer",
    "execution_stopped",
    "nondeterminism",
    "diverged",
    "stopped",
    "repaired",
    "disk_floor",
    "log_lost",
    "damaged",
]
"""The last five are of a node that does not run: nothing wrong on its disk; it diverged and was
rebuilt; too little free space; its log of votes is gone or lacks some; its files contradict
themselves."""

STATES: Final[tuple[StandingState, ...]] = get_args(StandingState)


@dataclass(frozen=True, slots=True)
class SignedHeader:
    """A header hash and the organisations that signed it."""

    header_hash: Digest
    signers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Divergence:
    """Our header at `height` is `own`; the certified one is `certified`.

    `certificate` is of that height, or of a later block whose chain names `certified`.
    """

    height: Height
    own: Digest
    certified: Digest
    certificate: Certificate

    @classmethod
    def of(cls, record: Diverged, own: Digest) -> Divergence:
        return cls(record.n, own, record.certified, record.certificate)


@dataclass(frozen=True)
class Standing:
    """`height`, `executed` and `decided` are the highest certified, executed and decided block;
    `highest` the highest that a peer claims. `disputed` is the height that `headers` are of."""

    state: StandingState
    reason: str
    organisation: str
    name: str
    height: Height
    executed: Height
    decided: Height
    highest: Height
    disputed: Height | None = None
    headers: tuple[SignedHeader, ...] = ()
    divergence: Divergence | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; bytes are hex."""
        found = self.divergence
        return {
            "state": self.state,
            "reason": self.reason,
            "organisation": self.organisation,
            "name": self.name,
            "height": self.height,
            "executed": self.executed,
            "decided": self.decided,
            "highest": self.highest,
            "disputed": self.disputed,
            "headers": [
                {"header_hash": item.header_hash.hex(), "signers": list(item.signers)}
                for item in self.headers
            ],
            "divergence": None
            if found is None
            else {
                "height": found.height,
                "own": found.own.hex(),
                "certified": found.certified.hex(),
                "certificate": found.certificate.encode().hex(),
            },
        }

    @classmethod
    def from_json(cls, value: object) -> Standing:
        """Read what `to_json` gives. Raises `FieldError`, `DecodingError`."""
        document = _object(value, "why")
        state = document.get("state")
        if state not in STATES:
            raise FieldError("why.state", "a known state", state)
        disputed = document.get("disputed")
        headers = [
            _object(item, "why.header")
            for item in fields.array(document.get("headers"), "why.headers")
        ]
        found = document.get("divergence")
        return cls(
            state=state,
            reason=fields.text(document.get("reason"), "why.reason", size_max=_REASON_SIZE_MAX),
            organisation=fields.text(document.get("organisation"), "why.organisation"),
            name=fields.text(document.get("name"), "why.name"),
            height=_height(document, "height"),
            executed=_height(document, "executed"),
            decided=_height(document, "decided"),
            highest=_height(document, "highest"),
            disputed=None if disputed is None else _height(document, "disputed"),
            headers=tuple(
                SignedHeader(
                    _digest(item, "header_hash"),
                    tuple(
                        fields.text(signer, "why.signer")
                        for signer in fields.array(item.get("signers"), "why.signers")
                    ),
                )
                for item in headers
            ),
            divergence=None if found is None else _divergence(_object(found, "why.divergence")),
        )


def standing(
    replica: Replica,
    store: LedgerStore,
    names: Mapping[str, str],
    organisation: str,
    ready: Readiness,
    halted: str | None,
    without: int,
) -> Standing:
    """Of a running validator; `halted` is why its driver stopped voting, `without` how many peers
    do not keep the next block any more."""
    status = replica.status
    divergence = None
    if status.halted is not None and replica.diverged is not None:
        own = store.executed_header(replica.diverged.n).hash
        divergence = Divergence.of(replica.diverged, own)
    disputed = status.nondeterminism if divergence is None else None
    headers: tuple[SignedHeader, ...] = ()
    if disputed is not None:
        headers = tuple(SignedHeader(*item) for item in sorted(replica.signers(disputed).items()))
    state, reason = _state(ready, halted, status.observer, divergence, disputed)
    if state == "behind" and without > store.genesis.validator_set.f:
        state = "left_behind"
        reason = f"others do not keep block {store.certified_height + 1}, the next one, any more"
    return Standing(
        state=state,
        reason=reason,
        organisation=organisation,
        name=names[organisation],
        height=store.certified_height,
        executed=store.executed_height,
        decided=store.decided_height,
        highest=max((peer.h for peer in status.peers.values()), default=Height(0)),
        disputed=disputed,
        headers=headers,
        divergence=divergence,
    )


def _state(
    ready: Readiness,
    halted: str | None,
    observer: str | None,
    divergence: Divergence | None,
    disputed: Height | None,
) -> tuple[StandingState, str]:
    """The gravest thing first."""
    if divergence is not None:
        return "diverged", f"our header of block {divergence.height} is not the certified one"
    if observer is not None and observer != STARTING:
        return "observer", observer
    if halted is not None:
        return "execution_stopped", halted
    if disputed is not None:
        return "nondeterminism", f"headers of block {disputed} differ and none is certified"
    if observer is not None or ready.reason == "starting":
        return "starting", observer or "recovering"
    if ready.reason == "syncing":
        return "behind", "others are well ahead; fetching and executing their blocks"
    if ready.reason == "no_quorum":
        return "no_quorum", "connected to fewer validators than a quorum needs"
    return "voting", "in step with a quorum"


_REASON_SIZE_MAX: Final = 4_096
"""A typed error in words, with paths in it."""


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FieldError(name, "an object", value)
    return value


def _height(document: Mapping[str, Any], name: str) -> Height:
    return Height(fields.natural(document.get(name), f"why.{name}"))


def _bytes(document: Mapping[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(document[name])
    except (KeyError, TypeError, ValueError):
        raise FieldError(f"why.{name}", "hexadecimal digits", document.get(name)) from None


def _digest(document: Mapping[str, Any], name: str) -> Digest:
    return fields.digest(_bytes(document, name), f"why.{name}")


def _divergence(document: Mapping[str, Any]) -> Divergence:
    return Divergence(
        height=_height(document, "height"),
        own=_digest(document, "own"),
        certified=_digest(document, "certified"),
        certificate=Certificate.decode(_bytes(document, "certificate")),
    )
