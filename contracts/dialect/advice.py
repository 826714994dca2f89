"""What to write instead of what the dialect does not take.

Left out: refusals that depend on more than the kind of a node or the name of a function; those
stand where they are found.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Final

NODES: Final[Mapping[type[ast.AST], tuple[str, str]]] = {
    ast.FunctionDef: ("a function in a function", "move it to the module and pass what it needs"),
    ast.AsyncFunctionDef: ("an async function", "write def"),
    ast.ClassDef: ("a class", "keep records in dicts"),
    ast.Lambda: ("a lambda", "define a function"),
    ast.Try: ("`try`", "check before: `if key in entries`, `text.isdigit()`"),
    ast.TryStar: ("`try`", "check before: `if key in entries`, `text.isdigit()`"),
    ast.Raise: ("`raise`", 'write require(condition, "CODE")'),
    ast.Assert: ("`assert`", 'write require(condition, "CODE")'),
    ast.Import: ("an import", "what a contract may use is there already"),
    ast.ImportFrom: ("an import", "what a contract may use is there already"),
    ast.Global: ("`global`", "keep state with put and get"),
    ast.Nonlocal: ("`nonlocal`", "pass the value and return it"),
    ast.With: ("`with`", ""),
    ast.AsyncWith: ("`async`", ""),
    ast.AsyncFor: ("`async`", ""),
    ast.Await: ("`await`", ""),
    ast.Yield: ("`yield`", "build a list and return it"),
    ast.YieldFrom: ("`yield`", "build a list and return it"),
    ast.Match: ("`match`", "write if and elif"),
    ast.GeneratorExp: ("a generator", "write a list comprehension: [...]"),
    ast.Set: ("a set", "use a dict or a list"),
    ast.SetComp: ("a set", "use a dict or a list"),
    ast.Starred: ("`*`", "pass each value by itself"),
    ast.NamedExpr: ("`:=`", "assign on a line of its own"),
    ast.Attribute: ("an attribute", 'values have methods only; an entry is entries["name"]'),
    ast.Slice: ("a slice here", ""),
    ast.Div: ("`/`", "write // for whole numbers"),
    ast.MatMult: ("`@`", ""),
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
}
"""Well-known functions that the dialect lacks."""

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
}
"""Well-known methods that the dialect lacks."""
