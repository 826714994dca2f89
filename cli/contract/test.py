"""`qiong contract test`: an author's tests on a chain in memory, gas of each method, lines run."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli import output
from cli.errors import EXIT_FAILED, Refused
from cli.settings import json_option

if TYPE_CHECKING:
    from contracts.testing.session import Outcome

TOOLS: Final = ("pytest", "hypothesis")
"""What tests need and hosts of validators do not have."""

PYTEST_NO_TESTS: Final = 5
"""pytest's exit code when it found nothing to run."""


@click.command("test")
@click.argument(
    "paths",
    metavar="[PATH]...",
    nargs=-1,
    type=click.Path(exists=True, path_type=Path),
)
@click.option("-k", "expression", metavar="EXPRESSION", help="Only tests whose names match it.")
@click.option(
    "--worker",
    is_flag=True,
    help="Run every call in the locked-down worker that validators use; lines are not traced then.",
)
@json_option
def test(paths: tuple[Path, ...], expression: str | None, worker: bool, as_json: bool) -> int:
    """Run tests on a chain in memory; gas, lines that ran.

    PATH is a file or a folder, by default this one. Tests are pytest functions in files test_*.py;
    their fixture `chain` deploys contracts and calls them (`qiong contract new` writes an example).
    Afterwards: the gas of each method, and which lines of the contracts never ran. More of pytest's
    options: PYTEST_ADDOPTS.

    Ends with 0 only if every test passed.
    """
    missing = [tool for tool in TOOLS if find_spec(tool) is None]
    if missing:
        raise Refused(
            f"contract tests need {' and '.join(missing)}, which are not installed here",
            "install the extra `contracts` of qiong on the machine where you write contracts",
        )
    from contracts.testing import session

    options = ["-q", "--no-header", "--tb=short"]
    options += ["-k", expression] if expression else []
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        outcome = session.run([str(path) for path in paths or (Path(),)], options, worker=worker)
    if outcome.exit_code == PYTEST_NO_TESTS:
        raise Refused("there are no tests here", "tests are functions test_... in files test_*.py")
    output.data(_document(outcome), as_json, _lines(outcome))
    return EXIT_FAILED if outcome.exit_code else 0


def _document(outcome: Outcome) -> dict[str, Any]:
    counts = outcome.counts
    return {
        "passed": counts["passed"],
        "failed": counts["failed"],
        "errors": counts["error"],
        "skipped": counts["skipped"],
        "gas": [
            {
                "contract": row.contract,
                "file": row.file,
                "method": row.method,
                "kind": row.kind,
                "calls": row.calls,
                "failed": row.failed,
                "min": row.least,
                "median": row.median,
                "max": row.most,
            }
            for row in outcome.gas
        ],
        "coverage": outcome.coverage
        and [
            {
                "contract": row.contract,
                "file": row.file,
                "lines": row.lines,
                "percent": row.percent,
                "missing": list(row.missing),
            }
            for row in outcome.coverage
        ],
    }


def _lines(outcome: Outcome) -> list[str]:
    from contracts.testing import report

    lines: list[str] = []
    if outcome.gas:
        lines += ["", "Gas of calls that ended ok:", "", *report.gas_lines(outcome.gas)]
    if outcome.coverage:
        lines += ["", "Lines of code that ran:", "", *report.coverage_lines(outcome.coverage)]
    return lines
