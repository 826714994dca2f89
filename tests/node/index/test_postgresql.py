"""The server: one node a schema, gone and back, and a password that nobody gets to see."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from typing import Any

import pytest

from ledger.types import Height
from node.index import postgresql as module
from node.index.interface import Change, IndexDamaged, IndexUnavailable, SearchTooSlow, Standing
from node.index.postgresql import DriverMissing, PostgresqlIndex
from tests.node.index.test_same_answers import catch_up, follow
from tests.node.index.world import CHAIN, Question, World

pytestmark = pytest.mark.system("initdb", "postgres")


@pytest.fixture
def world() -> World:
    world = World()
    world.block({("c", f"k{i}"): {"a": str(i)} for i in range(9)}, {"c": ("a",)})
    return world


def found(index: PostgresqlIndex) -> tuple[str, ...]:
    return index.search("c", ("a",), Question({"a": "7"}).conditions, None, 10).keys


def test_a_second_node_is_kept_out_of_a_schema(server: Any, world: World) -> None:
    connection = server.connection()
    with closing(PostgresqlIndex(connection)) as first:
        catch_up(follow(first, world))
        with closing(PostgresqlIndex(connection)) as second:
            with pytest.raises(IndexUnavailable, match="another node"):
                second.open(CHAIN)
            with pytest.raises(IndexUnavailable, match="another node"):
                second.reset(keep=False)
        with closing(PostgresqlIndex(server.connection())) as third:
            assert third.open(CHAIN) == Standing(None, {})
            assert third.look() == Standing(None, {})
        assert found(first) == ("k7",)
        with closing(PostgresqlIndex(server.connection())) as nothing:
            assert nothing.look() is None
    with closing(PostgresqlIndex(connection)) as again:
        assert again.look() == Standing(world.certified_height, {"c": ("a",)})
        assert again.open(CHAIN) == Standing(world.certified_height, {"c": ("a",)})


def test_a_server_that_is_lost_and_comes_back(
    server: Any, postgresql: PostgresqlIndex, world: World
) -> None:
    follower = follow(postgresql, world)
    catch_up(follower)
    server.stop()
    try:
        with pytest.raises(IndexUnavailable):
            found(postgresql)
        world.block({("c", "later"): {"a": "7"}})
        with pytest.raises(IndexUnavailable):
            follower.step()
        with pytest.raises(IndexUnavailable):
            follower.open()
    finally:
        server.start()
    follower.open()
    assert follower.height == 1
    catch_up(follower)
    assert found(postgresql) == ("k7", "later")


def test_a_step_that_breaks_off_leaves_the_height_before_it(
    postgresql: PostgresqlIndex, world: World
) -> None:
    catch_up(follow(postgresql, world))

    def breaks_off() -> Iterator[Change]:
        raise RuntimeError("power is gone")
        yield

    changes = chain([Change("c", "k7", None)], breaks_off())
    with pytest.raises(RuntimeError):
        postgresql.apply(Height(2), {"c": ("a",)}, [], changes)
    assert postgresql.open(CHAIN).height == 1
    assert found(postgresql) == ("k7",)


def test_tables_of_something_else_are_made_anew(
    server: Any, postgresql: PostgresqlIndex, world: World
) -> None:
    catch_up(follow(postgresql, world))
    server.execute("ALTER TABLE qiong_index DROP COLUMN form", postgresql._connection)
    with pytest.raises(IndexDamaged):
        postgresql.open(CHAIN)
    postgresql.reset(keep=True)
    follower = follow(postgresql, world)
    assert follower.height is None
    catch_up(follower)
    assert found(postgresql) == ("k7",)


def test_a_search_that_takes_too_long_is_given_up(
    postgresql: PostgresqlIndex, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    catch_up(follow(postgresql, world))
    monkeypatch.setattr(module, "SEARCH_SECONDS_MAX", 0.001)
    monkeypatch.setattr(
        module.sql, "search", lambda question: ("SELECT 1, NULL, NULL FROM pg_sleep(1)", [])
    )
    with pytest.raises(SearchTooSlow):
        found(postgresql)


@pytest.mark.parametrize(
    "connection",
    [
        "postgresql://u:pa55word@/db?host=/nowhere",
        "postgresql://u:pa55word@127.0.0.1:1/db",
        "postgresql://u:pa55word@[::1/db",
        "postgresql://u:pa55word/x@h/db",
        "postgresql://u:pa55word@h:port/db",
        "mysql://u:pa55word@h/db",
    ],
)
def test_no_error_shows_the_password(connection: str) -> None:
    with closing(PostgresqlIndex(connection)) as index:
        with pytest.raises(IndexUnavailable) as refused:
            index.open(CHAIN)
        shown = str(refused.value) + "".join(traceback.format_exception_only(refused.value))
        assert "pa55" not in shown


def test_without_the_driver_the_node_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(DriverMissing) as refused:
        PostgresqlIndex("postgresql:///db")
    assert "qiong[postgresql]" in refused.value.hint
