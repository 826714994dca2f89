"""Giving up old blocks changes nothing that is answered from the base on, whenever it is killed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import proofs, pruning, schema
from ledger.block_files import BlockFiles
from ledger.queries import Pruned
from ledger.recovery import roll_forward
from ledger.storage.interface import Batch
from ledger.storage.memory import MemoryFolder, MemoryStore
from ledger.store import LedgerStore
from ledger.types import Height
from ledger.verification import verify_ledger
from tests.ledger.ledger_world import World, make_genesis
from tests.ledger.snapshots import open_store, said, take
from tests.ledger.test_snapshot import KEYS, busy


def h(n: int) -> Height:
    return Height(n)


def answers(store: LedgerStore, first: int) -> list[object]:
    """At the first height, the last, and one between: each needs a tree of its own."""
    last = store.certified_height
    heights = sorted({first, (first + last) // 2, last})
    return [
        *(said(store, h(n), KEYS) for n in heights),
        *(store.prove_state("kv", key, h(n)) for n in heights for key in KEYS[:2]),
        *(store.prove_header(h(n)) for n in heights),
        list(store.events(h(first))),
    ]


def own_heights(store: LedgerStore) -> list[int]:
    """Heights with a Certificate of their own: those a base may have."""
    heights = range(max(1, store.first_height), store.certified_height + 1)
    return [n for n in heights if store.own_certificate(h(n)) is not None]


class Killed(Exception):
    pass


class KilledStore(MemoryStore):
    """Dies instead of its `left`-th write; None: never."""

    left: int | None = None

    def write(self, batch: Batch, *, sync: bool) -> None:
        if self.left == 0:
            raise Killed
        if self.left is not None:
            self.left -= 1
        super().write(batch, sync=sync)


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    blocks=st.integers(3, 12),
    lifetime_s=st.integers(2, 20),
    data=st.data(),
)
def test_everything_from_the_base_on_is_as_before(
    seed: int, blocks: int, lifetime_s: int, data: st.DataObject
) -> None:
    """Also after a kill at any write, after a second pruning, and made again from the base."""
    world = World(make_genesis(transaction_lifetime_ms=1_000 * lifetime_s))
    kv, folder = KilledStore(), MemoryFolder()
    store = open_store(world.genesis, kv, folder)
    busy(world, store, blocks, seed)
    n = data.draw(st.sampled_from(own_heights(store)), label="base")
    before, source = answers(store, n), take(store, h(n))
    kv.left = data.draw(st.none() | st.integers(0, 3), label="writes before the kill")
    try:
        list(store.prune_to(h(n)))
    except Killed:
        store = open_store(world.genesis, kv.after_power_loss(), folder, source)
        assert answers(store, n) == before
        list(store.prune_to(h(n)))
    kv.left = None
    assert answers(store, n) == before
    check(store, n)
    anew = open_store(world.genesis, None, folder, source)
    list(roll_forward(anew, world.runner))
    assert anew.head == store.head
    if anew.first_height:
        assert answers(anew, n) == before
    # On, and further.
    busy(world, store, 4, seed + 1)
    n = data.draw(st.sampled_from(own_heights(store)), label="second base")
    before, source = answers(store, n), take(store, h(n))
    list(store.prune_to(h(n)))
    assert answers(store, n) == before
    check(store, n)
    # What is kept is what a snapshot of the base gives, and the heights above.
    if n == store.executed_height:
        assert stored_rows(store) == stored_rows(open_store(world.genesis, base=source))


def check(store: LedgerStore, n: int) -> None:
    assert store.first_height == n
    list(verify_ledger(store))
    assert store.state.recomputed_root() == store.head.state_root
    with pytest.raises(Pruned):
        store.header(h(n - 1)) if n > 1 else store.state_at("kv", "k1", h(0))


def stored_rows(store: LedgerStore) -> dict[bytes, bytes]:
    """Its rows, but for those that say how it came to be: undo data, changed keys, bucket roots."""
    own = (schema.UNDO, schema.CHANGED, schema.BUCKET_ROOTS)
    rows = dict(store._kv.iterate())
    names = (schema.META_PRUNED, schema.by_height(schema.IDS, store.executed_height))
    return {k: v for k, v in rows.items() if k[:1] not in own and k not in names}


def test_a_rollback_below_expired_ids_finds_them() -> None:
    """Their block is below the base, so nothing but the ids themselves is left of it."""
    world = World(make_genesis(transaction_lifetime_ms=10_000))
    store = open_store(world.genesis)
    start = world.genesis.created_ms
    signed = world.transaction(("add", ["a", 1]), valid_until_ms=start + 11_000)
    world.advance(store, signed, time_ms=start + 1_000)
    world.advance(store, time_ms=start + 2_000)
    list(store.prune_to(h(2)))
    world.advance(store, time_ms=start + 50_000, certify=False)
    world.advance(store, time_ms=start + 90_000, certify=False)
    assert not store.was_executed(signed.id)
    store.rollback_to(h(2))
    assert store.was_executed(signed.id)


def test_old_rows_and_segments_are_gone() -> None:
    world = World(make_genesis(transaction_lifetime_ms=5_000))
    folder = MemoryFolder()
    store = open_store(world.genesis, folder=folder)
    busy(world, store, 40)
    n = own_heights(store)[-2]
    files, rows = len(folder.names()), len(list(store._kv.iterate()))
    done = list(store.prune_to(h(n)))
    assert done == list(range(n + 1))
    assert len(folder.names()) < files / 2
    assert len(list(store._kv.iterate())) < rows / 2
    for kind in (schema.RESULTS, schema.EVENTFUL):
        heights = [schema.height_of(row) for row, _ in store._kv.iterate(kind, kind + b"\xff")]
        assert all(height >= n for height in heights)
    assert BlockFiles(folder, segment_bytes=1_500).first_height > 1


def test_a_transaction_that_was_given_up_is_not_said_to_be_unknown_meanwhile() -> None:
    world = World()
    store = open_store(world.genesis)
    signed = world.put("k1", 1)
    world.advance(store, signed)
    world.advance(store)
    next(store.prune_to(h(2)))
    with pytest.raises(Pruned):
        store.transaction(signed.id)


def test_batches_are_written_as_they_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH_ROWS", 4)
    world = World(make_genesis(transaction_lifetime_ms=5_000))
    kv = KilledStore()
    store = open_store(world.genesis, kv)
    busy(world, store, 10)
    before = answers(store, store.certified_height)
    n = store.certified_height
    kills = 0
    while True:
        kv.left = 2
        try:
            list(store.prune_to(h(n)))
        except Killed:
            kills += 1
            kv.left = None
            assert answers(store, n) == before
            continue
        break
    assert kills > 3
    assert answers(store, n) == before
    check(store, n)


def test_a_certificate_for_a_pruned_height_still_proves_the_rest() -> None:
    """The history behind the base is left of the header alone, and proofs lead through it."""
    world = World()
    store = open_store(world.genesis)
    for _ in range(11):
        world.advance(store, world.put("k1", 1), certify=False)
    world.advance(store)
    world.advance(store, certify=False)
    for _ in range(4):
        world.advance(store, certify=False)
    world.advance(store)
    list(store.prune_to(h(12)))
    trust = store.trust_anchor(h(0))
    for n in range(12, 19):
        assert proofs.verify(store.prove_header(h(n)), trust).verdict == "valid"
        assert proofs.verify(store.prove_state("kv", "k1", h(n)), trust).verdict == "valid"
    assert store.prove_consistency(h(12), h(18))
