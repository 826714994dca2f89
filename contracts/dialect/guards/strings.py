"""Methods of strings and bytes, and f-strings.

Theory: what a character is depends on the interpreter's Unicode tables, so methods change and
classify ASCII only. Their meaning is that of the same method of `bytes` on the UTF-8 form: bytes
of other characters are no letters, no digits and no space. White space is the six ASCII ones.

Left out: format, title, casefold, splitlines, translate.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from contracts.dialect import gas, limits
from contracts.dialect.errors import LimitExceeded
from contracts.dialect.gas import Cell, charge
from contracts.dialect.guards.operators import allocate_text, search

_SPACE: Final = " \t\n\r\x0b\x0c"
_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_STRIP_SHORT: Final = 16
"""Characters to strip that are paid after the fact: what was stripped is what it cost, and with
so few of them it can't be much."""
_INTEGER_CHARACTERS_MAX: Final = 79
"""A sign and the 78 digits of 256 bits."""


def check_text(*values: Any) -> None:
    """Raise TypeError unless all are strings."""
    for value in values:
        if type(value) is not str:
            raise TypeError


def _check_same(text: Any, *others: Any) -> None:
    """Raise TypeError unless all are strings, or all are bytes."""
    kind = type(text)
    if kind is not str and kind is not bytes:
        raise TypeError
    for other in others:
        if type(other) is not kind:
            raise TypeError


_UNPAID: Final = 16
"""Shorter strings are encoded and classified for nothing, whatever their characters: each price of
it is rounded down to 0."""


def _check_count(value: Any) -> None:
    if type(value) is not int:
        raise TypeError


def to_text(cell: Cell, value: Any) -> str:
    """`str(value)` of a string, integer, bool or None.

    Not of bytes and containers: how those show a string depends on what is printable.
    """
    if type(value) is str:
        return value
    if isinstance(value, int):
        charge(cell, value.bit_length() >> 2 + gas.DIGITS_SHIFT)
        return str(value)
    if value is None:
        return "None"
    raise TypeError


def text(cell: Cell, value: Any = "") -> str:
    """The built-in `str`."""
    return to_text(cell, value)


def fstring(cell: Cell, *parts: Any) -> str:
    """An f-string: the parts one after the other."""
    texts = [part if type(part) is str else to_text(cell, part) for part in parts]
    allocate_text(cell, sum(map(len, texts)))
    return "".join(texts)


def integer(cell: Cell, value: Any = 0) -> int:
    """The built-in `int`: of an integer, a bool, or ASCII digits with at most a sign."""
    if isinstance(value, int):
        return int(value)
    check_text(value)
    if len(value) > _INTEGER_CHARACTERS_MAX or not _INTEGER.fullmatch(value):
        raise ValueError
    charge(cell, len(value) >> gas.DIGITS_SHIFT)
    number = int(value)
    if -limits.INTEGER_MAX <= number <= limits.INTEGER_MAX:
        return number
    raise LimitExceeded("INTEGER")


def _pay_encoding(cell: Cell, value: str | bytes, times: int) -> None:
    """Pay for encoding a string, or decoding bytes, that many times."""
    shift = gas.CHARACTERS_SHIFT if value.isascii() else gas.ENCODED_SHIFT
    charge(cell, times * len(value) >> shift)


def _ascii_change(change: Callable[[bytes], bytes]) -> Callable[[Cell, Any], str]:
    def guard(cell: Cell, value: Any) -> str:
        if type(value) is not str:
            raise TypeError
        if len(value) >= _UNPAID:
            _pay_encoding(cell, value, 2)
        return change(value.encode()).decode()

    return guard


upper = _ascii_change(bytes.upper)
lower = _ascii_change(bytes.lower)


def _ascii_test(test: Callable[[bytes], bool]) -> Callable[[Cell, Any], bool]:
    def guard(cell: Cell, value: Any) -> bool:
        if type(value) is not str:
            raise TypeError
        if len(value) >= _UNPAID:
            _pay_encoding(cell, value, 1)
            charge(cell, len(value) >> gas.CLASSIFIED_SHIFT)
        return test(value.encode())

    return guard


isdigit = _ascii_test(bytes.isdigit)
isalpha = _ascii_test(bytes.isalpha)
isalnum = _ascii_test(bytes.isalnum)
isupper = _ascii_test(bytes.isupper)
islower = _ascii_test(bytes.islower)
isspace = _ascii_test(bytes.isspace)


def isascii(cell: Cell, value: Any) -> bool:
    """`value.isascii()`: True for the empty string too."""
    check_text(value)
    return bool(value.isascii())


def _stripper(method: Callable[[str, str], str]) -> Callable[..., str]:
    def guard(cell: Cell, value: Any, characters: Any = None) -> str:
        if characters is None:
            characters = _SPACE
        if type(value) is not str or type(characters) is not str:
            raise TypeError
        charge(cell, len(value) >> gas.CHARACTERS_SHIFT)
        if len(characters) > _STRIP_SHORT:
            charge(cell, len(value) * len(characters) >> gas.STRIPPED_SHIFT)
            return method(value, characters)
        stripped = method(value, characters)
        charge(cell, (len(value) - len(stripped)) * len(characters) >> gas.STRIPPED_SHIFT)
        return stripped

    return guard


strip = _stripper(str.strip)
lstrip = _stripper(str.lstrip)
rstrip = _stripper(str.rstrip)


def _pay_pieces(cell: Cell, pieces: int, size: int) -> None:
    """Pay for a list of at most `pieces` new strings that were `size` characters long."""
    if pieces > limits.LIST_MAX:
        raise LimitExceeded("LIST")
    charge(cell, pieces * gas.PIECE + (size >> gas.CHARACTERS_SHIFT))


def _splitter(at_spaces: Any, at_separator: Any) -> Callable[..., list[str]]:
    def guard(cell: Cell, value: Any, separator: Any = None, most: Any = -1) -> list[str]:
        check_text(value)
        _check_count(most)
        most = most if 0 <= most <= limits.LIST_MAX else -1
        if separator is None:
            # A piece and its separator take two characters at least.
            pieces = len(value) // 2 + 1
            _pay_pieces(cell, min(pieces, most + 1) if most >= 0 else pieces, 2 * len(value))
            return [piece.decode() for piece in at_spaces(value.encode(), None, most)]
        search(cell, value, separator)
        if not separator:
            raise ValueError
        pieces = value.count(separator) + 1
        _pay_pieces(cell, min(pieces, most + 1) if most >= 0 else pieces, len(value))
        pieces_found: list[str] = at_separator(value, separator, most)
        return pieces_found

    return guard


split = _splitter(bytes.split, str.split)
rsplit = _splitter(bytes.rsplit, str.rsplit)


def join(cell: Cell, separator: Any, items: Any) -> Any:
    """`separator.join(items)` of a list or tuple of strings."""
    check_text(separator)
    if type(items) is not list and type(items) is not tuple:
        raise TypeError
    charge(cell, len(items) >> gas.ENTRIES_SHIFT)
    check_text(*items)
    allocate_text(cell, sum(map(len, items)) + len(separator) * max(0, len(items) - 1))
    return separator.join(items)


def replace(cell: Cell, value: Any, old: Any, new: Any, most: Any = -1) -> str:
    """`value.replace(old, new, most)`: the size of the result is known before."""
    if type(value) is not str or type(new) is not str or type(most) is not int:
        raise TypeError
    search(cell, value, old)
    count = value.count(old)
    if 0 <= most < count:
        count = most
    allocate_text(cell, len(value) + count * (len(new) - len(old)))
    charge(cell, (len(value) >> gas.CHARACTERS_SHIFT) + (count >> gas.ITEMS_SHIFT))
    return str(value.replace(old, new, count))


def _finder(find_text: Any, find_bytes: Any) -> Callable[..., int]:
    def guard(cell: Cell, value: Any, part: Any, start: Any = 0, end: Any = None) -> int:
        search(cell, value, part)
        _check_count(start)
        if end is not None:
            _check_count(end)
        found: int = (find_text if type(value) is str else find_bytes)(value, part, start, end)
        return found

    return guard


find = _finder(str.find, bytes.find)
rfind = _finder(str.rfind, bytes.rfind)


def _pay_affix(cell: Cell, affix: Any) -> None:
    charge(cell, len(affix) >> gas.COMPARED_SHIFT)


def startswith(cell: Cell, value: Any, prefix: Any) -> bool:
    """`value.startswith(prefix)`, of one prefix."""
    _check_same(value, prefix)
    _pay_affix(cell, prefix)
    return bool(value.startswith(prefix))


def endswith(cell: Cell, value: Any, suffix: Any) -> bool:
    """`value.endswith(suffix)`, of one suffix."""
    _check_same(value, suffix)
    _pay_affix(cell, suffix)
    return bool(value.endswith(suffix))


def removeprefix(cell: Cell, value: Any, prefix: Any) -> str:
    """`value.removeprefix(prefix)`."""
    check_text(value, prefix)
    _pay_affix(cell, prefix)
    allocate_text(cell, len(value))
    return str(value.removeprefix(prefix))


def removesuffix(cell: Cell, value: Any, suffix: Any) -> str:
    """`value.removesuffix(suffix)`."""
    check_text(value, suffix)
    _pay_affix(cell, suffix)
    allocate_text(cell, len(value))
    return str(value.removesuffix(suffix))


def partition(cell: Cell, value: Any, separator: Any) -> tuple[str, str, str]:
    """`value.partition(separator)`."""
    check_text(value, separator)
    search(cell, value, separator)
    allocate_text(cell, len(value))
    before, found, after = value.partition(separator)
    return before, found, after


def rpartition(cell: Cell, value: Any, separator: Any) -> tuple[str, str, str]:
    """`value.rpartition(separator)`."""
    check_text(value, separator)
    search(cell, value, separator)
    allocate_text(cell, len(value))
    before, found, after = value.rpartition(separator)
    return before, found, after


def _padder(method: Callable[..., str]) -> Callable[..., str]:
    def guard(cell: Cell, value: Any, width: Any, *fill: Any) -> str:
        check_text(value, *fill)
        _check_count(width)
        width = max(len(value), width)
        allocate_text(cell, width)
        return method(value, width, *fill)

    return guard


zfill = _padder(str.zfill)
ljust = _padder(str.ljust)
rjust = _padder(str.rjust)


def encode(cell: Cell, value: Any) -> bytes:
    """`value.encode()`: UTF-8."""
    check_text(value)
    _pay_encoding(cell, value, 1)
    encoded: bytes = value.encode()
    allocate_text(cell, len(encoded))
    return encoded


def decode(cell: Cell, value: Any) -> str:
    """`value.decode()`: strict UTF-8, else a ValueError."""
    if type(value) is not bytes:
        raise TypeError
    _pay_encoding(cell, value, 1)
    return value.decode()


def to_hex(cell: Cell, value: Any) -> str:
    """`value.hex()`: lower case."""
    if type(value) is not bytes:
        raise TypeError
    allocate_text(cell, 2 * len(value))
    charge(cell, len(value) >> gas.READ_SHIFT)
    return value.hex()
