"""Guards: everything compiled code may do that could cost, fail or surprise.

Each takes the gas cell first, then the operands (not `len`, which costs the same for all). Its base
price is in the block that calls it; it charges what grows with its operands, before the work. Wrong
types raise the interpreter's own errors, which `instance.py` turns into codes.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, Final

from contracts.dialect.errors import LimitExceeded, Reverted
from contracts.dialect.gas import Cell, exhausted
from contracts.dialect.guards import builtins, containers, operators, strings
from contracts.dialect.limits import CODE_CHARACTERS_MAX

BINARY: Final[Mapping[type[ast.operator], str]] = {
    ast.Add: "_add",
    ast.Sub: "_subtract",
    ast.Mult: "_multiply",
    ast.FloorDiv: "_floor_divide",
    ast.Mod: "_modulo",
    ast.Pow: "_power",
    ast.LShift: "_shift_left",
    ast.RShift: "_shift_right",
    ast.BitAnd: "_bit_and",
    ast.BitOr: "_bit_or",
    ast.BitXor: "_bit_xor",
}

COMPARISONS: Final[Mapping[type[ast.cmpop], str]] = {
    ast.Eq: "_equals",
    ast.NotEq: "_differs",
    ast.Lt: "_less",
    ast.LtE: "_less_or_equal",
    ast.Gt: "_greater",
    ast.GtE: "_greater_or_equal",
    ast.In: "_contains",
    ast.NotIn: "_contains_not",
}


def require(cell: Cell, condition: Any, code: Any) -> None:
    """End the call as reverted with `code` unless `condition` holds."""
    strings.check_text(code)
    if not condition:
        if not 1 <= len(code) <= CODE_CHARACTERS_MAX:
            raise LimitExceeded("CODE")
        raise Reverted(code)


def revert(code: str) -> None:
    """What compiled code calls when the condition of `require` failed, with a literal code."""
    raise Reverted(code)


def _named(*guards: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    return {"_" + guard.__name__: guard for guard in guards}


GUARDS: Final[Mapping[str, Callable[..., Any]]] = {
    "_exhausted": exhausted,
    "_require": require,
    "_revert": revert,
    **_named(
        operators.add,
        operators.in_place_add,
        operators.subtract,
        operators.multiply,
        operators.in_place_multiply,
        operators.floor_divide,
        operators.modulo,
        operators.power,
        operators.shift_left,
        operators.shift_right,
        operators.bit_and,
        operators.bit_or,
        operators.bit_xor,
        operators.invert,
        operators.equals,
        operators.differs,
        operators.less,
        operators.less_or_equal,
        operators.greater,
        operators.greater_or_equal,
        operators.contains,
        operators.contains_not,
        operators.check_key,
    ),
    **_named(
        containers.sequence,
        containers.get_item,
        containers.set_item,
        containers.delete_item,
        containers.slice_items,
        containers.build_dict,
        containers.list_append,
        containers.list_extend,
        containers.list_insert,
        containers.list_remove,
        containers.list_reverse,
        containers.list_sort,
        containers.dict_get,
        containers.dict_keys,
        containers.dict_values,
        containers.dict_items,
        containers.dict_setdefault,
        containers.dict_update,
        containers.any_index,
        containers.any_count,
        containers.any_pop,
        containers.any_copy,
        containers.any_clear,
    ),
    "_fstring": strings.fstring,
    "_str_upper": strings.upper,
    "_str_lower": strings.lower,
    "_str_strip": strings.strip,
    "_str_lstrip": strings.lstrip,
    "_str_rstrip": strings.rstrip,
    "_str_split": strings.split,
    "_str_rsplit": strings.rsplit,
    "_str_join": strings.join,
    "_str_replace": strings.replace,
    "_str_find": strings.find,
    "_str_rfind": strings.rfind,
    "_str_startswith": strings.startswith,
    "_str_endswith": strings.endswith,
    "_str_removeprefix": strings.removeprefix,
    "_str_removesuffix": strings.removesuffix,
    "_str_partition": strings.partition,
    "_str_rpartition": strings.rpartition,
    "_str_zfill": strings.zfill,
    "_str_ljust": strings.ljust,
    "_str_rjust": strings.rjust,
    "_str_isdigit": strings.isdigit,
    "_str_isalpha": strings.isalpha,
    "_str_isalnum": strings.isalnum,
    "_str_isupper": strings.isupper,
    "_str_islower": strings.islower,
    "_str_isspace": strings.isspace,
    "_str_isascii": strings.isascii,
    "_str_encode": strings.encode,
    "_bytes_decode": strings.decode,
    "_bytes_hex": strings.to_hex,
    "_len": len,
    "_range": builtins.integers,
    "_min": builtins.minimum,
    "_max": builtins.maximum,
    "_sorted": builtins.ordered,
    "_sum": builtins.total,
    "_abs": builtins.absolute,
    "_any": builtins.some,
    "_all": builtins.every,
    "_enumerate": builtins.numbered,
    "_zip": builtins.zipped,
    "_str": strings.text,
    "_int": strings.integer,
    "_bool": builtins.boolean,
    "_list": builtins.listed,
    "_dict": builtins.mapped,
}
