"""`qiong contract lint`: what the dialect refuses, where, and what to write instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli import output
from cli.contract.source import read_source
from cli.settings import json_option
from contracts.lint import lint_source


@click.command("lint")
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
        for refusal in lint_source(read_source(file))
    ]
    lines = [f"{r['file']}:{r['line']}:{r['column']}: {_advice(r)}" for r in found]
    output.data(found, as_json, lines)
    if not as_json and not found:
        output.message(f"{len(files)} checked, nothing to refuse")
    return 1 if found else 0


def _advice(refusal: dict[str, Any]) -> str:
    return f"{refusal['what']}; {refusal['instead']}" if refusal["instead"] else refusal["what"]
