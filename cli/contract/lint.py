"""`qiong contract lint`: what the dialect refuses, where, and what to write instead."""

from __future__ import annotations

from pathlib import Path

import click

from cli import output
from cli.contract.source import read_source
from cli.settings import json_option
from contracts.dialect import compile_source
from contracts.lint import lint_source, render


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
    """Say what the language refuses, and what to write.

    Each place in each FILE is shown with its line. Ends with 1 if anything is refused. With --json:
    a list of objects with file, line and column (both from 1), what, and instead.
    """
    sources = {file: read_source(file) for file in files}
    found = {file: lint_source(source) for file, source in sources.items()}
    document = [
        {
            "file": str(file),
            "line": refusal.line,
            "column": refusal.column,
            "what": refusal.what,
            "instead": refusal.instead,
        }
        for file, refusals in found.items()
        for refusal in refusals
    ]
    shown = [render(refusals, sources[file], str(file)) for file, refusals in found.items()]
    output.data(document, as_json, filter(None, shown))
    if not as_json:
        for file, refusals in found.items():
            if not refusals:
                output.message(f"{file}: nothing to refuse; {_offer(sources[file])}")
    return 1 if document else 0


def _offer(source: str) -> str:
    """What the contract offers, so that a forgotten decorator is noticed."""
    methods = compile_source(source).methods.values()
    if not methods:
        return "but it offers no method: mark functions with @call or @view"
    kinds = {
        kind: [method.name for method in methods if method.kind == kind]
        for kind in ("call", "view")
    }
    return "; ".join(f"{kind}s: {', '.join(names)}" for kind, names in kinds.items() if names)
