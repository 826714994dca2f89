"""One suite for every `KeyValueStore`: what the protocol promises, LevelDB and memory must keep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.storage.errors import StoreCorrupt, StoreFailed, StoreFull, StoreLocked
from ledger.storage.interface import KeyValueStore, prefix_stop
from ledger.storage.leveldb import LevelDBStore, destroy
from ledger.storage.memory import MemoryStore

Reopen = Callable[[KeyValueStore], KeyValueStore]


@pytest.fixture(params=["leveldb", "memory"])
def opened(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[KeyValueStore, Reopen]]:
    """A fresh store, and how a restart finds it again."""
    if request.param == "memory":
        yield MemoryStore(), lambda store: store
        return
    stores = [LevelDBStore(tmp_path / "kv")]

    def reopen(old: KeyValueStore) -> KeyValueStore:
        old.close()
        stores.append(LevelDBStore(tmp_path / "kv"))
        return stores[-1]

    yield stores[0], reopen
    for store in stores:
        store.close()


def test_a_batch_puts_and_deletes(opened: tuple[KeyValueStore, Reopen]) -> None:
    store, reopen = opened
    store.write({b"a": b"1", b"b": b"2", b"c": b""}, sync=True)
    store.write({b"b": None, b"absent": None}, sync=True)
    for restarted in (False, True):
        current = reopen(store) if restarted else store
        assert current.get(b"a") == b"1"
        assert current.get(b"b") is None
        assert current.get(b"c") == b""


def test_iteration_is_ordered_bounded_and_half_open(opened: tuple[KeyValueStore, Reopen]) -> None:
    store, _ = opened
    store.write({b"e": b"5", b"a": b"1", b"\xff": b"255", b"c": b"3"}, sync=False)
    assert list(store.iterate()) == [(b"a", b"1"), (b"c", b"3"), (b"e", b"5"), (b"\xff", b"255")]
    assert list(store.iterate(b"a", b"e")) == [(b"a", b"1"), (b"c", b"3")]
    assert list(store.iterate(b"b")) == [(b"c", b"3"), (b"e", b"5"), (b"\xff", b"255")]
    assert list(store.iterate(reverse=True, limit=2)) == [(b"\xff", b"255"), (b"e", b"5")]
    assert list(store.iterate(b"a", b"e", reverse=True, limit=1)) == [(b"c", b"3")]
    for first in (b"a", b"b", b"c"):
        expected = [(key, value) for key, value in ((b"c", b"3"), (b"a", b"1")) if key >= first]
        assert list(store.iterate(first, b"e", reverse=True)) == expected
    assert list(store.iterate(limit=0)) == []
    assert list(store.iterate(b"c", b"c")) == []


def test_iterations_and_snapshots_do_not_see_later_writes(
    opened: tuple[KeyValueStore, Reopen],
) -> None:
    store, _ = opened
    store.write({b"a": b"1", b"b": b"2"}, sync=False)
    iteration = store.iterate()
    with store.snapshot() as snapshot:
        store.write({b"a": b"changed", b"b": None, b"c": b"3"}, sync=False)
        assert list(iteration) == [(b"a", b"1"), (b"b", b"2")]
        assert snapshot.get(b"a") == b"1"
        assert snapshot.get(b"c") is None
        assert list(snapshot.iterate(reverse=True)) == [(b"b", b"2"), (b"a", b"1")]
    assert list(store.iterate()) == [(b"a", b"changed"), (b"c", b"3")]


@given(
    batches=st.lists(
        st.dictionaries(st.binary(max_size=3), st.none() | st.binary(max_size=3), max_size=8),
        max_size=8,
    ),
    start=st.binary(max_size=3),
    stop=st.none() | st.binary(max_size=3),
    reverse=st.booleans(),
)
def test_both_stores_agree(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[dict[bytes, bytes | None]],
    start: bytes,
    stop: bytes | None,
    reverse: bool,
) -> None:
    disk = LevelDBStore(tmp_path_factory.mktemp("kv"))
    memory = MemoryStore()
    try:
        for batch in batches:
            disk.write(batch, sync=False)
            memory.write(batch, sync=False)
        found = list(disk.iterate(start, stop, reverse=reverse))
        assert found == list(memory.iterate(start, stop, reverse=reverse))
    finally:
        disk.close()


def test_power_loss_takes_unsynced_batches_from_the_end_only() -> None:
    store = MemoryStore()
    store.write({b"a": b"1"}, sync=False)
    store.write({b"b": b"2"}, sync=True)
    store.write({b"a": None, b"c": b"3"}, sync=False)
    survived = store.after_power_loss()
    assert list(survived.iterate()) == [(b"a", b"1"), (b"b", b"2")]


@pytest.mark.parametrize(
    ("prefix", "stop"),
    [(b"a", b"b"), (b"a\xff", b"b"), (b"\xff\xff", None), (b"", None), (b"ab\x00", b"ab\x01")],
)
def test_prefix_stop(prefix: bytes, stop: bytes | None) -> None:
    assert prefix_stop(prefix) == stop


def test_a_second_opener_is_refused(tmp_path: Path) -> None:
    store = LevelDBStore(tmp_path / "kv")
    try:
        with pytest.raises(StoreLocked) as refused:
            LevelDBStore(tmp_path / "kv")
        assert "already runs" in refused.value.hint
        elsewhere = f"""
from pathlib import Path
from ledger.storage.errors import StoreLocked
from ledger.storage.leveldb import LevelDBStore
try:
    LevelDBStore(Path({str(tmp_path / "kv")!r}))
except StoreLocked:
    raise SystemExit(7)
"""
        assert subprocess.run([sys.executable, "-c", elsewhere], check=False).returncode == 7
    finally:
        store.close()


def test_kill_keeps_every_synced_batch_and_no_half_batch(tmp_path: Path) -> None:
    writer = f"""
import itertools, sys
from pathlib import Path
from ledger.storage.leveldb import LevelDBStore
store = LevelDBStore(Path({str(tmp_path / "kv")!r}))
for i in itertools.count(1):
    number = i.to_bytes(8, "big")
    store.write({{b"left": number, b"pad": bytes(5000), b"right": number}}, sync=True)
    sys.stdout.write(f"{{i}}\\n")
    sys.stdout.flush()
"""
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", writer], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        acknowledged = [int(child.stdout.readline()) for _ in range(20)][-1]
        os.kill(child.pid, signal.SIGKILL)
        acknowledged = max([acknowledged, *(int(line) for line in child.stdout if line.strip())])
        child.stdout.close()
        child.wait()
        store = LevelDBStore(tmp_path / "kv")
        left, right = store.get(b"left"), store.get(b"right")
        store.close()
        assert left is not None
        assert left == right
        assert int.from_bytes(left, "big") >= acknowledged


def _table_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.ldb"))


def _store_with_a_table(folder: Path) -> None:
    store = LevelDBStore(folder)
    store.write({i.to_bytes(4, "big"): bytes([i % 251]) * 200 for i in range(5000)}, sync=True)
    store.close()
    LevelDBStore(folder).close()  # opening again turns the log into a table


def test_a_flipped_byte_is_an_error_and_never_a_value(tmp_path: Path) -> None:
    _store_with_a_table(tmp_path / "kv")
    table = _table_files(tmp_path / "kv")[0]
    content = bytearray(table.read_bytes())
    content[len(content) // 3] ^= 0x40
    table.write_bytes(content)
    store = LevelDBStore(tmp_path / "kv")
    try:
        with pytest.raises(StoreCorrupt):
            list(store.iterate())
        wrong = 0
        for i in range(5000):
            try:
                assert store.get(i.to_bytes(4, "big")) == bytes([i % 251]) * 200
            except StoreCorrupt:
                wrong += 1
        assert wrong > 0
    finally:
        store.close()


@pytest.mark.parametrize("victim", ["table", "manifest", "current"])
def test_missing_files_are_corruption(tmp_path: Path, victim: str) -> None:
    folder = tmp_path / "kv"
    _store_with_a_table(folder)
    paths = {
        "table": _table_files(folder)[0],
        "manifest": next(folder.glob("MANIFEST-*")),
        "current": folder / "CURRENT",
    }
    if victim == "current":
        paths[victim].write_bytes(b"nonsense")
    else:
        paths[victim].unlink()
    with pytest.raises(StoreCorrupt):
        LevelDBStore(folder)
    destroy(folder)
    store = LevelDBStore(folder)
    assert list(store.iterate()) == []
    store.close()


def test_a_path_that_cannot_be_a_folder_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreFailed):
        LevelDBStore(tmp_path / "file")


class _FullBatch:
    """Stands for LevelDB's batch on a full disk, which no small test can fill."""

    def __enter__(self) -> _FullBatch:
        return self

    def __exit__(self, *exc: object) -> None:
        raise OSError(b"IO error: /kv/000003.log: No space left on device")

    def put(self, key: bytes, value: bytes) -> None:
        pass


class _FullDatabase:
    def write_batch(self, *, sync: bool) -> _FullBatch:
        return _FullBatch()


def test_after_a_failed_write_nothing_more_is_accepted(tmp_path: Path) -> None:
    store = LevelDBStore(tmp_path / "kv")
    database = store._db
    store._db = _FullDatabase()
    with pytest.raises(StoreFull):
        store.write({b"a": b"1"}, sync=True)
    store._db = database
    with pytest.raises(StoreFailed, match="earlier write failed"):
        store.write({b"a": b"1"}, sync=True)
    assert store.get(b"a") is None
    store.close()


def test_compaction_changes_nothing_that_is_read(opened: tuple[KeyValueStore, Reopen]) -> None:
    store, reopen = opened
    rows = {b"R%04d" % n: os.urandom(2_000) for n in range(2_000)}
    store.write(rows, sync=False)
    store.write(dict.fromkeys(list(rows)[:-10]), sync=True)
    before = list(store.iterate())
    store.compact()
    assert list(store.iterate()) == before
    assert list(reopen(store).iterate()) == before


def test_compaction_gives_the_disk_back(tmp_path: Path) -> None:
    store = LevelDBStore(tmp_path)

    def size() -> int:
        return sum(path.stat().st_size for path in tmp_path.iterdir())

    for start in range(0, 40_000, 4_000):
        rows = {b"R%06d" % n: os.urandom(1_000) for n in range(start, start + 4_000)}
        store.write(rows, sync=False)
    full = size()
    store.write({b"R%06d" % n: None for n in range(39_000)}, sync=True)
    assert size() > full / 2
    store.compact()
    store.close()
    assert size() < full / 10
