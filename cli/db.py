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
from node.prune import KEEP_MIN, Prune
from node.rebuild import Rebuild


@click.group("db")
def db_group() -> None:
    """Check, measure, mend, or make smaller, the database of a node that is stopped."""


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


@db_group.command("prune")
@click.option("--home", required=True, type=click.Path(path_type=Path), help="The node's folder.")
@click.option(
    "--keep",
    required=True,
    type=click.IntRange(KEEP_MIN),
    metavar="N",
    help=f"How many of the newest blocks stay; at least {KEEP_MIN}.",
)
@json_option
def prune(home: Path, keep: int, as_json: bool) -> int:
    """Give up all but the newest N blocks: older ones, their receipts, events and state.

    The node must be stopped. A snapshot of the first height that stays is kept as the base from
    which the database can be made anew. Broken off, it goes on when it is run again.
    """
    place = Home(home.resolve())
    genesis = load_genesis(place, load_config(place.config).expect_hash)
    with place.lock(), Prune(place, genesis, keep) as work:
        with output.progress("writing the base", None) as bar:
            for _ in work.write_base():
                bar.advance()
        with output.progress("giving up blocks", work.first + 1) as bar:
            for _ in work.run():
                bar.advance()
        before, first, newest = work.before, work.first, work.newest
    document = {"first": first, "first_before": before, "newest": newest}
    gone = first - max(before, 1) if first else 0
    output.data(
        document,
        as_json,
        [f"gave up {gone} blocks; kept are {first} to {newest}"]
        if gone
        else [f"nothing to give up: kept are {first} to {newest}"],
    )
    return 0
