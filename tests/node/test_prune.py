"""A home gives up old blocks, whenever it is killed, and can still be made anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ledger import snapshot
from ledger.queries import Pruned
from ledger.store import BASE_FOLDER, LedgerStore
from ledger.types import Height
from ledger.verification import verify_ledger
from node.home import Home
from node.prune import KEEP_MIN, KeepsTooFew, Prune
from node.rebuild import Rebuild
from tests.ledger.ledger_world import ToyRunner, World
from tests.node.snapshot_home import chain, head_of, home_with

LAST = 30
FIRST = LAST - KEEP_MIN


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[World, LedgerStore, Home]:
    monkeypatch.setattr(snapshot, "CHUNK_BYTES", 700)
    world, truth = chain(LAST)
    return world, truth, home_with(tmp_path / "node", world, truth, LAST)


def prune(place: Home, world: World, keep: int = KEEP_MIN) -> tuple[int, int]:
    with Prune(place, world.genesis, keep) as work:
        list(work.write_base())
        assert list(work.run())[-1:] == ([work.first] if work.first else [])
        return work.before, work.first


def check(place: Home, world: World, truth: LedgerStore) -> None:
    assert head_of(place, world.genesis) == (FIRST, LAST, truth.head.hash)
    store = LedgerStore.open(place.root, world.genesis)
    list(verify_ledger(store))
    for n in (FIRST, LAST):
        assert store.prove_state("kv", "k1", Height(n)) == truth.prove_state("kv", "k1", Height(n))
    with pytest.raises(Pruned):
        store.header(Height(FIRST - 1))
    store.close()


def test_blocks_go_and_the_rest_is_as_before(made: tuple[World, LedgerStore, Home]) -> None:
    world, truth, place = made
    assert prune(place, world) == (0, FIRST)
    check(place, world, truth)
    # Again, and with more to keep: nothing.
    assert prune(place, world) == (FIRST, FIRST)
    assert prune(place, world, 1_000) == (FIRST, FIRST)
    check(place, world, truth)
    store = LedgerStore.open(place.root, world.genesis)
    world.advance(store, world.put("more", 1))
    store.close()
    assert prune(place, world) == (FIRST, FIRST + 1)
    assert len(list((place.root / BASE_FOLDER).iterdir())) == 1


def test_it_keeps_enough_for_the_others(made: tuple[World, LedgerStore, Home]) -> None:
    world, truth, place = made
    with pytest.raises(KeepsTooFew):
        Prune(place, world.genesis, KEEP_MIN - 1)
    assert prune(place, world, LAST) == (0, 0)
    assert head_of(place, world.genesis) == (0, LAST, truth.head.hash)
    assert BASE_FOLDER not in {entry.name for entry in place.root.iterdir()}


@pytest.mark.parametrize(
    ("chunks", "heights"), [(1, None), (3, None), (None, None), (None, 1), (None, 10)]
)
def test_killed_at_any_step(
    made: tuple[World, LedgerStore, Home], chunks: int | None, heights: int | None
) -> None:
    """While the base is written (`chunks`), or while the rows go (`heights`)."""
    world, truth, place = made
    work = Prune(place, world.genesis, KEEP_MIN)
    for number, _ in enumerate(work.write_base(), 1):
        if number == chunks:
            break
    else:
        for number, _ in enumerate(work.run() if heights else (), 1):
            if number == heights:
                break
    work._opened.close()
    begun = chunks is None and heights is not None
    first = FIRST if begun else 0
    assert head_of(place, world.genesis) == (first, LAST, truth.head.hash)
    store = LedgerStore.open(place.root, world.genesis)
    list(verify_ledger(store))
    store.close()
    assert prune(place, world) == (first, FIRST)
    check(place, world, truth)


def test_a_lost_database_is_made_anew_from_the_base_and_the_blocks(
    made: tuple[World, LedgerStore, Home],
) -> None:
    world, truth, place = made
    prune(place, world)
    with Rebuild(place, world.genesis) as work:
        assert work.total == LAST - FIRST
        assert list(work.run(ToyRunner())) == list(range(FIRST + 1, LAST + 1))
        work.replace()
    check(place, world, truth)
    shutil.rmtree(place.ledger)
    with Rebuild(place, world.genesis) as work:
        list(work.run(ToyRunner()))
        work.replace()
    check(place, world, truth)
