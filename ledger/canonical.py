"""The one byte form of every value: msgpack restricted until nothing is left to choose.

Signatures and hashes cover bytes, so two nodes must never write one value in two ways. Of msgpack
we keep: nil, booleans, integers of 64 signed bits, UTF-8 strings, byte strings, arrays, and maps
whose keys are strings in ascending order of their UTF-8 bytes. Every length and integer takes its
shortest form. Floats and extension types do not exist.

`decode` is strict in the simplest way there is: it re-encodes what it read and compares. Whatever
passes has exactly one byte form, by construction.

The contract worker loads this module too, before it is locked down. The vectors in
`tests/vectors/canonical.json` hold it to the written form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias, cast

import msgpack

from ledger.errors import InvalidInput

Value: TypeAlias = "bool | int | str | bytes | Sequence[Value] | Mapping[str, Value] | None"

INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1
"""Signed 64 bits: what SQL, Java and JSON tooling can hold without loss or wrap-around."""

DEPTH_MAX: Final = 32
"""Deepest nesting of arrays and maps; far above any structure here, far below any stack limit."""


class EncodingError(InvalidInput):
    """A Python value has no canonical form."""

    code = "not_encodable"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"no canonical form: {reason}")


class DecodingError(InvalidInput):
    """Bytes are not the canonical form of any value."""

    code = "not_canonical"
    hint = "encode with sorted string keys, shortest integers, no floats and no extensions"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"not canonical: {reason}")


def encode(value: Value) -> bytes:
    """Return the canonical bytes of `value`. Tuples encode as arrays.

    Raises `EncodingError` for a type, integer, string, key or depth outside the form.
    """
    return pack(_normal(value, DEPTH_MAX))


def normal(value: object, depth: int = DEPTH_MAX) -> Value:
    """`value` in the form that `pack` takes, nested by no more than `depth` levels.

    Raises `EncodingError` as `encode` does, but for lone surrogates.
    """
    return cast(Value, _normal(value, depth))


def pack(value: object) -> bytes:
    """`encode` of a value known to be normal: plain types (no tuples), 64-bit integers, maps in
    key order.

    Whoever is not sure calls `encode`; it costs a walk. Raises `EncodingError` for surrogates.
    """
    try:
        packed: bytes = _packer.pack(value)
        return packed
    except UnicodeEncodeError:
        raise EncodingError("a string with lone surrogates") from None


def decode(data: bytes) -> Value:
    """Return the value whose canonical form is `data`: arrays as lists, maps as dicts.

    Raises `DecodingError` unless re-encoding gives exactly `data`.
    """
    value = cast(Value, unpack(data))
    try:
        again = encode(value)
    except EncodingError as error:
        raise DecodingError(error.reason) from None
    if again != data:
        raise DecodingError("another byte form of the same value")
    return value


def unpack(data: bytes) -> object:
    """The value that `data` is msgpack of, canonical or not: for who then walks it and compares.

    Raises `DecodingError` for extensions and for what is no msgpack.
    """
    try:
        return msgpack.unpackb(
            data, raw=False, strict_map_key=True, use_list=True, ext_hook=_no_extension
        )
    except RecursionError:
        raise DecodingError("nested too deeply") from None
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise DecodingError(str(error) or type(error).__name__) from None


def check_size(data: bytes, values_max: int) -> None:
    """Raise `DecodingError` if `data` announces more than `values_max` values, or nests too deeply.

    Builds none of them: a list costs 64 bytes of memory for one byte on the wire, and a count can
    promise what never follows. For bytes from whoever is not trusted, before `decode`, which finds
    everything else that is wrong.
    """
    enclosing: list[int] = []
    left, values, position, end = 1, 1, 0, len(data)
    while position < end:
        while left == 0:
            if not enclosing:
                return
            left = enclosing.pop()
        left -= 1
        head = data[position]
        position += 1
        size = _SIZES[head]
        if size >= 0:
            position += size
            continue
        width, each = _COUNTED[head]
        count = int.from_bytes(data[position : position + width], "big") if width else head & 0x0F
        position += width
        if each == 0:
            position += count
            continue
        values += each * count
        if values > values_max:
            raise DecodingError(f"more than {values_max} values")
        if len(enclosing) == DEPTH_MAX:
            raise DecodingError(f"nested deeper than {DEPTH_MAX}")
        enclosing.append(left)
        left = each * count


def _sizes() -> list[int]:
    """Bytes that follow each first byte of a msgpack value; -1 where a count says it."""
    sizes = [0] * 256
    for head in range(0xA0, 0xC0):
        sizes[head] = head & 0x1F
    for head in (0xCC, 0xCD, 0xCE, 0xCF, 0xD0, 0xD1, 0xD2, 0xD3):
        sizes[head] = 1 << (head & 0x03)
    for head in _COUNTED:
        sizes[head] = -1
    return sizes


_COUNTED: Final = {
    **dict.fromkeys(range(0x80, 0x90), (0, 2)),
    **dict.fromkeys(range(0x90, 0xA0), (0, 1)),
    **{head: (1 << (head - 0xC4), 0) for head in (0xC4, 0xC5, 0xC6)},
    **{head: (1 << (head - 0xD9), 0) for head in (0xD9, 0xDA, 0xDB)},
    **{head: (2 << (head - 0xDC), 1) for head in (0xDC, 0xDD)},
    **{head: (2 << (head - 0xDE), 2) for head in (0xDE, 0xDF)},
}
"""First byte -> size of the count behind it, and values for each counted thing: 2 in a map, 1 in an
array, 0 where bytes are counted. Floats and extensions pass here; `decode` refuses them."""

_SIZES: Final = _sizes()


def _no_extension(code: int, data: bytes) -> object:
    raise ValueError(f"extension type {code}")


_packer: Final = msgpack.Packer(use_bin_type=True, strict_types=True)
"""Shared by all threads: packing calls nothing that gives up the interpreter lock."""

_PLAIN: Final = frozenset({str, bytes, bool, type(None)})
"""Types of which every value is canonical as it is (lone surrogates are found while packing)."""

_INTEGERS: Final = frozenset({int})


def _normal(value: object, depth: int) -> object:
    """Check `value` and put maps in key order, leaving scalars as they are."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        if not INTEGER_MIN <= cast(int, value) <= INTEGER_MAX:
            raise EncodingError("an integer beyond 64 signed bits")
        return value
    if depth == 0:
        raise EncodingError(f"nested deeper than {DEPTH_MAX}")
    depth -= 1
    if kind is list or kind is tuple:
        # Scalars are most of what there is, and a call for each would be most of the time.
        items = cast(Sequence[object], value)
        kinds = set(map(type, items))
        if kinds <= _PLAIN:
            return list(items)
        if kinds == _INTEGERS:
            numbers = cast(Sequence[int], items)
            if min(numbers) >= INTEGER_MIN and max(numbers) <= INTEGER_MAX:
                return list(numbers)
        return [
            item
            if type(item) in _PLAIN or (type(item) is int and INTEGER_MIN <= item <= INTEGER_MAX)
            else _normal(item, depth)
            for item in items
        ]
    if kind is dict:
        return _normal_map(cast("dict[object, object]", value), depth)
    raise EncodingError(f"a value of type {kind.__name__}")


def _normal_map(value: dict[object, object], depth: int) -> dict[str, object]:
    for key in value:
        if type(key) is not str:
            raise EncodingError(f"a map key of type {type(key).__name__}")
    named = cast("dict[str, object]", value)
    normal = {}
    for key in sorted(named):  # code-point order is UTF-8 byte order (RFC 3629 §1)
        item = named[key]
        normal[key] = item if type(item) in _PLAIN else _normal(item, depth)
    return normal
