"""The sample genesis: seats by turns, accreditations in the registry, the library deployed."""

import pytest

from contracts import deployment_layout, registry_layout
from devnet import genesis, sample
from ledger.errors import FieldError
from ledger.genesis import Genesis, GenesisValidator
from ledger.keys import SigningKey
from ledger.types import PublicKey


def _validators(count: int) -> list[GenesisValidator]:
    return [
        GenesisValidator(
            organisation=seat.organisation,
            organisation_class=seat.organisation_class,
            name=seat.name,
            consensus_key=SigningKey(bytes([i]) * 32).public,
            tls_certificate=b"certificate",
            address=f"127.0.0.1:{7601 + 2 * i}",
        )
        for i, seat in enumerate(genesis.seats(count))
    ]


def _keys() -> dict[str, PublicKey]:
    return {
        department.uscc: SigningKey(bytes([100 + i]) * 32).public
        for i, department in enumerate(sample.departments())
    }


def _registry(document: Genesis) -> registry_layout.Get:
    entries = {key: value for name, key, value in document.state if name == "registry"}
    return entries.get


def test_seats_alternate_while_departments_last() -> None:
    assert [seat.name for seat in genesis.seats(4)] == [
        "market-supervision",
        "enterprise-1",
        "tourism",
        "enterprise-2",
    ]
    many = genesis.seats(64)
    assert len({seat.organisation for seat in many}) == len({seat.name for seat in many}) == 64
    assert sum(seat.organisation_class == "government" for seat in many) == 6


def test_a_department_may_issue_its_own_type_and_no_other() -> None:
    keys = _keys()
    get = _registry(genesis.build(_validators(4), keys, created_ms=1))
    tourism = next(entry for entry in sample.departments() if entry.id == "tourism")
    key = keys[tourism.uscc].hex()
    assert registry_layout.has_role(get, key, "submitter")
    assert registry_layout.has_role(get, key, "issuer:travel-agency")
    assert registry_layout.has_role(get, key, "issuer:credit/tax-arrears")
    assert not registry_layout.has_role(get, key, "issuer:business")


def test_departments_deploy_enterprises_do_not_and_the_governor_governs() -> None:
    governor = SigningKey(bytes([99]) * 32).public
    enterprise = sample.enterprises()[0].uscc
    keys = _keys() | {enterprise: SigningKey(bytes([98]) * 32).public}
    get = _registry(genesis.build(_validators(4), keys, created_ms=1, governor=governor))
    for department in sample.departments():
        assert registry_layout.has_role(get, keys[department.uscc].hex(), "deployer")
        assert not registry_layout.has_role(get, keys[department.uscc].hex(), "governor")
    assert not registry_layout.has_role(get, keys[enterprise].hex(), "deployer")
    assert registry_layout.has_role(get, governor.hex(), "governor")
    assert registry_layout.has_role(get, governor.hex(), "submitter")
    assert not registry_layout.has_role(get, governor.hex(), "deployer")


def test_library_contracts_are_in_force_from_the_first_block() -> None:
    document = genesis.build(_validators(4), _keys(), created_ms=1)
    entries = {key: value for name, key, value in document.state if name == "contracts"}
    for name in ("registry", "licence", "credit"):
        deployed = deployment_layout.in_force(entries.get, name, height=1)
        assert deployed is not None
        source = entries[deployment_layout.source_key(deployed.source_hash)]
        assert deployment_layout.source_hash(str(source)) == deployed.source_hash


def test_the_chain_id_covers_who_may_issue() -> None:
    keys = _keys()
    other = {uscc: key for uscc, key in keys.items() if uscc != next(iter(keys))}
    validators = _validators(4)
    ids = {genesis.build(validators, chosen, created_ms=1).chain_id for chosen in (keys, other)}
    assert len(ids) == 2


def test_three_validators_are_too_few() -> None:
    with pytest.raises(FieldError, match="4 to 64 validators"):
        genesis.build(_validators(3), _keys(), created_ms=1)
