"""`qiong contract upgrade`: another version, after a look at what its callers will notice."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cli import output
from cli.client import Client, path
from cli.contract.change import gas_for, send
from cli.contract.dry_run import BLOCKS_MAX, dry_run_blocks
from cli.contract.source import read_contract
from cli.errors import Refused
from cli.settings import Settings, common_options
from contracts.dialect import Compiled, CompileRefused, compile_source
from contracts.interface import difference
from contracts.package import Package


@click.command("upgrade")
@click.argument("name")
@click.argument("file", metavar="FILE|PACKAGE|DIR", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--from-height",
    type=click.IntRange(1),
    metavar="H",
    help="The block from which on the version runs; by default at once.",
)
@click.option(
    "--dry-run-blocks",
    "blocks",
    type=click.IntRange(1, BLOCKS_MAX),
    metavar="N",
    help="Send nothing: execute the last N blocks under the new code and show what would differ.",
)
@click.option("--yes", is_flag=True, help="Do not ask when methods are removed or changed.")
@click.option("--from", "key", metavar="KEY", help="Key that signs; a dry run needs none.")
@click.option("--gas", type=click.IntRange(1), metavar="N", help="Gas limit to set.")
@common_options(keys=True)
def upgrade(
    settings: Settings,
    name: str,
    file: Path,
    from_height: int | None,
    blocks: int | None,
    yes: bool,
    key: str | None,
    gas: int | None,
) -> int:
    """Give contract NAME another version; the older ones are kept.

    First the methods that differ are shown, and if callers would notice, you are asked. KEY is a
    deployer's of the owning organisation, or a governor's. A `migrate()` in the source, without
    mark and parameters, runs once, as part of this; then the version starts at once.

    A dry run ends with 1 if a transaction of those blocks would have ended otherwise; those that
    differ in gas alone are counted apart.
    """
    contract = read_contract(file, name)
    if blocks is not None:
        return dry_run_blocks(settings, name, contract.source, blocks)
    if key is None:
        raise click.UsageError("name the key that signs with --from KEY")
    if contract.compiled.migrates and from_height is not None:
        raise Refused(
            "a source with migrate() starts at once", "leave --from-height out, or migrate() away"
        )
    _show_difference(settings, contract, yes)
    args: dict[str, Any] = {"name": name, "source": contract.source}
    if from_height is not None:
        args["from_height"] = from_height

    def done(change: dict[str, Any]) -> str:
        now = change["height"]
        when = "" if change["from"] == now else f", planned in block {now}"
        return (
            f"{name} has version {change['version']}, in force from block {change['from']} on{when}"
        )

    return send(settings, key, gas or gas_for(contract), "upgrade", args, done)


def _show_difference(settings: Settings, contract: Package, yes: bool) -> None:
    """Say how the interface changes, and ask if someone has to notice. Raises `Refused`."""
    before = _deployed(settings, contract.name)
    changes = [] if before is None else difference(before, contract.compiled)
    for change in changes:
        output.message(str(change))
    if before is not None and not changes:
        output.message("the interface stays as it is")
    if yes or not any(change.breaking for change in changes):
        return
    if not sys.stdin.isatty():
        raise Refused("callers of changed methods would notice", "say --yes if that is meant")
    if not click.confirm("Callers of changed methods will notice. Upgrade?", err=True):
        raise Refused("nothing was sent")


def _deployed(settings: Settings, name: str) -> Compiled | None:
    """The code in force now; None if this machine's dialect does not take it."""
    with Client(settings.nodes) as client:
        document = client.get(path("v1", "contracts", name)).json()
    try:
        return compile_source(str(document["source"]))
    except CompileRefused:
        return None
