"""Data goes to stdout, words about it to stderr.

With `--json` stdout holds exactly one JSON document (or one a line where a command says so);
without, it holds lines for people. Progress shows only on a terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ledger.canonical import Value


def data(document: object, as_json: bool, lines: Iterable[str]) -> None:
    """Print `document` as JSON, or `lines` for people."""
    if as_json:
        click.echo(json.dumps(plain(document), ensure_ascii=False))
        return
    for line in lines:
        click.echo(line)


def message(text: str) -> None:
    """A sentence for the person at the terminal (stderr)."""
    click.echo(text, err=True)


def plain(value: object) -> Any:
    """`value` with byte strings as hex, so that JSON can hold it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def pretty(value: Value) -> str:
    """One line of JSON for people."""
    return json.dumps(plain(value), ensure_ascii=False)


def clock(time_ms: int) -> str:
    """UTC in milliseconds as ISO 8601."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def size(count: int) -> str:
    """Bytes for people: `7 B`, `1.5 MiB`."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """A table on stdout, as wide as its content."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column, no_wrap=True)
    for row in rows:
        grid.add_row(*(str(cell) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    console.print(grid)


class Steps:
    """Counts finished items of one piece of work; silent where stderr is no terminal."""

    def __init__(self, progress: Progress | None, task: Any) -> None:
        self._progress = progress
        self._task = task

    def advance(self, count: int = 1) -> None:
        if self._progress is not None:
            self._progress.advance(self._task, count)


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Steps]:
    """Show a bar on stderr while the block runs, if a person can see it; None: no end is known."""
    if not sys.stderr.isatty():
        yield Steps(None, None)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        yield Steps(bar, bar.add_task(title, total=total))
