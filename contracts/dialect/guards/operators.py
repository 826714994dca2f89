"""Operators that can amplify, overflow or format.

Theory: the interpreter's own operator runs only once the types are known and the size of the
result is known to fit. Base prices are charged by the block; a guard charges sizes.

Left out: `not`, `and`, `or`, `-x`, `is None` and comparisons with short constants, which cost the
same whatever the value: compiled code holds them as they are.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from contracts.dialect import gas, limits
from contracts.dialect.errors import LimitExceeded
from contracts.dialect.gas import Cell, charge
from contracts.dialect.guards.values import equal, measure

_MAX = limits.INTEGER_MAX
_BITS = limits.INTEGER_BITS


def _fits(number: int) -> int:
    if -_MAX <= number <= _MAX:
        return number
    raise LimitExceeded("INTEGER")


def check_integers(left: Any, right: Any) -> None:
    """Raise TypeError unless both are integers (bool is one, as in Python)."""
    if not (isinstance(left, int) and isinstance(right, int)):
        raise TypeError


def allocate_text(cell: Cell, size: int) -> None:
    """Pay for a new string or bytes of `size` characters. Raises LimitExceeded STRING."""
    if size >= gas.SHORT:
        if size > limits.STRING_MAX:
            raise LimitExceeded("STRING")
        charge(cell, size >> gas.CHARACTERS_SHIFT)


def allocate_list(cell: Cell, size: int) -> None:
    """Pay for a new list of `size` items. Raises LimitExceeded LIST."""
    if size > limits.LIST_MAX:
        raise LimitExceeded("LIST")
    charge(cell, size >> gas.ITEMS_SHIFT)


def add(cell: Cell, left: Any, right: Any) -> Any:
    """`left + right`: integers, strings, bytes, lists, tuples."""
    kind = type(left)
    if kind is str and type(right) is str:
        size = len(left) + len(right)
        if size >= gas.SHORT:
            allocate_text(cell, size)
        return left + right
    if kind is int or kind is bool:
        check_integers(left, right)
        total = left + right
        if -_MAX <= total <= _MAX:
            return total
        raise LimitExceeded("INTEGER")
    if type(right) is not kind:
        raise TypeError
    if kind is bytes:
        allocate_text(cell, len(left) + len(right))
    elif kind is list or kind is tuple:
        allocate_list(cell, len(left) + len(right))
    else:
        raise TypeError
    return left + right


def in_place_add(cell: Cell, left: Any, right: Any) -> Any:
    """`left += right`: a list grows in place, as in Python."""
    if type(left) is not list:
        return add(cell, left, right)
    if type(right) not in (list, tuple):
        raise TypeError
    allocate_list(cell, len(left) + len(right))
    left += right
    return left


def subtract(cell: Cell, left: Any, right: Any) -> int:
    """`left - right` of integers."""
    check_integers(left, right)
    return _fits(left - right)


def multiply(cell: Cell, left: Any, right: Any) -> Any:
    """`left * right`: integers, or a sequence repeated."""
    if isinstance(left, int):
        if isinstance(right, int):
            return _fits(left * right)
        left, right = right, left
    if not isinstance(right, int):
        raise TypeError
    size = len(left) * max(0, right)
    if type(left) is str or type(left) is bytes:
        allocate_text(cell, size)
    elif type(left) is list or type(left) is tuple:
        allocate_list(cell, size)
    else:
        raise TypeError
    return left * right if size else left[:0]


def in_place_multiply(cell: Cell, left: Any, right: Any) -> Any:
    """`left *= right`: a list is repeated in place, as in Python."""
    product = multiply(cell, left, right)
    if type(left) is list:
        left[:] = product
        return left
    return product


def floor_divide(cell: Cell, left: Any, right: Any) -> int:
    """`left // right` of integers. Raises ZeroDivisionError."""
    check_integers(left, right)
    return int(left // right)


def modulo(cell: Cell, left: Any, right: Any) -> int:
    """`left % right` of integers; a string on the left would format and is refused."""
    check_integers(left, right)
    return int(left % right)


def power(cell: Cell, left: Any, right: Any) -> int:
    """`left ** right` of integers; a negative exponent would give a fraction."""
    check_integers(left, right)
    if right < 0:
        raise ValueError
    if abs(left) > 1 and (left.bit_length() - 1) * right > _BITS:
        raise LimitExceeded("INTEGER")
    if abs(left) <= 1:
        right = 2 - right % 2 if right else 0
    return _fits(left**right)


def shift_left(cell: Cell, left: Any, right: Any) -> int:
    """`left << right` of integers."""
    check_integers(left, right)
    if right > _BITS and left:
        raise LimitExceeded("INTEGER")
    return _fits(left << min(right, _BITS))


def shift_right(cell: Cell, left: Any, right: Any) -> int:
    """`left >> right` of integers."""
    check_integers(left, right)
    return int(left >> min(right, 2 * _BITS))


def bit_and(cell: Cell, left: Any, right: Any) -> int:
    """`left & right` of integers (of two bools a bool)."""
    check_integers(left, right)
    return _fits(left & right)


def bit_or(cell: Cell, left: Any, right: Any) -> int:
    """`left | right` of integers; dicts are merged by `update`."""
    check_integers(left, right)
    return _fits(left | right)


def bit_xor(cell: Cell, left: Any, right: Any) -> int:
    """`left ^ right` of integers."""
    check_integers(left, right)
    return _fits(left ^ right)


def invert(cell: Cell, value: Any) -> int:
    """`~value` of an integer."""
    check_integers(value, 0)
    return _fits(-value - 1)


def equals(cell: Cell, left: Any, right: Any) -> bool:
    """`left == right`, paid by size."""
    kind = type(left)
    if kind is int or (kind is str and len(left) < gas.SHORT):
        same: bool = left == right
        return same
    return equal(cell, left, right)


def differs(cell: Cell, left: Any, right: Any) -> bool:
    """`left != right`, paid by size."""
    return not equals(cell, left, right)


def _order(cell: Cell, left: Any, right: Any) -> None:
    """Pay for one native ordering comparison of the two, whatever they are."""
    kind = type(left)
    if kind is int:
        return
    if kind is str or kind is bytes:
        if type(right) is kind:
            charge(cell, min(len(left), len(right)) >> gas.ORDERED_SHIFT)
    elif kind is list or kind is tuple:
        charge(cell, min(measure(cell, left), measure(cell, right)))


def less(cell: Cell, left: Any, right: Any) -> bool:
    """`left < right`; a TypeError for what has no order."""
    if type(left) is not str or len(left) >= gas.SHORT:
        _order(cell, left, right)
    ordered: bool = left < right
    return ordered


def less_or_equal(cell: Cell, left: Any, right: Any) -> bool:
    """`left <= right`."""
    if type(left) is not str or len(left) >= gas.SHORT:
        _order(cell, left, right)
    ordered: bool = left <= right
    return ordered


def greater(cell: Cell, left: Any, right: Any) -> bool:
    """`left > right`."""
    if type(left) is not str or len(left) >= gas.SHORT:
        _order(cell, left, right)
    ordered: bool = left > right
    return ordered


def greater_or_equal(cell: Cell, left: Any, right: Any) -> bool:
    """`left >= right`."""
    if type(left) is not str or len(left) >= gas.SHORT:
        _order(cell, left, right)
    ordered: bool = left >= right
    return ordered


def search(cell: Cell, text: Any, part: Any) -> None:
    """Pay for looking for `part` in `text` at its worst: quadratic, for short and for reverse
    searches (CPython's fastsearch.h). Raises TypeError unless both are str or both bytes."""
    if type(text) is not type(part) or type(text) not in (str, bytes):
        raise TypeError
    size, short = len(text), len(part)
    if size >= 16:
        steps = (size - short + 1) * short if short <= size else 0
        charge(cell, (size >> gas.READ_SHIFT) + (steps >> gas.SEARCH_SHIFT))


def scan_items(cell: Cell, items: Any, value: Any) -> None:
    """Pay for comparing `value`, if it is no container, with each of `items`."""
    size = len(items)
    if type(value) is str or type(value) is bytes:
        charge(cell, (size >> gas.EACH_SHIFT) + size * (len(value) >> gas.COMPARED_SHIFT))
    else:
        charge(cell, size >> gas.EACH_SHIFT)


def is_container(value: Any) -> bool:
    """True for the types whose comparison walks."""
    return type(value) in (list, tuple, dict, MappingProxyType)


def contains(cell: Cell, value: Any, container: Any) -> bool:
    """`value in container`."""
    kind = type(container)
    if kind is dict or kind is MappingProxyType:
        check_key(cell, value)
        return value in container
    if kind is list or kind is tuple:
        if is_container(value):
            charge(cell, gas.SOUGHT * len(container))
            for item in container:  # noqa: SIM110 (a generator costs half of a comparison)
                if equal(cell, item, value):
                    return True
            return False
        scan_items(cell, container, value)
        return value in container
    if kind is str:
        search(cell, container, value)
        return value in container
    if kind is range:
        return isinstance(value, int) and value in container
    if kind is bytes and type(value) is bytes:
        search(cell, container, value)
        return value in container
    raise TypeError


def contains_not(cell: Cell, value: Any, container: Any) -> bool:
    """`value not in container`."""
    return not contains(cell, value, container)


def check_key(cell: Cell, key: Any) -> Any:
    """A key of a dict: a string, or an integer of 64 bits. Pays for hashing; returns it."""
    if type(key) is str:
        if len(key) >= gas.SHORT:
            charge(cell, len(key) >> gas.COMPARED_SHIFT)
        return key
    if type(key) is int:
        if -limits.KEY_INTEGER_MAX <= key <= limits.KEY_INTEGER_MAX:
            return key
        raise LimitExceeded("INTEGER")
    raise TypeError
