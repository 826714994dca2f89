"""Walks over whole values: export at the boundary, comparison, measure.

Theory: a value may be a tree, or a graph that shares (`a = [a, a]`) or bites its tail. A walk
treats it as a tree, pays for every node before it goes on, and stops at a depth: so a value of
forty doublings runs out of gas, and one that contains itself hits the limit.

No walk uses identity to save work: which equal constants are one object differs among
interpreters, and gas must not.

Left out: canonical bytes (the host packs what `export` returns).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from contracts.dialect import gas, limits
from contracts.dialect.errors import LimitExceeded
from contracts.dialect.gas import Cell, charge

_INTEGER_MIN = limits.STORED_INTEGER_MIN
_INTEGER_MAX = limits.STORED_INTEGER_MAX
_NARROW = limits.STRING_MAX // 4
"""Characters that fit the limit on bytes whatever they are (UTF-8 takes 4 at most)."""


def export(cell: Cell, value: Any) -> Any:
    """A plain copy of `value` that may leave the contract, or enter it: arguments, results, state.

    Tuples become lists; integers have 64 bits, dicts str keys in ascending order, so the copy is
    ready to be packed (`ledger.canonical.pack`). Raises LimitExceeded (INTEGER,
    STRING, LIST, DICT, DEPTH, NODES), OutOfGas, and TypeError for what can't be stored.
    """
    kind = type(value)
    if kind is str:
        return _export_text(cell, value)
    if kind is int:
        if _INTEGER_MIN <= value <= _INTEGER_MAX:
            return value
        raise LimitExceeded("INTEGER")
    if value is None or kind is bool:
        return value
    return _Export(cell).copy(value, limits.VALUE_DEPTH_MAX)


def _export_text(cell: Cell, text: str) -> str:
    if len(text) >= gas.SHORT:
        charge(cell, len(text) >> gas.CHARACTERS_SHIFT)
        if len(text) > _NARROW and len(text.encode()) > limits.STRING_MAX:
            raise LimitExceeded("STRING")
    return text


class _Export:
    """One export of a container, with its count of nodes and of characters in long strings."""

    __slots__ = ("cell", "characters", "nodes")

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.nodes = 0
        self.characters = 0

    def copy(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return value if len(value) < gas.SHORT else self.long_text(value)
        if kind is int:
            if _INTEGER_MIN <= value <= _INTEGER_MAX:
                return value
            raise LimitExceeded("INTEGER")
        if value is None or kind is bool:
            return value
        if kind is dict or kind is MappingProxyType:
            self.enter(2 * len(value), depth)
            return self.copy_dict(value, depth - 1)
        if kind is list or kind is tuple:
            self.enter(len(value), depth)
            return [self.copy(item, depth - 1) for item in value]
        if kind is bytes:
            charge(self.cell, len(value) >> gas.CHARACTERS_SHIFT)
            self.count(len(value))
            if len(value) > limits.STRING_MAX:
                raise LimitExceeded("STRING")
            return value
        raise TypeError

    def long_text(self, text: str) -> str:
        self.count(len(text))
        return _export_text(self.cell, text)

    def count(self, characters: int) -> None:
        """Bound the sum: one string may stand in many places, and each is written out."""
        self.characters += characters
        if self.characters > limits.VALUE_CHARACTERS_MAX:
            raise LimitExceeded("STRING")

    def enter(self, nodes: int, depth: int) -> None:
        """Pay for the nodes of a container before they are walked."""
        self.nodes += nodes
        charge(self.cell, gas.VALUE_NODE * (nodes + 4))
        if depth == 0:
            raise LimitExceeded("DEPTH")
        if self.nodes > limits.VALUE_NODES_MAX:
            raise LimitExceeded("NODES")

    def copy_dict(self, value: Any, depth: int) -> dict[str, Any]:
        """In canonical order, like any dict that comes from the state."""
        for key in value:
            if type(key) is not str:
                raise TypeError
            if len(key) >= gas.SHORT:  # before sorting, which compares
                self.long_text(key)
        result = {}
        for key in sorted(value):
            item = value[key]
            short = type(item) is str and len(item) < gas.SHORT
            result[key] = item if short else self.copy(item, depth)
        return result


def measure(cell: Cell, value: Any, depth: int = limits.VALUE_DEPTH_MAX) -> int:
    """Nodes of `value`, a long string counting by its length; pays for the walk.

    What it returns bounds the steps of one native comparison of `value` with anything.
    """
    kind = type(value)
    if kind is list or kind is tuple:
        charge(cell, gas.VALUE_NODE * (len(value) + 3))
        if depth == 0:
            raise LimitExceeded("DEPTH")
        return 1 + sum([measure(cell, item, depth - 1) for item in value])
    if kind is str or kind is bytes:
        return 1 + (len(value) >> gas.COMPARED_SHIFT)
    return 1


def equal(cell: Cell, left: Any, right: Any, depth: int = limits.VALUE_DEPTH_MAX) -> bool:
    """`left == right` as Python has it, paid node by node. Raises LimitExceeded DEPTH."""
    kind = type(left)
    if kind is str or kind is bytes:
        if type(right) is kind and len(left) == len(right) >= gas.SHORT:
            charge(cell, len(left) >> gas.COMPARED_SHIFT)
        return bool(left == right)
    if kind is list or kind is tuple:
        if type(right) is not kind or len(left) != len(right):
            return False
        charge(cell, gas.VALUE_NODE * (len(left) + 3))
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
    charge(cell, 2 * gas.VALUE_NODE * (len(left) + 1))
    if depth == 0:
        raise LimitExceeded("DEPTH")
    for key, mine in left.items():
        if type(key) is str and len(key) >= gas.SHORT:
            charge(cell, len(key) >> gas.COMPARED_SHIFT)
        if key not in right or not equal(cell, mine, right[key], depth - 1):
            return False
    return True
