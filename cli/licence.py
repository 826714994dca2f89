"""`qiong licence`: electronic licences, GB/T 36904."""

from __future__ import annotations

from pathlib import Path

import click

from cli import attestations, sendfile
from cli.settings import Settings, common_options
from cli.submit import submit
from ledger.transaction import Call

CONTRACT = "licence"
COLUMNS = ("id", "type", "holder", "issued", "expires")
"""Columns of a file of licences, in the order of `licence.issue`'s parameters."""


def state_key(licence_id: str) -> str:
    """Where the contract keeps a licence."""
    return f"licence/{licence_id}"


@click.group("licence")
def licence_group() -> None:
    """Issue, change, show and prove electronic licences."""


@licence_group.command("issue")
@click.argument("licence_id", metavar="ID", required=False)
@click.option("--type", "licence_type", metavar="TYPE", help="Type of licence.")
@click.option("--holder", metavar="USCC", help="The holder's unified social credit code.")
@click.option("--issued", metavar="DATE", help="First day, YYYY-MM-DD.")
@click.option("--expires", metavar="DATE", help="Last day, YYYY-MM-DD.")
@attestations.from_option
@sendfile.file_options
@common_options(keys=True)
def issue(
    settings: Settings,
    licence_id: str | None,
    licence_type: str | None,
    holder: str | None,
    issued: str | None,
    expires: str | None,
    key: str,
    file: Path | None,
    dry_run: bool,
    results: Path | None,
    bulk: int,
) -> int:
    """Issue one licence, or every row of a CSV or NDJSON file."""
    if file is not None:
        return sendfile.send_table(
            settings, file, CONTRACT, "issue", COLUMNS, key, bulk, dry_run, results
        )
    values = {
        "ID": licence_id,
        "--type": licence_type,
        "--holder": holder,
        "--issued": issued,
        "--expires": expires,
    }
    return submit(settings, [Call(CONTRACT, "issue", attestations.required(values))], [key])


def _change(name: str, words: str) -> None:
    @licence_group.command(name, help=words)
    @click.argument("licence_id", metavar="ID")
    @click.option("--reason", required=True, help="Why; no personal data: it stays on the chain.")
    @attestations.from_option
    @common_options(keys=True)
    def command(settings: Settings, licence_id: str, reason: str, key: str) -> int:
        return submit(settings, [Call(CONTRACT, name, [licence_id, reason])], [key])


_change("suspend", "Suspend a licence until it is resumed.")
_change("resume", "Put a suspended licence in force again.")
_change("revoke", "Revoke a licence for good.")


@licence_group.command("renew")
@click.argument("licence_id", metavar="ID")
@click.option("--expires", required=True, metavar="DATE", help="New last day, YYYY-MM-DD.")
@attestations.from_option
@common_options(keys=True)
def renew(settings: Settings, licence_id: str, expires: str, key: str) -> int:
    """Give a licence a new last day."""
    return submit(settings, [Call(CONTRACT, "renew", [licence_id, expires])], [key])


@licence_group.command("show")
@click.argument("licence_id", metavar="ID")
@common_options()
def show(settings: Settings, licence_id: str) -> int:
    """Show a licence, checked against its proof where a trust file is named."""
    return attestations.show(settings, CONTRACT, state_key(licence_id), licence_id)


@licence_group.command("list")
@attestations.list_options("holder", "issuer", "type", "status")
@common_options()
def list_command(
    settings: Settings, filters: dict[str, str], limit: int, cursor: str | None
) -> int:
    """List licences that meet all conditions (unverified: the node could leave some out).

    Each has its proof: `qiong licence proof`.
    """
    columns = ("id", "type", "holder", "issuer", "status", "expires")
    return attestations.list_entries(settings, CONTRACT, columns, filters, limit, cursor)


@licence_group.command("history")
@click.argument("licence_id", metavar="ID")
@common_options()
def history(settings: Settings, licence_id: str) -> int:
    """Show the blocks in which a licence changed, and to what."""
    return attestations.history(settings, CONTRACT, state_key(licence_id))


@licence_group.command("proof")
@click.argument("licence_id", metavar="ID")
@attestations.proof_options
@common_options()
def proof(
    settings: Settings,
    licence_id: str,
    file: Path,
    height: int | None,
    at: int | None,
    qr: Path | None,
) -> int:
    """Fetch the proof of a licence's state into a file for `qiong proof verify`."""
    return attestations.save_proof(settings, CONTRACT, state_key(licence_id), file, height, at, qr)
