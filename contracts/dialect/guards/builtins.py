"""The built-in functions of the dialect, bounded and paid.

Theory: each takes finished sequences only, never an iterator, so its work is known before it
starts. `enumerate` and `zip` return lists. `range` stays lazy: its length is free. `len` is the
interpreter's own.

Left out: `key=` of sorting (sort a list of tuples), `isinstance`, `print`, `reversed`.
"""

from __future__ import annotations

from typing import Any

from contracts.dialect import gas, limits
from contracts.dialect.errors import LimitExceeded
from contracts.dialect.gas import Cell, charge
from contracts.dialect.guards.containers import is_dict, pay_sort, sequence
from contracts.dialect.guards.operators import (
    allocate_list,
    check_key,
)
from contracts.dialect.guards.values import measure


def absolute(cell: Cell, value: Any) -> int:
    """`abs(value)` of an integer."""
    if not isinstance(value, int):
        raise TypeError
    return abs(value)


def boolean(cell: Cell, value: Any = False) -> bool:
    """`bool(value)`."""
    return bool(value)


def integers(cell: Cell, *bounds: Any) -> range:
    """`range(stop)`, `range(start, stop)`, `range(start, stop, step)`."""
    for bound in bounds:
        if not isinstance(bound, int):
            raise TypeError
        if not -limits.RANGE_MAX <= bound <= limits.RANGE_MAX:
            raise LimitExceeded("RANGE")
    return range(*bounds)


def _pay_comparisons(cell: Cell, items: Any) -> None:
    """Pay for comparing neighbours of `items` natively."""
    if type(items) is range:
        charge(cell, len(items) >> gas.EACH_SHIFT)
    else:
        charge(cell, gas.COMPARISON * len(items))
        charge(cell, sum([0 if type(item) is int else measure(cell, item) for item in items]))


def _candidates(cell: Cell, values: tuple[Any, ...]) -> Any:
    items = values if len(values) > 1 else sequence(cell, values[0])
    _pay_comparisons(cell, items)
    return items


def minimum(cell: Cell, *values: Any) -> Any:
    """`min(items)` or `min(a, b, ...)`. Raises ValueError if there is none."""
    return min(_candidates(cell, values))


def maximum(cell: Cell, *values: Any) -> Any:
    """`max(items)` or `max(a, b, ...)`. Raises ValueError if there is none."""
    return max(_candidates(cell, values))


def ordered(cell: Cell, items: Any, reverse: Any = False) -> list[Any]:
    """`sorted(items, reverse=...)`."""
    found = sequence(cell, items)
    allocate_list(cell, len(found))
    charge(cell, gas.COMPARISON * len(found))
    pay_sort(cell, found, len(found))
    return sorted(found, reverse=bool(reverse))


def total(cell: Cell, items: Any, start: Any = 0) -> int:
    """`sum(items, start)` of integers."""
    found = sequence(cell, items)
    charge(cell, len(found) >> gas.ENTRIES_SHIFT)
    if not isinstance(start, int):
        raise TypeError
    result: int = sum(found, start)
    if -limits.INTEGER_MAX <= result <= limits.INTEGER_MAX:
        return result
    raise LimitExceeded("INTEGER")


def some(cell: Cell, items: Any) -> bool:
    """`any(items)`."""
    found = sequence(cell, items)
    charge(cell, len(found) >> gas.EACH_SHIFT)
    return any(found)


def every(cell: Cell, items: Any) -> bool:
    """`all(items)`."""
    found = sequence(cell, items)
    charge(cell, len(found) >> gas.EACH_SHIFT)
    return all(found)


def numbered(cell: Cell, items: Any, start: Any = 0) -> list[tuple[int, Any]]:
    """`enumerate(items, start)`, as a list."""
    found = sequence(cell, items)
    if not isinstance(start, int) or abs(start) > limits.RANGE_MAX:
        raise TypeError
    allocate_list(cell, len(found))
    charge(cell, len(found) * gas.NUMBERED)
    return list(enumerate(found, start))


def zipped(cell: Cell, *several: Any) -> list[tuple[Any, ...]]:
    """`zip(a, b, ...)`, as a list, as long as the shortest."""
    found = [sequence(cell, items) for items in several]
    shortest = min(map(len, found))
    allocate_list(cell, shortest)
    charge(cell, shortest * len(found) >> gas.ENTRIES_SHIFT)
    return list(zip(*found, strict=False))


def listed(cell: Cell, items: Any = ()) -> list[Any]:
    """`list(items)`."""
    found = sequence(cell, items)
    allocate_list(cell, len(found))
    charge(cell, len(found) >> gas.EACH_SHIFT)
    return list(found)


def mapped(cell: Cell, entries: Any = ()) -> dict[Any, Any]:
    """`dict(entries)` of a dict, or of a list of pairs."""
    if is_dict(entries):
        charge(cell, len(entries) >> gas.ENTRIES_SHIFT)
        return dict(entries)
    if type(entries) is not list and type(entries) is not tuple:
        raise TypeError
    charge(cell, 3 * len(entries))
    for pair in entries:
        if type(pair) is not tuple and type(pair) is not list:
            raise TypeError
        if len(pair) != 2:
            raise ValueError
        check_key(cell, pair[0])
    return dict(entries)
