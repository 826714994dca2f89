"""Canonical bytes with the standard library only: the mirror of `ledger.canonical`.

Same values, same bytes, same refusals; both are held to `tests/vectors/canonical.json` and to each
other by a property test. `ledger.canonical` decodes and re-encodes; here every byte is checked as
it is read, which in pure Python is the faster way to be strict.

`encode` takes a size limit because what it walks may come from a contract: a list that holds one
list twice, forty levels deep, is small in memory and endless on the wire.
"""

from __future__ import annotations

import struct
from typing import Final

INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1
DEPTH_MAX: Final = 32

SIZE_MAX: Final = 1 << 26
"""64 MiB, the largest frame; what contracts store has a lower limit of its own."""


class EncodingError(ValueError):
    """A value has no canonical form: wrong type, integer range, surrogate or depth."""


class TooLarge(EncodingError):
    """The canonical form would exceed the size limit."""


class DecodingError(ValueError):
    """Bytes are not the canonical form of any value."""


class Encoded(bytes):
    """Canonical bytes of a value: `encode` puts them in place as they are."""

    __slots__ = ()


def encode(value: object, size_max: int = SIZE_MAX) -> bytes:
    """Return the canonical bytes of `value`; tuples encode as arrays.

    Raises `TooLarge` beyond `size_max` bytes, before building them, else `EncodingError`.
    """
    out = bytearray()
    _write(out, value, DEPTH_MAX, size_max)
    if len(out) > size_max:
        raise TooLarge(f"more than {size_max} bytes")
    return bytes(out)


def _write(out: bytearray, value: object, depth: int, size_max: int) -> None:
    kind = type(value)
    if kind is str:
        out += _text(value)  # type: ignore[arg-type]
    elif kind is int:
        _write_integer(out, value)  # type: ignore[arg-type]
    elif value is None:
        out.append(0xC0)
    elif kind is bool:
        out.append(0xC3 if value else 0xC2)
    elif kind is bytes:
        size = len(value)  # type: ignore[arg-type]
        if size < 0x100:
            out += _BYTE_SIZED[size]
        else:
            _write_length(out, size, 0xC5, 0xC6)
        out += value  # type: ignore[arg-type]
    elif kind is dict:
        _write_map(out, value, depth, size_max)  # type: ignore[arg-type]
    elif kind is list or kind is tuple:
        _write_array(out, value, depth, size_max)  # type: ignore[arg-type]
    elif kind is Encoded:
        out += value  # type: ignore[arg-type]
    else:
        raise EncodingError(f"a value of type {kind.__name__}")


_BYTE_SIZED: Final = [bytes((0xC4, size)) for size in range(0x100)]
_TEXT_SIZED: Final = [
    bytes((0xA0 | size,)) if size < 32 else bytes((0xD9, size)) for size in range(0x100)
]


def _text(value: str) -> bytes:
    try:
        data = value.encode()
    except UnicodeEncodeError:
        raise EncodingError("a string with lone surrogates") from None
    size = len(data)
    if size < 0x100:
        return _TEXT_SIZED[size] + data
    return struct.pack(">BH", 0xDA, size) + data if size < 0x10000 else _huge_text(data)


def _huge_text(data: bytes) -> bytes:
    return struct.pack(">BI", 0xDB, len(data)) + data


def _write_integer(out: bytearray, value: int) -> None:
    if 0 <= value < 0x80:
        out.append(value)
    elif -32 <= value < 0:
        out.append(value & 0xFF)
    elif value >= 0:
        if value < 0x100:
            out += bytes((0xCC, value))
        elif value < 0x10000:
            out += struct.pack(">BH", 0xCD, value)
        elif value < 0x100000000:
            out += struct.pack(">BI", 0xCE, value)
        elif value <= INTEGER_MAX:
            out += struct.pack(">BQ", 0xCF, value)
        else:
            raise EncodingError("an integer beyond 64 signed bits")
    elif value >= -0x80:
        out += struct.pack(">Bb", 0xD0, value)
    elif value >= -0x8000:
        out += struct.pack(">Bh", 0xD1, value)
    elif value >= -0x80000000:
        out += struct.pack(">Bi", 0xD2, value)
    elif value >= INTEGER_MIN:
        out += struct.pack(">Bq", 0xD3, value)
    else:
        raise EncodingError("an integer beyond 64 signed bits")


def _write_length(out: bytearray, size: int, code_16: int, code_32: int) -> None:
    if size < 0x10000:
        out += struct.pack(">BH", code_16, size)
    else:
        out += struct.pack(">BI", code_32, size)


def _write_array(
    out: bytearray, items: list[object] | tuple[object, ...], depth: int, size_max: int
) -> None:
    if depth == 0:
        raise EncodingError(f"nested deeper than {DEPTH_MAX}")
    size = len(items)
    if size < 16:
        out.append(0x90 | size)
    else:
        _write_length(out, size, 0xDC, 0xDD)
    for item in items:
        if type(item) is str:
            out += _text(item)
        else:
            _write(out, item, depth - 1, size_max)
        if len(out) > size_max:
            raise TooLarge(f"more than {size_max} bytes")


def _write_map(out: bytearray, items: dict[object, object], depth: int, size_max: int) -> None:
    if depth == 0:
        raise EncodingError(f"nested deeper than {DEPTH_MAX}")
    for key in items:
        if type(key) is not str:
            raise EncodingError(f"a map key of type {type(key).__name__}")
    size = len(items)
    if size < 16:
        out.append(0x80 | size)
    else:
        _write_length(out, size, 0xDE, 0xDF)
    # Code-point order is UTF-8 byte order (RFC 3629 §1).
    for key in sorted(items):  # type: ignore[type-var]
        out += _text(key)  # type: ignore[arg-type]
        item = items[key]
        if type(item) is str:
            out += _text(item)
        else:
            _write(out, item, depth - 1, size_max)
        if len(out) > size_max:
            raise TooLarge(f"more than {size_max} bytes")


def decode(data: bytes) -> object:
    """Return the value whose canonical form is `data`: arrays as lists, maps as dicts.

    Raises `DecodingError` for any other byte form.
    """
    try:
        value, end = _read(data, 0, DEPTH_MAX)
    except IndexError:
        raise DecodingError("cut short") from None
    except UnicodeDecodeError:
        raise DecodingError("a string that is not UTF-8") from None
    if end != len(data):
        raise DecodingError("cut short, or bytes after the value")
    return value


_WIDTHS: Final = {
    0xCC: (">B", 1, 0x80),
    0xCD: (">H", 2, 0x100),
    0xCE: (">I", 4, 0x10000),
    0xCF: (">Q", 8, 0x100000000),
    0xD0: (">b", 1, -32),
    0xD1: (">h", 2, -0x80),
    0xD2: (">i", 4, -0x8000),
    0xD3: (">q", 8, -0x80000000),
}
"""Integer forms: layout, width, and the bound a shorter form would have served."""

_LENGTHS: Final = {
    0xC4: (1, 0),
    0xC5: (2, 0x100),
    0xC6: (4, 0x10000),
    0xD9: (1, 32),
    0xDA: (2, 0x100),
    0xDB: (4, 0x10000),
    0xDC: (2, 16),
    0xDD: (4, 0x10000),
    0xDE: (2, 16),
    0xDF: (4, 0x10000),
}
"""Length prefixes of bytes, strings, arrays and maps: width, and the least size they may carry."""


def _read(data: bytes, at: int, depth: int) -> tuple[object, int]:
    """The value at `at` and the position after it. `IndexError` or a position beyond the end
    means that the data is cut short."""
    head = data[at]
    at += 1
    if head < 0x80:
        return head, at
    if head >= 0xE0:
        return head - 0x100, at
    if 0xA0 <= head < 0xC0:
        end = at + (head & 0x1F)
        return data[at:end].decode(), end
    if head < 0x90:
        return _read_map(data, at, head & 0x0F, depth)
    if head < 0xA0:
        return _read_array(data, at, head & 0x0F, depth)
    if head == 0xC0:
        return None, at
    if head == 0xC2 or head == 0xC3:
        return head == 0xC3, at
    return _read_long(data, at, head, depth)


def _read_long(data: bytes, at: int, head: int, depth: int) -> tuple[object, int]:
    if head in _WIDTHS:
        layout, width, bound = _WIDTHS[head]
        if at + width > len(data):
            raise DecodingError("cut short")
        number: int = struct.unpack_from(layout, data, at)[0]
        if (number < bound if head <= 0xCF else number >= bound) or number > INTEGER_MAX:
            raise DecodingError("an integer longer than its shortest form, or beyond 64 bits")
        return number, at + width
    if head not in _LENGTHS:
        raise DecodingError(f"a float, an extension or the unused byte {head:#04x}")
    width, least = _LENGTHS[head]
    start = at + width
    size = int.from_bytes(data[at:start], "big")
    if size < least or start > len(data):
        raise DecodingError("a length cut short or longer than its shortest form")
    end = start + size
    if head <= 0xC6:
        return data[start:end], end
    if head <= 0xDB:
        return data[start:end].decode(), end
    if head <= 0xDD:
        return _read_array(data, start, size, depth)
    return _read_map(data, start, size, depth)


def _read_array(data: bytes, at: int, size: int, depth: int) -> tuple[list[object], int]:
    if depth == 0:
        raise DecodingError(f"nested deeper than {DEPTH_MAX}")
    items: list[object] = []
    for _ in range(size):
        item, at = _read(data, at, depth - 1)
        items.append(item)
    return items, at


def _read_map(data: bytes, at: int, size: int, depth: int) -> tuple[dict[str, object], int]:
    if depth == 0:
        raise DecodingError(f"nested deeper than {DEPTH_MAX}")
    items: dict[str, object] = {}
    last: str | None = None
    for _ in range(size):
        key, at = _read(data, at, 0)
        if type(key) is not str:
            raise DecodingError("a map key that is no string")
        if last is not None and key <= last:
            raise DecodingError("map keys out of order")
        items[key], at = _read(data, at, depth - 1)
        last = key
    return items, at
