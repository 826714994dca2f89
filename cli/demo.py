"""`qiong demo`: the main job on a network of its own, told step by step."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from cli import output
from cli.settings import json_option
from devnet import network
from devnet.demo import Story

PLAIN_WIDTH: Final = 100
"""Columns where nobody's terminal says how many there are."""


@click.command("demo")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the network, its logs and the proofs here. [default: a folder that is removed]",
)
@json_option
def demo_command(folder: Path | None, as_json: bool) -> None:
    """Issue a licence, prove it, verify offline, revoke, prove again, prove an absence.

    Starts four validators on this machine and stops them at the end.
    """
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    console = Console(stderr=as_json, width=width, highlight=False)
    with _folder(folder) as place:
        story = Story(console, place)
        story.tell()
    output.data({"ok": True, "steps": story.steps}, as_json, [])


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="qiong-demo-") as parent:
        place = Path(parent).resolve() / "devnet"
        try:
            yield place
        finally:
            network.reset(place)
