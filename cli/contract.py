"""`qiong contract`: check and try contracts before anyone deploys them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from cli import output
from cli.args import args_argument
from cli.errors import Refused
from cli.settings import json_option
from contracts.lint import lint_source
from contracts.local import run_source

SOURCE_BYTES_SHOWN_MAX: Final = 1 << 20
"""Largest file read; far above the longest source the dialect takes."""


def _read(file: Path) -> str:
    with file.open("rb") as opened:
        data = opened.read(SOURCE_BYTES_SHOWN_MAX + 1)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(f"{file} is not UTF-8 text", "a contract is Python source in UTF-8") from None


@click.group("contract")
def contract_group() -> None:
    """Check and try contracts before anyone deploys them."""


@contract_group.command("lint")
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@json_option
def lint(files: tuple[Path, ...], as_json: bool) -> int:
    """Say what the dialect refuses in each FILE, where, and what to write instead."""
    found: list[dict[str, Any]] = [
        {
            "file": str(file),
            "line": refusal.line,
            "column": refusal.column,
            "what": refusal.what,
            "instead": refusal.instead,
        }
        for file in files
        for refusal in lint_source(_read(file))
    ]
    lines = [f"{r['file']}:{r['line']}:{r['column']}: {_advice(r)}" for r in found]
    output.data(found, as_json, lines)
    if not as_json and not found:
        output.message(f"{len(files)} checked, nothing to refuse")
    return 1 if found else 0


@contract_group.command("run")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("method")
@args_argument
@json_option
def run(file: Path, method: str, args: Any, as_json: bool) -> int:
    """Run METHOD of FILE once, in a validator's sandbox, on an empty chain in memory.

    Ends with 0 only if the call is ok.
    """
    outcome = run_source(_read(file), method, args)
    document = {
        "status": outcome.status,
        "code": outcome.code,
        "gas": outcome.gas,
        "result": output.plain(outcome.result),
    }
    output.data(
        document,
        as_json,
        [
            f"status {outcome.status} {outcome.code}".rstrip(),
            f"gas    {outcome.gas}",
            f"result {output.pretty(outcome.result)}",
        ],
    )
    if outcome.code == "compile_refused" and not as_json:
        output.message(f"hint: `qiong contract lint {file}` says why")
    return 0 if outcome.status == "ok" else 1


def _advice(refusal: dict[str, Any]) -> str:
    return f"{refusal['what']}; {refusal['instead']}" if refusal["instead"] else refusal["what"]
