"""CPython's own parser and compiler, asked one at a time.

Theory: CPython 3.11 keeps the depth of the tree it is building in the interpreter, not in the
thread. Two threads that build trees at once raise SystemError ("AST constructor recursion depth
mismatch") in one of them, as soon as a garbage collection in between lets the other run; the
filters of `warnings` are global as well. A node executes blocks in one thread and admits
transactions in another, so both calls share a lock.
"""

from __future__ import annotations

import ast
import threading
import warnings
from types import CodeType
from typing import Final

FILE_NAME: Final = "<contract \ud800>"
"""CPython opens the file it is told of to quote the line of a syntax error. This name has no form
on any file system, so it never asks: in the locked-down worker the attempt alone is the end."""

_one_at_a_time: Final = threading.Lock()


def parse(text: str) -> ast.Module:
    """The tree of a scanned text, by the grammar of Python 3.11. Raises SyntaxError."""
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text, FILE_NAME, feature_version=(3, 11))


def assemble(tree: ast.Module) -> CodeType:
    """The code of a lowered tree."""
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(tree, FILE_NAME, "exec", dont_inherit=True, optimize=0)
