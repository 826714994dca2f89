"""Which lines of a source are code, and which statement each belongs to.

Theory: lowering keeps the line of every statement, so CPython's own line events name lines of the
source. A statement may take several lines and its events may fall on any of them, hence the table
from line to statement. Blank lines, comments, docstrings, `def`, decorators and constants of the
module are no code that runs: constants are computed while compiling.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from contracts.dialect.cpython import parse


def statement_lines(source: str) -> dict[int, int]:
    """Each line that code stands on, and the first line of its statement."""
    lines: dict[int, int] = {}
    for node in parse(source.replace("\r\n", "\n")).body:
        if isinstance(node, ast.FunctionDef):
            _collect(lines, node.body)
    return lines


def _collect(lines: dict[int, int], nodes: Iterable[ast.stmt]) -> None:
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        for line in range(node.lineno, _last_line(node) + 1):
            lines.setdefault(line, node.lineno)
        if isinstance(node, ast.If | ast.For | ast.While):
            _collect(lines, node.body)
            _collect(lines, node.orelse)


def _last_line(node: ast.stmt) -> int:
    """The last line of the statement itself, blocks inside it aside."""
    own: ast.stmt | ast.expr = node
    if isinstance(node, ast.If | ast.While):
        own = node.test
    elif isinstance(node, ast.For):
        own = node.iter
    return own.end_lineno or own.lineno
