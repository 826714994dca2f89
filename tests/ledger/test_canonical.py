"""The canonical form: one byte form per value, and nothing else decodes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import canonical

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "canonical.json").read_text())

scalars = (
    st.none()
    | st.booleans()
    | st.integers(canonical.INTEGER_MIN, canonical.INTEGER_MAX)
    | st.text(st.characters(codec="utf-8"), max_size=40)
    | st.binary(max_size=300)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(values)
def test_decode_inverts_encode(value: canonical.Value) -> None:
    assert canonical.decode(canonical.encode(value)) == value


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers(0, 9), min_size=2))
def test_the_order_of_insertion_leaves_no_trace(mapping: dict[str, int]) -> None:
    backwards = dict(reversed(mapping.items()))
    assert canonical.encode(backwards) == canonical.encode(mapping)


@given(st.binary(max_size=60))
def test_whatever_decodes_re_encodes_to_the_same_bytes(data: bytes) -> None:
    try:
        value = canonical.decode(data)
    except canonical.DecodingError:
        return
    assert canonical.encode(value) == data


@given(values, st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_never_gives_the_same_value(
    value: canonical.Value, position: int, bit: int
) -> None:
    data = bytearray(canonical.encode(value))
    data[position % len(data)] ^= 1 << bit
    try:
        other = canonical.decode(bytes(data))
    except canonical.DecodingError:
        return
    assert canonical.encode(other) != canonical.encode(value)


@pytest.mark.parametrize("row", VECTORS["valid"], ids=lambda row: row["name"])
def test_golden_bytes_of_valid_values(row: dict[str, str]) -> None:
    data = bytes.fromhex(row["hex"])
    value = canonical.decode(data)
    assert canonical.encode(value) == data
    assert repr(value) == row["python"]


@pytest.mark.parametrize("row", VECTORS["invalid"], ids=lambda row: row["name"])
def test_golden_bytes_that_no_value_has(row: dict[str, str]) -> None:
    with pytest.raises(canonical.DecodingError):
        canonical.decode(bytes.fromhex(row["hex"]))


@pytest.mark.parametrize(
    "value",
    [1.5, 2**63, -(2**63) - 1, {1: 2}, {"a": {3: 4}}, "\ud800", {"\ud800": 1}, object(), {1, 2}],
    ids=repr,
)
def test_values_without_a_form_are_refused(value: object) -> None:
    with pytest.raises(canonical.EncodingError):
        canonical.encode(value)  # type: ignore[arg-type]


def test_nesting_is_bounded_both_ways() -> None:
    value: canonical.Value = 0
    for _ in range(canonical.DEPTH_MAX):
        value = [value]
    data = canonical.encode(value)
    assert canonical.decode(data) == value
    with pytest.raises(canonical.EncodingError):
        canonical.encode([value])
    with pytest.raises(canonical.DecodingError):
        canonical.decode(b"\x91" + data)


def count(value: object) -> int:
    """Values in `value`, keys of maps included."""
    if isinstance(value, list):
        return 1 + sum(map(count, value))
    if isinstance(value, dict):
        return 1 + sum(1 + count(item) for item in value.values())
    return 1


@given(values)
def test_the_size_of_a_value_is_known_before_it_is_built(value: canonical.Value) -> None:
    data = canonical.encode(value)
    canonical.check_size(data, count(value))
    if count(value) > 1:
        with pytest.raises(canonical.DecodingError, match="more than"):
            canonical.check_size(data, count(value) - 1)


@pytest.mark.parametrize("size", [0, 31, 32, 255, 256, 65_535, 65_536])
def test_long_values_count_as_one(size: int) -> None:
    for value in ("x" * size, b"x" * size):
        canonical.check_size(canonical.encode([value, 1]), 3)
    canonical.check_size(canonical.encode([None] * size), 1 + size)
    with pytest.raises(canonical.DecodingError):
        canonical.check_size(canonical.encode([[None] * size]), 1 + size)


@given(st.binary(max_size=100))
def test_whatever_is_decoded_passed_the_size_check(data: bytes) -> None:
    try:
        value = canonical.decode(data)
    except canonical.DecodingError:
        return
    canonical.check_size(data, count(value))


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\xff\xff\xff\xff" * 10_000,
        b"\xdc\xff\xff" * 10_000,
        b"\x91" * 10_000,
        b"\x81\xa0" * 10_000,
        b"\xdf\xff\xff\xff\xff",
    ],
    ids=["huge counts", "large counts", "deep lists", "deep maps", "huge map"],
)
def test_promises_and_depth_are_refused_before_anything_is_built(data: bytes) -> None:
    with pytest.raises(canonical.DecodingError, match=r"more than|nested deeper"):
        canonical.check_size(data, 100_000)
