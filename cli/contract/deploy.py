"""`qiong contract deploy`: a source or a package becomes a contract of the chain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.contract.change import change_options, gas_for, send
from cli.contract.source import read_contract
from cli.settings import Settings, common_options


@click.command("deploy")
@click.argument("file", metavar="FILE|PACKAGE|DIR", type=click.Path(exists=True, path_type=Path))
@click.option("--name", help="The contract's name; by default the package's, or the file's.")
@change_options
@common_options(keys=True)
def deploy(settings: Settings, file: Path, name: str | None, key: str, gas: int | None) -> int:
    """Deploy a contract, owned by the organisation of KEY.

    The key needs the role deployer. What `qiong contract lint` refuses is not sent. The gas is
    worked out from the source.
    """
    contract = read_contract(file, name)

    def done(change: dict[str, Any]) -> str:
        owner, start = change["organisation"], change["from"]
        return f"{contract.name} is deployed, owned by {owner}, in force from block {start} on"

    args = {"name": contract.name, "source": contract.source}
    return send(settings, key, gas or gas_for(contract), "deploy", {**args}, done)
