"""What to write instead of what the dialect does not take.

Left out: refusals that depend on more than the kind of a node or the name of a function; those
stand where they are found.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Final

MODULE: Final = "a module holds constants and functions"

NODES: Final[Mapping[type[ast.AST], tuple[str, str]]] = {
    ast.FunctionDef: ("a function in a function", "move it to the module and pass what it needs"),
    ast.AsyncFunctionDef: ("an async function", "write def"),
    ast.ClassDef: ("a class", "keep records in dicts"),
    ast.Lambda: ("a lambda", "define a function"),
    ast.Try: ("`try`", "check before: `if key in entries`, `text.isdigit()`"),
    ast.TryStar: ("`try`", "check before: `if key in entries`, `text.isdigit()`"),
    ast.Raise: ("`raise`", 'write require(condition, "CODE")'),
    ast.Assert: ("`assert`", 'write require(condition, "CODE")'),
    ast.Global: ("`global`", "keep state with put and get"),
    ast.Nonlocal: ("`nonlocal`", "pass the value and return it"),
    ast.With: ("`with`", "nothing here needs closing: write the statements alone"),
    ast.AsyncWith: ("`async`", "nothing here waits: write it without async"),
    ast.AsyncFor: ("`async`", "nothing here waits: write it without async"),
    ast.Await: ("`await`", "nothing here waits: write it without await"),
    ast.Yield: ("`yield`", "build a list and return it"),
    ast.YieldFrom: ("`yield`", "build a list and return it"),
    ast.Match: ("`match`", "write if and elif"),
    ast.GeneratorExp: ("a generator", "write a list comprehension: [...]"),
    ast.Set: ("a set", "use a dict, a list or a tuple"),
    ast.SetComp: ("a set", "use a dict or a list"),
    ast.Starred: ("`*`", "write each value by itself; lists are joined with +"),
    ast.NamedExpr: ("`:=`", "assign on a line of its own"),
    ast.Slice: ("a slice here", ""),
    ast.Div: ("`/`", "write // for whole numbers"),
    ast.MatMult: ("`@`", "write * for a product of numbers"),
    ast.If: ("`if` outside a function", MODULE),
    ast.For: ("`for` outside a function", MODULE),
    ast.While: ("`while` outside a function", MODULE),
    ast.AugAssign: ("changing a constant", "keep what changes in the state, with put and get"),
    ast.Is: ("`is`", "write ==; `is` compares with None only"),
    ast.IsNot: ("`is not`", "write !=; `is not` compares with None only"),
}
"""Kind of node: what it is called and what to write."""

FUNCTIONS: Final[Mapping[str, str]] = {
    "print": "write emit(name, data), or return the value",
    "isinstance": "annotate the parameter, or compare with None",
    "type": "annotate the parameter",
    "float": "count in the smallest unit, as an int",
    "round": "whole numbers need no rounding",
    "set": "use a dict or a list",
    "frozenset": "use a dict or a list",
    "tuple": "write (a, b), or list(...)",
    "reversed": "write items[::-1]",
    "map": "write a list comprehension",
    "filter": "write a list comprehension",
    "divmod": "write // and %",
    "pow": "write **",
    "repr": "write an f-string or str(...)",
    "format": "write an f-string",
    "bytes": "write text.encode()",
    "iter": "write a for loop",
    "next": "write items[0]",
    "hash": "write sha256(data)",
    "super": "there are no classes",
    "open": "what a contract keeps is in the state: get(key), put(key, value)",
    "input": "take it as an argument of the method",
    "log": "write emit(name, data)",
    "ord": 'compare characters as they are: "a" <= c and c <= "z"',
    "chr": "index a constant string: SYMBOLS[number]",
    "hex": "write data.hex() for bytes",
    "slice": "write items[start:end]",
    "getattr": 'an entry of a dict is entries["name"]',
    "setattr": 'an entry of a dict is entries["name"]',
    "hasattr": 'write "name" in entries',
    "exec": "a contract's code is all in its source",
    "eval": "a contract's code is all in its source",
    "datetime": "now() is the block's time in milliseconds, date(now()) its day",
    "time": "now() is the block's time in milliseconds",
}
"""Well-known functions that the dialect lacks."""

MODULES: Final[Mapping[str, str]] = {
    "datetime": "now() is the block's time in milliseconds, date(now()) its day",
    "decimal": "count in the smallest unit, as an int",
    "hashlib": "sha256(data) is there already",
    "json": "arguments, state and events are values already",
    "math": "write //, % and ** for whole numbers",
    "random": "every validator must get the same; nothing here is random",
    "re": "write with find, split, startswith, isdigit",
    "secrets": "every validator must get the same; nothing here is random",
    "time": "now() is the block's time in milliseconds, date(now()) its day",
    "typing": "annotate with list, dict and int | None; no import needed",
    "uuid": "take an id as an argument, or count in the state",
}
"""Well-known modules and what does their work."""

TYPES: Final[Mapping[str, str]] = {
    "Any": "leave the annotation out to take any value",
    "Dict": "write dict[str, T]",
    "List": "write list[T]",
    "Optional": "write T | None",
    "Union": "write A | B",
    "date": "write str, for a day as YYYY-MM-DD",
    "datetime": "write str for a day, int for milliseconds",
    "Decimal": "count in the smallest unit, as an int",
    "float": "count in the smallest unit, as an int",
    "object": "leave the annotation out to take any value",
    "set": "write list",
    "tuple": "write list: values that leave a contract have no tuples",
}
"""Well-known types that annotations lack."""

METHODS: Final[Mapping[str, str]] = {
    "format": "write an f-string",
    "title": "upper and lower change ASCII letters",
    "capitalize": "upper and lower change ASCII letters",
    "casefold": "write lower()",
    "splitlines": 'write split("\\n")',
    "rindex": "write rfind(part)",
    "popitem": "write pop(key)",
    "isnumeric": "write isdigit()",
    "isdecimal": "write isdigit()",
    "center": "write ljust or rjust",
    "union": "use a dict or a list",
    "add": "write append",
    "push": "write append",
    "length": "write len(value)",
    "size": "write len(value)",
    "has_key": "write key in entries",
    "contains": "write item in items",
    "fromkeys": "write {key: value for key in keys}",
    "swapcase": "write upper() or lower()",
    "isoformat": "date(ms) is text already, YYYY-MM-DD",
}
"""Well-known methods that the dialect lacks."""


def about(node: ast.AST) -> tuple[str, str] | None:
    """What a refused node is called and what to write; None for a kind with nothing to say."""
    if isinstance(node, ast.Attribute):
        instead = f'an entry of a dict is entries["{node.attr}"]; methods are called: .name()'
        return f"the attribute `{node.attr}`", instead
    if isinstance(node, ast.Import):
        return "an import", _module_advice(alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return "an import", _module_advice([node.module or ""])
    return NODES.get(type(node))


def _module_advice(names: Iterable[str]) -> str:
    known = [MODULES[root] for name in names if (root := name.partition(".")[0]) in MODULES]
    return known[0] if known else "what a contract may use is there already"
