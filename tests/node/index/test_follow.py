"""Following: from its own height, through upgrades, anew where the ledger cannot be taken on."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest

from ledger.types import Height
from node.index import follow
from node.index.interface import Change, IndexBehind
from node.index.ledger_source import LedgerSource
from node.index.sqlite import SqliteIndex
from tests.node.index.test_same_answers import catch_up
from tests.node.index.test_same_answers import follow as opened
from tests.node.index.world import CHAIN, Question, World

ALL = Question()


@pytest.fixture
def world() -> World:
    world = World()
    writes = {("c", f"k{i}"): {"a": str(i % 3), "b": i} for i in range(9)}
    world.block(writes, {"c": ("a",)})
    world.block({("c", "k0"): None, ("c", "k1"): {"a": "9"}, ("undeployed", "x"): {"a": "9"}})
    return world


def keys(index: SqliteIndex, world: World, question: Question = ALL) -> list[str]:
    return list(index.search("c", world.fields["c"], question.conditions, None, 100).keys)


def test_it_goes_on_from_its_own_height_with_what_changed(
    sqlite: SqliteIndex, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    catch_up(opened(sqlite, world))
    world.block({("c", "k2"): {"a": "9"}})
    world.block({("c", "k3"): None, ("c", "k2"): {"a": "8"}})
    taken: list[Any] = []
    apply = SqliteIndex.apply

    def counting(self: SqliteIndex, height: Height, *rest: Any) -> None:
        fields, cleared, changes = rest
        changes = list(changes)
        taken.append((height, set(cleared), [change.key for change in changes]))
        apply(self, height, fields, cleared, changes)

    monkeypatch.setattr(SqliteIndex, "apply", counting)
    follower = opened(sqlite, world)
    assert follower.height == 2
    catch_up(follower)
    assert taken == [(4, set(), ["k2", "k3"])]
    assert keys(sqlite, world, Question({"a": "8"})) == ["k2"]


def test_a_step_takes_no_more_than_it_should(
    sqlite: SqliteIndex, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "STEP_ENTRIES", 2)
    monkeypatch.setattr(follow, "STEP_BLOCKS", 3)
    catch_up(opened(sqlite, world))
    for i in range(3):
        world.block({("c", f"new{i}"): {"a": "new"}})
    for _ in range(4):
        world.block({})
    follower = opened(sqlite, world)
    heights = [follower.height for _ in iter(follower.step, False)]
    assert heights == [4, 7, 9]
    assert keys(sqlite, world, Question({"a": "new"})) == ["new0", "new1", "new2"]


def test_an_upgrade_that_declares_other_fields_is_read_whole(
    sqlite: SqliteIndex, world: World
) -> None:
    follower = opened(sqlite, world)
    catch_up(follower)
    world.block({("c", "k5"): None}, {"c": ("b",)})
    with pytest.raises(IndexBehind):
        keys(sqlite, world)
    catch_up(follower)
    assert keys(sqlite, world, Question({}, {"b": ("4", "6")})) == ["k4", "k6"]
    with pytest.raises(IndexBehind):
        sqlite.search("undeployed", (), [], None, 10)


def test_nothing_of_the_former_reading_stays(sqlite: SqliteIndex, world: World) -> None:
    follower = opened(sqlite, world)
    catch_up(follower)
    before = keys(sqlite, world)
    world.block({("c", before[0]): None}, {"c": ("a", "b")})
    catch_up(follower)
    assert keys(sqlite, world) == before[1:]


def test_an_index_above_the_certified_height_is_made_anew(
    sqlite: SqliteIndex, world: World
) -> None:
    catch_up(opened(sqlite, world))
    world.certified_height = Height(1)
    follower = opened(sqlite, world)
    assert follower.height is None
    catch_up(follower)
    assert follower.height == 1
    assert keys(sqlite, world) == [f"k{i}" for i in range(9)]


def test_an_index_below_the_blocks_that_are_kept_is_made_anew(
    sqlite: SqliteIndex, world: World
) -> None:
    catch_up(opened(sqlite, world))
    world.first_height = Height(2)
    assert opened(sqlite, world).height == 2
    world.first_height = Height(3)
    follower = opened(sqlite, world)
    assert follower.height is None
    world.block({("c", "later"): {"a": "later"}})
    catch_up(follower)
    assert keys(sqlite, world) == world.search("c", ALL)


def test_a_step_that_fails_leaves_the_height_before_it(sqlite: SqliteIndex, world: World) -> None:
    catch_up(opened(sqlite, world))
    before = keys(sqlite, world)

    def breaks_off() -> Iterator[Change]:
        raise RuntimeError("power is gone")
        yield

    changes = chain([Change("c", "k5", None)], breaks_off())
    with pytest.raises(RuntimeError):
        sqlite.apply(Height(3), {"c": ("a",)}, [], changes)
    assert keys(sqlite, world) == before
    assert opened(sqlite, world).height == 2


def test_contracts_are_listed_past_their_histories(sqlite: SqliteIndex) -> None:
    world = World()
    names = ["a", "h", "history-of", "i", "s", "source-of", "t", "zz"]
    for number in range(40):
        world.block({("contracts", f"history/a/{number:06}"): "old"})
    for name in names:
        world.block({(name, "k"): {"f": name}}, {name: ("f",)})
    catch_up(opened(sqlite, world))
    for name in names:
        found = sqlite.search(name, ("f",), Question({"f": name}).conditions, None, 2)
        assert found.keys == ("k",)


def test_it_rests_after_work_longer_while_the_node_is_busy_and_ends_when_told(
    sqlite: SqliteIndex, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(1_000))
    monkeypatch.setattr(follow.time, "monotonic", lambda: next(now))
    rests: list[float] = []
    busy = False

    def rest(seconds: float) -> bool:
        rests.append(seconds)
        return len(rests) == 4

    follower = follow.Follower(sqlite, LedgerSource(world), CHAIN, rest, lambda: busy)
    follower.open()
    follower.step()
    busy = True
    world.block({("c", "k0"): {"a": "1"}})
    follower.step()
    assert rests == [1, 1, 9]
    world.block({}, {"c": ("b",)})
    with pytest.raises(follow.Interrupted):
        follower.step()
    follower.open()
    assert follower.height == 3
