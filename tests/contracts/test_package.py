"""Packages: the same bytes everywhere, and nothing in them that their source does not bear out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import shipped
from contracts.dialect import CompileRefused, compile_source
from contracts.interface import difference, interface
from contracts.package import BadPackage, Package, is_package
from ledger import canonical
from ledger.errors import InvalidInput

SOURCE = """
INDEX = ("holder",)

@call
def issue(id: str, holder: str = "nobody") -> None:
    put("p/" + id, {"holder": holder})

@view
def show(id: str) -> dict | None:
    return get("p/" + id)

def migrate() -> None:
    put("migrated", True)
"""
PACKAGE = Package.of("permits", SOURCE)


def test_a_package_reads_back_as_it_was() -> None:
    data = PACKAGE.encode()
    read = Package.decode(data)
    assert (read.name, read.source, read.encode()) == ("permits", SOURCE, data)
    assert is_package(data)
    assert not is_package(SOURCE.encode())
    assert not is_package(b"")


@pytest.mark.parametrize("name", shipped.LIBRARY)
def test_the_library_can_be_packaged(name: str) -> None:
    package = Package.of(name, shipped.source(name))
    assert Package.decode(package.encode()).source_hash == package.source_hash


def test_an_interface_tells_what_callers_need() -> None:
    assert interface(PACKAGE.compiled) == {
        "methods": [
            {
                "name": "issue",
                "kind": "call",
                "parameters": [
                    {"name": "id", "type": "str"},
                    {"name": "holder", "type": "str", "default": "nobody"},
                ],
                "returns": "None",
            },
            {
                "name": "show",
                "kind": "view",
                "parameters": [{"name": "id", "type": "str"}],
                "returns": "dict | None",
            },
        ],
        "index": ["holder"],
        "migrates": True,
    }


@pytest.mark.parametrize(
    "change",
    [{"name": "other!"}, {"name": "contracts"}, {"name": 5}, {"source": SOURCE + "#"},
     {"source": "import os\n"}, {"source": b"x"}, {"source_hash": bytes(32)}, {"dialect": 2},
     {"format": "qiong-contract/2"}, {"interface": {}}, {"more": 1}],
)  # fmt: skip
def test_a_package_that_says_something_else_is_refused(change: dict[str, object]) -> None:
    value = canonical.decode(PACKAGE.encode())
    assert isinstance(value, dict)
    with pytest.raises(BadPackage) as caught:
        Package.decode(canonical.encode({**value, **change}))
    assert caught.value.hint


@given(st.integers(0, len(PACKAGE.encode()) - 1), st.integers(1, 255))
def test_no_flipped_byte_goes_unnoticed(position: int, flip: int) -> None:
    """But in the name, which is the packager's word; then it is another contract's package."""
    data = bytearray(PACKAGE.encode())
    data[position] ^= flip
    try:
        read = Package.decode(bytes(data))
    except InvalidInput:
        return
    assert (read.source, read.name == "permits") == (SOURCE, False)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        Package.decode(data)


def test_names_and_sources_are_checked_when_a_package_is_made() -> None:
    with pytest.raises(BadPackage):
        Package.of("Permits", SOURCE)
    with pytest.raises(CompileRefused):
        Package.of("permits", "import os\n")


def test_what_differs_between_two_versions() -> None:
    after = compile_source(
        "@call\ndef issue(id: str) -> None:\n    put(id, 1)\n"
        "@call\ndef added(n: int) -> int:\n    return n\n"
    )
    changes = difference(PACKAGE.compiled, after)
    assert [(change.kind, change.breaking) for change in changes] == [
        ("removed", True), ("changed", True), ("added", False)
    ]  # fmt: skip
    assert str(changes[1]).count("issue") == 2
    assert difference(PACKAGE.compiled, PACKAGE.compiled) == []
