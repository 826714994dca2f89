"""The reference's tables are those of the code, its words name what the code names, its example is
a contract."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts import lint, reference, reference_words
from contracts.dialect import HOST_FUNCTIONS
from ledger.execution import QUARANTINED
from ledger.receipt import STATUSES

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / reference.DOCUMENT

STATUS_OF = {
    "ContractError": "error",
    "LimitExceeded": "limit",
    "Rejected": "rejected",
    "Reverted": "reverted",
}


def literals(node: ast.expr) -> Iterator[str]:
    """The strings that an expression may be, as far as they stand in it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from literals(node.body)
        yield from literals(node.orelse)


def raised() -> Iterator[tuple[str, str]]:
    """(status, code) of every verdict that the code makes with a literal."""
    for folder in ("dialect", "worker"):
        for file in (ROOT / "contracts" / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    status = STATUS_OF.get(node.func.id)
                    for argument in node.args[:1] if status else ():
                        yield from ((status, code) for code in literals(argument))


def test_the_tables_are_up_to_date() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert reference.with_tables(text) == text, "run python -m contracts.reference"


def test_the_example_compiles() -> None:
    example = DOCUMENT.read_text("utf-8").split("```python\n")[1].split("```")[0]
    assert lint.lint_source(example) == []


def test_every_host_function_and_status_has_its_words() -> None:
    assert set(reference_words.HOST) == set(HOST_FUNCTIONS)
    assert tuple(sorted(reference_words.STATUSES)) == tuple(sorted(STATUSES))


def test_every_code_is_told_and_none_that_is_not_there() -> None:
    told = {(status, code) for status, codes in reference_words.CODES.items() for code in codes}
    found = set(raised())
    assert len(found) > 30
    assert found <= told, sorted(found - told)
    # These are made of names that stand elsewhere in the code.
    composed = {
        ("limit", "VALUE_SIZE"),
        ("limit", "EVENT_SIZE"),
        ("out_of_gas", "OUT_OF_GAS"),
        ("rejected", "frozen"),
        ("rejected", "retired"),
        ("rejected", QUARANTINED),
        ("reverted", "ATOMIC"),
        ("reverted", "FROZEN"),
    }
    assert told - found <= composed, sorted(told - found - composed)


@pytest.mark.parametrize("without", ["host", "codes"])
def test_a_document_without_a_table_is_told(without: str) -> None:
    text = DOCUMENT.read_text("utf-8").replace(f"table: {without} ", "table: other ")
    with pytest.raises(ValueError, match="one marker for each"):
        reference.with_tables(text)
