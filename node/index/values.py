"""How values are compared: the order of the index, the same in every database.

A field's value becomes bytes whose order is the order of the values: a tag for its type, then

    bool    00 or 01, false first
    int     8 bytes, big-endian, moved up by 2^63
    str     UTF-8, so the order of code points
    bytes   themselves

Databases compare bytes as such, without locales or collations, so one query has one answer
whichever of them is asked. Other values (null, lists, maps) are in no index: no query finds them.

A query is text, so a text stands for every value that is written like it: `5` for the string and
the integer, `true` for the string and the boolean, `0a` for the string and for that byte. A range
includes both its ends; it orders strings among strings and integers among integers, and integers
only where both ends are written like one.

A database's own index takes short rows only, so strings are cut one byte beyond the longest that
may be asked for. That changes no answer: what was cut equals no text that may be asked for, and is
beyond every one that it begins with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ledger import canonical
from ledger.canonical import INTEGER_MAX, INTEGER_MIN
from ledger.errors import InvalidInput
from ledger.types import Height

TEXT_BYTES_MAX: Final = 512
"""Longest text of a query. With it, a key of 1,024 bytes and two names a row stays below the 2,704
bytes that PostgreSQL takes into a B-tree."""

FIELDS_MAX: Final = 32
"""Fields of one contract that are indexed, the first ones it declares: each is a row an entry."""

NAME_BYTES_MAX: Final = 64
"""Longest name of an indexed field."""

CHANGED: Final = ""
"""The field that every entry has beside its own: the block that wrote it last."""

_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_HEX: Final = re.compile(r"([0-9a-f]{2})*", re.ASCII)
_BOOL, _INT, _STR, _BYTES = b"b", b"i", b"s", b"x"

_BEYOND_TEXT: Final = b"\xff"
"""Above every string: no UTF-8 has this byte."""

Interval = tuple[bytes, bytes]
"""Encoded values from the first to the second, both included."""


class TextTooLong(InvalidInput):
    """A text that no index could be asked for."""

    code = "bad_parameter"

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"a value to search for has at most {TEXT_BYTES_MAX} bytes, not {size}")


@dataclass(frozen=True, slots=True)
class Condition:
    """The value of `field` lies in one of `intervals`."""

    field: str
    intervals: tuple[Interval, ...]

    def holds(self, row: Mapping[str, bytes]) -> bool:
        """Whether an entry with these indexed values meets it."""
        value = row.get(self.field)
        return value is not None and any(low <= value <= high for low, high in self.intervals)


def indexed(declared: Iterable[str]) -> tuple[str, ...]:
    """The fields that are indexed of those that a contract declares."""
    usable = (name for name in declared if name.isprintable() and _name_fits(name))
    return tuple(dict.fromkeys(usable))[:FIELDS_MAX]


def encode(value: canonical.Value) -> bytes | None:
    """A field's value as the index orders it; None for what is in no index."""
    match value:
        case bool():
            return _BOOL + bytes([value])
        case int():
            return _integer(value)
        case str():
            return _STR + value.encode()[: TEXT_BYTES_MAX + 1]
        case bytes():
            return _BYTES + value[: TEXT_BYTES_MAX + 1]
        case _:
            return None


def row_of(value: canonical.Value, written: Height, fields: Iterable[str]) -> dict[str, bytes]:
    """What the index holds of an entry: its indexed fields that have a value, and `CHANGED`."""
    row = {CHANGED: _integer(written)}
    if isinstance(value, dict):
        for name in fields:
            data = encode(value.get(name))
            if data is not None:
                row[name] = data
    return row


def equal(field: str, text: str) -> Condition:
    """The field's value is written `text`. Raises `TextTooLong`."""
    _check(text)
    values: list[canonical.Value] = [text]
    if _INTEGER.fullmatch(text) and INTEGER_MIN <= int(text) <= INTEGER_MAX:
        values.append(int(text))
    if text in ("true", "false"):
        values.append(text == "true")
    if _HEX.fullmatch(text):
        values.append(bytes.fromhex(text))
    encoded = [data for data in map(encode, values) if data is not None]
    return Condition(field, tuple((data, data) for data in encoded))


def between(field: str, low: str | None, high: str | None) -> Condition:
    """The field's value lies from `low` to `high`, both included; None: without an end there.

    Raises `TextTooLong`.
    """
    for text in (low or "", high or ""):
        _check(text)
    strings = _STR + (low or "").encode(), _STR + (_BEYOND_TEXT if high is None else high.encode())
    intervals: tuple[Interval, ...] = (strings,)
    if all(text is None or _INTEGER.fullmatch(text) for text in (low, high)):
        intervals += _integers(*(None if text is None else int(text) for text in (low, high)))
    return Condition(field, intervals)


def changed(low: int | None, high: int | None) -> Condition:
    """A block from `low` to `high`, both included, wrote the entry last."""
    return Condition(CHANGED, _integers(low, high))


def _integers(low: int | None, high: int | None) -> tuple[Interval, ...]:
    first = INTEGER_MIN if low is None else max(low, INTEGER_MIN)
    last = INTEGER_MAX if high is None else min(high, INTEGER_MAX)
    return ((_integer(first), _integer(last)),) if first <= last else ()


def _integer(value: int) -> bytes:
    return _INT + (value - INTEGER_MIN).to_bytes(8, "big")


def _name_fits(name: str) -> bool:
    return 0 < len(name.encode()) <= NAME_BYTES_MAX


def _check(text: str) -> None:
    size = len(text.encode())
    if size > TEXT_BYTES_MAX:
        raise TextTooLong(size)
