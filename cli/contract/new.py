"""`qiong contract new`: a project that works at once, to be changed into one's own."""

from __future__ import annotations

from pathlib import Path

import click

from cli import output
from cli.contract import starter
from cli.errors import Refused
from cli.settings import json_option
from contracts import shipped
from contracts.deployment_layout import NAME, RESERVED


@click.command("new")
@click.argument("name")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The project's folder, by default ./NAME.",
)
@json_option
def new(name: str, folder: Path | None, as_json: bool) -> None:
    """Begin a project: contract NAME, tests, README.

    What it writes works at once, and is there to be changed into what you need. Nothing that is
    there already is overwritten.
    """
    if not NAME.fullmatch(name):
        raise Refused(
            f"{name!r} cannot name a contract", "small letters, digits, - and _, a letter first"
        )
    if name in (*shipped.LIBRARY, *RESERVED):
        raise Refused(f"every network has a contract {name} already", "choose another name")
    folder = folder or Path(name)
    files = starter.files(name)
    for file in files:
        if (folder / file).exists():
            raise Refused(f"{folder / file} is there already", "choose another name, or --dir DIR")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        with (folder / file).open("x", encoding="utf-8") as opened:
            opened.write(text)
    output.data({"folder": str(folder), "files": list(files)}, as_json, _next(name, folder))


def _next(name: str, folder: Path) -> list[str]:
    return [
        f"{folder} holds the contract {name}.py, its tests test_{name}.py and a README.",
        "Next:",
        f"  cd {folder}",
        f"  qiong contract lint {name}.py",
        "  qiong contract test",
        f'  qiong contract run {name}.py register \'["T-1", "a lathe"]\'',
    ]
