"""`qiong contract run`: one call on an empty chain in memory, in a validator's sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli import output
from cli.args import args_argument
from cli.contract.source import read_source
from cli.settings import json_option
from contracts.dialect import compile_source
from contracts.local import run_source


@click.command("run")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("method")
@args_argument
@json_option
def run(file: Path, method: str, args: Any, as_json: bool) -> int:
    """Run METHOD of FILE once, in a validator's sandbox, on an empty chain in memory.

    Ends with 0 only if the call is ok.
    """
    source = read_source(file)
    outcome = run_source(source, method, args)
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
    if not as_json:
        _explain(file, source, outcome.code)
    return 0 if outcome.status == "ok" else 1


def _explain(file: Path, source: str, code: str) -> None:
    """A hint for codes that say something of the command rather than of the contract."""
    if code == "compile_refused":
        output.message(f"hint: `qiong contract lint {file}` says why")
    elif code in ("unknown_method", "TYPE"):
        offered = "; ".join(str(method) for method in compile_source(source).methods.values())
        output.message(f"hint: {file} offers {offered or 'no method'}")
