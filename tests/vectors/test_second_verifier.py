"""The page for authors of other verifiers is complete: what it says decides every vector alike."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from ledger import canonical
from ledger.proofs import verify_each
from ledger.trust import TrustAnchor
from tests.vectors import verifier
from tests.vectors.golden import FOLDER

VECTORS: dict[str, Any] = json.loads((FOLDER / "proofs.json").read_text())
PROOFS = VECTORS["proofs"]
REFUSED = {"invalid", "untrusted"}
CHANGES = 60


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
    for number in range(CHANGES):
        changed = flipped(data, choice) if number % 2 else rearranged(data, choice)
        ours = [one.verdict for one in verify_each(changed, anchor, **asked_of(row))]
        theirs = verifier.judge(changed, trust, **asked_of(row))
        if set(ours) <= REFUSED:
            assert set(theirs) <= REFUSED, changed.hex()
        else:
            assert theirs == ours, changed.hex()


def flipped(data: bytes, choice: random.Random) -> bytes:
    """One bit or two changed."""
    changed = bytearray(data)
    for _ in range(choice.choice([1, 1, 2])):
        changed[choice.randrange(len(changed))] ^= 1 << choice.randrange(8)
    return bytes(changed)


def rearranged(data: bytes, choice: random.Random) -> bytes:
    """A part of the structure left out, doubled, cut, or put in the place of another."""
    try:
        value = canonical.decode(data)
    except canonical.DecodingError:
        return flipped(data, choice)
    arrays: list[list[Any]] = []

    def collect(item: object) -> None:
        if isinstance(item, list):
            if item:
                arrays.append(item)
            for each in item:
                collect(each)

    collect(value)
    spot, donor = choice.choice(arrays), choice.choice(arrays)
    index = choice.randrange(len(spot))
    match choice.choice(["leave out", "double", "cut", "part", "small"]):
        case "leave out":
            del spot[index]
        case "double":
            spot.insert(index, spot[index])
        case "cut" if isinstance(spot[index], bytes | str | list):
            spot[index] = spot[index][: choice.randrange(len(spot[index]) + 1)]
        case "part":
            spot[index] = canonical.decode(canonical.encode(choice.choice(donor)))
        case _:
            spot[index] = choice.choice([None, 0, 1, -1, b"", "", [], True, 2**53, b"\x00" * 32])
    return canonical.encode(value)
