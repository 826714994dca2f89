"""Collects refusals at places of the syntax tree.

Left out: how they are shown (`contracts/lint.py`).
"""

from __future__ import annotations

import ast

from contracts.dialect.errors import CompileRefused, Refusal
from contracts.dialect.limits import REFUSALS_MAX


class Report:
    """The refusals of one source."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self.refusals: list[Refusal] = []

    def refuse(
        self,
        node: ast.stmt | ast.expr | ast.arg | ast.keyword,
        what: str,
        instead: str = "",
        *,
        unknown: str = "",
    ) -> None:
        """Note one refusal at `node`. Raises CompileRefused once there are too many to help."""
        line = self._lines[node.lineno - 1] if node.lineno <= len(self._lines) else ""
        # The parser counts columns in bytes of UTF-8.
        before = line.encode()[: node.col_offset].decode(errors="ignore")
        refusal = Refusal(node.lineno, len(before) + 1, what, instead, unknown)
        if refusal not in self.refusals:
            self.refusals.append(refusal)
        if len(self.refusals) >= REFUSALS_MAX:
            self.check()

    def check(self) -> None:
        """Raise CompileRefused if anything was refused."""
        if self.refusals:
            raise CompileRefused(self.refusals)
