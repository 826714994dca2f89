"""`qiong db`: the database of a node that is stopped; `verify` and `stats`: `cli.db_check`."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import click

from cli import output
from cli.db_check import stats_command, verify_command
from cli.db_index import drop_index, index_group
from cli.settings import json_option
from contracts.runner import WorkerRunner
from contracts.sandbox import Sandbox
from node.config import load_config
from node.home import Home, load_genesis
from node.rebuild import Rebuild


@click.group("db")
def db_group() -> None:
    """Check, measure and mend the database of a node that is stopped."""


db_group.add_command(verify_command)
db_group.add_command(stats_command)
db_group.add_command(index_group)


@db_group.command("rebuild")
@click.option("--home", required=True, type=click.Path(path_type=Path), help="The node's folder.")
@click.option(
    "--insecure-contracts",
    is_flag=True,
    help="Run contracts where this system cannot lock their process down (seccomp).",
)
@json_option
def rebuild(home: Path, insecure_contracts: bool, as_json: bool) -> int:
    """Make the database anew by executing all blocks, and check it against their certificates.

    The node must be stopped. The old database is kept in `ledger.old`; if the result does not hold,
    nothing is changed. Safe to break off and to start again. The query index goes with the old
    database.
    """
    place = Home(home.resolve())
    config = load_config(place.config)
    genesis = load_genesis(place, config.expect_hash)
    began = time.monotonic()
    with place.lock():
        sandbox = Sandbox(insecure=insecure_contracts)
        sandbox.start()
        with (
            contextlib.closing(WorkerRunner(sandbox)) as runner,
            Rebuild(place, genesis) as work,
        ):
            total = work.total
            with output.progress("executing blocks", total) as bar:
                for _ in work.run(runner):
                    bar.advance()
            kept = work.replace()
        drop_index(place, config)
    seconds = time.monotonic() - began
    document = {
        "blocks": total,
        "seconds": round(seconds, 3),
        "kept": None if kept is None else str(kept),
    }
    lines = [f"executed {total} blocks in {seconds:.1f} s; every certificate agrees"]
    if kept is not None:
        lines.append(f"the old database is in {kept}; delete it once the cause is known")
    output.data(document, as_json, lines)
    return 0
