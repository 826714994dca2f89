"""Which lines of a contract ran.

Theory: lowering keeps the line of every statement, so CPython's own line events name lines of the
source. A statement may take several lines and its events may fall on any of them, hence the table
from line to statement. Blank lines, comments, docstrings, `def`, decorators and constants of the
module are no code that runs: constants are computed while compiling.

A tracer is set for the time of one call only and the former one put back, so a debugger or another
measurement of the test itself goes on.

Left out: branches within a line; calls in the worker process, which nobody outside can trace.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from contracts.dialect.cpython import FILE_NAME, parse


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


class LineTracer:
    """Notes every line of contract code that runs inside its `with` block.

    `running` names the contract whose code runs now. `lines` maps names to lines; `last` is where
    the code was last, so after a failure the place of the failure.
    """

    def __init__(self, running: Callable[[], str]) -> None:
        self._running = running
        self._before: Any = None
        self.lines: dict[str, set[int]] = {}
        self.last: tuple[str, int] | None = None

    def __enter__(self) -> LineTracer:
        self._before = sys.gettrace()
        sys.settrace(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _called(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename != FILE_NAME:
            return None
        name = self._running()
        seen = self.lines.setdefault(name, set())

        def line(frame: FrameType, event: str, argument: object) -> Any:
            if event == "line":
                seen.add(frame.f_lineno)
                self.last = (name, frame.f_lineno)
            return line

        return line
