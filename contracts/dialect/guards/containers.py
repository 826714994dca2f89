"""Subscripts, iteration, and methods of lists and dicts.

Theory: a container grows one checked step at a time, and a dict is walked over a copy of its keys,
so that changing it meanwhile is harmless and means the same on every interpreter. Constants of a
module are read-only dicts (`MappingProxyType`) and tuples; methods that change refuse them.

Left out: slices as targets, set operations, `popitem`, `fromkeys`.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

from contracts.dialect import gas, limits
from contracts.dialect.errors import LimitExceeded
from contracts.dialect.gas import Cell, charge
from contracts.dialect.guards.operators import (
    allocate_list,
    allocate_text,
    check_key,
    is_container,
    scan_items,
    search,
)
from contracts.dialect.guards.values import equal, measure


def check_list(value: Any) -> None:
    """Raise TypeError unless `value` is a list."""
    if type(value) is not list:
        raise TypeError


def is_dict(value: Any) -> bool:
    """True for a dict and for a constant one."""
    return type(value) is dict or type(value) is MappingProxyType


def _check_dict(value: Any) -> None:
    if type(value) is not dict and type(value) is not MappingProxyType:
        raise TypeError


def sequence(cell: Cell, value: Any) -> Any:
    """What to iterate over: the value itself, or the keys of a dict at this moment."""
    kind = type(value)
    if kind in (list, tuple, str, range, bytes):
        return value
    _check_dict(value)
    charge(cell, len(value) >> gas.ITEMS_SHIFT)
    return list(value)


def get_item(cell: Cell, container: Any, key: Any) -> Any:
    """`container[key]`."""
    if is_dict(container):
        return container[check_key(cell, key)]
    if type(container) in (list, tuple, str, bytes, range) and isinstance(key, int):
        return container[key]
    raise TypeError


def set_item(cell: Cell, container: Any, key: Any, value: Any) -> None:
    """`container[key] = value` of a list or dict."""
    if type(container) is dict:
        check_key(cell, key)
        if len(container) >= limits.DICT_MAX and key not in container:
            raise LimitExceeded("DICT")
        container[key] = value
    elif type(container) is list and isinstance(key, int):
        container[key] = value
    else:
        raise TypeError


def delete_item(cell: Cell, container: Any, key: Any) -> None:
    """`del container[key]` of a list or dict."""
    if type(container) is dict:
        del container[check_key(cell, key)]
    elif type(container) is list and isinstance(key, int):
        charge(cell, len(container) >> gas.MOVED_SHIFT)
        del container[key]
    else:
        raise TypeError


def slice_items(cell: Cell, container: Any, start: Any, stop: Any, step: Any) -> Any:
    """`container[start:stop:step]` of a string, bytes, list or tuple."""
    for bound in (start, stop, step):
        if bound is not None and type(bound) is not int:
            raise TypeError
    part = slice(start, stop, step)
    kind = type(container)
    if kind is str or kind is bytes:
        size = len(range(*part.indices(len(container))))
        allocate_text(cell, size)
        if step is not None:
            charge(cell, size >> gas.READ_SHIFT)
    elif kind is list or kind is tuple:
        allocate_list(cell, len(range(*part.indices(len(container)))))
    else:
        raise TypeError
    return container[part]


def build_dict(cell: Cell, *pairs: Any) -> dict[Any, Any]:
    """`{key: value, ...}` with computed keys: keys and values in turn."""
    keys = pairs[::2]
    for key in keys:
        check_key(cell, key)
    return dict(zip(keys, pairs[1::2], strict=True))


def list_append(cell: Cell, items: Any, value: Any) -> None:
    """`items.append(value)`; also what a comprehension collects with."""
    if type(items) is not list:
        raise TypeError
    if len(items) >= limits.LIST_MAX:
        raise LimitExceeded("LIST")
    items.append(value)


def list_extend(cell: Cell, items: Any, more: Any) -> None:
    """`items.extend(more)`."""
    check_list(items)
    added = sequence(cell, more)
    if len(items) + len(added) > limits.LIST_MAX:
        raise LimitExceeded("LIST")
    charge(cell, len(added) >> gas.EACH_SHIFT)
    items.extend(list(added))


def list_insert(cell: Cell, items: Any, index: Any, value: Any) -> None:
    """`items.insert(index, value)`."""
    check_list(items)
    if not isinstance(index, int):
        raise TypeError
    if len(items) >= limits.LIST_MAX:
        raise LimitExceeded("LIST")
    charge(cell, len(items) >> gas.MOVED_SHIFT)
    items.insert(max(-limits.LIST_MAX, min(index, limits.LIST_MAX)), value)


def list_remove(cell: Cell, items: Any, value: Any) -> None:
    """`items.remove(value)`. Raises ValueError."""
    check_list(items)
    charge(cell, len(items) >> gas.MOVED_SHIFT)
    del items[_position(cell, items, value)]


def list_reverse(cell: Cell, items: Any) -> None:
    """`items.reverse()`."""
    check_list(items)
    charge(cell, len(items) >> gas.ITEMS_SHIFT)
    items.reverse()


def pay_sort(cell: Cell, items: Iterable[Any], count: int) -> None:
    """Pay for sorting: comparisons by the size of the longest item."""
    longest = 1
    for item in items:
        if type(item) is not int:
            longest = max(longest, measure(cell, item))
    comparisons = count * count.bit_length() * longest
    charge(cell, comparisons >> gas.SORT_SHIFT)


def list_sort(cell: Cell, items: Any, reverse: Any = False) -> None:
    """`items.sort(reverse=...)`."""
    check_list(items)
    charge(cell, gas.COMPARISON * len(items))
    pay_sort(cell, items, len(items))
    items.sort(reverse=bool(reverse))


def dict_get(cell: Cell, entries: Any, key: Any, default: Any = None) -> Any:
    """`entries.get(key, default)`."""
    _check_dict(entries)
    return entries.get(check_key(cell, key), default)


def dict_keys(cell: Cell, entries: Any) -> list[Any]:
    """`entries.keys()`, as a list of this moment."""
    _check_dict(entries)
    charge(cell, len(entries) >> gas.ITEMS_SHIFT)
    return list(entries)


def dict_values(cell: Cell, entries: Any) -> list[Any]:
    """`entries.values()`, as a list of this moment."""
    _check_dict(entries)
    charge(cell, len(entries) >> gas.ITEMS_SHIFT)
    return list(entries.values())


def dict_items(cell: Cell, entries: Any) -> list[tuple[Any, Any]]:
    """`entries.items()`, as a list of pairs of this moment."""
    _check_dict(entries)
    charge(cell, len(entries) >> gas.ENTRIES_SHIFT)
    return list(entries.items())


def dict_setdefault(cell: Cell, entries: Any, key: Any, default: Any = None) -> Any:
    """`entries.setdefault(key, default)`."""
    if type(entries) is not dict:
        raise TypeError
    check_key(cell, key)
    if key not in entries:
        set_item(cell, entries, key, default)
    return entries[key]


def dict_update(cell: Cell, entries: Any, more: Any) -> None:
    """`entries.update(more)` of another dict."""
    if type(entries) is not dict:
        raise TypeError
    _check_dict(more)
    charge(cell, len(more) >> gas.ENTRIES_SHIFT)
    if len(entries) + len(more) > limits.DICT_MAX:
        raise LimitExceeded("DICT")
    entries.update(more)


def _position(cell: Cell, items: Any, value: Any) -> int:
    """Index of the first item that equals `value`. Raises ValueError."""
    if is_container(value):
        for index, item in enumerate(items):
            charge(cell, gas.SOUGHT)
            if equal(cell, item, value):
                return index
        raise ValueError
    scan_items(cell, items, value)
    return int(items.index(value))


def any_index(cell: Cell, container: Any, value: Any) -> int:
    """`index` of a list, tuple, string or bytes. Raises ValueError."""
    if type(container) is list or type(container) is tuple:
        return _position(cell, container, value)
    search(cell, container, value)
    return int(container.index(value))


def any_count(cell: Cell, container: Any, value: Any) -> int:
    """`count` of a list, tuple, string or bytes."""
    if type(container) is list or type(container) is tuple:
        if is_container(value):
            charge(cell, gas.SOUGHT * len(container))
            return sum([equal(cell, item, value) for item in container])
        scan_items(cell, container, value)
    else:
        search(cell, container, value)
    return int(container.count(value))


def any_pop(cell: Cell, container: Any, *args: Any) -> Any:
    """`items.pop()`, `items.pop(index)`, `entries.pop(key)`, `entries.pop(key, default)`."""
    if type(container) is list:
        if not args:
            return container.pop()
        if len(args) != 1 or not isinstance(args[0], int):
            raise TypeError
        if abs(args[0]) > limits.LIST_MAX:
            raise IndexError
        charge(cell, len(container) >> gas.MOVED_SHIFT)
        return container.pop(args[0])
    if type(container) is not dict or not args:
        raise TypeError
    check_key(cell, args[0])
    return container.pop(*args)


def any_copy(cell: Cell, container: Any) -> Any:
    """`copy` of a list or dict: one level."""
    if type(container) is list:
        allocate_list(cell, len(container))
        return list(container)
    _check_dict(container)
    charge(cell, len(container) >> gas.ENTRIES_SHIFT)
    return dict(container)


def any_clear(cell: Cell, container: Any) -> None:
    """`clear` of a list or dict."""
    if type(container) is not list and type(container) is not dict:
        raise TypeError
    container.clear()
