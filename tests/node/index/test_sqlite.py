"""The file: damage is found, put aside and never answered from."""

import sqlite3
from pathlib import Path

import pytest

from ledger.hashing import sha256
from node.index import sqlite as sqlite_module
from node.index.interface import IndexDamaged, IndexUnavailable, SearchTooSlow, Standing
from node.index.sqlite import DAMAGED, FILE, SqliteIndex
from tests.node.index.test_same_answers import catch_up, follow
from tests.node.index.world import CHAIN, Question, World


@pytest.fixture
def world() -> World:
    world = World()
    world.block({("c", f"k{i:03}"): {"a": f"value {i}"} for i in range(300)}, {"c": ("a",)})
    return world


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "index" / FILE


def found(index: SqliteIndex) -> tuple[str, ...]:
    return index.search("c", ("a",), Question({"a": "value 7"}).conditions, None, 10).keys


def damage_middle(content: bytearray) -> None:
    middle = len(content) // 2
    content[middle : middle + 8_192] = b"\xa5" * 8_192


def damage_head(content: bytearray) -> None:
    content[:100] = b"not a database" * 7 + b"!!"


@pytest.mark.parametrize("damage", [damage_middle, damage_head])
def test_a_damaged_file_is_found_put_aside_and_made_anew(
    sqlite: SqliteIndex, world: World, file: Path, damage: object
) -> None:
    catch_up(follow(sqlite, world))
    sqlite.close()
    content = bytearray(file.read_bytes())
    damage(content)  # type: ignore[operator]
    file.write_bytes(content)
    with pytest.raises(IndexDamaged):
        sqlite.open(CHAIN)
    sqlite.reset(keep=True)
    assert (file.parent / DAMAGED).read_bytes() == content
    follower = follow(sqlite, world)
    assert follower.height is None
    catch_up(follower)
    assert found(sqlite) == ("k007",)


def test_tables_of_something_else_are_damage(sqlite: SqliteIndex, file: Path) -> None:
    file.parent.mkdir()
    db = sqlite3.connect(file)
    db.execute("CREATE TABLE qiong_index (colour TEXT)")
    db.close()
    with pytest.raises(IndexDamaged, match="no such column"):
        sqlite.open(CHAIN)


def test_another_chain_or_form_begins_empty(
    sqlite: SqliteIndex, world: World, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catch_up(follow(sqlite, world))
    assert sqlite.open(CHAIN) == Standing(world.certified_height, {"c": ("a",)})
    assert SqliteIndex(file.parent).look() == sqlite.open(CHAIN)
    assert sqlite.open(sha256(b"another")) == Standing(None, {})
    catch_up(follow(sqlite, world))
    monkeypatch.setattr(sqlite_module, "FORM", 99)
    assert sqlite.open(CHAIN) == Standing(None, {})


def test_a_folder_that_cannot_be_used_is_not_available(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("a file")
    index = SqliteIndex(tmp_path / "index")
    with pytest.raises(IndexUnavailable):
        index.open(CHAIN)
    index.close()


def test_a_search_that_takes_too_long_is_given_up(
    sqlite: SqliteIndex, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    catch_up(follow(sqlite, world))
    monkeypatch.setattr(sqlite_module, "SEARCH_SECONDS_MAX", -1.0)
    monkeypatch.setattr(sqlite_module, "STEPS_BETWEEN_LOOKS", 1)
    with pytest.raises(SearchTooSlow):
        found(sqlite)
    monkeypatch.undo()
    assert found(sqlite) == ("k007",)


def test_searches_and_a_reset_may_meet(sqlite: SqliteIndex, world: World, file: Path) -> None:
    """A connection taken before the reset is not used after it."""
    catch_up(follow(sqlite, world))
    with sqlite._reader():
        sqlite.reset(keep=False)
    catch_up(follow(sqlite, world))
    assert found(sqlite) == ("k007",)
    sqlite.reset(keep=True)
    assert [path.name for path in file.parent.iterdir()] == [DAMAGED]
    sqlite.reset(keep=False)
    assert list(file.parent.iterdir()) == []
    assert sqlite.look() is None
