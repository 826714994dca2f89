"""Merkle trees against the recursive definitions of RFC 9162 §2.1, which are the oracle here."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle

leaf_lists = st.lists(st.binary(max_size=8), max_size=40)
filled_lists = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


def oracle_root(leaves: list[bytes]) -> bytes:
    """MTH(D[n]), RFC 9162 §2.1.1."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = split(len(leaves))
    return sha256(b"\x01" + oracle_root(leaves[:k]) + oracle_root(leaves[k:])).digest()


def oracle_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH(m, D[n]), RFC 9162 §2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*oracle_path(m, leaves[:k]), oracle_root(leaves[k:])]
    return [*oracle_path(m - k, leaves[k:]), oracle_root(leaves[:k])]


def oracle_subproof(m: int, leaves: list[bytes], complete: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b), RFC 9162 §2.1.4.1."""
    if m == len(leaves):
        return [] if complete else [oracle_root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*oracle_subproof(m, leaves[:k], complete), oracle_root(leaves[k:])]
    return [*oracle_subproof(m - k, leaves[k:], False), oracle_root(leaves[:k])]


def split(n: int) -> int:
    """Largest power of two smaller than n."""
    return 1 << (n - 1).bit_length() - 1


@given(leaf_lists)
def test_root_is_the_rfcs(leaves: list[bytes]) -> None:
    assert merkle.root(leaves) == oracle_root(leaves)


@given(filled_lists, st.data())
def test_inclusion_path_is_the_rfcs_and_verifies(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = merkle.inclusion_path(leaves, index)
    assert path == oracle_path(index, leaves)
    leaf = merkle.leaf_hash(leaves[index])
    assert merkle.root_from_inclusion(leaf, index, len(leaves), path) == oracle_root(leaves)


def test_inclusion_refuses_every_other_index_length_or_hash() -> None:
    leaves = [bytes([i]) for i in range(13)]
    expected = merkle.root(leaves)
    for index in range(13):
        leaf = merkle.leaf_hash(leaves[index])
        path = merkle.inclusion_path(leaves, index)
        # Of one size only: a path may fit another index of another size, so sizes must come from
        # headers.
        accepted = [
            i for i in range(-1, 14) if merkle.verify_inclusion(leaf, i, 13, path, expected)
        ]
        assert accepted == [index]
        assert not merkle.verify_inclusion(leaf, index, 13, path[:-1], expected)
        assert not merkle.verify_inclusion(leaf, index, 13, [*path, expected], expected)
        for step in range(len(path)):
            changed = [bytes([h[0] ^ 1]) + h[1:] if j == step else h for j, h in enumerate(path)]
            assert not merkle.verify_inclusion(leaf, index, 13, changed, expected)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_an_index_outside_the_tree_is_refused(index: int, size: int) -> None:
    with pytest.raises(merkle.PathInvalid):
        merkle.root_from_inclusion(bytes(32), index, size, [])
    with pytest.raises(IndexError):
        merkle.inclusion_path([b"x"] * size, index)


@given(filled_lists, st.data())
def test_consistency_path_is_the_rfcs_and_verifies(
    leaves: list[bytes], data: st.DataObject
) -> None:
    first = data.draw(st.integers(1, len(leaves)))
    path = merkle.consistency_path(leaves, first)
    assert path == oracle_subproof(first, leaves, True)
    assert merkle.verify_consistency(
        first, len(leaves), oracle_root(leaves[:first]), oracle_root(leaves), path
    )


def test_consistency_refuses_a_rewritten_past() -> None:
    leaves = [bytes([i]) for i in range(11)]
    rewritten = [b"other", *leaves[1:]]
    for first in range(1, 11):
        honest = merkle.consistency_path(leaves, first)
        old, new = merkle.root(leaves[:first]), merkle.root(leaves)
        forged = merkle.root(rewritten)
        assert not merkle.verify_consistency(first, 11, old, forged, honest)
        forged_path = merkle.consistency_path(rewritten, first)
        assert not merkle.verify_consistency(first, 11, old, forged, forged_path)
        assert not merkle.verify_consistency(first, 11, old, new, honest[:-1])
        assert not merkle.verify_consistency(first, 11, old, new, [*honest, new])
        for step in range(len(honest)):
            changed = [bytes([h[0] ^ 1]) + h[1:] if j == step else h for j, h in enumerate(honest)]
            assert not merkle.verify_consistency(first, 11, old, new, changed)


def test_consistency_of_equal_and_impossible_sizes() -> None:
    same = merkle.root([b"a", b"b"])
    assert merkle.verify_consistency(2, 2, same, same, [])
    assert not merkle.verify_consistency(2, 2, same, same, [same])
    assert not merkle.verify_consistency(2, 2, same, bytes(32), [])
    assert not merkle.verify_consistency(0, 2, merkle.EMPTY_ROOT, same, [])
    assert not merkle.verify_consistency(3, 2, same, same, [])
    for first in (0, 3):
        with pytest.raises(IndexError):
            merkle.consistency_path([b"a", b"b"], first)


def test_known_roots_of_certificate_transparency() -> None:
    """The reference tree of transparency-dev/merkle (testonly/constants.go): 0 to 8 leaves."""
    leaves = [
        bytes.fromhex(text)
        for text in (
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        )
    ]
    roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    assert [merkle.root(leaves[:n]).hex() for n in range(9)] == roots
