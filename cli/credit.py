"""`qiong credit`: credit attestations, one entry a list and subject.

That an entry is absent proves "not on the list".
"""

from __future__ import annotations

from pathlib import Path

import click

from cli import attestations, sendfile
from cli.settings import Settings, common_options
from cli.submit import submit
from ledger.transaction import Call

CONTRACT = "credit"
COLUMNS = ("subject", "list", "grade", "evidence", "expires")
"""Columns of a file of attestations, in the order of `credit.attest`'s parameters."""


def state_key(credit_list: str, subject: str) -> str:
    """Where the contract keeps the entry of `subject` on a list."""
    return f"credit/{credit_list}/{subject}"


@click.group("credit")
def credit_group() -> None:
    """Attest, dispute, repair, show and prove credit entries."""


@credit_group.command("attest")
@click.argument("subject", metavar="USCC", required=False)
@click.option("--list", "credit_list", metavar="LIST", help="The list the entry belongs to.")
@click.option("--grade", metavar="GRADE")
@click.option("--evidence", metavar="HEX", help="SHA-256 of the evidence, which stays off chain.")
@click.option("--expires", metavar="DATE", help="Last day, YYYY-MM-DD.")
@attestations.from_option
@sendfile.file_options
@common_options(keys=True)
def attest(
    settings: Settings,
    subject: str | None,
    credit_list: str | None,
    grade: str | None,
    evidence: str | None,
    expires: str | None,
    key: str,
    file: Path | None,
    dry_run: bool,
    results: Path | None,
    bulk: int,
) -> int:
    """Attest one entry, or every row of a CSV or NDJSON file."""
    if file is not None:
        return sendfile.send_table(
            settings, file, CONTRACT, "attest", COLUMNS, key, bulk, dry_run, results
        )
    values = {
        "USCC": subject,
        "--list": credit_list,
        "--grade": grade,
        "--evidence": evidence,
        "--expires": expires,
    }
    return submit(settings, [Call(CONTRACT, "attest", attestations.required(values))], [key])


@credit_group.command("dispute")
@click.argument("subject", metavar="USCC")
@click.option("--list", "credit_list", required=True, metavar="LIST")
@click.option("--reason", required=True, help="Why; no personal data: it stays on the chain.")
@attestations.from_option
@common_options(keys=True)
def dispute(settings: Settings, subject: str, credit_list: str, reason: str, key: str) -> int:
    """Mark an entry as disputed."""
    return submit(settings, [Call(CONTRACT, "dispute", [subject, credit_list, reason])], [key])


@credit_group.command("repair")
@click.argument("subject", metavar="USCC")
@click.option("--list", "credit_list", required=True, metavar="LIST")
@click.option("--reason", required=True, help="Why; no personal data: it stays on the chain.")
@attestations.from_option
@common_options(keys=True)
def repair(settings: Settings, subject: str, credit_list: str, reason: str, key: str) -> int:
    """End an entry, because the fault behind it was mended: it stays on record as revoked."""
    return submit(settings, [Call(CONTRACT, "repair", [subject, credit_list, reason])], [key])


@credit_group.command("show")
@click.argument("subject", metavar="USCC")
@click.option("--list", "credit_list", required=True, metavar="LIST")
@common_options()
def show(settings: Settings, subject: str, credit_list: str) -> int:
    """Show an entry, checked against its proof where a trust file is named."""
    return attestations.show(settings, CONTRACT, state_key(credit_list, subject), subject)


@credit_group.command("list")
@attestations.list_options("list", "subject", "issuer", "grade", "status")
@common_options()
def list_command(
    settings: Settings, filters: dict[str, str], limit: int, cursor: str | None
) -> int:
    """List entries that meet all conditions (unverified: the node could leave some out).

    Each has its proof: `qiong credit proof`.
    """
    columns = ("list", "subject", "grade", "issuer", "status", "expires")
    return attestations.list_entries(settings, CONTRACT, columns, filters, limit, cursor)


@credit_group.command("history")
@click.argument("subject", metavar="USCC")
@click.option("--list", "credit_list", required=True, metavar="LIST")
@common_options()
def history(settings: Settings, subject: str, credit_list: str) -> int:
    """Show the blocks in which an entry changed, and to what."""
    return attestations.history(settings, CONTRACT, state_key(credit_list, subject))


@credit_group.command("proof")
@click.argument("subject", metavar="USCC")
@click.option("--list", "credit_list", required=True, metavar="LIST")
@attestations.proof_options
@common_options()
def proof(
    settings: Settings,
    subject: str,
    credit_list: str,
    file: Path,
    height: int | None,
    at: int | None,
    qr: Path | None,
) -> int:
    """Fetch the proof of an entry, or of its absence, into a file for `qiong proof verify`."""
    key = state_key(credit_list, subject)
    return attestations.save_proof(settings, CONTRACT, key, file, height, at, qr)
