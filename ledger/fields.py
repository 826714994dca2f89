"""Checks that turn a decoded value into a typed field or raise `FieldError` naming the field.

Wire structures are arrays, so a decoder unpacks by position and passes each item through one of
these. Lengths and ranges are checked here, once, for every format.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, cast

from ledger.errors import FieldError
from ledger.hashing import DIGEST_SIZE
from ledger.keys import PUBLIC_KEY_SIZE, SIGNATURE_SIZE
from ledger.types import Digest, PublicKey, Signature

NUMBER_MAX: Final = 2**53 - 1
"""Greatest height, view, time or count: exact in JSON numbers of every client (RFC 8259 §6)."""

NAME_SIZE_MAX: Final = 128
"""Longest contract, method or organisation name in UTF-8 bytes."""


def array(value: object, field: str, size: int | None = None) -> list[object]:
    """`value` as a list, of exactly `size` items where given."""
    if type(value) is not list or (size is not None and len(value) != size):
        raise FieldError(field, "an array" if size is None else f"an array of {size}", value)
    return value


def bounded(value: object, field: str, count_max: int) -> list[object]:
    """`value` as a list of at most `count_max` items."""
    items = array(value, field)
    if len(items) > count_max:
        raise FieldError(field, f"at most {count_max} items", len(items))
    return items


def natural(value: object, field: str, maximum: int = NUMBER_MAX) -> int:
    """`value` as an integer in [0, maximum]."""
    if type(value) is not int or not 0 <= value <= maximum:
        raise FieldError(field, f"an integer from 0 to {maximum}", value)
    return value


def boolean(value: object, field: str) -> bool:
    if type(value) is not bool:
        raise FieldError(field, "a boolean", value)
    return value


def text(value: object, field: str, size_max: int = NAME_SIZE_MAX) -> str:
    """`value` as a string of 1 to `size_max` UTF-8 bytes."""
    if type(value) is not str or not 0 < len(value.encode()) <= size_max:
        raise FieldError(field, f"a string of 1 to {size_max} bytes", value)
    return value


def binary(value: object, field: str, size: int | None = None, size_max: int = 2**20) -> bytes:
    """`value` as bytes, of exactly `size` where given, else at most `size_max`."""
    if type(value) is not bytes or (size is not None and len(value) != size):
        raise FieldError(field, "bytes" if size is None else f"{size} bytes", value)
    if len(value) > size_max:
        raise FieldError(field, f"at most {size_max} bytes", len(value))
    return value


def digest(value: object, field: str) -> Digest:
    return Digest(binary(value, field, DIGEST_SIZE))


def public_key(value: object, field: str) -> PublicKey:
    """`value` with a public key's size; whether it is a good key is `keys.check_public_key`'s."""
    return PublicKey(binary(value, field, PUBLIC_KEY_SIZE))


def signature(value: object, field: str) -> Signature:
    return Signature(binary(value, field, SIGNATURE_SIZE))


def ascending(names: Sequence[str], field: str) -> None:
    """Refuse names that are not strictly ascending: no duplicates, one order."""
    for before, after in pairwise(names):
        if not before < after:
            raise FieldError(field, "strictly ascending names", cast(object, [before, after]))
