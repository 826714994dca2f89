"""The registry: read by everyone, written by nobody yet, and the same as `has_role` sees."""

import pytest

from contracts.testing import library, uscc

ROLE = "issuer:food-business"


@pytest.fixture
def registry(chain):
    return chain.deploy(library("registry"))


@pytest.fixture
def bureau(chain):
    return chain.signer("bureau", ROLE, organisation_class="government")


def test_it_tells_who_is_who(registry, bureau) -> None:
    assert registry.view("organisation_of", bureau.key) == bureau.organisation
    assert registry.view("organisation_of", "00") is None
    assert registry.view("show_key", bureau.key) == {
        "organisation": bureau.organisation,
        "roles": [ROLE, "submitter"],
    }
    assert registry.view("show_organisation", bureau.organisation) == {
        "name": "bureau",
        "class": "government",
        "status": "active",
        "accreditations": [ROLE],
    }


def test_a_role_counts_while_its_organisation_is_accredited_and_active(
    chain, registry, bureau
) -> None:
    assert registry.view("roles", bureau.key) == [ROLE, "submitter"]
    assert registry.view("roles", "00") == []
    assert registry.view("accredited", bureau.organisation, ROLE) is True
    assert registry.view("accredited", bureau.organisation, "issuer:other") is False
    assert registry.view("accredited", uscc("nobody"), ROLE) is False

    key = f"organisation/{bureau.organisation}"
    entry = chain.state("registry")[key]
    chain.put("registry", key, entry | {"accreditations": []})
    assert registry.view("roles", bureau.key) == ["submitter"]
    chain.put("registry", key, entry | {"status": "suspended"})
    assert registry.view("roles", bureau.key) == []
    assert registry.view("accredited", bureau.organisation, ROLE) is False


def test_a_view_is_no_transaction(chain, registry, bureau) -> None:
    with chain.expect("rejected", "unknown_method"):
        registry.call("show_key", bureau.key, by=bureau)
