"""Lowering: from the checked tree to one that CPython may run.

Theory: the lowered tree holds plain control flow, calls of guards, and native operators only where
their cost is the same for every value. It holds no attribute access and no built-in.

Gas: statements that run together form a block. Lowering adds up the prices of their nodes and puts
one charge in front of them. A branch or a loop body is a block of its own, and a new one begins
after it. A loop's test is paid with the block before it for the first time and with the body for
each turn. Both sides of `and`, `or` and `if else` in an expression are paid, taken or not. So the
gas of a run is a function of the syntax tree and of the path taken.

A comprehension becomes a function of its own, which takes the locals it reads as parameters: it
reads them when it begins.

Lowering itself is work that grows with the tree, and so is assembling what it makes. Both are paid
as it goes, by the nodes it makes at most (`gas.LOWERED` and what stands beside it).

Left out: any judgement; the checker has refused what is not handled here.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from contracts.dialect import gas, syntax
from contracts.dialect.abi import NO_DEFAULT
from contracts.dialect.guards import BINARY, COMPARISONS
from contracts.dialect.host import HOST_FUNCTIONS
from contracts.dialect.limits import CODE_CHARACTERS_MAX, KEY_INTEGER_MAX
from contracts.dialect.module import Function, Module
from contracts.dialect.scopes import Comprehension, free_names, targets
from contracts.dialect.syntax import guard, is_small, load
from contracts.dialect.vocabulary import BUILTINS, METHODS

_HARD: Final = ast.Pow | ast.LShift | ast.RShift

_MEMBERS_MAX: Final = 16
"""Literals in a tuple that `in` searches natively."""

Pay: TypeAlias = Callable[[int], None]
"""Takes an amount of gas, or raises."""


class _Collect(ast.stmt):
    """What the innermost loop of a comprehension does."""

    def __init__(self, node: Comprehension) -> None:
        super().__init__()
        self.node = node


def lower_module(module: Module, pay: Pay) -> ast.Module:
    """The tree to compile: function definitions only, in the order of the source.

    Pays for each part before it is made; raises what `pay` raises.
    """
    helpers: list[ast.stmt] = []
    functions = [
        _Lowering(module, function.names, helpers, pay).function(function)
        for function in module.functions.values()
    ]
    tree = ast.Module([*helpers, *functions], [])
    ast.fix_missing_locations(tree)
    return tree


class _Lowering:
    """Lowers one function body with the locals `names`. `cost` is the price of the block being
    built; `helpers` collects the functions that the module's comprehensions become."""

    def __init__(
        self, module: Module, names: frozenset[str], helpers: list[ast.stmt], pay: Pay
    ) -> None:
        self.module = module
        self.names = names
        self.helpers = helpers
        self.pay = pay
        self.cost = 0
        self.temporaries = 0

    def function(self, function: Function) -> ast.FunctionDef:
        self.pay(gas.LOWERED_FUNCTION + gas.LOWERED * len(function.parameters))
        defaults = [item.default for item in function.parameters if item.default is not NO_DEFAULT]
        names = [parameter.name for parameter in function.parameters]
        body = self.block(function.node.body, gas.NODE * len(names))
        return ast.copy_location(
            syntax.function(function.name, names, defaults, body), function.node
        )

    def temporary(self) -> str:
        self.temporaries += 1
        return f"_t{self.temporaries}"

    # Blocks and statements

    def block(self, nodes: Iterable[ast.stmt], first: int = 0) -> list[ast.stmt]:
        """Lower statements into charged blocks; `first` is added to the first charge."""
        outer_cost, self.cost = self.cost, gas.BLOCK + first
        lowered: list[ast.stmt] = []
        pending: list[ast.stmt] = []
        for node in nodes:
            branches = isinstance(node, ast.If | ast.For | ast.While)
            statements = self.statement(node)
            # A branch is the last statement; what prepares it belongs to the block before.
            pending += statements[:-1] if branches else statements
            if branches:
                lowered += self.charged([*pending, statements[-1]])
                pending = []
                self.cost = 0
        if self.cost:
            lowered += self.charged(pending)
        self.cost = outer_cost
        return lowered

    def charged(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """`statements` behind the charge for them, which stands on the line of the first."""
        self.pay(gas.LOWERED_BLOCK)
        charge = syntax.charge(gas.of_ticks(self.cost))
        if statements:
            charge = [ast.copy_location(node, statements[0]) for node in charge]
        return [*charge, *statements]

    def statement(self, node: ast.stmt) -> list[ast.stmt]:
        self.pay(gas.LOWERED)
        self.cost = max(self.cost, gas.BLOCK) + gas.NODE
        lowered = self.plain(node)
        for statement in lowered:
            ast.copy_location(statement, node)
        return lowered

    def plain(self, node: ast.stmt) -> list[ast.stmt]:
        match node:
            case ast.Return(value=value):
                return [ast.Return(None if value is None else self.expression(value))]
            case ast.Expr(value=ast.Constant()):
                return []  # a docstring: paid for, and no code
            case ast.Expr(
                value=ast.Call(
                    func=ast.Name("require"),
                    args=[test, ast.Constant(value=str(code))],
                    keywords=[],
                )
            ) if 1 <= len(code) <= CODE_CHARACTERS_MAX:
                return [self.requirement(test, code)]
            case ast.Expr(value=value):
                return [ast.Expr(self.expression(value))]
            case ast.Assign():
                return self.assignment(node.targets, self.expression(node.value))
            case ast.AnnAssign(value=ast.expr() as value):
                return self.assignment([node.target], self.expression(value))
            case ast.AugAssign():
                return self.augmented(node)
            case ast.Delete():
                return [ast.Expr(self.delete(target)) for target in node.targets]
            case ast.If():
                test = self.expression(node.test)
                orelse = self.block(node.orelse) if node.orelse else []
                return [ast.If(test, self.block(node.body), orelse)]
            case ast.While():
                return [self.while_loop(node)]
            case ast.For():
                items = guard("_sequence", self.expression(node.iter))
                return [self.for_loop(node.target, items, node.body)]
            case ast.Break():
                return [ast.Break()]
            case ast.Continue():
                return [ast.Continue()]
            case _Collect():
                return [ast.Expr(self.collect(node.node))]
            case _:
                return [ast.Pass()]

    def requirement(self, test: ast.expr, code: str) -> ast.If:
        """`require(test, "CODE")`, what contracts do most: no call unless it fails."""
        self.cost += gas.TICKS * gas.HOST["require"]
        failed = ast.UnaryOp(ast.Not(), self.expression(test))
        return ast.If(failed, [ast.Expr(syntax.call("_revert", [ast.Constant(code)]))], [])

    def while_loop(self, node: ast.While) -> ast.While:
        before = self.cost
        test = self.expression(node.test)
        turn = self.cost - before + gas.ITERATE
        return ast.While(test, self.block(node.body, turn), [])

    def for_loop(self, target: ast.expr, items: ast.expr, body: Iterable[ast.stmt]) -> ast.For:
        names = sum(isinstance(part, ast.Name) for part in ast.walk(target))
        self.pay(gas.LOWERED * names)
        self.cost += gas.ITERATE
        turn = gas.ITERATE + gas.NODE * names
        return ast.For(self.names_target(target), items, self.block(body, turn), [])

    def names_target(self, node: ast.expr) -> ast.expr:
        """A target made of names only, as it is."""
        if isinstance(node, ast.Tuple | ast.List):
            return ast.Tuple([self.names_target(item) for item in node.elts], ast.Store())
        assert isinstance(node, ast.Name)
        return syntax.store(node.id)

    def assignment(self, nodes: Sequence[ast.expr], value: ast.expr) -> list[ast.stmt]:
        """`a = b = value`, where each target may be a name, an item, or several."""
        if len(nodes) == 1:
            return self.assign_target(nodes[0], value)
        name = self.temporary()
        lowered: list[ast.stmt] = [syntax.assign(name, value)]
        for node in nodes:
            lowered += self.assign_target(node, load(name))
        return lowered

    def assign_target(self, node: ast.expr, value: ast.expr) -> list[ast.stmt]:
        self.pay(gas.LOWERED)
        self.cost += gas.NODE
        if isinstance(node, ast.Subscript):
            # Python computes the value before the container and the key.
            name = self.temporary()
            first = syntax.assign(name, value)
            return [first, ast.Expr(self.store_item(node, load(name)))]
        if isinstance(node, ast.Tuple | ast.List):
            later: list[ast.stmt] = []
            target = self.unpack_target(node, later)
            return [ast.Assign([target], value), *later]
        return [ast.Assign([self.names_target(node)], value)]

    def unpack_target(self, node: ast.expr, later: list[ast.stmt]) -> ast.expr:
        """The target of an unpacking; items are stored `later`, from temporaries."""
        self.pay(2 * gas.LOWERED)
        self.cost += gas.NODE
        if isinstance(node, ast.Tuple | ast.List):
            items = [self.unpack_target(item, later) for item in node.elts]
            return ast.Tuple(items, ast.Store())
        if isinstance(node, ast.Subscript):
            name = self.temporary()
            later.append(ast.Expr(self.store_item(node, load(name))))
            return syntax.store(name)
        return self.names_target(node)

    def store_item(self, node: ast.Subscript, value: ast.expr) -> ast.expr:
        self.cost += gas.SUBSCRIPT
        container, key = self.expression(node.value), self.expression(node.slice)
        return guard("_set_item", container, key, value)

    def augmented(self, node: ast.AugAssign) -> list[ast.stmt]:
        self.pay(gas.LOWERED)
        self.cost += gas.HARD_OPERATOR if isinstance(node.op, _HARD | ast.Mult) else gas.OPERATOR
        in_place = {ast.Add: "_in_place_add", ast.Mult: "_in_place_multiply"}
        name = in_place.get(type(node.op)) or BINARY[type(node.op)]
        if isinstance(node.target, ast.Name):
            left = load(node.target.id)
            return [syntax.assign(left.id, guard(name, left, self.expression(node.value)))]
        assert isinstance(node.target, ast.Subscript)
        self.pay(4 * gas.LOWERED)
        self.cost += 4 * gas.SUBSCRIPT
        container, key = self.temporary(), self.temporary()
        item = guard("_get_item", load(container), load(key))
        return [
            syntax.assign(container, self.expression(node.target.value)),
            syntax.assign(key, self.expression(node.target.slice)),
            ast.Expr(
                guard(
                    "_set_item",
                    load(container),
                    load(key),
                    guard(name, item, self.expression(node.value)),
                )
            ),
        ]

    def delete(self, target: ast.expr) -> ast.expr:
        assert isinstance(target, ast.Subscript)
        self.cost += gas.SUBSCRIPT
        container, key = self.expression(target.value), self.expression(target.slice)
        return guard("_delete_item", container, key)

    # Expressions

    def expression(self, node: ast.expr) -> ast.expr:
        self.pay(gas.LOWERED)
        self.cost += gas.NODE
        return ast.copy_location(_EXPRESSIONS[type(node)](self, node), node)

    def expressions(self, nodes: Iterable[ast.expr]) -> list[ast.expr]:
        return [self.expression(node) for node in nodes]

    def constant(self, node: ast.Constant) -> ast.expr:
        return ast.Constant(node.value)

    def name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.names and node.id in self.module.constants:
            value = self.module.constants[node.id]
            if not isinstance(value, tuple | MappingProxyType):
                return ast.Constant(value)
        return load(node.id)

    def binary(self, node: ast.BinOp) -> ast.expr:
        self.cost += gas.HARD_OPERATOR if isinstance(node.op, _HARD) else gas.OPERATOR
        return guard(BINARY[type(node.op)], *self.expressions((node.left, node.right)))

    def unary(self, node: ast.UnaryOp) -> ast.expr:
        operand = self.expression(node.operand)
        if isinstance(node.op, ast.Invert):
            self.cost += gas.OPERATOR
            return guard("_invert", operand)
        if isinstance(node.op, ast.USub) and isinstance(operand, ast.Constant):
            value = operand.value
            if type(value) is int:
                return ast.Constant(-value)
        return ast.UnaryOp(node.op, operand)

    def boolean(self, node: ast.BoolOp) -> ast.expr:
        return ast.BoolOp(node.op, self.expressions(node.values))

    def conditional(self, node: ast.IfExp) -> ast.expr:
        return ast.IfExp(*self.expressions((node.test, node.body, node.orelse)))

    def compare(self, node: ast.Compare) -> ast.expr:
        """A chain `a < b < c` becomes `a < (t := b) and t < c`."""
        self.pay(gas.LOWERED * len(node.ops))
        left = self.expression(node.left)
        parts: list[ast.expr] = []
        for number, (kind, right_node) in enumerate(zip(node.ops, node.comparators, strict=True)):
            right = following = self.expression(right_node)
            if number < len(node.ops) - 1 and not isinstance(right, ast.Constant):
                name = self.temporary()
                right, following = ast.NamedExpr(syntax.store(name), right), load(name)
            parts.append(self.comparison(left, kind, right))
            left = following
        return parts[0] if len(parts) == 1 else ast.BoolOp(ast.And(), parts)

    def comparison(self, left: ast.expr, kind: ast.cmpop, right: ast.expr) -> ast.expr:
        if isinstance(kind, ast.In | ast.NotIn):
            native = self.is_small_group(right)
        else:
            native = isinstance(kind, ast.Is | ast.IsNot) or is_small(left) or is_small(right)
        if native:
            return ast.Compare(left, [kind], [right])
        self.cost += gas.OPERATOR
        return guard(COMPARISONS[type(kind)], left, right)

    def is_small_group(self, node: ast.expr) -> bool:
        """True for a few literals, in place or as a constant, and for a short string."""
        if isinstance(node, ast.Constant):
            return isinstance(node.value, str) and is_small(node)
        members: Sequence[ast.expr] = ()
        if isinstance(node, ast.Tuple | ast.List):
            members = node.elts
        elif isinstance(node, ast.Name) and node.id not in self.names:
            value = self.module.constants.get(node.id)
            if type(value) is not tuple:
                return False
            if any(isinstance(item, tuple | MappingProxyType) for item in value):
                return False
            members = [ast.Constant(item) for item in value]
        return 0 < len(members) <= _MEMBERS_MAX and all(map(is_small, members))

    def tuple_(self, node: ast.Tuple) -> ast.expr:
        return ast.Tuple(self.expressions(node.elts), ast.Load())

    def list_(self, node: ast.List) -> ast.expr:
        self.cost += gas.DISPLAYED
        return ast.List(self.expressions(node.elts), ast.Load())

    def dictionary(self, node: ast.Dict) -> ast.expr:
        pairs = []
        for key, value in zip(node.keys, node.values, strict=True):
            assert key is not None
            pairs += [self.expression(key), self.expression(value)]
        self.cost += gas.DISPLAYED * (1 + len(node.keys))
        keys, values = pairs[::2], pairs[1::2]
        if all(_is_plain_key(key) for key in keys):
            return ast.Dict(list(keys), values)
        self.cost += gas.OPERATOR + gas.COMPUTED_KEY * len(node.keys)
        return guard("_build_dict", *pairs)

    def subscript(self, node: ast.Subscript) -> ast.expr:
        container = self.expression(node.value)
        if isinstance(node.slice, ast.Slice):
            self.cost += gas.SLICE
            bounds = (node.slice.lower, node.slice.upper, node.slice.step)
            lowered = [ast.Constant(None) if b is None else self.expression(b) for b in bounds]
            return guard("_slice_items", container, *lowered)
        self.cost += gas.SUBSCRIPT
        key = self.expression(node.slice)
        if _is_plain_key(key):
            return ast.Subscript(container, key, ast.Load())
        return guard("_get_item", container, key)

    def fstring(self, node: ast.JoinedStr) -> ast.expr:
        """Neighbouring texts are joined first: parsers split them differently."""
        parts: list[ast.expr] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                parts.append(self.expression(part.value))
                continue
            assert isinstance(part, ast.Constant)
            last = parts[-1] if parts else None
            if isinstance(last, ast.Constant) and isinstance(last.value, str):
                parts[-1] = ast.Constant(last.value + str(part.value))
            elif part.value:
                parts.append(ast.Constant(part.value))
        self.cost += gas.OPERATOR + gas.NODE * len(parts)
        return guard("_fstring", *parts)

    def call(self, node: ast.Call) -> ast.expr:
        if isinstance(node.func, ast.Attribute):
            self.cost += gas.METHOD
            receiver = self.expression(node.func.value)
            return self.word(METHODS[node.func.attr].guard, node, receiver)
        assert isinstance(node.func, ast.Name)
        name = node.func.id
        if name in self.module.functions:
            self.cost += gas.CALL
            arguments = self.expressions(node.args)
            keywords = [
                ast.keyword(keyword.arg, self.expression(keyword.value))
                for keyword in node.keywords
            ]
            return ast.Call(load(name), arguments, keywords)
        if name in HOST_FUNCTIONS:
            self.cost += gas.TICKS * gas.HOST[name]
            arguments = self.expressions(node.args)
            if name == "require":
                return guard("_require", *arguments)
            return syntax.call(f"_host_{name}", arguments)
        self.cost += gas.BUILTIN
        if name == "len":  # costs the same for every value
            return syntax.call("_len", self.expressions(node.args))
        return self.word(BUILTINS[name].guard, node)

    def word(self, name: str, node: ast.Call, *first: ast.expr) -> ast.expr:
        lowered = guard(name, *first, *self.expressions(node.args))
        lowered.keywords = [
            ast.keyword(keyword.arg, self.expression(keyword.value)) for keyword in node.keywords
        ]
        return lowered

    # Comprehensions

    def comprehension(self, node: Comprehension) -> ast.expr:
        self.pay(gas.LOWERED_COMPREHENSION)
        items = self.expression(node.generators[0].iter)
        captured = [name for name in free_names(node) if name in self.names]
        self.pay(gas.LOWERED * len(captured))
        self.cost += gas.CALL + gas.NODE * len(captured)
        names = frozenset(captured) | targets(node)
        body = _Lowering(self.module, names, self.helpers, self.pay).comprehension_body(node)
        name = f"_comprehension_{len(self.helpers)}"
        definition = syntax.function(name, ["_items", *captured], [], body)
        self.helpers.append(ast.copy_location(definition, node))
        return syntax.call(name, [items, *map(load, captured)])

    def comprehension_body(self, node: Comprehension) -> list[ast.stmt]:
        """The loops and tests it stands for, lowered like written ones."""
        statements: list[ast.stmt] = [_Collect(node)]
        for number, generator in reversed(list(enumerate(node.generators))):
            for test in reversed(generator.ifs):
                statements = [ast.If(test, statements, [])]
            items = generator.iter if number else load("_items")
            statements = [ast.For(generator.target, items, statements, [])]
        empty = ast.Dict([], []) if isinstance(node, ast.DictComp) else ast.List([], ast.Load())
        return [
            syntax.assign("_result", empty),
            *self.block(statements),
            ast.Return(load("_result")),
        ]

    def collect(self, node: Comprehension) -> ast.expr:
        self.pay(gas.LOWERED)
        self.cost += gas.COLLECT
        if isinstance(node, ast.DictComp):
            key, value = self.expression(node.key), self.expression(node.value)
            return guard("_set_item", load("_result"), key, value)
        return guard("_list_append", load("_result"), self.expression(node.elt))


def _is_plain_key(node: ast.expr) -> bool:
    """True for a literal that needs no check as a key or an index."""
    if not isinstance(node, ast.Constant) or not is_small(node):
        return False
    if type(node.value) is int:
        return abs(node.value) <= KEY_INTEGER_MAX
    return type(node.value) is str


_EXPRESSIONS: Final[dict[type[ast.expr], Callable[[_Lowering, Any], ast.expr]]] = {
    ast.Constant: _Lowering.constant,
    ast.Name: _Lowering.name,
    ast.BinOp: _Lowering.binary,
    ast.UnaryOp: _Lowering.unary,
    ast.BoolOp: _Lowering.boolean,
    ast.IfExp: _Lowering.conditional,
    ast.Compare: _Lowering.compare,
    ast.Tuple: _Lowering.tuple_,
    ast.List: _Lowering.list_,
    ast.Dict: _Lowering.dictionary,
    ast.Subscript: _Lowering.subscript,
    ast.JoinedStr: _Lowering.fstring,
    ast.ListComp: _Lowering.comprehension,
    ast.DictComp: _Lowering.comprehension,
    ast.Call: _Lowering.call,
}
