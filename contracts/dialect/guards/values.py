"""Walks over whole values: export at the boundary, comparison, measure.

Theory: a value may be a tree, or a graph that shares (`a = [a, a]`) or bites its tail. A walk
treats it as a tree, pays for every node before it goes on, and stops at a depth: so a value of
forty doublings runs out of gas, and one that contains itself hits the limit.

No walk uses identity to save work: which equal constants are one object differs among
interpreters, and gas must not.

Left out: canonical bytes (the host packs what `export` returns).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from contracts.dialect import limits
from contracts.dialect.errors import LimitExceeded, OutOfGas
from contracts.dialect.gas import (
    CHARACTERS_SHIFT,
    COMPARED_NODE,
    COMPARED_SHIFT,
    CONTAINER_NODES,
    ORDERED_SHIFT,
    SHORT,
    VALUE_NODE,
    Cell,
    charge,
)

_INTEGER_MIN = limits.STORED_INTEGER_MIN
_INTEGER_MAX = limits.STORED_INTEGER_MAX
_NARROW = limits.STRING_MAX // 4
"""Characters that fit the limit on bytes whatever they are (UTF-8 takes 4 at most)."""

_RECORD_NAMES_MAX = 16
_RECORDS_MAX = 256
_records: dict[tuple[str, ...], Sequence[str]] = {}
"""Names of records in the order they were written in, and in canonical order. A contract writes the
same few again and again. All are forgotten when full; names are SHORT together, so they take less
than 1 MB."""


def export(cell: Cell, value: Any) -> Any:
    """A plain copy of `value` that may leave the contract, or enter it: arguments, results, state.

    Tuples become lists; integers have 64 bits, dicts str keys in ascending order, so the copy is
    ready to be packed (`ledger.canonical.pack`). Raises LimitExceeded (INTEGER, STRING, LIST,
    DICT, DEPTH, NODES), OutOfGas, and TypeError for what can't be stored.
    """
    if type(value) is dict:
        return copy_dict(cell, value, limits.VALUE_DEPTH_MAX, [0, 0])
    return _copy(cell, value, limits.VALUE_DEPTH_MAX, [0, 0])


def _copy(cell: Cell, value: Any, depth: int, seen: list[int]) -> Any:
    """`seen` counts the nodes of containers and the characters of long strings so far."""
    kind = type(value)
    if kind is str:
        return value if len(value) < SHORT else _long_text(cell, value, seen)
    if kind is int:
        if _INTEGER_MIN <= value <= _INTEGER_MAX:
            return value
        raise LimitExceeded("INTEGER")
    if value is None or kind is bool:
        return value
    if kind is dict or kind is MappingProxyType:
        return copy_dict(cell, value, depth, seen)
    if kind is list or kind is tuple:
        charge(cell, VALUE_NODE * (len(value) + CONTAINER_NODES))
        seen[0] += len(value)
        if depth == 0 or seen[0] > limits.VALUE_NODES_MAX:
            raise _beyond(depth)
        return [
            item
            if (type(item) is str and len(item) < SHORT)
            or (type(item) is int and _INTEGER_MIN <= item <= _INTEGER_MAX)
            else _copy(cell, item, depth - 1, seen)
            for item in value
        ]
    if kind is bytes:
        charge(cell, len(value) >> CHARACTERS_SHIFT)
        _count(len(value), seen)
        if len(value) > limits.STRING_MAX:
            raise LimitExceeded("STRING")
        return value
    raise TypeError


def copy_dict(cell: Cell, value: Any, depth: int, seen: list[int]) -> dict[str, Any]:
    """`export` of a dict within `depth` levels; `seen` as in `_copy`.

    In canonical order, like any dict that comes from the state.
    """
    size = len(value)
    cell[0] -= VALUE_NODE * (3 * size + CONTAINER_NODES)  # names are put in order as well
    if cell[0] < 0:
        raise OutOfGas
    seen[0] += 2 * size
    if depth == 0 or seen[0] > limits.VALUE_NODES_MAX:
        raise _beyond(depth)
    known = _records.get(tuple(value)) if size <= _RECORD_NAMES_MAX else None
    result: dict[str, Any] = {}
    for name in known or _in_order(value):
        if not known and len(name) >= SHORT:
            _long_text(cell, name, seen)
        item = value[name]
        if type(item) is not str or len(item) >= SHORT:
            item = _copy(cell, item, depth - 1, seen)
        result[name] = item
    return result


def _in_order(value: Any) -> Sequence[str]:
    """The names of a dict in canonical order, remembered if they are few and short."""
    names = sorted(value)
    if names and type(names[0]) is not str:  # strings and integers have no order together
        raise TypeError
    if len(names) <= _RECORD_NAMES_MAX and sum(map(len, names)) < SHORT:
        if len(_records) == _RECORDS_MAX:
            _records.clear()
        _records[tuple(value)] = names
    return names


def _beyond(depth: int) -> LimitExceeded:
    return LimitExceeded("NODES") if depth else LimitExceeded("DEPTH")


def _long_text(cell: Cell, text: str, seen: list[int]) -> str:
    charge(cell, len(text) >> CHARACTERS_SHIFT)
    _count(len(text), seen)
    if len(text) > _NARROW and len(text.encode()) > limits.STRING_MAX:
        raise LimitExceeded("STRING")
    return text


def _count(characters: int, seen: list[int]) -> None:
    """Bound their sum: one string may stand in many places, and each is written out."""
    seen[1] += characters
    if seen[1] > limits.VALUE_CHARACTERS_MAX:
        raise LimitExceeded("STRING")


def measure(cell: Cell, value: Any, depth: int = limits.VALUE_DEPTH_MAX) -> int:
    """Nodes of `value`, a long string counting by its length; pays for the walk.

    What it returns bounds the steps of one native comparison of `value` with anything.
    """
    kind = type(value)
    if kind is list or kind is tuple:
        charge(cell, COMPARED_NODE * (len(value) + 3))
        if depth == 0:
            raise LimitExceeded("DEPTH")
        return 1 + sum([measure(cell, item, depth - 1) for item in value])
    if kind is str or kind is bytes:
        return 1 + (len(value) >> ORDERED_SHIFT)
    return 1


def equal(cell: Cell, left: Any, right: Any, depth: int = limits.VALUE_DEPTH_MAX) -> bool:
    """`left == right` as Python has it, paid node by node. Raises LimitExceeded DEPTH."""
    kind = type(left)
    if kind is str or kind is bytes:
        if type(right) is kind and len(left) == len(right) >= SHORT:
            charge(cell, len(left) >> COMPARED_SHIFT)
        return bool(left == right)
    if kind is list or kind is tuple:
        if type(right) is not kind or len(left) != len(right):
            return False
        charge(cell, COMPARED_NODE * (len(left) + 3))
        if depth == 0:
            raise LimitExceeded("DEPTH")
        for mine, theirs in zip(left, right, strict=True):
            if not equal(cell, mine, theirs, depth - 1):
                return False
        return True
    if kind is dict or kind is MappingProxyType:
        return _equal_dicts(cell, left, right, depth)
    return bool(left == right)


def _equal_dicts(cell: Cell, left: Any, right: Any, depth: int) -> bool:
    if type(right) not in (dict, MappingProxyType) or len(left) != len(right):
        return False
    charge(cell, 2 * COMPARED_NODE * (len(left) + 1))
    if depth == 0:
        raise LimitExceeded("DEPTH")
    for key, mine in left.items():
        if type(key) is str and len(key) >= SHORT:
            charge(cell, len(key) >> COMPARED_SHIFT)
        if key not in right or not equal(cell, mine, right[key], depth - 1):
            return False
    return True
