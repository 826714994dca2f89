"""A snapshot is taken over whole or not at all, wherever the restore is broken off."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ledger import canonical, snapshot
from ledger.recovery import roll_forward
from ledger.snapshot import ChunkWrong, FolderSource, SnapshotWrong
from ledger.store import BASE_FOLDER, LedgerStore
from ledger.trust import TrustAnchor
from ledger.types import Height
from ledger.verification import verify_ledger
from node.home import Home
from node.restore import FETCH_FOLDER, NEW_LEDGER, OLD_BLOCKS, OLD_LEDGER, NothingToGain, Restore
from tests.ledger.ledger_world import ToyRunner, World, make_genesis
from tests.ledger.snapshots import MemorySource, made_of, take
from tests.node.snapshot_home import (
    chain,
    chunk_count,
    folder_with,
    head_of,
    home_with,
    snapshot_of,
)

HEIGHT = 9


class BrokenOff(Exception):
    pass


@dataclass
class Counting:
    """A source that counts what is asked for, and breaks off before chunk `fails_at`."""

    source: FolderSource
    fails_at: int | None = None
    asked: list[int] = field(default_factory=list)

    def manifest(self) -> bytes:
        return self.source.manifest()

    def chunk(self, index: int) -> bytes:
        if index == self.fails_at:
            raise BrokenOff
        self.asked.append(index)
        return self.source.chunk(index)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "CHUNK_BYTES", 500)


@pytest.fixture
def made(small_chunks: None) -> tuple[World, LedgerStore]:
    return chain(HEIGHT + 3)


@pytest.fixture
def world(made: tuple[World, LedgerStore]) -> World:
    return made[0]


@pytest.fixture
def truth(made: tuple[World, LedgerStore]) -> LedgerStore:
    return made[1]


@pytest.fixture
def source(truth: LedgerStore, tmp_path: Path) -> FolderSource:
    made = snapshot_of(tmp_path / "snapshot", truth, HEIGHT)
    assert chunk_count(made) > 4
    return made


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "node")
    place.root.mkdir()
    return place


def restore(
    home: Home, world: World, source: snapshot.SnapshotSource, trust: TrustAnchor | None = None
) -> list[Path]:
    with Restore(home, world.genesis, source, trust) as work:
        assert len(list(work.fetch())) == work.total
        assert list(work.check()) == list(range(1, work.total + 1))
        return work.replace()


def entries(home: Home) -> set[str]:
    return {entry.name for entry in home.root.iterdir()}


def restored(truth: LedgerStore) -> tuple[int, int, bytes]:
    return HEIGHT, HEIGHT, truth.header(Height(HEIGHT)).hash


def test_an_empty_home_begins_at_the_snapshot_and_follows(
    home: Home, world: World, truth: LedgerStore, source: FolderSource
) -> None:
    trust = truth.trust_anchor(Height(2))
    assert restore(home, world, source, trust) == []
    assert head_of(home, world.genesis) == restored(truth)
    assert not {FETCH_FOLDER, NEW_LEDGER} & entries(home)
    store = LedgerStore.open(home.root, world.genesis)
    assert store.rebuilt is None
    for n in range(HEIGHT + 1, HEIGHT + 4):
        world.apply(store, truth.decided_block(Height(n)).decode())
    assert store.head == truth.head
    list(verify_ledger(store))
    store.close()
    # A lost database is made again from what the home holds.
    (home.ledger / "CURRENT").unlink()
    store = LedgerStore.open(home.root, world.genesis)
    assert store.rebuilt is not None
    list(roll_forward(store, ToyRunner()))
    assert store.head == truth.head
    store.close()


def test_a_home_that_lags_keeps_its_votes_and_its_former_parts(
    home: Home, world: World, truth: LedgerStore, source: FolderSource, tmp_path: Path
) -> None:
    place = home_with(tmp_path / "behind", world, truth, 4)
    place.wal.mkdir()
    (place.wal / "votes").write_bytes(b"kept")
    kept = restore(place, world, source)
    assert kept == [place.root / OLD_BLOCKS, place.root / OLD_LEDGER]
    assert head_of(place, world.genesis) == restored(truth)
    assert (place.wal / "votes").read_bytes() == b"kept"
    with pytest.raises(NothingToGain):
        Restore(place, world.genesis, source, None)
    newer = snapshot_of(tmp_path / "newer", truth, HEIGHT + 2)
    restore(place, world, newer)
    assert head_of(place, world.genesis)[0] == HEIGHT + 2
    assert len(list((place.root / BASE_FOLDER).iterdir())) == 1


def test_a_broken_transfer_goes_on_with_the_chunks_it_lacks(
    home: Home, world: World, truth: LedgerStore, source: FolderSource
) -> None:
    first = Counting(source, fails_at=3)
    with pytest.raises(BrokenOff):
        restore(home, world, first)
    assert first.asked == [0, 1, 2]
    # One that was torn on our own disk comes again.
    (home.root / FETCH_FOLDER / snapshot.chunk_name(1)).write_bytes(b"torn")
    again = Counting(source)
    restore(home, world, again)
    assert again.asked == [1, *range(3, chunk_count(source))]
    assert head_of(home, world.genesis) == restored(truth)


def test_a_wrong_chunk_is_named_and_nothing_is_taken_over(
    home: Home, world: World, truth: LedgerStore, source: FolderSource, tmp_path: Path
) -> None:
    files = dict(take(truth, Height(HEIGHT)).files)
    name = snapshot.chunk_name(2)
    files[name] = files[name][:-1] + bytes([files[name][-1] ^ 1])
    with pytest.raises(ChunkWrong) as caught:
        restore(home, world, folder_with(tmp_path / "wrong", MemorySource(files)))
    assert caught.value.index == 2
    assert "chunk 2" in str(caught.value)
    assert BASE_FOLDER not in entries(home)
    assert head_of(home, world.genesis) == (0, 0, truth.header(Height(0)).hash)
    counting = Counting(source)
    restore(home, world, counting)
    assert counting.asked == list(range(2, chunk_count(source)))


def test_a_missing_chunk_is_named(home: Home, world: World, source: FolderSource) -> None:
    (source.path / snapshot.chunk_name(1)).unlink()
    with pytest.raises(SnapshotWrong, match="chunk 1 is missing"):
        restore(home, world, source)


def test_a_lie_with_fitting_hashes_leaves_nothing_behind(
    home: Home, world: World, truth: LedgerStore, tmp_path: Path
) -> None:
    honest = take(truth, Height(HEIGHT))
    manifest = snapshot.Manifest.decode(honest.manifest())
    records = list(snapshot.records(snapshot.chunks_of(manifest, honest)))
    records[-1][4] = canonical.encode("a lie")
    lie = folder_with(tmp_path / "lie", made_of(records, manifest))
    place = home_with(tmp_path / "behind", world, truth, 4)
    before = entries(place)
    with pytest.raises(SnapshotWrong, match="its state has the root"):
        restore(place, world, lie)
    assert entries(place) == before
    assert head_of(place, world.genesis)[1] == 4


def test_what_the_trust_file_names_must_be_continued(
    home: Home, world: World, truth: LedgerStore, source: FolderSource
) -> None:
    for trust in (
        truth.trust_anchor(Height(HEIGHT + 1)),
        replace(truth.trust_anchor(Height(HEIGHT)), header_hash=truth.head.hash),
        replace(truth.trust_anchor(Height(0)), chain_id=truth.head.hash),
    ):
        with pytest.raises(SnapshotWrong):
            Restore(home, world.genesis, source, trust)
    Restore(home, world.genesis, source, truth.trust_anchor(Height(HEIGHT))).__exit__(
        None, None, None
    )


def test_a_snapshot_of_another_chain_is_refused(home: Home, source: FolderSource) -> None:
    with pytest.raises(SnapshotWrong, match="expected chain"):
        Restore(home, make_genesis(window=3), source, None)


@pytest.mark.parametrize(
    ("behind", "renames"), [(0, 1), (0, 2), (4, 0), (4, 1), (4, 2), (4, 3), (4, 4)]
)
def test_killed_while_the_home_changes_over(
    world: World,
    truth: LedgerStore,
    source: FolderSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    behind: int,
    renames: int,
) -> None:
    """After any number of its moves the next start has a whole ledger: the old one or the new."""
    place = home_with(tmp_path / "behind", world, truth, behind)
    real = Path.rename
    done = 0

    class Killed(Exception):
        pass

    def rename(path: Path, target: Path) -> Path:
        nonlocal done
        if done == renames:
            raise Killed
        done += 1
        return real(path, target)

    work = Restore(place, world.genesis, source, None)
    list(work.fetch())
    list(work.check())
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        try:
            work.replace()
        except Killed:
            work._close_store()
            work._folder.close()
    old = (0, behind, truth.header(Height(behind)).hash)
    assert head_of(place, world.genesis) in (old, restored(truth))
    # And once more from the beginning, unless it is done.
    if head_of(place, world.genesis) == old:
        restore(place, world, source)
    assert head_of(place, world.genesis) == restored(truth)
