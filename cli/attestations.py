"""What licences and credit entries have in common on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from cli import output, prooffile
from cli.client import Client, path
from cli.settings import Settings
from cli.verified import Checker

LIST_LIMIT: Final = 100
"""Entries of one page, the server's own cap."""

F = TypeVar("F", bound=Callable[..., Any])


def from_option(function: F) -> F:
    """`--from KEY`, the name of the key that signs; the command gets `key`."""
    return click.option("--from", "key", required=True, metavar="KEY", help="Key that signs.")(
        function
    )


def proof_options(function: F) -> F:
    """`-o FILE`, `--qr`, and `--height` or `--at`, of commands that fetch a state proof."""
    return prooffile.when_options(prooffile.file_options(function))


def list_options(*fields: str) -> Callable[[F], F]:
    """An option for each field to filter by, ranges of last days and of times of change, as
    `filters` (parameters of the API); `--limit` and `--cursor`."""
    options = [(f"--{name}", name, name.upper(), f"Only this {name}.") for name in fields]
    options += [
        ("--expires-from", "expires_from", "DATE", "Last day on or after this one."),
        ("--expires-to", "expires_to", "DATE", "Last day on or before this one."),
        ("--changed-from", "changed_time_from", "TIME", "Last changed then or later (ISO 8601)."),
        ("--changed-to", "changed_time_to", "TIME", "Last changed then or earlier."),
    ]

    def decorate(function: F) -> F:
        def wrapper(**arguments: Any) -> Any:
            given = {name: arguments.pop(f"filter_{name}") for _, name, _, _ in options}
            filters = {name: value for name, value in given.items() if value is not None}
            return function(filters=filters, **arguments)

        wrapper.__doc__ = function.__doc__
        wrapper.__name__ = function.__name__
        wrapper.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        decorated: Any = click.option("--cursor", help="Where an earlier list ended.")(wrapper)
        decorated = click.option(
            "--limit", type=click.IntRange(1, 10_000), default=LIST_LIMIT, show_default=True
        )(decorated)
        for flag, name, metavar, words in reversed(options):
            decorated = click.option(flag, f"filter_{name}", metavar=metavar, help=words)(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


def required(values: Mapping[str, str | None]) -> list[Any]:
    """The values in order. Raises a usage error naming the first one not given."""
    for name, value in values.items():
        if value is None:
            raise click.UsageError(f"missing {name} (or name a file with --file)")
    return list(values.values())


def show(settings: Settings, contract: str, key: str, subject: str) -> int:
    """Print the entry under `key` as the newest proof has it; 1 if there is none."""
    with Client(settings.nodes) as client:
        view = Checker(client, settings.trust).state(contract, key)
    document = {
        "subject": subject,
        "verdict": view.verdict,
        "height": view.height,
        "time": view.time,
        "value": output.plain(view.value),
        "verified": view.verified,
    }
    lines = [f"{subject}  {view.verdict}, as of {view.time}"]
    if isinstance(view.value, dict):
        lines += [f"  {name:12} {output.pretty(item)}" for name, item in view.value.items()]
    output.data(document, settings.json, lines)
    if not settings.json:
        output.message(view.assurance)
    return 0 if view.value is not None else 1


def list_entries(
    settings: Settings,
    contract: str,
    columns: Sequence[str],
    filters: Mapping[str, str],
    limit: int,
    cursor: str | None,
) -> int:
    """Print entries by the values of their fields, a page at a time.

    `columns` are the words of the key after the contract's name, then fields.
    """
    items: list[dict[str, Any]] = []
    heights: list[int] = []
    node = settings.nodes[0]
    with Client(settings.nodes) as client, output.progress("entries", limit) as bar:
        while len(items) < limit and (cursor is not None or not heights):
            answer = client.get(
                path("v1", "search", contract),
                limit=min(LIST_LIMIT, limit - len(items)),
                cursor=cursor,
                **filters,
            )
            page = answer.json()
            items += page["items"]
            heights.append(page["height"])
            cursor, node = page["cursor"], answer.node
            bar.advance(len(page["items"]))
    document = {
        "items": items,
        "cursor": cursor,
        "height": heights[0],
        "last_height": heights[-1],
        "node": node,
    }
    if settings.json:
        output.data(document, True, ())
        return 0
    if items:
        heading = [column.upper() for column in columns]
        output.table([*heading, "CHANGED"], [_cells(item, columns) for item in items])
    at = f"block {heights[0]}" + (f" to {heights[-1]}" if heights[-1] != heights[0] else "")
    output.message(f"{len(items)} entries; index at {at}; unverified: said by {node}")
    if cursor is not None:
        output.message(f"there are more: --cursor {cursor}")
    return 0


def _cells(item: Mapping[str, Any], columns: Sequence[str]) -> list[object]:
    """A row of the table: the parts of the key, then the fields that the value has."""
    parts = item["key"].split("/")[1:]
    value = item["value"] if isinstance(item["value"], dict) else {}
    fields = [value.get(column, "") for column in columns[len(parts) :]]
    return [*parts, *fields, item["changed_height"]]


def history(settings: Settings, contract: str, key: str) -> int:
    """Print the heights at which `key` changed and the value it then had."""
    with Client(settings.nodes) as client:
        document = client.get(path("v1", "history", contract, key)).json()
    items = document["items"]
    output.data(
        items,
        settings.json,
        [f"block {i['height']}  {i['time']}  {output.pretty(i['value'])}" for i in items],
    )
    if not settings.json:
        output.message(f"unverified: said by {settings.nodes[0]}")
    return 0 if items else 1


def save_proof(
    settings: Settings,
    contract: str,
    key: str,
    file: Path,
    height: int | None,
    at: int | None,
    qr: Path | None,
) -> int:
    """Fetch a state proof into `file`; it is checked on the way if a trust file is named."""
    prooffile.check_when(height, at)
    with Client(settings.nodes) as client:
        checker = Checker(client, settings.trust)
        proof, assurance = checker.fetch_state_proof(contract, key, height=height, at_ms=at)
    return prooffile.save(settings, proof, file, qr, assurance)
