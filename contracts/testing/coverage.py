"""Which lines of a contract ran.

Theory: lowering keeps the line of every statement, so CPython's own line events name lines of the
source (`contracts.dialect.lines` says which of them are one statement).

A tracer is set for the time of one call only and the former one put back, so a debugger or another
measurement of the test itself goes on.

Left out: branches within a line; calls in the worker process, which nobody outside can trace.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from contracts.dialect.cpython import FILE_NAME


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
