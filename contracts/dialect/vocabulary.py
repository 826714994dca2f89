"""The words a contract may call: built-ins and methods, and the guard behind each.

Theory: compiled code holds no attribute access and no built-in. `x.split(",")` becomes the call of
one guard which looks at the type of `x` itself, so a method is known by its name and its number of
arguments alone.

Left out: host functions (`host.py`) and what the guards do (`guards/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Word:
    """A built-in or a method: its guard, how many arguments, which keywords."""

    guard: str
    fewest: int
    most: int
    keywords: tuple[str, ...] = ()


def _method(guard: str, fewest: int, most: int, *keywords: str) -> Word:
    return Word("_" + guard, fewest, most, keywords)


BUILTINS: Final[Mapping[str, Word]] = {
    "len": _method("len", 1, 1),
    "range": _method("range", 1, 3),
    "min": _method("min", 1, 16),
    "max": _method("max", 1, 16),
    "sorted": _method("sorted", 1, 1, "reverse"),
    "sum": _method("sum", 1, 2),
    "abs": _method("abs", 1, 1),
    "any": _method("any", 1, 1),
    "all": _method("all", 1, 1),
    "enumerate": _method("enumerate", 1, 2),
    "zip": _method("zip", 1, 8),
    "str": _method("str", 0, 1),
    "int": _method("int", 0, 1),
    "bool": _method("bool", 0, 1),
    "list": _method("list", 0, 1),
    "dict": _method("dict", 0, 1),
}

METHODS: Final[Mapping[str, Word]] = {
    # str
    "upper": _method("str_upper", 0, 0),
    "lower": _method("str_lower", 0, 0),
    "strip": _method("str_strip", 0, 1),
    "lstrip": _method("str_lstrip", 0, 1),
    "rstrip": _method("str_rstrip", 0, 1),
    "split": _method("str_split", 0, 2),
    "rsplit": _method("str_rsplit", 0, 2),
    "join": _method("str_join", 1, 1),
    "replace": _method("str_replace", 2, 3),
    "find": _method("str_find", 1, 3),
    "rfind": _method("str_rfind", 1, 3),
    "startswith": _method("str_startswith", 1, 1),
    "endswith": _method("str_endswith", 1, 1),
    "removeprefix": _method("str_removeprefix", 1, 1),
    "removesuffix": _method("str_removesuffix", 1, 1),
    "partition": _method("str_partition", 1, 1),
    "rpartition": _method("str_rpartition", 1, 1),
    "zfill": _method("str_zfill", 1, 1),
    "ljust": _method("str_ljust", 1, 2),
    "rjust": _method("str_rjust", 1, 2),
    "isdigit": _method("str_isdigit", 0, 0),
    "isalpha": _method("str_isalpha", 0, 0),
    "isalnum": _method("str_isalnum", 0, 0),
    "isupper": _method("str_isupper", 0, 0),
    "islower": _method("str_islower", 0, 0),
    "isspace": _method("str_isspace", 0, 0),
    "isascii": _method("str_isascii", 0, 0),
    "encode": _method("str_encode", 0, 0),
    # bytes
    "decode": _method("bytes_decode", 0, 0),
    "hex": _method("bytes_hex", 0, 0),
    # list
    "append": _method("list_append", 1, 1),
    "extend": _method("list_extend", 1, 1),
    "insert": _method("list_insert", 2, 2),
    "remove": _method("list_remove", 1, 1),
    "reverse": _method("list_reverse", 0, 0),
    "sort": _method("list_sort", 0, 0, "reverse"),
    # dict
    "get": _method("dict_get", 1, 2),
    "keys": _method("dict_keys", 0, 0),
    "values": _method("dict_values", 0, 0),
    "items": _method("dict_items", 0, 0),
    "setdefault": _method("dict_setdefault", 1, 2),
    "update": _method("dict_update", 1, 1),
    # of several types
    "index": _method("any_index", 1, 1),
    "count": _method("any_count", 1, 1),
    "pop": _method("any_pop", 0, 2),
    "copy": _method("any_copy", 0, 0),
    "clear": _method("any_clear", 0, 0),
}

RESERVED: Final = frozenset((*BUILTINS, "call", "view", "bytes", "tuple"))
"""Words of the dialect itself that a module can't define anew (host functions aside)."""
