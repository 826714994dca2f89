"""`qiong node`: found, run and look at one validator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cli import node_status, output
from cli.client import Client
from cli.quarantine import quarantine_group
from cli.settings import Settings, common_options, json_option
from cli.why import why_command
from ledger.genesis import CLASSES
from node.home import Home, init_home
from node.keyfile import PASSPHRASE_NAME, read_passphrase, write_passphrase

DEFAULT_HOME = "./qiong-node"


@click.group("node")
def node_group() -> None:
    """Found, run and look at one validator."""


node_group.add_command(why_command)
node_group.add_command(quarantine_group)


@node_group.command("init")
@click.option("--organisation", required=True, metavar="USCC", help="Unified social credit code.")
@click.option("--class", "organisation_class", required=True, type=click.Choice(CLASSES))
@click.option("--name", metavar="NAME", help="Name for people; by default the organisation.")
@click.option("--home", default=DEFAULT_HOME, show_default=True, type=click.Path(path_type=Path))
@click.option(
    "--address", default="127.0.0.1:8081", show_default=True, help="Where peers reach it."
)
@click.option("--api-listen", default="127.0.0.1:8080", show_default=True)
@click.option("--peer-listen", help="Where it listens for peers; by default --address.")
@click.option("--passphrase-file", type=click.Path(path_type=Path))
@click.option(
    "--write-passphrase",
    "generate",
    is_flag=True,
    help="Make a random pass phrase and keep it in the key folder (0600).",
)
@json_option
def init(
    organisation: str,
    organisation_class: str,
    name: str | None,
    home: Path,
    address: str,
    api_listen: str,
    peer_listen: str | None,
    passphrase_file: Path | None,
    generate: bool,
    as_json: bool,
) -> None:
    """Make the keys and settings of a new validator, and print its public card."""
    place = Home(home)
    if generate and not (place.keys / PASSPHRASE_NAME).exists():
        place.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_passphrase(place.keys)
    card = init_home(
        home,
        organisation=organisation,
        organisation_class=organisation_class,
        name=name or organisation,
        address=address,
        passphrase=read_passphrase(place.keys, passphrase_file),
        api_listen=api_listen,
        peer_listen=peer_listen,
    )
    output.data(json.loads(card.to_json()), as_json, [card.to_json().rstrip()])
    if not as_json:
        output.message(f"home made in {home}; send {place.card} to whoever creates the genesis")


@node_group.command("run")
@click.option("--home", default=DEFAULT_HOME, show_default=True, type=click.Path(path_type=Path))
@click.option("--observer", is_flag=True, help="Follow the chain without voting.")
@click.option("--passphrase-file", type=click.Path(path_type=Path))
@click.option(
    "--insecure-contracts",
    is_flag=True,
    help="Run contracts where this system cannot lock their process down (seccomp).",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Override a setting of qiong.toml, e.g. --set log.level=debug.",
)
def run(
    home: Path,
    observer: bool,
    passphrase_file: Path | None,
    insecure_contracts: bool,
    settings: tuple[str, ...],
) -> int:
    """Run the validator whose folder is HOME until it is told to stop."""
    from node.main import run as run_node

    flags: dict[str, str] = {}
    for item in settings:
        key, separator, value = item.partition("=")
        if not separator:
            raise click.BadParameter(f"{item!r} is not NAME=VALUE", param_hint="--set")
        flags[key] = value
    if observer:
        flags["observer"] = "true"
    return run_node(
        home, flags=flags, passphrase_file=passphrase_file, insecure_contracts=insecure_contracts
    )


@node_group.command("status")
@common_options()
def status(settings: Settings) -> None:
    """Show what the node at --node says of itself and of its peers."""
    with Client(settings.nodes[:1]) as client:
        document: dict[str, Any] = client.get("/v1/status").json()
    if settings.json:
        output.data(document, True, ())
    else:
        node_status.show(document)
