"""The state tree against the naive recursive definition of its root."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ledger.errors import FieldError
from ledger.hashing import ZERO_DIGEST
from ledger.state_proof import (
    StateProof,
    StateProofInvalid,
    state_key_hash,
    state_value_hash,
)
from ledger.state_tree import (
    CrownHashesCorrupt,
    ForeignOverlay,
    RecordsWrong,
    StateTree,
    StateTreeView,
)
from ledger.types import Digest


def oracle_root(entries: Mapping[Digest, Digest], depth: int = 0) -> bytes:
    """The definition in the docstring of `ledger.state_proof`, word for word."""
    if not entries:
        return bytes(32)
    if depth >= 16 and len(entries) == 1:
        ((key, value),) = entries.items()
        return sha256(b"\x00" + key + value).digest()
    byte, bit = depth >> 3, 0x80 >> (depth & 7)
    left = {key: value for key, value in entries.items() if not key[byte] & bit}
    right = {key: value for key, value in entries.items() if key[byte] & bit}
    return sha256(b"\x01" + oracle_root(left, depth + 1) + oracle_root(right, depth + 1)).digest()


class MemoryStore:
    """Records in a dict, as a database would give them."""

    def __init__(self) -> None:
        self.entries: dict[Digest, Digest] = {}

    def write(self, changes: Mapping[Digest, Digest | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value

    def load(self, prefix: int, bits: int) -> bytes:
        return b"".join(
            key + self.entries[key]
            for key in sorted(self.entries)
            if int.from_bytes(key, "big") >> (256 - bits) == prefix
        )

    def load_all(self) -> Iterable[tuple[int, bytes]]:
        for index in sorted({int.from_bytes(key[:2], "big") for key in self.entries}):
            yield index, self.load(index, 16)


def spread(*path: int) -> Digest:
    """A key hash with these first bytes."""
    return Digest(bytes(path).ljust(32, b"\x5a"))


# Few buckets and shared prefixes of every length, so that splits, merges and collapses happen.
keys = st.one_of(
    st.builds(
        lambda first, bits, rest: Digest(
            (first << 240 | bits << (240 - 12) | rest).to_bytes(32, "big")
        ),
        st.sampled_from([0, 1, 0x8000, 0xFFFF]),
        st.integers(0, 2**12 - 1),
        st.sampled_from([0, 1, 2**200, 2**228 - 1]),
    ),
    st.binary(min_size=32, max_size=32).map(Digest),
)
values = st.integers(0, 3).map(lambda number: state_value_hash(bytes([number])))
states = st.dictionaries(keys, values, max_size=40)
batches = st.dictionaries(keys, st.one_of(values, st.none()), max_size=20)


def test_the_empty_state_and_the_key_hash() -> None:
    tree = StateTree()
    assert tree.root == ZERO_DIGEST
    assert tree.view().get(state_key_hash("licence", "licence/1")) is None
    assert (
        state_key_hash("licence", "licence/1")
        == sha256(b"qiong/state-key/1\x00\x92\xa7licence\xa9licence/1").digest()
    )


@settings(max_examples=60, deadline=None)
@given(states, st.randoms(use_true_random=False), st.integers(1, 7))
def test_the_root_depends_on_the_set_alone(
    state: dict[Digest, Digest], random: object, batch: int
) -> None:
    expected = oracle_root(state)
    order = list(state)
    random.shuffle(order)  # type: ignore[attr-defined]
    tree = StateTree()
    gone = {spread(0, 0, 9), spread(0, 0, 8), spread(0x80, 0, 0, 7)} - set(state)
    tree.apply(dict.fromkeys(gone, state_value_hash(b"soon deleted")))
    for start in range(0, len(order), batch):
        tree.apply({key: state[key] for key in order[start : start + batch]})
    tree.apply(dict.fromkeys(gone))
    assert tree.root == expected


@settings(max_examples=60, deadline=None)
@given(states, batches, batches)
def test_overlays_mutate_nothing_and_commit_to_what_they_said(
    state: dict[Digest, Digest],
    first: dict[Digest, Digest | None],
    second: dict[Digest, Digest | None],
) -> None:
    tree = StateTree()
    tree.apply(state)
    before = tree.view()
    middle = tree.overlay(first)
    last = middle.overlay(second)
    expected_first = {k: v for k, v in {**state, **first}.items() if v is not None}
    expected_second = {k: v for k, v in {**expected_first, **second}.items() if v is not None}
    assert tree.root == before.root == oracle_root(state)
    assert middle.root == oracle_root(expected_first) == tree.root_after(first)
    assert last.root == oracle_root(expected_second)
    tree.commit(middle)
    tree.commit(last)
    # Three versions at once, the oldest read through two sets of differences.
    for view, expected in ((before, state), (middle, expected_first), (last, expected_second)):
        assert view.root == oracle_root(expected)
        for key in {*state, *first, *second, spread(3, 4)}:
            value = expected.get(key)
            assert view.get(key) == value
            assert view.prove(key).root_from(key, value) == view.root


def test_only_an_overlay_of_the_newest_version_can_be_committed() -> None:
    tree = StateTree()
    change: dict[Digest, Digest | None] = {spread(1): state_value_hash(b"x")}
    stale = tree.overlay(change)
    tree.apply({spread(2): state_value_hash(b"y")})
    with pytest.raises(ForeignOverlay):
        tree.commit(stale)
    with pytest.raises(ForeignOverlay):
        tree.commit(tree.view())
    with pytest.raises(ForeignOverlay):
        StateTree().commit(stale)


class StoredTree(RuleBasedStateMachine):
    """A tree over a store, with a cache too small for it, restarted at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.tree = StateTree(self.store, cached_entries_max=5)
        self.model: dict[Digest, Digest] = {}
        self.saved = self.tree.crown_hashes()
        self.touched: list[Digest] = []
        self.former: list[tuple[StateTreeView, dict[Digest, Digest]]] = []

    @rule(changes=batches)
    def commit(self, changes: dict[Digest, Digest | None]) -> None:
        self.former = [*self.former[-2:], (self.tree.view(), dict(self.model))]
        overlay = self.tree.overlay(changes)
        with self.tree.lock:
            self.store.write(changes)
            self.tree.commit(overlay)
        self.touched.extend(changes)
        for key, value in changes.items():
            if value is None:
                self.model.pop(key, None)
            else:
                self.model[key] = value

    @rule()
    def save_crown_hashes(self) -> None:
        self.saved, self.touched = self.tree.crown_hashes(), []

    @rule()
    def restart_from_records(self) -> None:
        self.tree = StateTree(self.store, cached_entries_max=5)

    @rule()
    def restart_from_crown_hashes(self) -> None:
        self.tree = StateTree.resume(self.store, self.saved, self.touched, cached_entries_max=5)

    @invariant()
    def root_is_the_models(self) -> None:
        assert self.tree.root == oracle_root(self.model)

    @invariant()
    def every_key_proves(self) -> None:
        view = self.tree.view()
        for key in [*self.model, spread(0, 0, 0), spread(0xFF, 0xFF, 0x12)]:
            value = self.model.get(key)
            assert view.get(key) == value
            assert view.prove(key).root_from(key, value) == view.root

    @invariant()
    def former_versions_still_prove(self) -> None:
        for view, model in self.former:
            for key in [*self.model, *model]:
                assert view.prove(key).root_from(key, model.get(key)) == view.root


StoredTree.TestCase.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
TestStoredTree = StoredTree.TestCase


def test_resume_refuses_cut_off_crown_hashes() -> None:
    store = MemoryStore()
    with pytest.raises(CrownHashesCorrupt):
        StateTree.resume(store, StateTree(store).crown_hashes()[:-1], [])


def test_records_that_do_not_have_their_hash_are_found_before_they_are_used() -> None:
    state = {spread(7, 0, n >> 2, n): state_value_hash(bytes([n])) for n in range(64)}
    store = MemoryStore()
    store.write(state)
    hashes = StateTree(store).crown_hashes()
    tree = StateTree.resume(store, hashes, [], cached_entries_max=4)
    kept = spread(7, 0, 0, 0)
    assert tree.view().get(kept) == state[kept]
    changed = spread(7, 0, 0, 1)
    store.entries[changed] = state_value_hash(b"another")
    with pytest.raises(RecordsWrong, match="0700"):
        StateTree.resume(store, hashes, []).view().prove(kept)
    # The crown is known already: it is the bucket, loaded again, that does not fit.
    with pytest.raises(RecordsWrong, match="07000"):
        tree.overlay({changed: None})


def large_tree(count: int) -> tuple[StateTree, dict[Digest, Digest]]:
    """Many entries in four buckets, as ten million would fill all of them."""
    state = {
        Digest(bytes([n & 1, n >> 1 & 1]) + sha256(n.to_bytes(4, "big")).digest()[2:]): (
            state_value_hash(n.to_bytes(4, "big"))
        )
        for n in range(count)
    }
    tree = StateTree()
    tree.apply(state)
    return tree, state


def test_buckets_grow_and_shrink_with_what_they_hold() -> None:
    tree, state = large_tree(1200)
    assert tree.root == oracle_root(state)
    for keep in (600, 40, 3, 0):
        gone = list(state)[keep:]
        tree.apply(dict.fromkeys(gone))
        for key in gone:
            del state[key]
        assert tree.root == oracle_root(state)


def presence_and_absence() -> list[tuple[str, Digest, Digest | None, StateProof, Digest]]:
    tree, state = large_tree(64)
    root = tree.root
    present = next(iter(state))
    other = Digest(present[:31] + bytes([present[31] ^ 1]))
    empty = spread(0x77, 0x77)
    lone = StateTree()
    lone.apply({present: state[present]})
    return [
        ("present", present, state[present], tree.view().prove(present), root),
        ("absent: another entry", other, None, tree.view().prove(other), root),
        ("absent: empty slot", empty, None, tree.view().prove(empty), root),
        ("alone", present, state[present], lone.view().prove(present), lone.root),
        ("absent beside one", empty, None, lone.view().prove(empty), lone.root),
        ("absent in nothing", empty, None, StateTree().view().prove(empty), ZERO_DIGEST),
    ]


CASES = presence_and_absence()


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_no_bit_of_a_proof_is_unchecked(
    case: tuple[str, Digest, Digest | None, StateProof, Digest],
) -> None:
    _, key, value, proof, root = case
    assert proof.root_from(key, value) == root
    for changed in single_bit_changes(proof):
        assert not leads_to(changed, key, value, root)
    for longer in (
        StateProof(proof.bitmap + b"\x00", proof.siblings, proof.other),
        StateProof(proof.bitmap + b"\x80", proof.siblings + bytes(32), proof.other),
        StateProof(proof.bitmap, proof.siblings + bytes(32), proof.other),
        StateProof(proof.bitmap, proof.siblings + b"\x00", proof.other),
    ):
        assert not leads_to(longer, key, value, root)


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_a_proof_speaks_for_one_claim_only(
    case: tuple[str, Digest, Digest | None, StateProof, Digest],
) -> None:
    _, key, value, proof, root = case
    opposite = state_value_hash(b"forged") if value is None else None
    assert not leads_to(proof, key, opposite, root)
    assert not leads_to(proof, key, state_value_hash(b"other value"), root)
    if value is not None:
        swapped = Digest(key[:31] + bytes([key[31] ^ 1]))
        assert not leads_to(proof, swapped, value, root)


def single_bit_changes(proof: StateProof) -> Iterable[StateProof]:
    other = b"" if proof.other is None else proof.other[0] + proof.other[1]
    parts = (proof.bitmap, proof.siblings, other)
    for part, data in enumerate(parts):
        for bit in range(len(data) * 8):
            flipped = bytearray(data)
            flipped[bit >> 3] ^= 1 << (bit & 7)
            changed = [bytes(flipped) if i == part else parts[i] for i in range(3)]
            pair = (Digest(changed[2][:32]), Digest(changed[2][32:])) if other else None
            yield StateProof(changed[0], changed[1], pair)


def leads_to(proof: StateProof, key: Digest, value: Digest | None, root: Digest) -> bool:
    try:
        return proof.root_from(key, value) == root
    except StateProofInvalid:
        return False


@given(st.data())
def test_the_array_form_reads_back_and_refuses_others(data: st.DataObject) -> None:
    proof = data.draw(st.sampled_from([case[3] for case in CASES]))
    assert StateProof.from_value(proof.to_value()) == proof
    for bad in (None, [], [b""], [b"", b"", bytes(32)], [b"", b"", b"", b""], ["", b""]):
        with pytest.raises(FieldError):
            StateProof.from_value(bad)


def test_an_other_entry_off_the_way_is_refused() -> None:
    """Refused as such, so that absence does not hang on how the tree was built."""
    key, value = spread(1, 2, 3), state_value_hash(b"x")
    for off_the_way in (key, spread(1, 3, 3), spread(0x81, 2, 3)):
        with pytest.raises(StateProofInvalid):
            StateProof(b"", b"", (off_the_way, value)).root_from(key, None)
    assert StateProof(b"", b"", (spread(1, 2, 4), value)).root_from(key, None)


def test_another_entry_beside_a_present_one_is_refused() -> None:
    _, key, value, proof, root = CASES[0]
    surplus = StateProof(proof.bitmap, proof.siblings, (spread(1), state_value_hash(b"x")))
    assert not leads_to(surplus, key, value, root)
