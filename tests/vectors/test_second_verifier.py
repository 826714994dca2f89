"""The page for authors of other verifiers is complete: what it says decides every vector alike."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from ledger.proofs import verify_each
from ledger.trust import TrustAnchor
from tests.vectors import verifier
from tests.vectors.golden import FOLDER

VECTORS: dict[str, Any] = json.loads((FOLDER / "proofs.json").read_text())
PROOFS = VECTORS["proofs"]
REFUSED = {"invalid", "untrusted"}
CHANGES = 30


def trust_of(row: dict[str, Any]) -> dict[str, Any]:
    trust: dict[str, Any] = dict(VECTORS["trust"][str(row["trust"])])
    del trust["fingerprint"]
    return trust


def asked_of(row: dict[str, Any]) -> dict[str, Any]:
    return {"now_ms": VECTORS["now_ms"], "at_ms": row["at_ms"], "max_age_ms": row["max_age_ms"]}


@pytest.mark.parametrize("row", PROOFS, ids=[row["name"] for row in PROOFS])
def test_every_vector(row: dict[str, Any]) -> None:
    found = verifier.judge(bytes.fromhex(row["proof"]), trust_of(row), **asked_of(row))
    assert verifier.worst(found) == row["exit_code"]
    if row["verdict"] in REFUSED:
        assert found == [row["verdict"]]
    else:
        assert found == [one["verdict"] for one in row.get("each", [row])]


@pytest.mark.parametrize("row", PROOFS, ids=[row["name"] for row in PROOFS])
def test_both_verifiers_refuse_the_same_changes(row: dict[str, Any]) -> None:
    """Also where a change goes unnoticed for a reason: another key in the same empty place."""
    data, choice = bytes.fromhex(row["proof"]), random.Random(row["name"])
    trust = trust_of(row)
    anchor = TrustAnchor.from_json(trust)
    for _ in range(CHANGES):
        changed = bytearray(data)
        for _ in range(choice.choice([1, 1, 2])):
            changed[choice.randrange(len(changed))] ^= 1 << choice.randrange(8)
        ours = [one.verdict for one in verify_each(bytes(changed), anchor, **asked_of(row))]
        theirs = verifier.judge(bytes(changed), trust, **asked_of(row))
        if set(ours) <= REFUSED:
            assert set(theirs) <= REFUSED
        else:
            assert theirs == ours
