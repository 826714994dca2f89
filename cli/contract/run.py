"""`qiong contract run`: one call on an empty chain in memory, in a validator's sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli import output
from cli.args import args_argument
from cli.contract.source import read_source
from cli.settings import json_option
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
    outcome = run_source(read_source(file), method, args)
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
