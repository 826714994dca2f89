"""`qiong query`: call a contract's view on one node, unverified."""

from __future__ import annotations

from typing import Any

import click

from cli import output
from cli.args import args_argument
from cli.client import Client, path
from cli.settings import Settings, common_options


@click.command("query")
@click.argument("contract")
@click.argument("method")
@args_argument
@common_options()
def query_command(settings: Settings, contract: str, method: str, args: Any) -> int:
    """Call a view of a contract; the answer is what one node says.

    What must be trusted has a proof: `qiong proof get`.
    """
    with Client(settings.nodes) as client:
        answer = client.post_json(
            path("v1", "contracts", contract, "query"), {"method": method, "args": args}
        )
        document = answer.json()
    output.data(document, settings.json, [output.pretty(document.get("result"))])
    if document["status"] != "ok":
        output.message(f"error: {document['status']} {document.get('code', '')}".rstrip())
        return 1
    if not settings.json:
        output.message(f"unverified: said by {answer.node} at height {document['height']}")
    return 0
