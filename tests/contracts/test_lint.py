"""The linter shows each refusal at its place, with what to write instead."""

from __future__ import annotations

import pytest

from contracts import lint, shipped

SOURCE = '''"""A price list."""
import os

@call
def price(id: str) -> int:
    é = "é" + open(id)
    return 1.5
'''


@pytest.mark.parametrize("name", shipped.LIBRARY)
def test_the_library_is_clean(name: str) -> None:
    assert lint.lint_source(shipped.source(name)) == []


def test_several_refusals_are_shown_in_order() -> None:
    text = "import os\n\n@view\ndef f(a: float) -> int:\n    return a / 2\n"
    shown = lint.render(lint.lint_source(text), text, "f.py").split("\n")
    assert shown[0] == "f.py:1:1: an import"
    assert shown[3] == "f.py:4:10: the type float"
    assert shown[6] == "f.py:5:12: `/`"
    assert shown[7:9] == ["    return a / 2", "           ^ write // for whole numbers"]


def test_columns_count_characters() -> None:
    (refusal,) = lint.lint_source('@view\ndef f():\n    return "琼琼" + x\n')
    assert (refusal.line, refusal.column) == (3, 19)


def test_names_beyond_ascii_stop_the_scan() -> None:
    (refusal,) = lint.lint_source(SOURCE)
    assert (refusal.line, refusal.column) == (6, 5)
    assert "names are ASCII" in refusal.instead


def test_a_syntax_error_has_a_place() -> None:
    (refusal,) = lint.lint_source("@view\ndef f(:\n    return 1\n")
    assert refusal.line == 2
    assert refusal.what.startswith("syntax")


def test_the_number_of_refusals_is_bounded() -> None:
    assert len(lint.lint_source("import os\n" * 1000)) == 50


@pytest.mark.parametrize(
    ("statement", "what", "instead"),
    [
        ("return heigth()", "the unknown function `heigth`", "did you mean `height`?"),
        ("total = 1; return totl", "the unknown name `totl`", "did you mean `total`?"),
        ("return n.strp()", "the unknown method `strp`", "did you mean `strip`?"),
        ("return n.name", "the attribute `name`", 'an entry of a dict is entries["name"]'),
        ('n.name = "x"', "the attribute `name`", 'write entries["name"] = ...'),
        ("a, *b = n", "`*` in an assignment", "name each item"),
        ('return f"{n["a"]}"', "the enclosing quote", "the other kind of quote"),
        ('return "abc', "a string that is not closed", "close it on its line"),
        ("return sorted(n, n)", "2 arguments", "`sorted` takes 1"),
        ("print(n)", "the unknown function `print`", "write emit(name, data)"),
    ],
)
def test_advice_says_what_to_write(statement: str, what: str, instead: str) -> None:
    (refusal,) = lint.lint_source(f"@call\ndef f(n):\n    {statement}\n")
    assert refusal.what.startswith(what)
    assert instead in refusal.instead


@pytest.mark.parametrize(
    ("source", "instead"),
    [
        ("import json", "values already"),
        ("from typing import Optional", "int | None"),
        ("import random.x", "nothing here is random"),
        ("import something", "is there already"),
        ("async def f(): pass", "write def"),
        ('KINDS = {"food"}', "or a tuple"),
        ("HALF = 5 / 2", "write //"),
        ("NOW = now()", "compute it in a function"),
        ("X = 1\nX += 1", "keep what changes in the state"),
        ("@call\ndef f(n: Optional[int]): pass", "write T | None"),
        ("@call\ndef f(n: float): pass", "count in the smallest unit"),
        ("@call\ndef f(*n): pass", "take a list"),
        ("@call\ndef f(*, n): pass", "by position and by name"),
    ],
)
def test_advice_for_a_module(source: str, instead: str) -> None:
    (refusal,) = lint.lint_source(source + "\n")
    assert instead in refusal.instead


def test_the_mark_stands_below_its_place_whatever_comes_before() -> None:
    text = '@view\ndef f():\n    return "琼琼" + x\n'
    line, mark = lint.render(lint.lint_source(text), text, "f.py").split("\n")[1:3]
    # A Chinese character takes two columns of a terminal.
    assert mark.index("^") == line.index("x") + 2
