"""What leaves a contract is packed without another look, so `export` must leave it normal."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.dialect import LimitExceeded, Verdict
from contracts.dialect.guards import values
from contracts.dialect.guards.values import export
from contracts.dialect.limits import STRING_MAX, VALUE_CHARACTERS_MAX, VALUE_DEPTH_MAX
from contracts.worker import wire
from contracts.worker.executor import CallRow, TransactionRow
from ledger import canonical
from ledger.receipt import CallOutcome, Event
from ledger.types import Gas

GAS = 10**9

edges = [n for b in (5, 7, 8, 15, 16, 31, 32, 62) for n in (2**b, 2**b - 1, -(2**b))]
storable = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.sampled_from(edges)
    | st.text(max_size=70)
    | st.binary(max_size=40)
)
not_storable = st.sampled_from([1.5, 2**63, -(2**63) - 1, "\ud800", {1: 2}, {"\udfff": 1}, {1}])


def nesting(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=20),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(st.text(max_size=8), inner, max_size=20),
        ),
        max_leaves=40,
    )


@given(nesting(storable))
def test_it_packs_to_the_canonical_bytes(value: Any) -> None:
    assert canonical.pack(export([GAS], value)) == canonical.encode(value)


def test_it_packs_every_length_form() -> None:
    for size in (0, 15, 16, 31, 32, 255, 256, 5_000):
        for value in ("x" * size, b"x" * size, [None] * size, {str(i): i for i in range(size)}):
            assert canonical.pack(export([GAS], value)) == canonical.encode(value)


@given(nesting(storable | not_storable))
def test_it_is_refused_as_in_the_ledger(value: Any) -> None:
    try:
        expected = canonical.encode(value)
    except canonical.EncodingError:
        with pytest.raises((Verdict, TypeError, canonical.EncodingError)):
            canonical.pack(export([GAS], value))
    else:
        assert canonical.pack(export([GAS], value)) == expected


def test_names_seen_before_cost_and_give_the_same() -> None:
    records: list[dict[str, Any]] = [
        {"b": "x", "a": "y"},
        {"a": 1, "b": None},
        {"b": {"b": 2, "a": "x"}, "a": "x" * 300},
        {"b" * 300: 1, "a": 2},
        {},
    ]
    for record in records:
        spent = set()
        for _ in range(3):
            cell = [GAS]
            assert canonical.pack(export(cell, record)) == canonical.encode(record)
            spent.add(cell[0])
        assert len(spent) == 1


def test_names_remembered_are_bounded() -> None:
    for i in range(2 * values._RECORDS_MAX):
        export([GAS], {f"name {i}": "x"})
        assert len(values._records) <= values._RECORDS_MAX
    export([GAS], {f"name {i}": "x" for i in range(values._RECORD_NAMES_MAX + 1)})
    export([GAS], {"x" * 300: "x"})
    assert max(len(names) for names in values._records) <= values._RECORD_NAMES_MAX
    assert max(len("".join(names)) for names in values._records) < 256


def nested(depth: int) -> Any:
    inner: Any = None
    for _ in range(depth):
        inner = [inner]
    return inner


def test_depth_is_bounded_so_that_whatever_stands_around_a_value_fits() -> None:
    deepest = nested(VALUE_DEPTH_MAX)
    assert canonical.pack(export([GAS], deepest)) == canonical.encode(deepest)
    with pytest.raises(LimitExceeded, match="DEPTH"):
        export([GAS], nested(VALUE_DEPTH_MAX + 1))
    calls = [CallRow("ok", "", 1, deepest)]
    events = [(0, "notes", "made", deepest)]
    row = TransactionRow("ok", "", 1, calls, events, {})
    answer = canonical.encode([wire.DONE, wire.block_columns([row])])
    for data in (
        answer,
        CallOutcome("ok", "", Gas(1), deepest).leaf(0),
        Event(0, "notes", "made", deepest).leaf(),
    ):
        assert canonical.encode(canonical.decode(data)) == data


def test_one_long_string_in_many_places_of_a_dict_is_never_joined() -> None:
    value = dict.fromkeys(map(chr, range(0x100, 0x100 + 250)), "x" * STRING_MAX)
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded):
            export([GAS], value)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_one_long_string_in_many_places_is_bounded() -> None:
    """It is small in memory and endless where it is written out."""
    text = "x" * STRING_MAX
    most = VALUE_CHARACTERS_MAX // STRING_MAX
    export([GAS], [text] * most)
    for value in ([text] * (most + 1), [{text: None}] * (most + 1), [text.encode()] * (most + 1)):
        with pytest.raises(LimitExceeded, match="STRING"):
            export([GAS], value)
