"""A ledger made from a snapshot is the one that was taken, and nothing else passes for one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import canonical, proofs, schema, snapshot, snapshot_take
from ledger.block_files import BlockFiles
from ledger.certificate import CertificateInvalid
from ledger.queries import NotYet, Pruned
from ledger.recovery import roll_forward
from ledger.snapshot import ChunkWrong, Manifest, SnapshotWrong, chunk_name
from ledger.snapshot_take import NotCertified
from ledger.storage.errors import StoreCorrupt
from ledger.storage.memory import MemoryFolder, MemoryStore
from ledger.store import BaseMissing, LedgerStore
from ledger.types import Height
from ledger.verification import verify_ledger
from tests.ledger.ledger_world import START_MS, World, make_genesis
from tests.ledger.snapshots import MemorySource, made_of, open_store, said, take

KEYS = [f"k{i}" for i in range(10)]


def h(n: int) -> Height:
    return Height(n)


def busy(world: World, store: LedgerStore, blocks: int, seed: int = 1) -> None:
    """Random blocks in which keys come, change, go and come back."""
    random = Random(seed)
    for _ in range(blocks):
        transactions = []
        for _ in range(random.randint(0, 4)):
            key = random.choice(KEYS)
            method = random.choice(["put", "put", "add", "delete", "emit", "fail"])
            args = {"put": [key, random.randint(0, 9)], "add": [key, 1], "delete": [key]}
            call = (method, args.get(method, [key, 1]))
            until = START_MS + 1_000 * (store.executed_height + 2)
            transactions.append(world.transaction(call, valid_until_ms=until))
        if random.random() < 0.1:
            store.append_decided(world.null(store.executed_height + 1))
            list(roll_forward(store, world.runner))
            store.save_certificate(world.certify(store))
        else:
            world.advance(store, *transactions, certify=random.random() < 0.7)
    world.advance(store)


@pytest.fixture(scope="module")
def world() -> World:
    return World(make_genesis(transaction_lifetime_ms=400_000))


@pytest.fixture(scope="module")
def store(world: World) -> LedgerStore:
    store = open_store(world.genesis)
    busy(world, store, 12)
    return store


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), blocks=st.integers(0, 12), lifetime_s=st.integers(2, 20))
def test_what_is_restored_is_what_was_taken(seed: int, blocks: int, lifetime_s: int) -> None:
    world = World(make_genesis(transaction_lifetime_ms=1_000 * lifetime_s))
    store = open_store(world.genesis)
    busy(world, store, blocks, seed)
    n = store.certified_height
    source = take(store)
    restored = open_store(world.genesis, base=source)
    assert restored.head == store.head
    assert (restored.first_height, restored.certified_height) == (n, n)
    assert restored.state.root == restored.state.recomputed_root() == store.head.state_root
    assert said(restored, n, KEYS) == said(store, n, KEYS)
    assert take(restored).files == source.files
    for recent in store.recent_headers(store.head):
        for tx_id in store.executed_ids(recent.n):
            assert restored.was_executed(tx_id) == store.was_executed(tx_id)
    # Both go on alike, and prove what they say alike.
    world_again = replace(world)
    busy(world, store, 3, seed + 1)
    busy(world_again, restored, 3, seed + 1)
    assert restored.head == store.head
    for height in range(n, store.certified_height + 1):
        assert said(restored, h(height), KEYS) == said(store, h(height), KEYS)
        assert restored.prove_state("kv", "k1", h(height)) == store.prove_state(
            "kv", "k1", h(height)
        )
    trust = store.trust_anchor(h(0))
    assert proofs.verify(restored.prove_state("kv", "k2", n), trust).verdict in ("valid", "absent")
    assert next(iter(verify_ledger(restored))) == n


@pytest.mark.parametrize("n", [1, 3, 7])
def test_an_older_height_is_taken_from_a_chain_that_went_on(world: World, n: int) -> None:
    world = replace(world)
    store = open_store(world.genesis)
    for _ in range(n):
        world.advance(store, world.put("k1", n), world.put("k2", n), world.put("k3", 1))
    early = take(store)
    for key in KEYS[:3]:
        world.advance(store, world.transaction(("delete", [key])), world.put("new", key))
    world.advance(store, world.put("k2", "again"))
    assert take(store, h(n)).files == early.files


def test_below_its_height_nothing_is_answered(world: World, store: LedgerStore) -> None:
    n = store.certified_height
    restored = open_store(world.genesis, base=take(store))
    for ask in (
        restored.header,
        restored.stored_block,
        restored.stored_results,
        restored.prove_header,
        restored.certificate,
        lambda height: restored.state_at("kv", "k1", height),
        lambda height: list(restored.events(height)),
        lambda height: restored.height_at(store.header(height).time_ms),
    ):
        with pytest.raises(Pruned) as caught:
            ask(h(n - 1))
        assert caught.value.first == n
        assert str(n) in str(caught.value)
    assert restored.header(h(0)) == store.header(h(0))
    assert restored.trust_anchor(h(0)) == store.trust_anchor(h(0))
    with pytest.raises(Pruned):
        snapshot_take.certificate_of(restored, h(n - 1))
    with pytest.raises(NotYet):
        snapshot_take.certificate_of(restored, h(n + 1))


def test_a_lost_database_is_made_again_from_the_base_and_the_blocks(
    world: World, store: LedgerStore
) -> None:
    source, folder = take(store), MemoryFolder()
    world = replace(world)
    first = open_store(world.genesis, folder=folder, base=source)
    busy(world, first, 3, 9)
    again = open_store(world.genesis, folder=folder, base=source)
    list(roll_forward(again, world.runner))
    assert again.head == first.head
    assert again.certified_height == first.certified_height
    with pytest.raises(BaseMissing):
        open_store(world.genesis, folder=folder)


def test_a_database_from_before_the_blocks_is_unusable(world: World, store: LedgerStore) -> None:
    old = MemoryStore()
    open_store(world.genesis, kv=old).close()
    with pytest.raises(StoreCorrupt):
        open_store(world.genesis, kv=old, base=take(store))


def test_a_height_without_its_own_certificate_names_one_that_has(world: World) -> None:
    store = open_store(world.genesis)
    world.advance(store)
    world.advance(store, certify=False)
    world.advance(store)
    with pytest.raises(NotCertified) as caught:
        take(store, h(2))
    assert "1" in caught.value.hint


# What does not pass.


def refused(world: World, source: MemorySource) -> SnapshotWrong:
    """The refusal of `source`; what was written of it by then is no ledger."""
    kv = MemoryStore()
    with pytest.raises(SnapshotWrong) as caught:
        open_store(world.genesis, kv, base=source)
    assert kv.get(schema.META_EXECUTED) is None
    return caught.value


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_changed_byte_anywhere_is_refused(
    world: World, store: LedgerStore, data: st.DataObject
) -> None:
    files = dict(take(store).files)
    name = data.draw(st.sampled_from(sorted(files)))
    place = data.draw(st.integers(0, len(files[name]) - 1))
    changed = bytearray(files[name])
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    files[name] = bytes(changed)
    with pytest.raises((SnapshotWrong, CertificateInvalid)) as caught:
        open_store(world.genesis, base=MemorySource(files))
    if name != snapshot.MANIFEST_NAME:
        assert isinstance(caught.value, ChunkWrong)
        assert chunk_name(caught.value.index) == name


Records = list[list[object]]


def records_of(source: MemorySource) -> tuple[Manifest, Records]:
    manifest = Manifest.decode(source.manifest())
    return manifest, list(snapshot.records(snapshot.chunks_of(manifest, source)))


def first_of(kind: int, records: Records) -> list[object]:
    return next(record for record in records if record[0] == kind)


def alter_value(records: Records) -> None:
    first_of(snapshot.STATE, records)[4] = canonical.encode("a lie")


def drop_value(records: Records) -> None:
    records.pop()


def add_value(records: Records) -> None:
    records.append([snapshot.STATE, "zzz", "more", 1, canonical.encode(1)])


def swap_values(records: Records) -> None:
    records[-1], records[-2] = records[-2], records[-1]


def written_later(records: Records) -> None:
    first_of(snapshot.STATE, records)[3] = 10_000


def drop_frontier(records: Records) -> None:
    records.remove(first_of(snapshot.FRONTIER, records))


def other_frontier(records: Records) -> None:
    record = first_of(snapshot.FRONTIER, records)
    data = record[1]
    assert isinstance(data, bytes)
    record[1] = data[:-1] + bytes([data[-1] ^ 1])


def drop_oldest_header(records: Records) -> None:
    records.remove(first_of(snapshot.HEADER, records))


def drop_newest_header(records: Records) -> None:
    records.remove([record for record in records if record[0] == snapshot.HEADER][-1])


def drop_ids(records: Records) -> None:
    record = next(r for r in records if r[0] == snapshot.HEADER and r[2])
    record[2] = b""


def drop_body(records: Records) -> None:
    records.remove(first_of(snapshot.BODY, records))


def drop_transaction(records: Records) -> None:
    records.remove(first_of(snapshot.TRANSACTION, records))


def drop_result(records: Records) -> None:
    records.remove(first_of(snapshot.RESULT, records))


def other_calls(records: Records) -> None:
    record = first_of(snapshot.RESULT, records)
    entry = canonical.decode(record[1])  # type: ignore[arg-type]
    assert isinstance(entry, list)
    entry[2] = []
    record[1] = canonical.encode(entry)


def unknown_kind(records: Records) -> None:
    records.append([6, b""])


def no_kind(records: Records) -> None:
    records.append([])


@pytest.mark.parametrize(
    "lie",
    [
        alter_value,
        drop_value,
        add_value,
        swap_values,
        written_later,
        drop_frontier,
        other_frontier,
        drop_oldest_header,
        drop_newest_header,
        drop_ids,
        drop_body,
        drop_transaction,
        drop_result,
        other_calls,
        unknown_kind,
        no_kind,
    ],
)
def test_a_lie_with_fitting_hashes_is_refused(world: World, lie: Callable[[Records], None]) -> None:
    """As a server that lies would make it: header and Certificate are true, the chunks are not."""
    world = replace(world)
    store = open_store(world.genesis)
    busy(world, store, 4)
    world.advance(store, world.put("k1", 1), world.put("k2", 2))
    manifest, records = records_of(take(store))
    open_store(world.genesis, base=made_of(records, manifest))
    lie(records)
    refused(world, made_of(records, manifest))


def test_a_header_that_no_quorum_signed_is_refused(world: World, store: LedgerStore) -> None:
    manifest, records = records_of(take(store))
    forged = replace(manifest.header, time_ms=manifest.header.time_ms + 1)
    certificate = replace(manifest.certificate, header_hash=forged.hash)
    source = made_of(records, Manifest(forged, certificate, ()))
    with pytest.raises(CertificateInvalid):
        open_store(world.genesis, base=source)
    refused(world, made_of(records, replace(manifest, header=forged)))
    other = World(make_genesis(window=3))
    refused(other, made_of(records, manifest))


def test_blocks_that_a_newer_snapshot_does_not_reach_are_left_alone(
    world: World, store: LedgerStore
) -> None:
    """A restore that was broken off before the old blocks gave way to it."""
    folder = MemoryFolder()
    world = replace(world)
    behind = LedgerStore(world.genesis, MemoryStore(), BlockFiles(folder))
    world.advance(behind)
    again = open_store(world.genesis, folder=folder, base=take(store))
    assert (again.first_height, again.decided_height) == (0, 1)
