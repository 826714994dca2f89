"""The module level of a contract: its constants and the heads of its functions.

Theory: a module is a docstring, constants and functions, each defined once. A function marked
`@call` or `@view` is a method others may call; the rest are helpers.

Left out: function bodies (`checker.py`).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from contracts.dialect import advice, limits
from contracts.dialect.abi import NO_DEFAULT, Method, Parameter, ValueType
from contracts.dialect.annotations import read_annotation
from contracts.dialect.constants import Evaluator, NotConstant
from contracts.dialect.host import HOST_FUNCTIONS
from contracts.dialect.report import Report
from contracts.dialect.scopes import bound_names
from contracts.dialect.vocabulary import RESERVED

INDEX: Final = "INDEX"

MIGRATE: Final = "migrate"
"""The function that an upgrade to this source runs once, if there is one."""


@dataclass(frozen=True)
class Function:
    """The head of one function; `names` are all its locals, parameters included."""

    node: ast.FunctionDef
    kind: Literal["call", "view"] | None
    parameters: tuple[Parameter, ...]
    returns: ValueType
    names: frozenset[str]

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def method(self) -> Method:
        """The function as a method. Only for functions with a kind."""
        assert self.kind is not None
        return Method(self.name, self.kind, self.parameters, self.returns)


@dataclass
class Module:
    """What a contract defines."""

    constants: dict[str, Any] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    index: tuple[str, ...] = ()


def check_identifier(report: Report, node: ast.stmt | ast.expr | ast.arg, name: str) -> None:
    """Refuse names that begin with an underscore: those belong to the compiler."""
    if name.startswith("_"):
        report.refuse(node, f"the name `{name}`", "begin names with a letter")


def read_module(report: Report, tree: ast.Module) -> Module:
    """Constants and function heads of `tree`; whatever else it holds is refused."""
    module = Module()
    for number, node in enumerate(tree.body):
        if isinstance(node, ast.FunctionDef):
            if _new_name(report, module, node, node.name):
                module.functions[node.name] = _read_function(report, module, node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            _read_constant(report, module, node)
        elif not (number == 0 and _is_docstring(node)):
            what, instead = advice.about(node) or ("this outside a function", advice.MODULE)
            report.refuse(node, what, instead)
    if len(module.functions) > limits.FUNCTIONS_MAX:
        node = tree.body[-1]
        report.refuse(node, "this many functions", f"at most {limits.FUNCTIONS_MAX}")
    return module


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _new_name(report: Report, module: Module, node: ast.stmt | ast.expr, name: str) -> bool:
    check_identifier(report, node, name)
    if name in RESERVED or name in HOST_FUNCTIONS:
        report.refuse(node, f"`{name}` defined anew", "it is a word of the dialect")
        return False
    if name in module.constants or name in module.functions:
        report.refuse(node, f"`{name}` defined twice")
        return False
    return True


def _read_constant(report: Report, module: Module, node: ast.Assign | ast.AnnAssign) -> None:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    target = targets[0]
    if len(targets) > 1 or not isinstance(target, ast.Name) or node.value is None:
        report.refuse(node, "this assignment", "a constant is written NAME = value")
        return
    if not _new_name(report, module, target, target.id):
        return
    if isinstance(node, ast.AnnAssign):
        read_annotation(report, node.annotation, boundary=False)
    try:
        value = Evaluator(report, MappingProxyType(module.constants)).value(node.value)
    except NotConstant:
        value = None
    module.constants[target.id] = value
    if target.id == INDEX:
        if type(value) is tuple and all(type(item) is str for item in value):
            module.index = value
        else:
            report.refuse(node, "this INDEX", 'it is a tuple of field names: ("holder", "type")')


def _read_function(report: Report, module: Module, node: ast.FunctionDef) -> Function:
    kind = _read_decorators(report, node)
    boundary = kind is not None
    arguments = node.args
    if getattr(node, "type_params", []):
        report.refuse(node, "type parameters")
    if arguments.vararg is not None:
        report.refuse(arguments.vararg, f"`*{arguments.vararg.arg}`", "take a list")
    if arguments.kwarg is not None:
        report.refuse(arguments.kwarg, f"`**{arguments.kwarg.arg}`", "take a dict")
    for extra in (*arguments.kwonlyargs, *arguments.posonlyargs):
        instead = "every parameter may be given by position and by name"
        report.refuse(extra, f"`*` or `/` around the parameter `{extra.arg}`", instead)
    required = len(arguments.args) - len(arguments.defaults)
    parameters: list[Parameter] = []
    for argument, default in zip(
        arguments.args, [*[None] * required, *arguments.defaults], strict=True
    ):
        check_identifier(report, argument, argument.arg)
        if any(argument.arg == other.name for other in parameters):
            report.refuse(argument, f"the parameter `{argument.arg}` twice")
        annotation = read_annotation(report, argument.annotation, boundary=boundary)
        value = NO_DEFAULT if default is None else _read_default(report, module, default)
        parameters.append(Parameter(argument.arg, annotation, value))
    if node.name == MIGRATE and (boundary or parameters):
        instead = (
            "an upgrade runs it once: no mark, no parameters; other functions have other names"
        )
        report.refuse(node, "this `migrate`", instead)
    if len(parameters) > limits.PARAMETERS_MAX:
        report.refuse(node, "this many parameters", f"at most {limits.PARAMETERS_MAX}; pass a dict")
    names = {parameter.name for parameter in parameters} | set(bound_names(node.body))
    returns = read_annotation(report, node.returns, boundary=boundary)
    return Function(node, kind, tuple(parameters), returns, frozenset(names))


def _read_default(report: Report, module: Module, node: ast.expr) -> object:
    try:
        value = Evaluator(report, module.constants).value(node)
    except NotConstant:
        return None
    if type(value) is tuple or isinstance(value, MappingProxyType):
        report.refuse(node, "this default", "write None and choose the value in the function")
    return value


def _read_decorators(report: Report, node: ast.FunctionDef) -> Literal["call", "view"] | None:
    kind: Literal["call", "view"] | None = None
    for decorator in node.decorator_list:
        name = decorator.id if isinstance(decorator, ast.Name) else ""
        if name not in ("call", "view") or kind is not None:
            report.refuse(decorator, "this decorator", "a method has one of @call and @view")
        else:
            kind = "call" if name == "call" else "view"
    return kind
