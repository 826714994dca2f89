"""`qiong tx simulate`: what a call would do if it were sent now. Nothing is signed or sent."""

from __future__ import annotations

import re
from typing import Any, Final

import click

from cli import output
from cli.args import args_argument
from cli.client import Client
from cli.compose import default_gas
from cli.errors import EXIT_FAILED
from cli.keys import keyring
from cli.settings import Settings, common_options
from node.keyfile import load_public

PUBLIC_KEY: Final = re.compile(r"[0-9a-f]{66}")
"""A public key in hex with its algorithm byte, as `qiong keys show` prints it."""


@click.command("simulate")
@click.argument("contract")
@click.argument("method")
@args_argument
@click.option(
    "--from",
    "signers",
    required=True,
    multiple=True,
    metavar="KEY",
    help="Key that would sign: a name, or a public key in hex; no pass phrase is needed.",
)
@click.option("--gas", type=click.IntRange(1), metavar="N", help="Gas limit; the most by default.")
@common_options(keys=True)
def simulate(
    settings: Settings,
    contract: str,
    method: str,
    args: Any,
    signers: tuple[str, ...],
    gas: int | None,
) -> int:
    """Show what a call would do; nothing is sent.

    Status, gas, result, events, and what it would read and write, as one node says. Ends with 0 if
    the call would be ok.
    """
    posted: dict[str, Any] = {
        "calls": [{"contract": contract, "method": method, "args": args}],
        "signers": [_public(settings, name) for name in signers],
    }
    if gas is not None:
        posted["gas_limit"] = gas
    with Client(settings.nodes) as client:
        answer = client.post_json("/v1/simulate", posted)
        document: dict[str, Any] = answer.json()
    output.data(document, settings.json, _lines(document))
    if not settings.json:
        output.message(
            f"simulated by {answer.node} on the state after block {document['height']};"
            " nothing was sent"
        )
        usual = default_gas(1)
        if gas is None and document["status"] == "ok" and document["gas"] > usual:
            output.message(f"hint: `tx submit` sends it with {usual} gas unless you give --gas N")
    return 0 if document["status"] == "ok" else EXIT_FAILED


def _public(settings: Settings, name: str) -> str:
    """The public key that `name` stands for, in hex. Raises as `load_public` does."""
    if PUBLIC_KEY.fullmatch(name):
        return name
    return load_public(keyring(settings).path(name)).hex()


def _lines(document: dict[str, Any]) -> list[str]:
    word = f"{document['status']} {document['code']}".rstrip()
    lines = [f"{word}, gas {document['gas']}"]
    lines += [
        f"  result {output.pretty(call['result'])}"
        for call in document["calls"]
        if call["result"] is not None
    ]
    lines += [f"  reads  {_entry(item)}" for item in document["reads"]]
    lines += [
        f"  lists  {item['contract']} {item['prefix']!r}: {len(item['keys'])} keys"
        for item in document["listings"]
    ]
    lines += [f"  writes {_entry(item)}" for item in document["writes"]]
    lines += [
        f"  event  {item['contract']}.{item['name']} {output.pretty(item['data'])}"
        for item in document["events"]
    ]
    return lines


def _entry(item: dict[str, Any]) -> str:
    value = output.pretty(item["value"]) if item["present"] else "absent"
    return f"{item['contract']} {item['key']}: {value}"
