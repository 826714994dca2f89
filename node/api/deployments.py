"""What is deployed: a contract's status, owner, versions, source and history, as of one height.

Read from the platform's name space (`contracts.deployment_layout`), so every word of it has a proof
for whoever asks (`/v1/proofs/state/contracts/...`).
"""

from __future__ import annotations

from typing import Any, Final, cast

from contracts import deployment_layout as layout
from ledger.proving import Prover
from ledger.types import Height
from node.api import models
from node.api.problems import Problem

CHANGES_SHOWN: Final = 1_000
"""Changes in one answer, the newest; older ones are in the state under `history/NAME/`."""


def deployed(store: Prover, name: str, height: Height) -> layout.Deployed:
    """The version of `name` that the next block would run. Raises `Problem` 404."""
    found = layout.in_force(lambda key: _read(store, height, key), name, height + 1)
    if found is None:
        raise Problem(404, "unknown_contract", f"no contract {name[:80]!r} is deployed")
    return found


def source(store: Prover, source_hash: bytes, height: Height) -> str:
    """The source text of a deployed version."""
    return str(_read(store, height, layout.source_key(source_hash)))


def contract(store: Prover, name: str) -> models.ContractAnswer:
    """Everything about the contract. Raises `Problem` 404."""
    height = store.certified_height
    found = deployed(store, name, height)
    entry = cast("dict[str, Any]", _read(store, height, name))
    first = max(0, entry["changes"] - CHANGES_SHOWN)
    return models.ContractAnswer(
        name=name,
        height=height,
        status=entry["status"],
        owner=entry["owner"],
        version=found.number,
        versions=[
            models.ContractVersion(
                number=version["number"],
                from_height=version["from"],
                source_hash=version["source"],
                dialect=version["dialect"],
            )
            for version in entry["versions"]
        ],
        changes=entry["changes"],
        history=[_change(store, name, number, height) for number in range(first, entry["changes"])],
        source=source(store, found.source_hash, height),
    )


def _change(store: Prover, name: str, number: int, height: Height) -> models.ContractChange:
    change = cast("dict[str, Any]", _read(store, height, layout.history_key(name, number)))
    return models.ContractChange(
        number=number,
        action=change["action"],
        height=change["height"],
        time=models.iso_time(store.header(change["height"]).time_ms),
        organisation=change["organisation"],
        key=change["key"],
        reason=change.get("reason"),
        version=change.get("version"),
        from_height=change.get("from"),
        source_hash=change.get("source"),
        dialect=change.get("dialect"),
    )


def _read(store: Prover, height: Height, key: str) -> object:
    return models.decoded(store.state_at(layout.CONTRACT, key, height))
