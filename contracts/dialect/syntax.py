"""Small builders for the lowered tree.

Left out: positions; `lower.py` copies them from the node each one replaces.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, Final

GAS: Final = "_gas"
"""Name of the gas cell in the namespace of a contract."""


def load(name: str) -> ast.Name:
    """`name`, read."""
    return ast.Name(name, ast.Load())


def store(name: str) -> ast.Name:
    """`name`, assigned to."""
    return ast.Name(name, ast.Store())


def call(name: str, arguments: Sequence[ast.expr]) -> ast.Call:
    """`name(arguments)`."""
    return ast.Call(load(name), list(arguments), [])


def guard(name: str, *arguments: ast.expr) -> ast.Call:
    """`name(_gas, arguments)`."""
    return call(name, [load(GAS), *arguments])


def assign(name: str, value: ast.expr) -> ast.Assign:
    """`name = value`."""
    return ast.Assign([store(name)], value)


def charge(amount: int) -> list[ast.stmt]:
    """`_gas[0] -= amount`, then stop if it went below zero."""
    cell = ast.Subscript(load(GAS), ast.Constant(0), ast.Load())
    below_zero = ast.Compare(cell, [ast.Lt()], [ast.Constant(0)])
    return [
        ast.AugAssign(
            ast.Subscript(load(GAS), ast.Constant(0), ast.Store()), ast.Sub(), ast.Constant(amount)
        ),
        ast.If(below_zero, [ast.Expr(call("_exhausted", []))], []),
    ]


def function(
    name: str, parameters: Sequence[str], defaults: Sequence[Any], body: list[ast.stmt]
) -> ast.FunctionDef:
    """`def name(parameters): body`, the last parameters with constant defaults."""
    arguments = ast.arguments(
        posonlyargs=[],
        args=[ast.arg(parameter) for parameter in parameters],
        kwonlyargs=[],
        kw_defaults=[],
        defaults=[ast.Constant(value) for value in defaults],
    )
    definition = ast.FunctionDef(name, arguments, body, [])
    if "type_params" in ast.FunctionDef._fields:  # from CPython 3.12 on
        definition.type_params = []  # type: ignore[attr-defined, unused-ignore]
    return definition


def is_small(node: ast.expr) -> bool:
    """True for a literal whose comparison with anything costs next to nothing."""
    if not isinstance(node, ast.Constant):
        return False
    return not isinstance(node.value, str | bytes) or len(node.value) <= 256
