"""One query, one answer: of SQLite, of PostgreSQL, of an index made anew, of a plain look.

Each question is asked as if many entries met its conditions, too, which takes another way.
"""

from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.index import sql
from node.index.follow import Follower
from node.index.interface import Index
from node.index.ledger_source import LedgerSource
from node.index.postgresql import PostgresqlIndex
from node.index.sqlite import SqliteIndex
from tests.node.index.world import CHAIN, Question, World

CONTRACTS = ("licence", "history-of", "z")
FIELDS = ("a", "b", "a_from", "ü")

keys = st.sampled_from(
    ["a", "a/b", "a\x00", "a\x00b", "a\x01", "ü", "\uffff", "\U0001f600", "b", "c" * 900]
)
texts = st.sampled_from(
    ["", "a", "ab", "5", "05", "-5", "12", "true", "0a", "\x00", "ü", "\U0001f600", "2026-01-01",
     str(2**63), "l" * 512]
)  # fmt: skip
values = st.one_of(
    texts,
    st.integers(-20, 20),
    st.sampled_from([2**63 - 1, -(2**63)]),
    st.booleans(),
    st.sampled_from([b"", b"\x0a", "l" * 513, "l" * 512 + "m", "l" * 600, "l" * 512 + "\x00"]),
    st.none(),
    st.just([1]),
)
entries = st.one_of(st.dictionaries(st.sampled_from(FIELDS), values, max_size=4), values)
declared = st.lists(st.sampled_from(FIELDS), unique=True, max_size=3).map(tuple)
blocks = st.lists(
    st.tuples(
        st.dictionaries(st.tuples(st.sampled_from(CONTRACTS), keys), entries, max_size=4),
        st.dictionaries(st.sampled_from(CONTRACTS), declared, max_size=1),
        st.sampled_from(["", "", "follow", "reopen", "drop"]),
    ),
    max_size=8,
)
ends = st.one_of(st.none(), texts)
numbers = st.one_of(st.none(), st.integers(0, 8))


@st.composite
def questions(draw: st.DrawFn, fields: tuple[str, ...]) -> Question:
    names = st.lists(st.sampled_from(fields), max_size=2) if fields else st.just([])
    return Question(
        equals={name: draw(texts) for name in draw(names)},
        ranges={name: (draw(ends), draw(ends)) for name in draw(names)},
        heights=draw(st.one_of(st.none(), st.tuples(numbers, numbers))),
    )


def follow(index: Index, world: World) -> Follower:
    follower = Follower(index, LedgerSource(world), CHAIN, lambda seconds: False)
    follower.open()
    return follower


def catch_up(follower: Follower) -> None:
    while follower.step():
        pass


def answers(index: Index, world: World, contract: str, question: Question) -> list[str]:
    """All keys, fetched a page of two at a time, each page at the ledger's height."""
    found: list[str] = []
    after: str | None = None
    while True:
        page = index.search(contract, world.fields[contract], question.conditions, after, 2)
        assert page.height == world.certified_height
        if not page.keys:
            return found
        found += page.keys
        after = page.keys[-1]


def check(data: st.DataObject, history: Any, indexes: list[Index]) -> None:
    world = World()
    followers = []
    for index in indexes:
        index.reset(keep=False)
        followers.append(follow(index, world))
    for writes, deployed, then in history:
        world.block(writes, deployed)
        for index, follower in zip(indexes, followers, strict=True):
            if then == "drop":
                index.reset(keep=False)
            if then in ("reopen", "drop"):
                follower.open()
            if then:
                catch_up(follower)
    for follower in followers:
        catch_up(follower)
    asked = [
        (contract, question)
        for contract, fields in world.fields.items()
        for question in [Question(), *data.draw(st.lists(questions(fields), max_size=6))]
    ]
    expected = [world.search(contract, question) for contract, question in asked]
    for index, follower in zip(indexes, followers, strict=True):
        for few in (1, sql.COUNTED_MAX):
            with patch.object(sql, "COUNTED_MAX", few):
                assert [answers(index, world, *each) for each in asked] == expected
        index.reset(keep=False)
        follower.open()
        catch_up(follower)
        assert [answers(index, world, *each) for each in asked] == expected


def examples(number: int) -> settings:
    """The indexes are emptied for each example, so one of a kind serves them all."""
    check = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(suppress_health_check=check, max_examples=number)


@examples(8)
@given(data=st.data(), history=blocks)
def test_sqlite_answers_as_a_plain_look(
    data: st.DataObject, history: Any, sqlite: SqliteIndex
) -> None:
    check(data, history, [sqlite])


@pytest.mark.system("initdb", "postgres")
@examples(4)
@given(data=st.data(), history=blocks)
def test_postgresql_answers_as_sqlite_and_as_a_plain_look(
    data: st.DataObject, history: Any, sqlite: SqliteIndex, postgresql: PostgresqlIndex
) -> None:
    check(data, history, [sqlite, postgresql])


@pytest.mark.slow
@pytest.mark.system("initdb", "postgres")
@pytest.mark.timeout(1_800)
@examples(500)
@given(data=st.data(), history=blocks)
def test_all_answer_alike_over_many_histories(
    data: st.DataObject, history: Any, sqlite: SqliteIndex, postgresql: PostgresqlIndex
) -> None:
    check(data, history, [sqlite, postgresql])
