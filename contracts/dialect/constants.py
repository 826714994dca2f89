"""Module constants, computed while compiling.

Theory: a constant is an immutable value, so an instance can serve every call and transaction:
integers, strings, bytes, bools, None, tuples of these, and dicts, which become read-only. They may
be computed from literals and earlier constants with `+ - * // % ** <<`, under the guards' limits.

Left out: lists (they could change), calls, f-strings, comprehensions.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from contracts.dialect import advice, limits
from contracts.dialect.errors import INTERPRETER_ERRORS, Verdict
from contracts.dialect.guards import BINARY, GUARDS
from contracts.dialect.report import Report

_GAS: Final = 1_000_000
"""For all operators of one constant: its literals are bounded by the source."""

_OPERATORS: Final = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.Pow, ast.LShift)


class NotConstant(Exception):
    """The expression was refused; the report says why."""


def check_literal(report: Report, node: ast.Constant) -> Any:
    """The value of a literal. Raises NotConstant for floats, `...`, and what is too large."""
    value: Any = node.value
    kind = type(value)
    if kind in (float, complex):
        report.refuse(node, "a number with a fraction", "count in the smallest unit, as an int")
    elif kind is int and value.bit_length() > limits.INTEGER_BITS:
        report.refuse(node, "an integer this large", f"at most {limits.INTEGER_BITS} bits")
    elif kind in (str, bytes) and len(value) > limits.STRING_MAX:
        report.refuse(node, "a string this long")
    elif kind is str and any("\ud800" <= character <= "\udfff" for character in value):
        report.refuse(node, "half of a surrogate pair")
    elif value is None or kind in (int, str, bytes, bool):
        return value
    else:
        report.refuse(node, "`...`", "write None or pass")
    raise NotConstant


class Evaluator:
    """Computes constants that may refer to `known` ones."""

    def __init__(self, report: Report, known: Mapping[str, object]) -> None:
        self.report = report
        self.known = known
        self.cell = [_GAS]

    def value(self, node: ast.expr) -> Any:
        """The value of a constant expression. Raises NotConstant."""
        if isinstance(node, ast.Constant):
            return check_literal(self.report, node)
        if isinstance(node, ast.Name) and node.id in self.known:
            return self.known[node.id]
        if isinstance(node, ast.Tuple):
            return tuple([self.value(item) for item in node.elts])
        if isinstance(node, ast.Dict):
            return self.read_only_dict(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return self.compute(node, "_subtract", 0, self.value(node.operand))
        if isinstance(node, ast.BinOp) and isinstance(node.op, _OPERATORS):
            left, right = self.value(node.left), self.value(node.right)
            return self.compute(node, BINARY[type(node.op)], left, right)
        if isinstance(node, ast.List):
            self.report.refuse(node, "a list of the module", "it could change; write a tuple")
        elif isinstance(node, ast.Name):
            self.report.refuse(node, f"`{node.id}` in a constant", "use constants defined above")
        else:
            refused = node.op if isinstance(node, ast.BinOp) else node
            default = ("this in a constant", "compute it in a function")
            self.report.refuse(node, *(advice.about(refused) or default))
        raise NotConstant

    def compute(self, node: ast.expr, guard: str, left: Any, right: Any) -> Any:
        try:
            return GUARDS[guard](self.cell, left, right)
        except (*INTERPRETER_ERRORS, Verdict):
            self.report.refuse(node, "a constant that can't be computed within the limits")
            raise NotConstant from None

    def read_only_dict(self, node: ast.Dict) -> Mapping[Any, Any]:
        result = {}
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            if key_node is None:
                self.report.refuse(value_node, "`**` in a dict", "write its entries")
                raise NotConstant
            key = self.value(key_node)
            try:
                GUARDS["_check_key"](self.cell, key)
            except (*INTERPRETER_ERRORS, Verdict):
                self.report.refuse(key_node, "this key of a dict", "keys are str or int")
                raise NotConstant from None
            result[key] = self.value(value_node)
        return MappingProxyType(result)
