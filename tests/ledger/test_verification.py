"""`db verify` finds one wrong bit wherever it is, names it, and finds nothing where nothing is."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from ledger import schema, state_store
from ledger.block import Body
from ledger.block_files import BlockFiles
from ledger.certificate import Certificate
from ledger.quarantine import Quarantine, Removal
from ledger.storage.memory import MemoryFolder, MemoryStore
from ledger.store import LedgerStore
from ledger.types import Digest, Epoch, Height, Signature
from ledger.verification import LedgerDamaged, Verification, as_it_lies, opened, verify_ledger
from tests.ledger.ledger_world import KEYS, World

BLOCKS = 14

KINDS = "HREIThstvdcup"
"""Every kind of row but the names of the whole."""

SAMPLE = 2
"""Rows of a kind that are spoilt by default; `slow` takes them all."""


def grow(world: World, store: LedgerStore) -> None:
    """Blocks with every kind of row: written, written again, deleted, made anew, and events."""
    for n in range(1, BLOCKS + 1):
        calls = [("put", [f"k{n % 5}", n]), ("emit", ["made", n])]
        if n % 4 == 3:
            calls.append(("delete", [f"k{(n + 2) % 5}"]))
        alone = world.transaction(("add", ["sum", n]))
        world.advance(store, world.transaction(*calls), alone, certify=n % 3 > 0)
    world.apply(store, world.null(BLOCKS + 1))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def store(world: World, monkeypatch: pytest.MonkeyPatch) -> LedgerStore:
    monkeypatch.setattr(state_store, "CHECKPOINT_KEYS", 8)
    store = LedgerStore(world.genesis, MemoryStore(), BlockFiles(MemoryFolder()))
    grow(world, store)
    return store


def again(world: World, store: LedgerStore) -> LedgerStore:
    """The same rows in a store that has nothing of them in memory."""
    return as_it_lies(world.genesis, store._kv, store.block_files)


def flipped(data: bytes, random: Random) -> bytes:
    position = random.randrange(len(data))
    changed = data[position] ^ 1 << random.randrange(8)
    return data[:position] + bytes([changed]) + data[position + 1 :]


def damage(world: World, store: LedgerStore) -> LedgerDamaged:
    """What is found: by opening it already, or by the check."""
    with pytest.raises(LedgerDamaged) as found:
        list(verify_ledger(again(world, store)))
    return found.value


def test_a_right_ledger_holds(world: World, store: LedgerStore) -> None:
    check = Verification(again(world, store))
    assert list(check.blocks()) == list(range(BLOCKS + 2))
    assert check.transactions == 2 * BLOCKS
    assert check.certificates == sum(n % 3 > 0 for n in range(1, BLOCKS + 1)) + 1
    assert sum(check.rows()) == sum(1 for _ in store.rows.iterate())
    assert sorted({row[:1].decode() for row, _ in store.rows.iterate()}) == sorted(KINDS + "M")


def test_so_does_one_that_was_rolled_back(world: World, store: LedgerStore) -> None:
    world.advance(store, world.put("late", 1), world.transaction(("delete", ["k1"])), certify=False)
    world.advance(store, world.put("late", 2), world.put("k1", 3), certify=False)
    store.rollback_to(Height(BLOCKS + 1))
    list(verify_ledger(again(world, store)))


def test_blocks_that_are_not_executed_yet_are_looked_at(world: World, store: LedgerStore) -> None:
    store.append_decided(world.block(BLOCKS + 2, [world.put("z", 1)]))
    assert list(verify_ledger(again(world, store)))[-1] == BLOCKS + 2
    other = world.block(BLOCKS + 3, [world.put("z", 2)])
    assert isinstance(other.body, Body)
    store.append_decided(world.block(BLOCKS + 3), other.body.encode())
    found = damage(world, store)
    assert found.n == BLOCKS + 3
    assert "at byte" in found.where


def test_it_begins_where_the_block_files_begin(world: World) -> None:
    files = BlockFiles(MemoryFolder(), segment_bytes=3_000)
    store = LedgerStore(world.genesis, MemoryStore(), files)
    grow(world, store)
    files.drop_before(Height(9))
    first = store.first_kept_height
    assert 1 < first <= 9
    assert list(verify_ledger(again(world, store))) == list(range(first - 1, BLOCKS + 2))
    for kind in "Hsvt":
        rows = list(store.rows.iterate(kind.encode(), kind.encode() + b"\xff" * 50))
        # Versions that were superseded before are bound to nothing any more.
        row, value = next(r for r in rows[::-1] if kind != "v" or schema.height_of(r[0]) >= first)
        store._kv.write({row: flipped(value, Random(1))}, sync=True)
        damage(world, store)
        store._kv.write({row: value}, sync=True)


@pytest.fixture(params=[SAMPLE, pytest.param(10_000, marks=pytest.mark.slow)], ids=["few", "all"])
def rows_a_kind(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def sample(store: LedgerStore, kind: str, size: int) -> list[tuple[bytes, bytes]]:
    rows = list(store.rows.iterate(kind.encode(), kind.encode() + b"\xff" * 50))
    return Random(kind).sample(rows, min(len(rows), size))


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_in_any_value_is_found(
    world: World, store: LedgerStore, kind: str, rows_a_kind: int
) -> None:
    random = Random(kind)
    for row, value in sample(store, kind, rows_a_kind):
        wrong = flipped(value, random) if value else b"\x00"
        store._kv.write({row: wrong}, sync=True)
        found = damage(world, store)
        assert found.where.startswith(("row", "ledger")), found
        assert "db rebuild" in found.hint
        store._kv.write({row: value}, sync=True)
    list(verify_ledger(again(world, store)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_in_any_key_is_found(
    world: World, store: LedgerStore, kind: str, rows_a_kind: int
) -> None:
    random = Random(kind)
    for row, value in sample(store, kind, rows_a_kind):
        wrong = flipped(row, random)
        while store._kv.get(wrong) is not None:
            wrong = flipped(row, random)
        store._kv.write({row: None, wrong: value}, sync=True)
        found = damage(world, store)
        assert found.where.startswith(("row", "ledger")), found
        store._kv.write({row: value, wrong: None}, sync=True)
    list(verify_ledger(again(world, store)))


@pytest.mark.parametrize("name", [schema.META_EXECUTED, schema.META_CHAIN, schema.META_FORM])
def test_so_is_one_in_what_the_database_says_of_itself(
    world: World, store: LedgerStore, name: bytes
) -> None:
    value = store._kv.get(name)
    assert value is not None
    for bit in range(0, 8 * len(value), 7):
        changed = bytearray(value)
        changed[bit // 8] ^= 1 << bit % 8
        store._kv.write({name: bytes(changed)}, sync=True)
        damage(world, store)
    store._kv.write({name: value}, sync=True)
    list(verify_ledger(again(world, store)))


@pytest.mark.parametrize("row", [b"", b"x", b"H\x00", b"Mother", b"v" + bytes(7), b"T" + bytes(32)])
def test_a_row_of_nobody_is_found(world: World, store: LedgerStore, row: bytes) -> None:
    store._kv.write({row: b"\x00" * 12}, sync=True)
    damage(world, store)


def test_a_version_that_no_block_wrote_is_named(world: World, store: LedgerStore) -> None:
    row, value = next(store.rows.iterate(b"v"))
    foreign = row[:-8] + (schema.height_of(row) + 1).to_bytes(8, "big")
    store._kv.write({foreign: value}, sync=True)
    assert damage(world, store).where == f"row v {row[1:33].hex()} {schema.height_of(foreign)}"


def test_what_stands_beside_a_block_is_checked(world: World, store: LedgerStore) -> None:
    """A quarantine of another block, a quarantine of too few, a forged certificate."""
    block = world.block(BLOCKS + 2, [world.put("z", 1)])
    tx_id = block.transactions[0].id
    store.append_decided(block)
    removal = Removal(Epoch(0), Height(BLOCKS + 2), block.d, tx_id)
    message = removal.signed_bytes(world.genesis.chain_id)
    signatures = tuple((name, KEYS[name].sign(message)) for name in sorted(KEYS)[:3])
    folder = store.block_files._log._folder
    whole = {name: folder.read(name, 0, folder.size(name)) for name in folder.names()}
    for right, quarantine in (
        (True, Quarantine(removal, signatures)),
        (False, Quarantine(removal, signatures[:2])),
        (False, Quarantine(Removal(Epoch(0), Height(1), block.d, tx_id), signatures)),
    ):
        files = BlockFiles(_copied(whole))
        files.append_quarantine(removal.n, tx_id, quarantine.encode())
        spoilt = as_it_lies(world.genesis, store._kv, files)
        if right:
            list(verify_ledger(spoilt))
            continue
        with pytest.raises(LedgerDamaged, match=r"at byte .*quarantine") as found:
            list(verify_ledger(spoilt))
        assert found.value.n == removal.n
    files = BlockFiles(_copied(whole))
    files.append_certificate(
        Certificate(Epoch(0), removal.n, Digest(bytes(32)), _unsigned(signatures))
    )
    with pytest.raises(LedgerDamaged, match=r"at byte .*signature of org0"):
        list(verify_ledger(as_it_lies(world.genesis, store._kv, files)))


def _copied(whole: dict[str, bytes]) -> MemoryFolder:
    folder = MemoryFolder()
    for name, data in whole.items():
        folder.create(name, data)
    return folder


def _unsigned(signatures: tuple[tuple[str, Signature], ...]) -> tuple[tuple[str, Signature], ...]:
    return tuple((name, Signature(b"\x01" + bytes(64))) for name, _ in signatures)


def test_a_flipped_bit_in_any_file_is_found(world: World, tmp_path: Path) -> None:
    """Of the block files at every hundredth byte; of the database's tables and lists at some."""
    store = LedgerStore.open(tmp_path, world.genesis)
    grow(world, store)
    store.close()
    # Opened once more, so that LevelDB has made tables of what was in its log.
    LedgerStore.open(tmp_path, world.genesis).close()
    [segment] = (tmp_path / "blocks").glob("*.log")
    for position in range(0, segment.stat().st_size, 997):
        with _spoilt(segment, position), pytest.raises(LedgerDamaged) as found:
            _check(tmp_path, world)
        assert segment.name in str(found.value)
        assert "`blocks` of another validator" in found.value.hint
    tables = sorted((tmp_path / "ledger").glob("*.ldb"))
    lists = sorted((tmp_path / "ledger").glob("MANIFEST-*"))
    places = [(tables[0], 100), (tables[0], 2000), (lists[0], 9), (tmp_path / "ledger/CURRENT", 3)]
    for number, (path, position) in enumerate(places):
        home = tmp_path / str(number)
        shutil.copytree(tmp_path / "blocks", home / "blocks")
        shutil.copytree(tmp_path / "ledger", home / "ledger")
        with (
            _spoilt(home / path.relative_to(tmp_path), position),
            pytest.raises(LedgerDamaged, match="ledger") as found,
        ):
            _check(home, world)
        assert "db rebuild" in found.value.hint
    _check(tmp_path, world)


def _check(home: Path, world: World) -> None:
    with opened(home, world.genesis) as store:
        list(verify_ledger(store))


@contextlib.contextmanager
def _spoilt(path: Path, position: int) -> Iterator[None]:
    data = path.read_bytes()
    path.write_bytes(data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :])
    yield
    path.write_bytes(data)
