"""The one byte form of every value: msgpack restricted until nothing is left to choose.

Signatures and hashes cover bytes, so two nodes must never write one value in two ways. Of msgpack
we keep: nil, booleans, integers of 64 signed bits, UTF-8 strings, byte strings, arrays, and maps
whose keys are strings in ascending order of their UTF-8 bytes. Every length and integer takes its
shortest form. Floats and extension types do not exist.

`decode` is strict in the simplest way there is: it re-encodes what it read and compares. Whatever
passes has exactly one byte form, by construction.

The contract worker, which has the standard library only, mirrors this module; both are held to the
vectors in `tests/vectors/canonical.json`.
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
    return _pack(_normal(value, DEPTH_MAX))


def decode(data: bytes) -> Value:
    """Return the value whose canonical form is `data`: arrays as lists, maps as dicts.

    Raises `DecodingError` unless re-encoding gives exactly `data`.
    """
    try:
        value = msgpack.unpackb(
            data, raw=False, strict_map_key=True, use_list=True, ext_hook=_no_extension
        )
    except RecursionError:
        raise DecodingError("nested too deeply") from None
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise DecodingError(str(error) or type(error).__name__) from None
    try:
        again = encode(value)
    except EncodingError as error:
        raise DecodingError(error.reason) from None
    if again != data:
        raise DecodingError("another byte form of the same value")
    return cast(Value, value)


def _no_extension(code: int, data: bytes) -> object:
    raise ValueError(f"extension type {code}")


_packer: Final = msgpack.Packer(use_bin_type=True, strict_types=True)
"""Shared by all threads: packing calls nothing that gives up the interpreter lock."""

_PLAIN: Final = frozenset({str, bytes, bool, type(None)})
"""Types of which every value is canonical as it is (lone surrogates are found while packing)."""


def _pack(value: object) -> bytes:
    try:
        return cast(bytes, _packer.pack(value))
    except UnicodeEncodeError:
        raise EncodingError("a string with lone surrogates") from None


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
    # Code-point order is UTF-8 byte order (RFC 3629 §1).
    return {
        key: item if type(item := named[key]) in _PLAIN else _normal(item, depth)
        for key in sorted(named)
    }
