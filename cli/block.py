"""`qiong block`: look at blocks."""

from __future__ import annotations

from typing import Any

import click

from cli import output
from cli.client import Client, path
from cli.settings import Settings, common_options


@click.group("block")
def block_group() -> None:
    """Look at blocks."""


@block_group.command("show")
@click.argument("height", type=click.IntRange(0))
@common_options()
def show(settings: Settings, height: int) -> int:
    """Show the header of block HEIGHT and the ids of its transactions."""
    with Client(settings.nodes) as client:
        answer = client.get(path("v1", "blocks", str(height)))
        document: dict[str, Any] = answer.json()
    output.data(document, settings.json, _lines(document))
    if not settings.json:
        output.message(f"unverified: said by {answer.node}; `qiong proof get` gives a proof")
    return 0


@block_group.command("list")
@click.option("--from", "start", type=click.IntRange(0), help="First height; newest by default.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@common_options()
def list_command(settings: Settings, start: int | None, limit: int) -> int:
    """List blocks in ascending order."""
    with Client(settings.nodes) as client:
        if start is None:
            newest = int(client.get("/v1/status").json()["height"])
            start = max(0, newest - limit + 1)
        page = client.get("/v1/blocks", from_=start, limit=limit).json()
    rows = page["items"]
    if settings.json:
        output.data(rows, True, [])
        return 0
    columns = ("height", "time", "transactions", "hash")
    output.table(columns, ([row.get(name, "") for name in columns] for row in rows))
    return 0


def _lines(document: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for name, value in document.items():
        if isinstance(value, dict):
            lines += [f"{key:22} {output.pretty(item)}" for key, item in value.items()]
        elif isinstance(value, list):
            lines += [f"{name}:"] + [f"  {output.pretty(item)}" for item in value]
        else:
            lines.append(f"{name:22} {output.pretty(value)}")
    return lines
