"""The index of a running node: it answers, says what is wrong, and mends itself."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from node.index import service as module
from node.index.interface import IndexBehind, IndexDamaged, IndexUnavailable
from node.index.postgresql import PostgresqlIndex
from node.index.service import Answer, IndexBusy, IndexService
from node.index.sqlite import DAMAGED, FILE, SqliteIndex
from tests.node.index.world import CHAIN, Question, World

WAIT_SECONDS_MAX = 30


@pytest.fixture
def world() -> World:
    world = World()
    world.block({("c", f"k{i}"): {"a": str(i)} for i in range(9)}, {"c": ("a",)})
    return world


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", (0.01,))


@pytest.fixture
def service(sqlite: SqliteIndex, world: World) -> Iterator[IndexService]:
    running = IndexService(sqlite, world, CHAIN)
    running.start()
    yield running
    running.stop()


async def search(service: IndexService, **equals: str) -> Answer:
    return await service.search("c", ("a",), Question(equals).conditions, None, 5)


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def in_step(service: IndexService, world: World) -> None:
    service.wake()
    until(lambda: service.status.height == world.certified_height and not service.status.problem)


async def test_it_follows_and_answers_with_the_ledgers_values(
    service: IndexService, world: World
) -> None:
    in_step(service, world)
    answer = await search(service)
    assert [item.key for item in answer.items] == [f"k{i}" for i in range(5)]
    assert answer.more
    world.block({("c", "k5"): {"a": "new", "b": 1}})
    in_step(service, world)
    answer = await search(service, a="new")
    assert (answer.height, answer.more) == (2, False)
    (item,) = answer.items
    assert (item.key, item.value, item.changed) == ("k5", {"a": "new", "b": 1}, 2)


async def test_before_it_is_made_it_says_so(sqlite: SqliteIndex, world: World) -> None:
    service = IndexService(sqlite, world, CHAIN)
    with pytest.raises(IndexBehind, match="being made"):
        await search(service)
    service.stop()


async def test_what_the_ledger_denies_is_never_answered(
    service: IndexService, world: World, tmp_path: Path
) -> None:
    """Rows that somebody else wrote into the file: one hit too many, and one wrong value."""
    in_step(service, world)
    row = "INSERT OR REPLACE INTO qiong_entries (contract, key, field, value) VALUES (?, ?, ?, ?)"
    for key in (b"k999", b"k3"):
        db = sqlite3.connect(tmp_path / "index" / FILE)
        db.execute(row, (b"c", key, b"a", b"sforged"))
        db.commit()
        db.close()
        with pytest.raises(IndexDamaged):
            await search(service, a="forged")
        until(lambda: (tmp_path / "index" / DAMAGED).exists())
        in_step(service, world)
        assert (await search(service, a="forged")).items == ()
        assert [item.key for item in (await search(service, a="3")).items] == ["k3"]
        (tmp_path / "index" / DAMAGED).unlink()


async def test_the_line_is_short(
    service: IndexService, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_step(service, world)
    monkeypatch.setattr(module, "WAITING_MAX", 3)
    outcomes = await asyncio.gather(*(search(service) for _ in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Answer] * 3 + [IndexBusy] * 2
    assert (await search(service)).height == 1


@pytest.mark.system("initdb", "postgres")
async def test_without_its_database_it_says_so_and_comes_back(server: Any, world: World) -> None:
    connection = await asyncio.to_thread(server.connection)
    service = IndexService(PostgresqlIndex(connection), world, CHAIN)
    service.start()
    try:
        await asyncio.to_thread(in_step, service, world)
        server.stop()
        try:
            with pytest.raises(IndexUnavailable):
                await search(service)
            world.block({("c", "later"): {"a": "later"}})
            service.wake()
            until(lambda: service.status.problem is not None)
            assert service.status.height is None
            with pytest.raises(IndexUnavailable):
                await search(service)
        finally:
            await asyncio.to_thread(server.start)
        in_step(service, world)
        assert [item.key for item in (await search(service, a="later")).items] == ["later"]
    finally:
        await asyncio.to_thread(service.stop)
