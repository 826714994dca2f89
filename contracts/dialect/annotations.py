"""From annotation expressions to value types.

Left out: what the types mean (`abi.py`).
"""

from __future__ import annotations

import ast
from typing import Final

from contracts.dialect import advice
from contracts.dialect.abi import ANY, TYPE_NAMES, Alternative, ValueType
from contracts.dialect.report import Report

_ADVICE: Final = f"types are {', '.join(TYPE_NAMES)}, joined by |"


def read_annotation(report: Report, node: ast.expr | None, *, boundary: bool) -> ValueType:
    """The type an annotation means; any value if there is none, or if it is refused.

    At the `boundary` of the contract there are no tuples: a stored or sent value has none.
    """
    if node is None:
        return ANY
    alternatives: list[Alternative] = []
    rest = [node]
    while rest:
        part = rest.pop()
        if isinstance(part, ast.BinOp) and isinstance(part.op, ast.BitOr):
            rest += [part.right, part.left]
        else:
            alternative = _alternative(report, part, boundary)
            if alternative is None:
                return ANY
            if alternative not in alternatives:
                alternatives.append(alternative)
    return ValueType(tuple(alternatives))


def _alternative(report: Report, node: ast.expr, boundary: bool) -> Alternative | None:
    if isinstance(node, ast.Constant) and node.value is None:
        return Alternative("None")
    if isinstance(node, ast.Name):
        if node.id in TYPE_NAMES or (node.id == "tuple" and not boundary):
            return Alternative(node.id)
        report.refuse(node, f"the type {node.id}", advice.TYPES.get(node.id, _ADVICE))
        return None
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        return _parametrised(report, node, node.value.id, boundary)
    report.refuse(node, "this annotation", _ADVICE)
    return None


def _parametrised(
    report: Report, node: ast.Subscript, name: str, boundary: bool
) -> Alternative | None:
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    inside = tuple(read_annotation(report, part, boundary=boundary) for part in parts)
    if name == "list" and len(inside) == 1:
        return Alternative("list", inside)
    if name == "dict" and len(inside) == 2:
        if boundary and str(inside[0]) != "str":
            report.refuse(node, "these keys of a dict", "keys that leave a contract are str")
        return Alternative("dict", inside)
    if name == "tuple" and not boundary:
        return Alternative("tuple")
    instead = advice.TYPES.get(name, "write list[T] or dict[str, T]")
    report.refuse(node, f"the type {name}[...]", instead)
    return None
