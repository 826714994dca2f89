"""The bytes of values are in the values' order, and a text finds what is written like it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.canonical import INTEGER_MAX, INTEGER_MIN
from ledger.types import Height
from node.index import values
from node.index.values import TextTooLong, between, encode, equal, indexed, row_of

integers = st.integers(INTEGER_MIN, INTEGER_MAX)
row = {"f": b""}


@given(integers, integers)
def test_integers_keep_their_order(first: int, second: int) -> None:
    one, other = encode(first), encode(second)
    assert one is not None
    assert other is not None
    assert (one < other) == (first < second)
    assert (one == other) == (first == second)


ends = st.text(max_size=3)
stored_texts = st.builds("{}{}{}".format, ends, st.sampled_from(["", "l" * 508, "l" * 600]), ends)
asked_texts = st.builds("{}{}{}".format, ends, st.sampled_from(["", "l" * 488]), ends)


@given(stored_texts, asked_texts)
def test_what_is_cut_off_changes_no_answer(stored: str, asked: str) -> None:
    found = row_of({"f": stored}, Height(3), ["f"])
    assert equal("f", asked).holds(found) == (stored == asked)
    assert between("f", asked, None).holds(found) == (stored >= asked)
    assert between("f", None, asked).holds(found) == (stored <= asked)
    longer = row_of({"f": asked + stored}, Height(3), ["f"])
    assert between("f", None, asked).holds(longer) == (not stored)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("5", ["5", 5]),
        ("-5", ["-5", -5]),
        ("05", ["05", b"\x05"]),
        ("-0", ["-0"]),
        ("+5", ["+5"]),
        ("true", ["true", True]),
        ("True", ["True"]),
        ("0a", ["0a", b"\x0a"]),
        ("0A", ["0A"]),
        ("", ["", b""]),
        ("9223372036854775808", ["9223372036854775808"]),
    ],
)
def test_a_text_finds_what_is_written_like_it(text: str, found: list[object]) -> None:
    candidates = ["5", 5, 0, -5, "-5", "05", b"\x05", "-0", "+5", "true", True, "True", 1]
    candidates += ["0a", b"\x0a", "0A", "", b"", "9223372036854775808", INTEGER_MAX, None, []]
    condition = equal("f", text)
    held = [value for value in candidates if condition.holds(row_of({"f": value}, Height(1), "f"))]
    assert {(type(value), value) for value in held} == {(type(value), value) for value in found}


def test_a_text_that_no_index_could_hold_is_refused() -> None:
    with pytest.raises(TextTooLong, match="512 bytes, not 514"):
        equal("f", "ü" * 257)
    with pytest.raises(TextTooLong):
        between("f", None, "a" * 513)
    assert equal("f", "a" * 512).holds(row_of({"f": "a" * 512}, Height(1), ["f"]))


def test_fields_that_a_row_could_not_hold_are_not_indexed() -> None:
    names = ["a", "a", "", "x\x00", "\ud800", "y" * 65, *(f"f{i}" for i in range(40))]
    assert indexed(names) == ("a", *(f"f{i}" for i in range(31)))


def test_every_entry_has_the_block_that_wrote_it() -> None:
    for value in ({"f": 1}, "text", None, ["f"]):
        found = row_of(value, Height(7), ["f"])
        assert values.changed(7, 7).holds(found)
        assert not values.changed(8, None).holds(found)
        assert not values.changed(None, 6).holds(found)
