"""Which names are local where.

Theory: as in Python, a name bound anywhere in a function is local to all of it, and what a
comprehension binds is local to the comprehension. A comprehension is lowered to a function of its
own, which takes the locals it reads as parameters: `free_names` finds them.

Left out: module names, which are known to the checker.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import TypeAlias

Comprehension: TypeAlias = ast.ListComp | ast.DictComp
"""The comprehensions of the dialect."""


def bound_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names that `nodes` bind, comprehensions inside them aside, each perhaps several times."""
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif not isinstance(node, Comprehension):
            yield from bound_names(ast.iter_child_nodes(node))


def targets(node: Comprehension) -> frozenset[str]:
    """Names that a comprehension binds itself."""
    return frozenset(bound_names(generator.target for generator in node.generators))


def inner_nodes(node: Comprehension) -> list[ast.expr]:
    """Everything evaluated inside the comprehension: all but its first iterable."""
    inside = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    for number, generator in enumerate(node.generators):
        if number:
            inside.append(generator.iter)
        inside.append(generator.target)
        inside.extend(generator.ifs)
    return inside


def _read_names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, Comprehension):
        yield from _read_names(node.generators[0].iter)
        yield from free_names(node)
    elif isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Load):
            yield node.id
    else:
        for child in ast.iter_child_nodes(node):
            yield from _read_names(child)


def free_names(node: Comprehension) -> list[str]:
    """Names read inside a comprehension but not bound by it, sorted."""
    found = {name for inside in inner_nodes(node) for name in _read_names(inside)}
    return sorted(found - targets(node))
