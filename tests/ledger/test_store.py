"""The ledger store: commit, certify, read at heights, prove, roll back, come back after loss."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import canonical, proofs, state_store
from ledger.block_files import (
    BlockDamaged,
    BlockFiles,
    BlockFilesDamaged,
    DecidedTwice,
    OutOfOrder,
)
from ledger.certificate import Certificate
from ledger.queries import NotYet
from ledger.recovery import roll_forward
from ledger.storage.errors import StoreCorrupt, StoreFailed, StoreLocked
from ledger.storage.leveldb import LevelDBStore
from ledger.storage.memory import MemoryFolder, MemoryStore
from ledger.store import BlocksLost, CannotRollBack, HeaderMismatch, LedgerStore, WrongChain
from ledger.types import Digest, Height, Signature
from ledger.verification import LedgerDamaged, verify_ledger
from tests.ledger.ledger_world import START_MS, World, make_genesis


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def store(world: World) -> Iterator[LedgerStore]:
    opened = in_memory(world)
    yield opened
    opened.close()


def in_memory(world: World) -> LedgerStore:
    return LedgerStore(world.genesis, MemoryStore(), BlockFiles(MemoryFolder()))


def h(n: int) -> Height:
    return Height(n)


def busy(world: World, store: LedgerStore, blocks: int, seed: int = 1) -> list[dict[str, int]]:
    """Run random blocks; return the kv contract's integer keys after each height."""
    random = Random(seed)
    states: list[dict[str, int]] = [{}]
    for _ in range(blocks):
        state = dict(states[-1])
        transactions = []
        for _ in range(random.randint(0, 4)):
            key = f"k{random.randint(0, 9)}"
            if random.random() < 0.25:
                transactions.append(world.transaction(("delete", [key])))
                state.pop(key, None)
            else:
                value = random.randint(0, 3)
                transactions.append(world.put(key, value))
                state[key] = value
        world.advance(store, *transactions)
        states.append(state)
    return states


# Reading.


def test_nothing_is_served_before_its_certificate(world: World, store: LedgerStore) -> None:
    signed = world.put("a", 1)
    executed = world.advance(store, signed, certify=False)
    assert (store.executed_height, store.certified_height) == (1, 0)
    assert store.transaction(signed.id) is None
    assert store.versions("kv", "a") == []
    assert list(store.events(h(0))) == []
    for ask in (
        lambda: store.header(h(1)),
        lambda: store.block(h(1)),
        lambda: store.state_at("kv", "a", h(1)),
        lambda: store.prove_state("kv", "a", h(1)),
        lambda: store.prove_consistency(h(1), h(1)),
    ):
        with pytest.raises(NotYet):
            ask()
    store.save_certificate(world.certify(store))
    assert store.certified_height == 1
    assert store.header(h(1)) == executed.header
    assert store.state_at("kv", "a", h(1)) == canonical.encode(1)
    assert store.state_at("kv", "a", h(0)) is None


def test_a_transaction_is_found_with_its_outcome(world: World, store: LedgerStore) -> None:
    world.advance(store, world.put("x", 0))
    signed = world.transaction(("emit", ["made", [1]]), ("fail", []), ("add", ["n", 4]))
    world.advance(store, world.put("y", 0), signed)
    found = store.transaction(signed.id)
    assert found is not None
    assert (found.height, found.index, found.time_ms) == (2, 1, START_MS + 2000)
    assert [(call.status, call.gas, call.result) for call in found.calls] == [
        ("ok", 10, None),
        ("reverted", 5, None),
        ("ok", 10, 4),
    ]
    assert [(event.name, event.data) for event in found.events] == [("made", [1])]
    assert store.transaction_bytes(signed.id) == signed.raw
    assert store.receipt(signed.id) == found.receipt
    assert [result.receipt.index for result in store.results(h(2))] == [0, 1]
    assert store.transaction(Digest(bytes(32))) is None
    assert store.transaction_bytes(Digest(bytes(32))) is None


def test_events_resume_at_a_cursor(world: World, store: LedgerStore) -> None:
    for n in range(1, 5):
        if n == 3:
            world.advance(store)
            continue
        world.advance(
            store,
            world.transaction(("emit", ["a", n]), ("emit", ["b", n])),
            world.transaction(("emit", ["c", n])),
        )
    found = list(store.events(h(0)))
    places = [(event.height, event.index) for event in found]
    assert places == [(n, i) for n in (1, 2, 4) for i in range(3)]
    assert [event.event.name for event in found] == ["a", "b", "c"] * 3
    for i, (height, index) in enumerate(places):
        assert list(store.events(height, index)) == found[i:]
    assert list(store.events(h(0), contract="other")) == []


def test_state_keys_and_versions_at_every_height(world: World, store: LedgerStore) -> None:
    states = busy(world, store, 40)
    for n, state in enumerate(states):
        view = store.state_view(h(n))
        names = sorted(state)
        assert view.keys("kv", "k", 100) == names
        assert store.keys_at("kv", "k", 3, h(n)) == names[:3]
        for i, name in enumerate(names):
            assert store.keys_at("kv", "k", 100, h(n), after=name) == names[i + 1 :]
        for i in range(10):
            value = view.get("kv", f"k{i}")
            assert (None if value is None else canonical.decode(value)) == state.get(f"k{i}")
    for i in range(10):
        changes = [
            (n, state.get(f"k{i}"))
            for n, state in enumerate(states)
            if n and state.get(f"k{i}") != states[n - 1].get(f"k{i}")
        ]
        found = [
            (n, None if value is None else canonical.decode(value))
            for n, value in store.versions("kv", f"k{i}")
        ]
        assert found == changes[::-1]
        assert store.versions("kv", f"k{i}", 2) == store.versions("kv", f"k{i}")[:2]


def test_a_listing_does_not_walk_over_deleted_keys(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody pays for that walk, and it would be as long as the contract's whole past."""
    kv = MemoryStore()
    store = LedgerStore(world.genesis, kv, BlockFiles(MemoryFolder()))
    names = [f"k{i:03d}" for i in range(200)]
    world.advance(store, *[world.put(name, 1) for name in names])
    world.advance(store, *[world.transaction(("delete", [name])) for name in names[:-1]])
    world.advance(store, world.put("k000", 2))
    world.advance(store)
    walked = 0
    iterate = kv.iterate

    def counted(*args: Any, **options: Any) -> Iterator[tuple[bytes, bytes]]:
        nonlocal walked
        for pair in iterate(*args, **options):
            walked += 1
            yield pair

    monkeypatch.setattr(kv, "iterate", counted)
    assert store.state.keys("kv", "k", 100) == ["k000", "k199"]
    assert walked == 2
    monkeypatch.undo()
    assert store.keys_at("kv", "k", 1_000, h(2)) == ["k199"]
    assert store.keys_at("kv", "k", 1_000, h(1)) == names
    store.close()


def test_the_block_at_a_time(world: World, store: LedgerStore) -> None:
    for _ in range(5):
        world.advance(store)
    assert store.height_at(START_MS - 1) is None
    for time_ms, n in ((0, 0), (999, 0), (1000, 1), (4999, 4), (5000, 5), (10**9, 5)):
        assert store.height_at(START_MS + time_ms) == n


def test_names_with_odd_characters_do_not_mix(store: LedgerStore) -> None:
    names = [("a", "\x00b"), ("a\x00", "b"), ("a", ""), ("a\x00\x01", "b"), ("a", "\x01b")]
    change = store.state.change(dict.fromkeys(names, b"\x01"))
    batch: dict[bytes, bytes | None] = {}
    store.state.stage(batch, h(1), dict.fromkeys(names, b"\x01"), change)
    store.state.adopt(batch, h(1), dict.fromkeys(names, b"\x01"), change)
    assert store.state.keys("a", "", 10) == ["", "\x00b", "\x01b"]
    assert store.state.keys("a\x00", "", 10) == ["b"]
    assert store.state.keys("a\x00\x01", "", 10) == ["b"]
    assert store.state.recomputed_root() == store.state.root


# Proving.


@pytest.mark.parametrize("recent", [0, 3], ids=["archived", "recent"])
def test_every_height_is_provable(
    recent: int, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_store, "RECENT_VIEWS", recent)
    monkeypatch.setattr(state_store, "CHECKPOINT_KEYS", 5)
    store = in_memory(world)
    states = busy(world, store, 12)
    trust = store.trust_anchor(h(0))
    for n, state in enumerate(states):
        for key in ("k1", "k2", "k9", "none"):
            verdict = proofs.verify(store.prove_state("kv", key, h(n)), trust)
            if n == 0:
                assert verdict.verdict == "absent"
                continue
            assert verdict.height == n
            assert verdict.verdict == ("valid" if key in state else "absent"), verdict
            assert verdict.value == state.get(key)
    store.close()


def test_a_height_without_its_own_certificate_is_anchored_by_a_later_one(
    world: World, store: LedgerStore
) -> None:
    for n in range(1, 8):
        world.advance(store, world.put("a", n), certify=n in (4, 5))
    trust = store.trust_anchor(h(0))
    assert store.certified_height == 5
    for n in range(1, 6):
        verdict = proofs.verify(store.prove_state("kv", "a", h(n)), trust)
        assert (verdict.verdict, verdict.value) == ("valid", n)
        header = proofs.verify(store.prove_header(h(n)), trust)
        assert (header.verdict, header.height) == ("valid", n)


def test_status_at_a_time_needs_the_next_header(world: World, store: LedgerStore) -> None:
    for status in ("active", "revoked", "active"):
        world.advance(store, world.put("l", {"status": status}))
    trust = store.trust_anchor(h(0))
    for time_ms, expected in ((1000, "valid"), (1999, "valid"), (2000, "revoked")):
        proof = store.prove_state_at_time("kv", "l", START_MS + time_ms)
        assert proofs.verify(proof, trust, at_ms=START_MS + time_ms).verdict == expected
    with pytest.raises(NotYet):
        store.prove_state_at_time("kv", "l", START_MS + 3000)


def test_transactions_and_single_calls_are_provable(world: World, store: LedgerStore) -> None:
    mixed = world.transaction(("put", ["a", 1]), ("fail", []), ("put", ["b", 1]))
    world.advance(store, world.put("x", 1), mixed, world.put("y", 1))
    trust = store.trust_anchor(h(0))
    proof = store.prove_transaction(mixed.id)
    assert proof is not None
    verdict = proofs.verify(proof, trust)
    assert (verdict.verdict, verdict.subject) == ("failed", mixed.id.hex())
    single = store.prove_transaction(mixed.id, 1)
    assert single is not None
    assert proofs.verify(single, trust).claim == "call"
    with pytest.raises(IndexError):
        store.prove_transaction(mixed.id, 3)
    assert store.prove_transaction(Digest(bytes(32))) is None


def test_history_is_consistent_between_any_two_heights(world: World, store: LedgerStore) -> None:
    for _ in range(9):
        world.advance(store)
    trust = store.trust_anchor(h(0))
    for first in range(10):
        for second in range(first, 10):
            proof = store.prove_consistency(h(first), h(second))
            verdict = proofs.verify(proof, trust)
            assert (verdict.verdict, verdict.subject) == ("valid", f"headers {first} to {second}")


# The order of things.


def test_decided_blocks_are_kept_once_and_in_order(world: World, store: LedgerStore) -> None:
    block = world.block(1, [world.put("a", 1)])
    store.append_decided(block)
    store.append_decided(block)
    assert store.decided_height == 1
    assert store.decided_block(h(1)).decode() == block
    with pytest.raises(DecidedTwice):
        store.append_decided(world.null(1))
    with pytest.raises(OutOfOrder):
        store.append_decided(world.null(3))


def test_a_certificate_of_another_header_stops_us(world: World, store: LedgerStore) -> None:
    world.advance(store, world.put("a", 1), certify=False)
    right = world.certify(store)
    wrong = Certificate(right.epoch, right.n, Digest(bytes(32)), right.signatures)
    with pytest.raises(HeaderMismatch):
        store.save_certificate(wrong)
    assert store.certified_height == 0


def test_rolling_back_restores_everything(world: World, store: LedgerStore) -> None:
    busy(world, store, 4)
    world.advance(store, world.put("gone", 1), world.put("kept", 1))
    world.advance(store, world.transaction(("delete", ["gone"])))
    before = dict(store._kv.iterate())
    head = store.head
    signed = world.put("k1", 99)
    delete = [world.transaction(("delete", [key])) for key in ("kept", "new", "gone", "never")]
    for transactions in (
        [signed, world.put("new", 1), world.put("gone", 2), delete[0]],
        [world.put("k1", 98), *delete[1:], world.put("kept", 2)],
        [world.put("gone", 3)],
    ):
        world.advance(store, *transactions, certify=False)
    with pytest.raises(CannotRollBack):
        store.rollback_to(h(5))
    with pytest.raises(CannotRollBack):
        store.rollback_to(h(10))
    store.rollback_to(h(6))
    after = dict(store._kv.iterate())
    # Nodes of the history tree and older undo data do no harm.
    assert {k: v for k, v in after.items() if k[:1] not in b"hu"} == {
        k: v for k, v in before.items() if k[:1] not in b"hu"
    }
    assert (store.head, store.executed_height) == (head, 6)
    assert not store.was_executed(signed.id)
    executed = store.execute(store.decided_block(h(7)).decode(), world.runner)
    store.commit(executed)
    assert executed.header.history_root == store.executed_header(h(7)).history_root
    assert store.state.recomputed_root() == store.state.root == executed.header.state_root


def test_ids_come_back_with_a_rollback(world: World) -> None:
    world.genesis = make_genesis(transaction_lifetime_ms=10_000)
    store = in_memory(world)
    signed = world.transaction(("add", ["a", 1]), valid_until_ms=START_MS + 11_000)
    world.advance(store, signed, time_ms=START_MS + 1000)
    world.advance(store, time_ms=START_MS + 50_000, certify=False)
    world.advance(store, time_ms=START_MS + 90_000, certify=False)
    assert not store.was_executed(signed.id)
    store.rollback_to(h(1))
    assert store.was_executed(signed.id)


# Coming back.


def test_everything_survives_a_restart(world: World, tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path, world.genesis)
    states = busy(world, store, 15)
    signed = world.put("last", 1)
    world.advance(store, signed)
    head, rows = store.head, dict(store._kv.iterate())
    store.close()
    again = LedgerStore.open(tmp_path, world.genesis)
    assert (again.head, again.certified_height, again.rebuilt) == (head, 16, None)
    assert dict(again._kv.iterate()) == rows
    assert again.was_executed(signed.id)
    assert list(roll_forward(again, world.runner)) == []
    trust = again.trust_anchor(h(0))
    for n in (3, 15):
        verdict = proofs.verify(again.prove_state("kv", "k3", h(n)), trust)
        assert verdict.value == states[n].get("k3")
    assert world.advance(again, world.put("k1", 7)).header.n == 17
    assert list(verify_ledger(again)) == list(range(18))
    again.close()


def test_one_process_a_folder(world: World, tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path, world.genesis)
    with pytest.raises(StoreLocked):
        LedgerStore.open(tmp_path, world.genesis)
    store.close()
    LedgerStore.open(tmp_path, world.genesis).close()


def test_the_folder_of_another_chain_is_refused(world: World, tmp_path: Path) -> None:
    LedgerStore.open(tmp_path, world.genesis).close()
    with pytest.raises(WrongChain):
        LedgerStore.open(tmp_path, make_genesis(window=3))
    LedgerStore.open(tmp_path, world.genesis).close()


@pytest.mark.parametrize("loss", ["deleted", "truncated_table", "no_manifest"])
def test_a_lost_database_is_rebuilt_to_the_same_root(
    loss: str, world: World, tmp_path: Path
) -> None:
    store = LedgerStore.open(tmp_path, world.genesis)
    busy(world, store, 12)
    head, rows = store.head, dict(store._kv.iterate())
    store.close()
    LedgerStore.open(tmp_path, world.genesis).close()  # LevelDB's log becomes a table
    folder = tmp_path / "ledger"
    if loss == "deleted":
        shutil.rmtree(folder)
    elif loss == "no_manifest":
        next(folder.glob("MANIFEST-*")).unlink()
    else:
        next(folder.glob("*.ldb")).write_bytes(b"x" * 10)
    again = LedgerStore.open(tmp_path, world.genesis)
    assert (again.rebuilt is None) == (loss == "deleted")
    assert (again.executed_height, again.certified_height) == (0, 0)
    assert list(roll_forward(again, world.runner)) == list(range(1, 13))
    assert (again.head, again.certified_height) == (head, 12)
    assert dict(again._kv.iterate()) == rows
    again.close()


def test_damage_that_opening_does_not_see_is_never_served_and_mended_at_the_next(
    world: World, tmp_path: Path
) -> None:
    """Opening reads few of a table's blocks; whoever reads the spoilt one meets its checksum."""
    store = LedgerStore.open(tmp_path, world.genesis)
    for n in range(1, 31):
        world.advance(store, *[world.put(f"k{n}/{i}", "x" * 400) for i in range(5)])
    head, rows = store.head, dict(store._kv.iterate())
    store.close()
    LedgerStore.open(tmp_path, world.genesis).close()  # LevelDB's log becomes a table
    shutil.copytree(tmp_path / "ledger", tmp_path / "whole")
    name = next(path.name for path in (tmp_path / "whole").glob("*.ldb"))
    size = (tmp_path / "whole" / name).stat().st_size
    for position in range(size // 8, size * 7 // 8, size // 8):
        shutil.rmtree(tmp_path / "ledger")
        shutil.copytree(tmp_path / "whole", tmp_path / "ledger")
        data = bytearray((tmp_path / "ledger" / name).read_bytes())
        data[position] ^= 1
        (tmp_path / "ledger" / name).write_bytes(data)
        store = LedgerStore.open(tmp_path, world.genesis)
        if store.rebuilt is None:
            break
        store.close()
    assert store.rebuilt is None, "opening saw every flip"
    with pytest.raises(StoreCorrupt):
        dict(store._kv.iterate())
    store.close()
    again = LedgerStore.open(tmp_path, world.genesis)
    assert again.rebuilt is not None
    list(roll_forward(again, world.runner))
    assert again.head == head
    assert dict(again._kv.iterate()) == rows
    again.close()
    again = LedgerStore.open(tmp_path, world.genesis)
    assert again.rebuilt is None
    again.close()


def test_a_database_without_its_beginning_is_rebuilt(world: World, tmp_path: Path) -> None:
    """Without CURRENT, LevelDB drops its tables and takes what its last log holds for the whole."""
    store = LedgerStore.open(tmp_path, world.genesis)
    busy(world, store, 5)
    store.close()
    store = LedgerStore.open(tmp_path, world.genesis)  # LevelDB's log becomes a table
    world.advance(store, world.put("later", 1))
    head, rows = store.head, dict(store._kv.iterate())
    store.close()
    (tmp_path / "ledger" / "CURRENT").unlink()
    again = LedgerStore.open(tmp_path, world.genesis)
    assert again.rebuilt is not None
    assert "rows without their genesis" in again.rebuilt
    list(roll_forward(again, world.runner))
    assert again.head == head
    assert dict(again._kv.iterate()) == rows
    again.close()


def test_a_database_that_contradicts_its_head_is_rebuilt(world: World, tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path, world.genesis)
    busy(world, store, 5)
    head = store.head
    row, data = next(store._kv.iterate(b"t", b"u"))
    store._kv.write({row: data[:-1] + bytes([data[-1] ^ 1])}, sync=True)
    store.close()
    again = LedgerStore.open(tmp_path, world.genesis)
    assert again.rebuilt is not None
    assert "root" in again.rebuilt
    list(roll_forward(again, world.runner))
    assert again.head == head
    again.close()


def test_no_proof_is_made_between_the_write_and_the_step_of_the_tree(
    world: World, store: LedgerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    kv, lock = store._kv, store.state._tree.lock
    write = kv.write
    entered: list[bool] = []

    def observed(batch: dict[bytes, bytes | None], *, sync: bool) -> None:
        write(batch, sync=sync)
        other = threading.Thread(target=lambda: entered.append(lock.acquire(blocking=False)))
        other.start()
        other.join()

    monkeypatch.setattr(kv, "write", observed)
    world.advance(store, world.put("a", 1), certify=False)
    store.rollback_to(h(0))
    assert entered == [False, False]


def test_rolling_forward_stops_where_it_would_diverge(world: World, tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path, world.genesis)
    world.advance(store, world.put("a", 1))
    world.advance(store, world.put("b", 2))
    store.close()
    shutil.rmtree(tmp_path / "ledger")
    again = LedgerStore.open(tmp_path, world.genesis)
    again.quarantine(h(2), again.decided_block(h(2)).decode().transactions[0].id, b"")
    with pytest.raises(HeaderMismatch) as stopped:
        list(roll_forward(again, world.runner))
    assert stopped.value.n == 2
    assert again.executed_height == 1
    again.close()


def test_block_files_behind_the_database_are_an_alarm(world: World, tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path, world.genesis)
    busy(world, store, 3)
    store.close()
    shutil.rmtree(tmp_path / "blocks")
    with pytest.raises(BlocksLost):
        LedgerStore.open(tmp_path, world.genesis)


def test_a_flipped_byte_in_the_block_files_is_named(world: World, tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path, world.genesis)
    busy(world, store, 5)
    store.close()
    [path] = (tmp_path / "blocks").glob("*.log")
    whole = path.read_bytes()
    for position in range(60, len(whole), 97):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        with pytest.raises(BlockFilesDamaged, match=path.name) as found:
            LedgerStore.open(tmp_path, world.genesis)
        assert found.value.last <= 5
    path.write_bytes(whole)
    LedgerStore.open(tmp_path, world.genesis).close()


def test_a_block_damaged_while_open_is_named_at_the_read(world: World, tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path, world.genesis)
    busy(world, store, 2)
    [path] = (tmp_path / "blocks").glob("*.log")
    damaged = bytearray(path.read_bytes())
    damaged[130] ^= 1  # in the first record behind the segment's header
    path.write_bytes(damaged)
    with pytest.raises(BlockDamaged, match=r"block 1: .* fails its CRC") as found:
        store.decided_block(h(1))
    assert "`blocks` of another validator" in found.value.hint
    assert store.decided_block(h(2)).n == 2
    store.close()


def test_a_torn_decided_block_was_never_decided(world: World, tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path, world.genesis)
    busy(world, store, 2)
    [path] = (tmp_path / "blocks").glob("*.log")
    size = path.stat().st_size
    block = world.block(3, [world.put("a", 1)])
    store.append_decided(block)
    store.close()
    with path.open("r+b") as file:
        file.truncate(size + 100)
    again = LedgerStore.open(tmp_path, world.genesis)
    assert again.cut_bytes == 100
    assert again.decided_height == 2
    world.apply(again, block)
    again.close()


def test_a_failed_write_leaves_the_block_uncommitted(world: World, tmp_path: Path) -> None:
    class Failing(LevelDBStore):
        fail = False

        def write(self, batch: dict[bytes, bytes | None], *, sync: bool) -> None:  # type: ignore[override]
            assert sync
            if self.fail:
                raise StoreFailed("kv", "Input/output error")
            super().write(batch, sync=sync)

    store = LedgerStore.open(tmp_path, world.genesis, open_store=Failing)
    world.advance(store, world.put("a", 1))
    head = store.head
    Failing.fail = True
    with pytest.raises(StoreFailed):
        world.advance(store, world.put("a", 2))
    assert (store.head, store.executed_height) == (head, 1)
    assert store.state_at("kv", "a", h(1)) == canonical.encode(1)
    store.close()
    again = LedgerStore.open(tmp_path, world.genesis)
    assert list(roll_forward(again, world.runner)) == [2]
    again.close()


# Verifying all of it.


@pytest.mark.parametrize("row", [b"H", b"R", b"s", b"cert"])
def test_verification_names_what_was_altered(row: bytes, world: World, store: LedgerStore) -> None:
    busy(world, store, 8)
    assert list(verify_ledger(store)) == list(range(9))
    if row == b"cert":
        world.advance(store, certify=False)
        right = world.certify(store)
        name, signature = right.signatures[0]
        forged = ((name, Signature(signature[:-1] + b"\x00")), *right.signatures[1:])
        store.save_certificate(Certificate(right.epoch, right.n, right.header_hash, forged))
        with pytest.raises(LedgerDamaged, match=r"signature of org. is not valid"):
            list(verify_ledger(store))
        return
    key, value = next((k, v) for k, v in store._kv.iterate(row, reverse=True) if k[:1] == row)
    if row == b"H":
        # Another header's bytes: right in form, wrong in place.
        value = store._kv.get(b"H" + (3).to_bytes(8, "big")) or b""
    elif row == b"R":
        value = store._kv.get(b"R" + bytes(8)) or b""
        key = next(
            k
            for k, v in store._kv.iterate(b"R", b"S")
            if int.from_bytes(k[1:], "big") and v != value
        )
    else:
        key, value = next((k, v) for k, v in store._kv.iterate(b"s", b"t") if v[8:9] == b"\x01")
        value = value[:-1] + bytes([value[-1] ^ 1])
    store._kv.write({key: value}, sync=True)
    with pytest.raises(LedgerDamaged):
        list(verify_ledger(store))


def test_a_stored_block_must_hash_to_what_was_decided(world: World) -> None:
    blocks = BlockFiles(MemoryFolder())
    store = LedgerStore(world.genesis, MemoryStore(), blocks)
    block = world.block(1, [world.put("a", 1)])
    other = world.block(1, [world.put("a", 2)])
    store.append_decided(block, other.body.encode() if other.body else None)
    with pytest.raises(BlockDamaged):
        store.decided_block(h(1)).decode()


# Crashes.


@settings(max_examples=40)
@given(st.data())
def test_power_loss_at_any_moment_leaves_a_whole_block(data: st.DataObject) -> None:
    world = World()
    folder, kv = MemoryFolder(), MemoryStore()
    store = LedgerStore(world.genesis, kv, BlockFiles(folder, segment_bytes=1500))
    certified = 0
    for _ in range(data.draw(st.integers(1, 4))):
        for _ in range(data.draw(st.integers(0, 4))):
            certify = data.draw(st.booleans())
            world.advance(store, world.put("a", world.nonce), certify=certify)
        step = data.draw(st.sampled_from(["none", "decided"]))
        if step == "decided":
            n = store.executed_height + 1
            store.append_decided(world.block(n, [world.put("b", n)]))
        decided, executed = store.decided_height, store.executed_height
        heads = {n: store.executed_header(h(n)) for n in range(executed + 1)}
        folder = folder.after_power_loss(Random(data.draw(st.integers(0, 2**32))))
        kv = kv.after_power_loss()
        store = LedgerStore(world.genesis, kv, BlockFiles(folder, segment_bytes=1500))
        assert store.executed_height == executed
        assert store.decided_height == decided
        list(roll_forward(store, world.runner))
        assert all(store.executed_header(h(n)) == head for n, head in heads.items())
        assert store.certified_height >= 0
        certified = max(certified, store.certified_height)
        assert list(verify_ledger(store)) == list(range(decided + 1))


def test_readers_in_another_thread_see_certified_blocks_only_and_whole(
    world: World, tmp_path: Path
) -> None:
    store = LedgerStore.open(tmp_path, world.genesis)
    trust = store.trust_anchor(h(0))
    stop = threading.Event()
    wrong: list[object] = []
    checked = 0

    def read() -> None:
        nonlocal checked
        while not stop.is_set():
            n = store.certified_height
            if n == 0:
                continue
            value = store.state_at("kv", "a", n)
            verdict = proofs.verify(store.prove_state("kv", "a", n), trust)
            if value != canonical.encode(int(n)) or verdict.value != n:
                wrong.append((n, value, verdict))
            checked += 1

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for n in range(1, 61):
            world.advance(store, world.put("a", n), *(world.put(f"p{n}/{i}", n) for i in range(8)))
    finally:
        stop.set()
        thread.join()
    assert wrong == []
    assert checked > 0
    store.close()
