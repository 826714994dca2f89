"""`qiong keys`: the private keys that sign transactions, encrypted at rest.

A key is bound to an organisation and its roles by the chain's registry, not here.
"""

from __future__ import annotations

import click

from cli import output
from cli.settings import Settings, common_options
from ledger.keys import SigningKey
from node.keyfile import (
    KEY_SUFFIX,
    PASSPHRASE_NAME,
    Keyring,
    list_keys,
    load_public,
    save_key,
    write_passphrase,
)


def keyring(settings: Settings) -> Keyring:
    """The keys of the settings' folder; each is unlocked once a run."""
    return Keyring(settings.keys, settings.passphrase_file)


@click.group("keys")
def keys_group() -> None:
    """Make and list the keys that sign transactions."""


@keys_group.command("new")
@click.argument("name")
@click.option(
    "--write-passphrase",
    is_flag=True,
    help="Make a random pass phrase and keep it beside the keys (0600), for keys nobody types.",
)
@common_options(keys=True)
def new(settings: Settings, name: str, write_passphrase: bool) -> None:
    """Make the key NAME, encrypted with the folder's pass phrase."""
    settings.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    if write_passphrase and not (settings.keys / PASSPHRASE_NAME).exists():
        _write_passphrase(settings)
    ring = keyring(settings)
    public = save_key(ring.path(name), SigningKey.generate().seed, ring.passphrase())
    output.data(
        {"name": name, "public": public.hex(), "file": str(ring.path(name))},
        settings.json,
        [f"{name}  {public.hex()}"],
    )
    if not settings.json:
        output.message(f"saved, encrypted, as {ring.path(name)}; back it up, it cannot be remade")


def _write_passphrase(settings: Settings) -> None:
    write_passphrase(settings.keys)
    output.message(f"pass phrase written to {settings.keys / PASSPHRASE_NAME}")


@keys_group.command("list")
@common_options(keys=True)
def list_command(settings: Settings) -> None:
    """List the keys by name with their public halves; needs no pass phrase."""
    entries = list_keys(settings.keys)
    output.data(
        [{"name": entry.name, "public": entry.public.hex()} for entry in entries],
        settings.json,
        [f"{entry.name:24} {entry.public.hex()}" for entry in entries],
    )
    if not entries and not settings.json:
        output.message(f"no keys in {settings.keys}; `qiong keys new NAME` makes one")


@keys_group.command("show")
@click.argument("name")
@common_options(keys=True)
def show(settings: Settings, name: str) -> None:
    """Show the public half of the key NAME; needs no pass phrase."""
    path = settings.keys / (name + KEY_SUFFIX)
    public = load_public(path)
    output.data(
        {"name": name, "public": public.hex(), "file": str(path)}, settings.json, [public.hex()]
    )
