"""`qiong contract package`: a contract in one file, to hand over and to deploy."""

from __future__ import annotations

from pathlib import Path

import click

from cli import output
from cli.contract.source import read_contract
from cli.settings import json_option
from contracts.interface import interface


@click.command("package")
@click.argument("place", metavar="DIR|FILE", type=click.Path(exists=True, path_type=Path))
@click.option("--name", help="The contract's name; by default the file's.")
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.qcontract",
    help="The file to write, by default NAME.qcontract.",
)
@json_option
def package(place: Path, name: str | None, file: Path | None, as_json: bool) -> None:
    """Put a contract and its interface into one file.

    The same source and name give the same bytes everywhere.
    """
    made = read_contract(place, name)
    file = file or Path(f"{made.name}.qcontract")
    data = made.encode()
    file.write_bytes(data)
    document = {
        "file": str(file),
        "name": made.name,
        "source_hash": made.source_hash.hex(),
        "size": len(data),
        "interface": interface(made.compiled),
    }
    lines = [f"{file}: contract {made.name}, source {made.source_hash.hex()}, {len(data)} bytes"]
    lines += [f"  {method}" for method in made.compiled.methods.values()]
    output.data(document, as_json, lines)
