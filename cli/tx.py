"""`qiong tx`: build, sign, send and look up transactions, or try them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli import output, sendfile
from cli.args import DigestParam, args_argument
from cli.client import Client
from cli.compose import compose
from cli.errors import Refused
from cli.keys import keyring
from cli.rows import read_rows
from cli.settings import Settings, common_options
from cli.simulate import simulate
from cli.submit import report, submit
from cli.verified import Checker
from ledger.transaction import Call
from ledger.types import Digest


@click.group("tx")
def tx_group() -> None:
    """Send transactions and ask what became of them."""


tx_group.add_command(simulate)


@tx_group.command("submit")
@click.argument("contract")
@click.argument("method")
@args_argument
@click.option(
    "--from",
    "signers",
    required=True,
    multiple=True,
    metavar="KEY",
    help="Key that signs; repeat it for several signers.",
)
@click.option("--gas", type=click.IntRange(1), metavar="N", help="Gas limit of the transaction.")
@click.option("--atomic", is_flag=True, help="All calls or none (matters with several calls).")
@click.option("--wait", is_flag=True, help="Wait for the certificate and check it.")
@common_options(keys=True)
def submit_command(
    settings: Settings,
    contract: str,
    method: str,
    args: Any,
    signers: tuple[str, ...],
    gas: int | None,
    atomic: bool,
    wait: bool,
) -> int:
    """Sign one call and send it."""
    call = Call(contract, method, args)
    return submit(settings, [call], signers, atomic=atomic, gas=gas, wait=wait)


@tx_group.command("sign")
@click.argument("contract")
@click.argument("method")
@args_argument
@click.option("--from", "signers", required=True, multiple=True, metavar="KEY")
@click.option("--gas", type=click.IntRange(1), metavar="N")
@click.option("--atomic", is_flag=True)
@click.option(
    "-o", "--output", "file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE"
)
@common_options(keys=True)
def sign(
    settings: Settings,
    contract: str,
    method: str,
    args: Any,
    signers: tuple[str, ...],
    gas: int | None,
    atomic: bool,
    file: Path | None,
) -> int:
    """Sign one call and print the wire bytes in hex; nothing is sent.

    Reads the chain's id from the trust file, so it works without a network.
    """
    if settings.trust is None:
        raise Refused("the chain's id is needed to sign", "name a trust file with --trust FILE")
    ring = keyring(settings)
    with Client(settings.nodes) as client:
        chain_id = Checker(client, settings.trust).chain_id
    signed = compose(
        chain_id,
        [Call(contract, method, args)],
        [ring.key(k) for k in signers],
        atomic=atomic,
        gas=gas,
    )
    if file is not None:
        file.write_bytes(signed.raw)
    document = {
        "id": signed.id.hex(),
        "valid_until_ms": signed.transaction.valid_until_ms,
        "transaction": signed.raw.hex(),
    }
    output.data(document, settings.json, [signed.raw.hex()])
    if not settings.json:
        output.message(f"id {signed.id.hex()}, valid for five minutes")
    return 0


@tx_group.command("send")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@sendfile.bulk_option
@click.option("--gas", type=click.IntRange(1), metavar="N", help="Gas limit of each transaction.")
@click.option(
    "--results", type=click.Path(path_type=Path), help="Write every row's outcome to this CSV file."
)
@common_options(keys=True)
def send(settings: Settings, file: Path, bulk: int, gas: int | None, results: Path | None) -> int:
    """Send every row of an NDJSON file, each exactly once.

    A line is {"contract", "method", "args", "from"}. FILE.journal remembers what was signed, so the
    command can be killed and run again.
    """
    rows = read_rows(file)
    journal = sendfile.journal_of(file)
    return sendfile.send_rows(settings, rows, journal, bulk=bulk, gas=gas, results=results)


@tx_group.command("show")
@click.argument("tx_id", metavar="ID", type=DigestParam())
@common_options()
def show(settings: Settings, tx_id: bytes) -> int:
    """Show what became of a transaction, checked where a trust file is named."""
    with Client(settings.nodes) as client:
        view = Checker(client, settings.trust).transaction(Digest(tx_id))
    return report(view, settings)
