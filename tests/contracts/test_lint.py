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
