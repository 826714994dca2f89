"""Genesis: one form, every bad field named, the chain id covers all of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ledger.errors import FieldError, InvalidInput
from ledger.genesis import Genesis, GenesisValidator, Parameters
from ledger.keys import SigningKey


def validators(n: int = 4) -> list[GenesisValidator]:
    return [
        GenesisValidator(
            organisation=f"org{i}",
            organisation_class="government" if i % 2 else "enterprise",
            name=f"validator-{i}",
            consensus_key=SigningKey.from_seed(bytes([i + 1]) * 32).public,
            tls_certificate=b"der",
            address=f"127.0.0.1:{7000 + i}",
        )
        for i in range(n)
    ]


def build(**changes: Any) -> Genesis:
    arguments: dict[str, Any] = {
        "name": "pilot",
        "created_ms": 1_790_000_000_000,
        "validators": validators(),
        "attestations": ["licence", "credit"],
        "state": [("registry", "b", {"x": 1}), ("registry", "a", [1, None])],
    }
    return Genesis.build(**(arguments | changes))


def test_round_trip_and_one_order() -> None:
    genesis = build()
    assert Genesis.decode(genesis.encode()) == genesis
    assert build(validators=list(reversed(validators()))).chain_id == genesis.chain_id
    assert genesis.validator_set.organisations == ("org0", "org1", "org2", "org3")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "another"},
        {"created_ms": 1_790_000_000_001},
        {"parameters": Parameters(window=1)},
        {"attestations": ["licence"]},
        {"state": []},
        {"validators": validators(5)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_field_is_in_the_chain_id(changes: dict[str, Any]) -> None:
    assert build(**changes).chain_id != build().chain_id


def test_bad_documents_name_the_field() -> None:
    first, *rest = validators()
    with pytest.raises(FieldError, match="class"):
        build(validators=[dataclasses.replace(first, organisation_class="bank"), *rest])
    with pytest.raises(FieldError, match="name"):
        build(validators=[dataclasses.replace(first, name="validator-1"), *rest])
    with pytest.raises(FieldError, match="validators"):
        build(validators=rest)
    with pytest.raises(FieldError, match="window"):
        build(parameters=Parameters(window=0))
    with pytest.raises(FieldError, match="state"):
        build(state=[("c", "k", 1), ("c", "k", 2)])


def test_any_cut_or_extended_file_is_refused() -> None:
    data = build().encode()
    for broken in (data[:-1], data + b"\x00", b"", data[1:]):
        with pytest.raises(InvalidInput):
            Genesis.decode(broken)
