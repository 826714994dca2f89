"""What licences and credit entries have in common on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def filter_options(*names: str) -> Callable[[F], F]:
    """An option for each field to filter by, as `filters`, and `--limit`."""

    def decorate(function: F) -> F:
        def wrapper(**arguments: Any) -> Any:
            given = {name: arguments.pop(f"filter_{name}") for name in names}
            filters = {name: value for name, value in given.items() if value is not None}
            return function(filters=filters, **arguments)

        wrapper.__doc__ = function.__doc__
        wrapper.__name__ = function.__name__
        wrapper.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        decorated: Any = click.option(
            "--limit", type=click.IntRange(1, 10_000), default=LIST_LIMIT, show_default=True
        )(wrapper)
        for name in reversed(names):
            decorated = click.option(f"--{name}", f"filter_{name}", metavar=name.upper())(decorated)
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
    settings: Settings, contract: str, prefix: str, filters: dict[str, str], limit: int
) -> int:
    """Print entries whose key starts with `prefix`, filtered by fields, a page at a time."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    with Client(settings.nodes) as client:
        while len(rows) < limit:
            page = client.get(
                path("v1", "search", contract),
                limit=min(LIST_LIMIT, limit - len(rows)),
                cursor=cursor,
                **filters,
            ).json()
            rows += page["items"]
            cursor = page.get("cursor")
            if cursor is None:
                break
        node = client.nodes[0]
    output.data(
        rows,
        settings.json,
        [f"{row['key'].removeprefix(prefix)}  {output.pretty(row['value'])}" for row in rows],
    )
    if not settings.json:
        output.message(f"{len(rows)} entries; unverified: said by {node}")
    return 0


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
