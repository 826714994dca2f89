"""`db verify` finds one wrong bit wherever it is, names it, and finds nothing where nothing is."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from ledger import schema, state_store
from ledger.block import Body
from ledger.block_files import BlockFiles
from ledger.certificate import Certificate
from ledger.quarantine import Quarantine, Removal
from ledger.storage.folder import Folder
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


@pytest.fixture(scope="module")
def grown() -> Iterator[LedgerStore]:
    """A ledger with every kind of row; tests take copies of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state_store, "CHECKPOINT_KEYS", 8)
        world = World()
        store = LedgerStore(world.genesis, MemoryStore(), BlockFiles(MemoryFolder()))
        grow(world, store)
        yield store


@dataclass
class Stored:
    """Rows and files, opened anew for each look."""

    kv: MemoryStore
    folder: MemoryFolder

    def open(self) -> LedgerStore:
        return as_it_lies(World().genesis, self.kv, BlockFiles(copied(self.folder)))

    def damage(self) -> LedgerDamaged:
        """What is found: by opening it already, or by the check."""
        with pytest.raises(LedgerDamaged) as found:
            list(verify_ledger(self.open()))
        return found.value


@pytest.fixture
def stored(grown: LedgerStore) -> Stored:
    kv = MemoryStore()
    kv.write(dict(grown.rows.iterate()), sync=True)
    return Stored(kv, copied(grown.block_files._log._folder))


@pytest.fixture
def world() -> World:
    """Makes other transactions than those that are there."""
    return World(nonce=1_000)


def copied(folder: Folder) -> MemoryFolder:
    copy = MemoryFolder()
    for name in folder.names():
        copy.create(name, folder.read(name, 0, folder.size(name)))
    return copy


def flipped(data: bytes, random: Random) -> bytes:
    position = random.randrange(len(data))
    changed = data[position] ^ 1 << random.randrange(8)
    return data[:position] + bytes([changed]) + data[position + 1 :]


def test_a_right_ledger_holds(stored: Stored) -> None:
    check = Verification(stored.open())
    assert list(check.blocks()) == list(range(BLOCKS + 2))
    assert check.transactions == 2 * BLOCKS
    assert check.certificates == sum(n % 3 > 0 for n in range(1, BLOCKS + 1)) + 1
    rows = [row for row, _ in stored.kv.iterate()]
    assert sum(check.rows()) == check.rows_checked == len(rows)
    assert sorted({row[:1].decode() for row in rows}) == sorted(KINDS + "M")


def test_so_does_one_that_was_rolled_back(stored: Stored, world: World) -> None:
    store = stored.open()
    world.advance(store, world.put("late", 1), world.transaction(("delete", ["k1"])), certify=False)
    world.advance(store, world.put("late", 2), world.put("k1", 3), certify=False)
    store.rollback_to(Height(BLOCKS + 1))
    list(verify_ledger(stored.open()))


def test_blocks_that_are_not_executed_yet_are_looked_at(stored: Stored, world: World) -> None:
    store = stored.open()
    store.append_decided(world.block(BLOCKS + 2, [world.put("z", 1)]))
    assert list(Verification(store).blocks()) == list(range(BLOCKS + 3))
    assert list(verify_ledger(store)) == list(range(BLOCKS + 2))
    other = world.block(BLOCKS + 3, [world.put("z", 2)])
    assert isinstance(other.body, Body)
    store.append_decided(world.block(BLOCKS + 3), other.body.encode())
    with pytest.raises(LedgerDamaged) as found:
        list(verify_ledger(store))
    assert found.value.n == BLOCKS + 3
    assert "at byte" in found.value.where


@pytest.mark.parametrize("base", [1, 9, 13])
def test_it_begins_at_the_base(base: int) -> None:
    world, files = World(), BlockFiles(MemoryFolder(), segment_bytes=3_000)
    store = LedgerStore(world.genesis, MemoryStore(), files)
    grow(world, store)
    list(store.prune_to(Height(base)))
    assert list(verify_ledger(store)) == list(range(base, BLOCKS + 2))
    for kind in "HRhsvtc":
        rows = list(store.rows.iterate(kind.encode(), kind.encode() + b"\xff" * 50))
        row, value = rows[-1]
        store._kv.write({row: flipped(value, Random(1))}, sync=True)
        with pytest.raises(LedgerDamaged):
            list(verify_ledger(as_it_lies(world.genesis, store._kv, files)))
        store._kv.write({row: value}, sync=True)


@pytest.fixture(params=[SAMPLE, pytest.param(10_000, marks=pytest.mark.slow)], ids=["few", "all"])
def rows_a_kind(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def sample(stored: Stored, kind: str, size: int) -> list[tuple[bytes, bytes]]:
    rows = list(stored.kv.iterate(kind.encode(), kind.encode() + b"\xff" * 50))
    return Random(kind).sample(rows, min(len(rows), size))


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_in_any_value_is_found(stored: Stored, kind: str, rows_a_kind: int) -> None:
    random = Random(kind)
    for row, value in sample(stored, kind, rows_a_kind):
        wrong = flipped(value, random) if value else b"\x00"
        stored.kv.write({row: wrong}, sync=True)
        found = stored.damage()
        assert found.where.startswith(("row", "ledger")), found
        assert "db rebuild" in found.hint
        stored.kv.write({row: value}, sync=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_in_any_key_is_found(stored: Stored, kind: str, rows_a_kind: int) -> None:
    random = Random(kind)
    for row, value in sample(stored, kind, rows_a_kind):
        wrong = flipped(row, random)
        while stored.kv.get(wrong) is not None:
            wrong = flipped(row, random)
        stored.kv.write({row: None, wrong: value}, sync=True)
        found = stored.damage()
        assert found.where.startswith(("row", "ledger")), found
        stored.kv.write({row: value, wrong: None}, sync=True)


@pytest.mark.parametrize("name", [schema.META_EXECUTED, schema.META_CHAIN, schema.META_FORM])
def test_so_is_one_in_what_the_database_says_of_itself(stored: Stored, name: bytes) -> None:
    value = stored.kv.get(name)
    assert value is not None
    for bit in range(0, 8 * len(value), 11):
        changed = bytearray(value)
        changed[bit // 8] ^= 1 << bit % 8
        stored.kv.write({name: bytes(changed)}, sync=True)
        stored.damage()
    stored.kv.write({name: value}, sync=True)


@pytest.mark.parametrize("row", [b"", b"x", b"H\x00", b"Mother", b"v" + bytes(7), b"T" + bytes(32)])
def test_a_row_of_nobody_is_found(stored: Stored, row: bytes) -> None:
    stored.kv.write({row: b"\x00" * 12}, sync=True)
    stored.damage()


def test_a_version_that_no_block_wrote_is_named(stored: Stored) -> None:
    row, value = next(stored.kv.iterate(b"v"))
    foreign = row[:-8] + (schema.height_of(row) + 1).to_bytes(8, "big")
    stored.kv.write({foreign: value}, sync=True)
    assert stored.damage().where == f"row v {row[1:33].hex()} {schema.height_of(foreign)}"


def test_what_stands_beside_a_block_is_checked(stored: Stored, world: World) -> None:
    """A quarantine of too few or of another block, a forged certificate."""
    block = world.block(BLOCKS + 2, [world.put("z", 1)])
    tx_id = block.transactions[0].id
    removal = Removal(Epoch(0), block.n, block.d, tx_id)
    message = removal.signed_bytes(world.genesis.chain_id)
    signatures = tuple((name, KEYS[name].sign(message)) for name in sorted(KEYS)[:3])

    def opened_with(quarantine: Quarantine | None, certificate: Certificate | None) -> LedgerStore:
        store = stored.open()
        store.append_decided(block)
        if quarantine is not None:
            store.quarantine(block.n, tx_id, quarantine.encode())
        if certificate is not None:
            store.block_files.append_certificate(certificate)
        return store

    list(verify_ledger(opened_with(Quarantine(removal, signatures), None)))
    for quarantine in (
        Quarantine(removal, signatures[:2]),
        Quarantine(Removal(Epoch(0), Height(1), block.d, tx_id), signatures),
    ):
        with pytest.raises(LedgerDamaged, match=r"at byte .*quarantine") as found:
            list(verify_ledger(opened_with(quarantine, None)))
        assert found.value.n == block.n
    forged = Certificate(Epoch(0), block.n, Digest(bytes(32)), _unsigned(signatures))
    with pytest.raises(LedgerDamaged, match=r"at byte .*signature of org0"):
        list(verify_ledger(opened_with(None, forged)))


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
    for position in range(0, segment.stat().st_size, 1999):
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
