"""The whitelist over function bodies.

Theory: a node is refused unless its kind stands in a table here; a name is refused unless it is a
local, a constant, or called as a function that exists with that many arguments. Functions are no
values, so the call graph is known: it is handed on to `callgraph.py`.

Everything CPython's own compiler refuses after parsing (`break` outside a loop, a keyword twice)
is refused here first, so that the verdict is ours.

Left out: what depends on types; the guards see those while running.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from contracts.dialect import advice, limits
from contracts.dialect.annotations import read_annotation
from contracts.dialect.constants import NotConstant, check_literal
from contracts.dialect.guards import BINARY, COMPARISONS
from contracts.dialect.host import HOST_FUNCTIONS
from contracts.dialect.module import Function, Module, check_identifier
from contracts.dialect.report import Report
from contracts.dialect.scopes import Comprehension, targets
from contracts.dialect.vocabulary import BUILTINS, METHODS, Word

_GENERATORS_MAX: Final = 4
"""Loops in one comprehension; CPython stops at 20 nested loops."""


def check_size(report: Report, tree: ast.Module) -> None:
    """Refuse a tree of more statements and expressions than are worth compiling."""
    size = sum(isinstance(node, ast.stmt | ast.expr) for node in ast.walk(tree))
    if size > limits.SYNTAX_NODES_MAX:
        what = f"a contract of {size:,} statements and expressions"
        report.refuse(tree.body[0], what, f"at most {limits.SYNTAX_NODES_MAX:,} are taken")


@dataclass
class Calls:
    """What one function calls: own functions and host functions with one place each, and how many
    comprehensions stand in one another at most (each is a frame)."""

    functions: dict[str, ast.expr] = field(default_factory=dict)
    hosts: dict[str, ast.expr] = field(default_factory=dict)
    comprehension_depth: int = 0


class BodyChecker:
    """Checks the body of one function; `calls` is what it found."""

    def __init__(self, report: Report, module: Module, function: Function) -> None:
        self.report = report
        self.module = module
        self.function = function
        self.calls = Calls()
        self.scopes: list[frozenset[str]] = [function.names]
        self.loops = 0

    def check(self) -> Calls:
        self.statements(self.function.node.body)
        return self.calls

    # Statements

    def statements(self, nodes: Iterable[ast.stmt]) -> None:
        for node in nodes:
            self.statement(node)

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Return(value=value):
                if value is not None:
                    self.expression(value)
            case ast.Assign():
                self.expression(node.value)
                for target in node.targets:
                    self.target(target)
            case ast.AnnAssign():
                self.annotated(node)
            case ast.AugAssign():
                self.augmented(node)
            case ast.Delete():
                for target in node.targets:
                    self.delete(target)
            case ast.For():
                self.expression(node.iter)
                self.loop_target(node.target)
                self.loop(node)
            case ast.While():
                self.expression(node.test)
                self.loop(node)
            case ast.If():
                self.expression(node.test)
                self.statements(node.body)
                self.statements(node.orelse)
            case ast.Expr():
                self.expression(node.value)
            case ast.Break() | ast.Continue():
                if not self.loops:
                    self.report.refuse(node, "this outside a loop")
            case ast.Pass():
                pass
            case _:
                self.refuse_kind(node)

    def loop(self, node: ast.For | ast.While) -> None:
        self.loops += 1
        self.statements(node.body)
        self.loops -= 1
        if node.orelse:
            self.report.refuse(node.orelse[0], "`else` after a loop", "set a flag in the loop")

    def annotated(self, node: ast.AnnAssign) -> None:
        read_annotation(self.report, node.annotation, boundary=False)
        if node.value is None:
            self.report.refuse(node, "a name without a value", "assign one")
            return
        self.expression(node.value)
        self.target(node.target)

    def augmented(self, node: ast.AugAssign) -> None:
        self.operator(node, node.op)
        self.expression(node.value)
        self.target(node.target)

    def delete(self, target: ast.expr) -> None:
        if isinstance(target, ast.Subscript) and not isinstance(target.slice, ast.Slice):
            self.expression(target.value)
            self.expression(target.slice)
        else:
            self.report.refuse(target, "`del` of this", "delete an entry: del entries[key]")

    def target(self, node: ast.expr) -> None:
        """Something assigned to: a name, an item, or several of them."""
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Slice):
            self.expression(node.value)
            self.expression(node.slice)
        elif isinstance(node, ast.Tuple | ast.List):
            for item in node.elts:
                self.target(item)
        elif isinstance(node, ast.Name):
            check_identifier(self.report, node, node.id)
        else:
            self.not_a_target(node)

    def not_a_target(self, node: ast.expr) -> None:
        what, instead = "assigning to this", "assign to a name or an item"
        if isinstance(node, ast.Attribute):
            what, instead = f"the attribute `{node.attr}`", f'write entries["{node.attr}"] = ...'
        elif isinstance(node, ast.Starred):
            what, instead = "`*` in an assignment", "name each item, or take a slice: items[1:]"
        elif isinstance(node, ast.Subscript):
            what, instead = "assigning to a slice", "build the list anew: items[:i] + more"
        self.report.refuse(node, what, instead)

    def loop_target(self, node: ast.expr) -> None:
        """What a loop assigns to: names only."""
        if isinstance(node, ast.Tuple | ast.List):
            for item in node.elts:
                self.loop_target(item)
        elif isinstance(node, ast.Name):
            check_identifier(self.report, node, node.id)
        else:
            self.report.refuse(node, "looping over this", "loop over a name")

    # Expressions

    def expression(self, node: ast.expr) -> None:
        check = _EXPRESSIONS.get(type(node))
        if check is None:
            self.refuse_kind(node)
        else:
            check(self, node)

    def expressions(self, nodes: Iterable[ast.expr]) -> None:
        for node in nodes:
            self.expression(node)

    def refuse_kind(self, node: ast.stmt | ast.expr) -> None:
        what, instead = advice.about(node) or (f"`{type(node).__name__}`", "")
        self.report.refuse(node, what, instead)

    def constant(self, node: ast.Constant) -> None:
        with suppress(NotConstant):
            check_literal(self.report, node)

    def is_local(self, name: str) -> bool:
        return any(name in scope for scope in self.scopes)

    def name(self, node: ast.Name) -> None:
        name = node.id
        check_identifier(self.report, node, name)
        if self.is_local(name) or name in self.module.constants or name.startswith("_"):
            return
        if name in self.module.functions or name in HOST_FUNCTIONS or name in BUILTINS:
            self.report.refuse(node, f"the function `{name}` as a value", f"call it: {name}(...)")
        else:
            self.report.refuse(node, f"the unknown name `{name}`", unknown=name)

    def operator(self, node: ast.expr | ast.stmt, kind: ast.operator | ast.cmpop) -> None:
        if type(kind) not in BINARY and type(kind) not in COMPARISONS:
            what, instead = advice.NODES[type(kind)]
            self.report.refuse(node, what, instead)

    def binary(self, node: ast.BinOp) -> None:
        self.operator(node, node.op)
        self.expressions((node.left, node.right))

    def unary(self, node: ast.UnaryOp) -> None:
        self.expression(node.operand)

    def boolean(self, node: ast.BoolOp) -> None:
        self.expressions(node.values)

    def conditional(self, node: ast.IfExp) -> None:
        self.expressions((node.test, node.body, node.orelse))

    def compare(self, node: ast.Compare) -> None:
        left = node.left
        for kind, right in zip(node.ops, node.comparators, strict=True):
            if not (isinstance(kind, ast.Is | ast.IsNot) and (_is_none(left) or _is_none(right))):
                self.operator(node, kind)
            left = right
        self.expressions((node.left, *node.comparators))

    def several(self, node: ast.Tuple | ast.List) -> None:
        self.expressions(node.elts)

    def dictionary(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                self.report.refuse(value, "`**` in a dict", "write entries.update(more)")
            else:
                self.expression(key)
            self.expression(value)

    def subscript(self, node: ast.Subscript) -> None:
        self.expression(node.value)
        if isinstance(node.slice, ast.Slice):
            bounds = (node.slice.lower, node.slice.upper, node.slice.step)
            self.expressions(bound for bound in bounds if bound is not None)
        else:
            self.expression(node.slice)

    def fstring(self, node: ast.JoinedStr) -> None:
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                if part.conversion != -1 or part.format_spec is not None:
                    self.report.refuse(part, "a format in an f-string", "write plain {value}")
                self.expression(part.value)
            else:
                self.expression(part)

    def comprehension(self, node: Comprehension) -> None:
        self.expression(node.generators[0].iter)
        for name_node in node.generators:
            if name_node.is_async:
                self.report.refuse(node, "`async`")
            self.loop_target(name_node.target)
        if len(node.generators) > _GENERATORS_MAX:
            self.report.refuse(node, "this many loops in a comprehension", "write for loops")
        self.scopes.append(targets(node))
        depth = len(self.scopes) - 1
        self.calls.comprehension_depth = max(self.calls.comprehension_depth, depth)
        for number, generator in enumerate(node.generators):
            if number:
                self.expression(generator.iter)
            self.expressions(generator.ifs)
        self.expressions([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
        self.scopes.pop()

    # Calls

    def call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            self.expression(node.func.value)
            self.method(node, node.func.attr)
        elif isinstance(node.func, ast.Name):
            self.function_call(node, node.func.id)
        else:
            self.report.refuse(node, "calling this", "call a function by its name")
        self.expressions(node.args)
        seen: list[str] = []
        for keyword in node.keywords:
            if keyword.arg is None:
                self.report.refuse(keyword, "`**`", "pass each value by itself")
            elif keyword.arg in seen:
                self.report.refuse(keyword, f"the argument `{keyword.arg}` twice")
            else:
                seen.append(keyword.arg)
            self.expression(keyword.value)

    def method(self, node: ast.Call, name: str) -> None:
        word = METHODS.get(name)
        if word is None:
            instead = advice.METHODS.get(name, "")
            self.report.refuse(node, f"the unknown method `{name}`", instead, unknown=name)
        else:
            self.word(node, name, word)

    def function_call(self, node: ast.Call, name: str) -> None:
        if self.is_local(name):
            self.report.refuse(node, f"calling `{name}`", f"`{name}` is a variable here")
        elif name in self.module.functions:
            self.calls.functions.setdefault(name, node)
            self.own(node, self.module.functions[name])
        elif name in HOST_FUNCTIONS:
            self.calls.hosts.setdefault(name, node)
            fewest, most = HOST_FUNCTIONS[name].arity
            self.word(node, name, Word("", fewest, most))
        elif name in BUILTINS:
            self.word(node, name, BUILTINS[name])
        else:
            check_identifier(self.report, node, name)
            instead = advice.FUNCTIONS.get(name, "")
            self.report.refuse(node, f"the unknown function `{name}`", instead, unknown=name)

    def word(self, node: ast.Call, name: str, word: Word) -> None:
        """Arguments of a built-in, a method or a host function."""
        if not word.fewest <= len(node.args) <= word.most:
            counts = f"{word.fewest}"
            if word.fewest < word.most:
                counts += f" to {word.most}"
            self.report.refuse(node, _arguments(node), f"`{name}` takes {counts}")
        for keyword in node.keywords:
            if keyword.arg == "key":
                self.report.refuse(keyword, "`key=`", "sort a list of tuples (key, value)")
            elif keyword.arg is not None and keyword.arg not in word.keywords:
                self.report.refuse(keyword, f"the argument `{keyword.arg}=`", "pass it by position")

    def own(self, node: ast.Call, function: Function) -> None:
        """Arguments of one of the contract's own functions."""
        names = [parameter.name for parameter in function.parameters]
        given = names[: len(node.args)]
        if len(node.args) > len(names):
            instead = f"write {function.name}({', '.join(names)})"
            self.report.refuse(node, _arguments(node), instead)
        for keyword in node.keywords:
            if keyword.arg is None:
                continue
            if keyword.arg not in names or keyword.arg in given:
                self.report.refuse(keyword, f"the argument `{keyword.arg}=`")
            given.append(keyword.arg)
        defaults = function.node.args.defaults
        for name in names[: len(names) - len(defaults)]:
            if name not in given:
                self.report.refuse(node, f"this call of `{function.name}`", f"pass `{name}`")


def _arguments(node: ast.Call) -> str:
    return "1 argument" if len(node.args) == 1 else f"{len(node.args)} arguments"


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


_EXPRESSIONS: Final[dict[type[ast.expr], Callable[[BodyChecker, Any], None]]] = {
    ast.Constant: BodyChecker.constant,
    ast.Name: BodyChecker.name,
    ast.BinOp: BodyChecker.binary,
    ast.UnaryOp: BodyChecker.unary,
    ast.BoolOp: BodyChecker.boolean,
    ast.IfExp: BodyChecker.conditional,
    ast.Compare: BodyChecker.compare,
    ast.Tuple: BodyChecker.several,
    ast.List: BodyChecker.several,
    ast.Dict: BodyChecker.dictionary,
    ast.Subscript: BodyChecker.subscript,
    ast.JoinedStr: BodyChecker.fstring,
    ast.ListComp: BodyChecker.comprehension,
    ast.DictComp: BodyChecker.comprehension,
    ast.Call: BodyChecker.call,
}
