"""The reference's tables are those of the code, and its example is a contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts import lint, reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "contracts.md"


def test_the_tables_are_up_to_date() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert reference.with_tables(text) == text, "run python -m contracts.reference"


def test_the_example_compiles() -> None:
    example = DOCUMENT.read_text("utf-8").split("```python\n")[1].split("```")[0]
    assert lint.lint_source(example) == []


def test_a_document_without_markers_is_told() -> None:
    with pytest.raises(ValueError, match="markers"):
        reference.with_tables("# Nothing here")
