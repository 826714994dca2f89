"""Outlines say what compiling says."""

import pytest

from contracts import shipped
from contracts.dialect import compile_source
from contracts.dialect.outline import NOTHING, outline

SOURCE = '''"""A contract."""

INDEX = ("holder", "type")

def helper() -> int:
    return 1

@call
def one() -> int:
    return helper()

@view
def two() -> int:
    """
@call
def three():
    """
    return 2
'''


@pytest.mark.parametrize("source", [SOURCE, *map(shipped.source, shipped.LIBRARY), ""])
def test_an_outline_is_that_of_the_compiled_contract(source: str) -> None:
    compiled = compile_source(source)
    found = outline(source)
    assert found.index == compiled.index
    calls = {name for name, method in compiled.methods.items() if method.kind == "call"}
    assert found.calls == calls


def test_what_is_no_python_declares_nothing() -> None:
    assert outline("def f(:") == NOTHING
