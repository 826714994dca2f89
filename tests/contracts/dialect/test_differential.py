"""Random programs of the dialect give the value that plain Python gives.

Python is the oracle: the same text is run by `exec` with the real built-ins. Where Python raises,
the dialect must end with the matching code; where a limit of the dialect is hit, there is nothing
to compare.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from contracts.dialect import (
    ContractError,
    LimitExceeded,
    Meter,
    OutOfGas,
    compile_source,
    instantiate,
)
from contracts.dialect.errors import INTERPRETER_ERRORS, contract_error
from contracts.dialect.host import HOST_FUNCTIONS

GAS = 300_000
HOST = dict.fromkeys(HOST_FUNCTIONS, lambda *args: None)


def _wrap(template: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda found: template.format(*found))


def _choice(*words: str) -> st.SearchStrategy[str]:
    return st.sampled_from(words)


def _leaning(leaf: st.SearchStrategy[str], *larger: st.SearchStrategy[str]) -> Any:
    """A leaf two times of three: programs stay small enough to run to their end."""
    grown = st.one_of(*larger)
    return st.sampled_from([0, 0, 1]).flatmap(lambda grow: grown if grow else leaf)


# One strategy a type, so that most programs run to their end.
numbers: st.SearchStrategy[str] = st.deferred(
    lambda: _leaning(
        st.one_of(st.integers(-9, 40).map("({})".format), _choice("a", "b", "n")),
        _wrap("({} {} {})", numbers, _choice("+", "-", "*", "//", "%", "&", "|", "^"), numbers),
        _wrap("({} {} {})", numbers, _choice("<<", ">>"), st.integers(0, 9).map(str)),
        _wrap("({} ** {})", numbers, st.integers(0, 5).map(str)),
        _wrap("({}{})", _choice("-", "~", "+"), numbers),
        _wrap("({} if {} else {})", numbers, tests, numbers),
        _wrap("{}({})", _choice("len", "sum", "min", "max"), lists),
        _wrap("{}({})", _choice("int", "abs"), numbers),
        _wrap("{}({}, {})", _choice("min", "max"), numbers, numbers),
        _wrap("{}[{}]", lists, numbers),
        _wrap("{}.{}({})", lists, _choice("index", "count"), numbers),
        _wrap("{}.{}({})", texts, _choice("find", "rfind", "count"), texts),
        _wrap("entries.get({}, {})", texts, numbers),
    )
)
tests: st.SearchStrategy[str] = st.deferred(
    lambda: _leaning(
        _wrap("({} {} {})", _choice("a", "b", "n"), _ORDER, _choice("a", "b", "0")),
        _wrap("({} {} {})", numbers, _ORDER, numbers),
        _wrap("({} {} {} {} {})", numbers, _ORDER, numbers, _ORDER, numbers),
        _wrap("({} {} {})", texts, _ORDER, texts),
        _wrap("({} {} {})", lists, _ORDER, lists),
        _wrap("({} {} {})", numbers, _choice("in", "not in"), lists),
        _wrap("({} {} {})", texts, _choice("in", "not in"), texts),
        _wrap("({} in entries)", texts),
        _wrap("({} {} {})", tests, _choice("and", "or"), tests),
        _wrap("(not {})", st.one_of(tests, numbers, texts, lists)),
        _wrap("{}({})", _choice("any", "all", "bool"), lists),
        _wrap("{}.{}()", texts, _choice("isdigit", "isalpha", "isupper", "isalnum", "islower")),
        _wrap("{}.{}({})", texts, _choice("startswith", "endswith"), texts),
    )
)
texts: st.SearchStrategy[str] = st.deferred(
    lambda: _leaning(
        st.one_of(st.text("abAB01,.", max_size=6).map(repr), _choice("s")),
        _wrap("({} + {})", texts, texts),
        _wrap("({} * {})", texts, numbers),
        _wrap("str({})", st.one_of(numbers, tests)),
        _wrap("{}[{}:{}]", texts, numbers, numbers),
        _wrap("{}[::{}]", texts, numbers),
        _wrap("{}[{}]", texts, numbers),
        _wrap("{}.{}()", texts, _choice("upper", "lower", "strip")),
        _wrap("{}.{}({})", texts, _choice("lstrip", "rstrip", "removeprefix"), texts),
        _wrap("{}.replace({}, {})", texts, texts, texts),
        _wrap("{}.{}({})", texts, _choice("zfill", "ljust", "rjust"), numbers),
        _wrap("{}.join({}.{}({}))", texts, texts, _choice("split", "rsplit"), texts),
        _wrap("{}.join({}.partition({}))", texts, texts, texts),
        _wrap("{}.join([str(n) for n in {}])", texts, lists),
        _wrap("({} if {} else {})", texts, tests, texts),
        _wrap('f"<{{{}}}|{{{}}}>"', _choice("a", "s", "n"), _choice("a + 1", "b", "s[0:2]")),
    )
)
lists: st.SearchStrategy[str] = st.deferred(
    lambda: _leaning(
        _choice("items", "[]", "[1, 5]", "[b, n]"),
        st.lists(numbers, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        _wrap("({} + {})", lists, lists),
        _wrap("({} * {})", lists, numbers),
        _wrap("{}[{}:{}]", lists, numbers, numbers),
        _wrap("sorted({})", lists),
        _wrap("sorted({}, reverse={})", lists, tests),
        _wrap("list(range({}))", numbers),
        _wrap("[{} for n in {} if {}]", numbers, lists, tests),
        _wrap("[n * b for n in {} for b in {}]", lists, lists),
        _wrap("[n + b for n, b in zip({}, {})]", lists, lists),
        _wrap("[n - b for n, b in enumerate({})]", lists),
        _wrap("({} if {} else {})", lists, tests, lists),
        _wrap("{}.copy()", lists),
    )
)
_ORDER = _choice("==", "!=", "<", "<=", ">", ">=")

simple = st.one_of(
    _wrap("{} = {}", _choice("a", "b", "n"), numbers),
    _wrap("{} {} {}", _choice("a", "b", "n"), _choice("+=", "-=", "*=", "//=", "%="), numbers),
    _wrap("s = {}", texts),
    _wrap("s += {}", texts),
    _wrap("items = {}", lists),
    _wrap("items {} {}", _choice("+="), lists),
    _wrap("items *= {}", st.integers(-1, 3).map(str)),
    _wrap("items.append({})", numbers),
    _wrap("items.insert({}, {})", numbers, numbers),
    _wrap("items.{}()", _choice("sort", "reverse", "pop", "clear")),
    _wrap("items[{}] = {}", numbers, numbers),
    _wrap("del items[{}]", numbers),
    _wrap("entries[{}] = {}", texts, st.one_of(numbers, texts, lists)),
    _wrap("entries.update({{{}: {}}})", texts, numbers),
    _wrap("entries = {{{}: n for n in {}}}", st.just("str(n)"), lists),
    _wrap("entries.pop({}, None)", texts),
    _wrap("a, b = {}, {}", numbers, numbers),
)


def _statements(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def block(statements: list[str]) -> str:
        return "\n".join("    " + line for text in statements for line in text.split("\n"))

    body = st.lists(inner, min_size=1, max_size=3).map(block)
    return st.one_of(
        _wrap("if {}:\n{}", tests, body),
        _wrap("if {}:\n{}\nelse:\n{}", tests, body, body),
        _wrap("for {} in {}:\n{}", _choice("a", "b", "n"), lists, body),
        _wrap("for s in {}:\n{}", texts, body),
        _wrap("while a > 0:\n    a -= 1\n{}", body),
    )


programs = st.lists(st.recursive(simple, _statements, max_leaves=4), min_size=1, max_size=5)


def _source(body: str) -> str:
    lines = "\n".join("    " + line for line in body.split("\n"))
    return (
        f"def main(a, b, n, s, items, entries):\n{lines}\n    return [a, b, n, s, items, entries]\n"
    )


def _arguments() -> list[Any]:
    return [3, -2, 7, "aB,1", [2, 1, 3], {"a": 1, "b": "x"}]


def _plain(value: Any) -> Any:
    """As values leave a contract: tuples are lists."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _python(source: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(source, namespace)  # noqa: S102 (the oracle runs the program it is compared with)
    return _plain(namespace["main"](*_arguments()))


def _reads_early(node: ast.AST) -> bool:
    """Whether an inner loop of a comprehension reads a name that this loop or a later one binds.

    Python finds that out when it comes there, if ever; here a comprehension within takes the
    variables around it when it starts.
    """
    generators = node.generators if isinstance(node, ast.ListComp | ast.DictComp) else []
    return any(
        name.id in {target.id for target in _names(later.target for later in generators[number:])}
        for number, generator in enumerate(generators)
        for name in _names([generator.iter] if number else [])
    )


def _names(nodes: Iterable[ast.AST]) -> Iterator[ast.Name]:
    return (name for node in nodes for name in ast.walk(node) if isinstance(name, ast.Name))


@settings(max_examples=150, deadline=None)
@given(programs)
@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_a_program_means_what_python_means(body: list[str]) -> None:
    source = _source("\n".join(body))
    assume(not any(map(_reads_early, ast.walk(ast.parse(source)))))
    meter = Meter(GAS)
    main = instantiate(compile_source("@call\n" + source), HOST, meter)
    outcome: Any
    try:
        outcome = main.invoke("main", _arguments())
    except (LimitExceeded, OutOfGas):
        return
    except ContractError as error:
        outcome = error.code
    expected: Any
    try:
        expected = _python(source)
    except OverflowError:
        return
    except INTERPRETER_ERRORS as error:
        expected = contract_error(error).code
    assert outcome == expected


@settings(max_examples=40, deadline=None)
@given(programs)
def test_gas_is_the_same_each_time_and_stops_where_it_ends(body: list[str]) -> None:
    compiled = compile_source("@call\n" + _source("\n".join(body)))
    used = []
    for _ in range(2):
        meter = Meter(GAS)
        try:
            instantiate(compiled, HOST, meter).invoke("main", _arguments())
        except ContractError:
            return
        except (LimitExceeded, OutOfGas):
            return
        used.append(meter.used)
    assert used[0] == used[1]
    short = Meter(used[0] - 1)
    with pytest.raises(OutOfGas):
        instantiate(compiled, HOST, short).invoke("main", _arguments())
    assert short.used == used[0] - 1
