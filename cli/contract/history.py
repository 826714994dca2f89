"""`qiong contract show` and `history`: what is deployed, since when, and who changed it."""

from __future__ import annotations

from typing import Any

import click

from cli import output
from cli.client import Client, path
from cli.settings import Settings, common_options
from contracts.dialect import CompileRefused, compile_source
from contracts.interface import interface


@click.command("history")
@click.argument("name")
@common_options()
def history(settings: Settings, name: str) -> int:
    """Show every version and every change of status of contract NAME, oldest first.

    What must be believed has a proof: `qiong proof get state contracts history/NAME/000000`.
    """
    document, said = _contract(settings, name)
    changes = document["history"]
    output.data(changes, settings.json, [_line(change) for change in changes])
    if not settings.json:
        output.message(f"{name} is {document['status']}, version {document['version']}; {said}")
        if document["changes"] > len(changes):
            output.message(f"the newest {len(changes)} of {document['changes']} changes")
    return 0


@click.command("show")
@click.argument("name")
@click.option("--source", is_flag=True, help="Print the source in force and nothing else.")
@common_options()
def show(settings: Settings, name: str, source: bool) -> int:
    """Show contract NAME: status, owner, versions, and what it offers."""
    document, said = _contract(settings, name)
    try:
        compiled = compile_source(document["source"])
        offers = interface(compiled)
        methods = [f"  {method}" for method in compiled.methods.values()]
    except CompileRefused:
        offers, methods = None, []
    if source and not settings.json:
        click.echo(document["source"], nl=False)
        return 0
    lines = [
        f"{name}  {document['status']}, owned by {document['owner'] or 'nobody (genesis)'}",
        *(_version(version, document) for version in document["versions"]),
        *methods,
    ]
    shown = {key: value for key, value in document.items() if key != "history"}
    output.data(shown | {"interface": offers}, settings.json, lines)
    if not settings.json:
        output.message(said)
    return 0


def _contract(settings: Settings, name: str) -> tuple[dict[str, Any], str]:
    with Client(settings.nodes) as client:
        answer = client.get(path("v1", "contracts", name))
    document = answer.json()
    return document, f"unverified: said by {answer.node} at height {document['height']}"


def _version(version: dict[str, Any], document: dict[str, Any]) -> str:
    state = "in force" if version["number"] == document["version"] else "planned"
    return f"  version {version['number']}  {state}  {_code(version)}"


def _code(version: dict[str, Any]) -> str:
    return f"from block {version['from']}  source {version['source_hash']}"


def _line(change: dict[str, Any]) -> str:
    who = f"by {change['organisation']}, key {change['key']}" if change["key"] else "by genesis"
    line = f"block {change['height']}  {change['time']}  {change['action']}"
    if change["version"] is not None:
        line += f"  version {change['version']}  {_code(change)}"
    if change["reason"] is not None:
        line += f"  ({change['reason']})"
    return f"{line}  {who}"
