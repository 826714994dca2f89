"""The growing history tree says what `ledger.merkle` says of the whole list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle
from ledger.history import (
    FrontierCorrupt,
    HistoryTree,
    consistency_proof,
    frontier_at,
    inclusion_proof,
)
from ledger.types import Digest

SIZE = 70


class Stored:
    """A history grown to `SIZE` leaves, with its nodes as a database would hold them."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self.nodes: dict[tuple[int, int], Digest] = {}
        self.roots: list[Digest] = []
        tree = HistoryTree()
        for number in range(SIZE):
            self.roots.append(tree.root)
            leaf = number.to_bytes(32, "big")
            for level, index, value in tree.append(leaf):
                assert (level, index) not in self.nodes, "stored nodes are never rewritten"
                self.nodes[level, index] = value
            self.leaves.append(leaf)
        self.roots.append(tree.root)

    def read(self, level: int, index: int) -> Digest:
        return self.nodes[level, index]


STORED = Stored()


def test_every_root_is_that_of_the_whole_list() -> None:
    for size in range(SIZE + 1):
        assert STORED.roots[size] == merkle.root(STORED.leaves[:size])


def test_two_nodes_a_leaf() -> None:
    assert len(STORED.nodes) < 2 * SIZE


@given(st.data())
def test_inclusion(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, SIZE))
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_proof(index, size, STORED.read)
    assert path == merkle.inclusion_path(STORED.leaves[:size], index)


@given(st.data())
def test_consistency(data: st.DataObject) -> None:
    second = data.draw(st.integers(1, SIZE))
    first = data.draw(st.integers(1, second))
    path = consistency_proof(first, second, STORED.read)
    assert path == merkle.consistency_path(STORED.leaves[:second], first)


def test_frontier_survives_storage_and_rewinding() -> None:
    for size in range(SIZE):
        tree = frontier_at(size, STORED.read)
        again = HistoryTree.decode(tree.encode())
        assert again.root == tree.root == STORED.roots[size]
        again.append(STORED.leaves[size])
        assert again.root == STORED.roots[size + 1]


def test_a_copy_grows_apart() -> None:
    tree = frontier_at(5, STORED.read)
    tree.copy().append(b"x" * 32)
    assert (tree.size, tree.root) == (5, STORED.roots[5])


@pytest.mark.parametrize(
    "data", [b"", bytes(7), bytes(7) + b"\x01", bytes(8) + bytes(32), bytes(8) + bytes(31)]
)
def test_a_corrupt_frontier_is_named(data: bytes) -> None:
    with pytest.raises(FrontierCorrupt):
        HistoryTree.decode(data)


def test_sizes_beyond_the_tree_are_refused() -> None:
    for index, size in ((-1, 3), (3, 3)):
        with pytest.raises(IndexError):
            inclusion_proof(index, size, STORED.read)
    for first, second in ((0, 3), (4, 3)):
        with pytest.raises(IndexError):
            consistency_proof(first, second, STORED.read)
