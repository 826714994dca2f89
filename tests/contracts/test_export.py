"""What leaves a contract is packed without another look, so `export` must leave it normal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.dialect import LimitExceeded, Verdict
from contracts.dialect.guards.values import export
from contracts.dialect.limits import STRING_MAX, VALUE_CHARACTERS_MAX
from ledger import canonical

GAS = 10**9

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([n for b in (5, 7, 8, 15, 16, 31, 32, 63) for n in (2**b, 2**b - 1, -(2**b))])
    | st.text(st.characters(), max_size=70)
    | st.binary(max_size=40)
    | st.floats()
)
keys = st.text(st.characters(), max_size=8) | st.integers(0, 3)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=20),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(keys, inner, max_size=20),
    ),
    max_leaves=40,
)


def encoded(value: Any) -> bytes | None:
    try:
        return canonical.encode(value)
    except canonical.EncodingError:
        return None


@given(values)
def test_it_packs_to_the_canonical_bytes_or_is_refused_alike(value: Any) -> None:
    packed: bytes | None
    try:
        packed = canonical.pack(export([GAS], value))
    except (Verdict, TypeError, canonical.EncodingError):
        packed = None
    assert packed == encoded(value)


def nested(depth: int) -> Any:
    inner: Any = None
    for _ in range(depth):
        inner = [inner]
    return inner


def test_depth_is_bounded_as_in_canonical_bytes() -> None:
    deepest = nested(canonical.DEPTH_MAX)
    assert canonical.pack(export([GAS], deepest)) == canonical.encode(deepest)
    with pytest.raises(LimitExceeded, match="DEPTH"):
        export([GAS], nested(canonical.DEPTH_MAX + 1))


def test_one_long_string_in_many_places_is_bounded() -> None:
    """It is small in memory and endless where it is written out."""
    text = "x" * STRING_MAX
    most = VALUE_CHARACTERS_MAX // STRING_MAX
    export([GAS], [text] * most)
    for value in ([text] * (most + 1), [{text: None}] * (most + 1), [text.encode()] * (most + 1)):
        with pytest.raises(LimitExceeded, match="STRING"):
            export([GAS], value)
