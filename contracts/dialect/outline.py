"""What a deployed source declares, read without compiling it.

Compiling the largest source takes about half a second, its outline some tens of milliseconds. For
sources that the compiler took: of any other the answer is that nothing is declared.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from contracts.dialect.cpython import parse
from contracts.dialect.module import INDEX


@dataclass(frozen=True)
class Outline:
    """`calls` are the methods for transactions; `index` the fields named by `INDEX = (...)`."""

    calls: frozenset[str]
    index: tuple[str, ...]


NOTHING = Outline(frozenset(), ())


def outline(source: str) -> Outline:
    """The outline of a source that compiles."""
    try:
        body = parse(source).body
    except SyntaxError:
        return NOTHING
    calls: set[str] = set()
    index: tuple[str, ...] = ()
    for statement in body:
        match statement:
            case ast.FunctionDef(name=name, decorator_list=[ast.Name(id="call")]):
                calls.add(name)
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == INDEX:
                index = tuple(ast.literal_eval(value))
    return Outline(frozenset(calls), index)
