"""One proof of many keys against the naive definition of the root, and against every small lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.hashing import ZERO_DIGEST
from ledger.state_multiproof import (
    BOTH,
    EMPTY,
    LEAF,
    LONE,
    Asked,
    StateMultiProof,
    merge_proofs,
)
from ledger.state_proof import StateProofInvalid, state_value_hash
from ledger.state_tree import StateTree
from ledger.types import Digest
from tests.ledger.test_state_tree import keys, oracle_root, spread, states


def prove(
    state: Mapping[Digest, Digest], wanted: set[Digest]
) -> tuple[list[Asked], StateMultiProof]:
    """What a node would answer of `wanted` in `state`."""
    tree = StateTree()
    tree.apply(state)
    view = tree.view()
    asked = [Asked(key, state.get(key)) for key in sorted(wanted)]
    return asked, merge_proofs([(each, view.prove(each.key_hash)) for each in asked])


@st.composite
def questions(draw: st.DrawFn) -> tuple[dict[Digest, Digest], set[Digest]]:
    """A state, and keys of it and others."""
    state = draw(states)
    present = draw(st.sets(st.sampled_from(sorted(state)), max_size=12)) if state else set()
    wanted = present | draw(st.sets(keys, max_size=8))
    return state, wanted or {spread(1)}


@given(questions())
def test_it_leads_to_the_root(question: tuple[dict[Digest, Digest], set[Digest]]) -> None:
    state, wanted = question
    asked, proof = prove(state, wanted)
    assert proof.root_from(asked) == oracle_root(state)
    assert StateMultiProof.from_value(proof.to_value()) == proof


@given(questions(), st.data())
def test_no_other_answer_leads_to_the_root(
    question: tuple[dict[Digest, Digest], set[Digest]], data: st.DataObject
) -> None:
    """A value changed, added or taken away, one key of many."""
    state, wanted = question
    asked, proof = prove(state, wanted)
    place = data.draw(st.integers(0, len(asked) - 1))
    lie = data.draw(st.sampled_from([None, state_value_hash(b"lie")]))
    if asked[place].value_hash == lie:
        return
    asked[place] = replace(asked[place], value_hash=lie)
    assert leads_to(proof, asked) != oracle_root(state)


@given(questions(), st.data())
def test_no_mark_and_no_hash_is_unchecked(
    question: tuple[dict[Digest, Digest], set[Digest]], data: st.DataObject
) -> None:
    state, wanted = question
    asked, proof = prove(state, wanted)
    shape, hashes = bytearray(proof.shape), bytearray(proof.hashes)
    changed = data.draw(st.sampled_from([shape, hashes] if hashes else [shape]))
    place = data.draw(st.integers(0, len(changed) - 1))
    match data.draw(st.sampled_from(["change", "cut", "add"])):
        case "change":
            changed[place] ^= data.draw(st.integers(1, 3 if changed is shape else 255))
        case "cut":
            del changed[place:]
        case _:
            changed += b"\x00" if changed is shape else bytes(32)
    forged = StateMultiProof(bytes(shape), bytes(hashes))
    assert leads_to(forged, asked) != oracle_root(state)


def leads_to(proof: StateMultiProof, asked: list[Asked]) -> Digest | None:
    try:
        return proof.root_from(asked)
    except StateProofInvalid:
        return None


def test_nodes_are_shared() -> None:
    state = {spread(n, 7 * n % 256): state_value_hash(b"%d" % n) for n in range(200)}
    tree = StateTree()
    tree.apply(state)
    wanted = sorted(state)[::2]
    asked = [Asked(key, state[key]) for key in wanted]
    singles = [(each, tree.view().prove(each.key_hash)) for each in asked]
    together = merge_proofs(singles)
    apart = sum(len(proof.siblings) for _, proof in singles)
    assert together.root_from(asked) == tree.root
    assert len(together.hashes) < apart / 2


def test_an_empty_state_and_the_leaf_of_another() -> None:
    asked, proof = prove({}, {spread(1), spread(2)})
    assert (proof, proof.root_from(asked)) == (StateMultiProof(bytes([EMPTY]), b""), ZERO_DIGEST)
    other = spread(1, 2, 3)
    asked, proof = prove({other: state_value_hash(b"x")}, {spread(1, 2, 4), spread(1, 2, 5)})
    assert proof.hashes == other + state_value_hash(b"x"), "one leaf shows both to be absent"
    assert set(proof.shape) == {LONE, LEAF}


KEY, TWIN = spread(1, 2, 3), spread(1, 2, 4)
VALUE = state_value_hash(b"x")
PRESENT, ABSENT = Asked(KEY, VALUE), Asked(TWIN, None)
HIGHEST = Asked(Digest(b"\xff" * 32), None)
DOWN = bytes([LONE] * 16)


@pytest.mark.parametrize(
    ("asked", "shape", "hashes", "reason"),
    [
        ([], bytes([EMPTY]), b"", "not in order"),
        ([ABSENT, PRESENT], bytes([EMPTY]), b"", "not in order"),
        ([ABSENT, ABSENT], bytes([EMPTY]), b"", "not in order"),
        ([PRESENT], bytes([EMPTY]), b"", "a present entry in an empty subtree"),
        ([PRESENT], bytes([LEAF]), b"", "above the buckets"),
        ([PRESENT], bytes([9]), b"", "no mark"),
        ([PRESENT], DOWN, b"", "fewer marks"),
        ([PRESENT], DOWN + bytes([LEAF, LEAF]), b"", "more marks or hashes"),
        ([PRESENT], DOWN + bytes([LEAF]), bytes(32), "more marks or hashes"),
        ([PRESENT, replace(ABSENT, value_hash=VALUE)], DOWN + bytes([LEAF]), b"", "two entries"),
        ([ABSENT], DOWN + bytes([LEAF]), TWIN + VALUE, "the key itself"),
        ([ABSENT], DOWN + bytes([LEAF]), spread(1, 3) + VALUE, "not on the key's way"),
        ([ABSENT], DOWN + bytes([LEAF]), KEY, "fewer hashes"),
        ([ABSENT], bytes([LONE, EMPTY]), b"", "two empty children"),
        ([ABSENT], bytes([BOTH, EMPTY]), bytes(32), "an empty sibling"),
        ([ABSENT, HIGHEST], bytes([LONE, EMPTY, EMPTY]), b"", "empty child that holds"),
        ([ABSENT], bytes([LONE] * 257), b"", "below the last bit"),
    ],
)
def test_forms_that_no_state_has(
    asked: list[Asked], shape: bytes, hashes: bytes, reason: str
) -> None:
    with pytest.raises(StateProofInvalid, match=reason):
        StateMultiProof(shape, hashes).root_from(asked)


def test_one_leaf_answers_for_a_present_and_an_absent_key() -> None:
    asked, proof = prove({KEY: VALUE}, {KEY, TWIN})
    assert (proof.shape, proof.hashes) == (DOWN + bytes([LEAF]), b"")
    assert proof.root_from(asked) == oracle_root({KEY: VALUE})
