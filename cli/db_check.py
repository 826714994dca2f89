"""`qiong db verify` and `qiong db stats`: what lies in the folder of a node that is stopped.

Both open what the next start would open, under the folder's lock, run no contract and make nothing
anew. `verify` ends with exit code 5 at the first thing that does not hold, and names it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from cli import output
from cli.errors import EXIT_INTEGRITY, NotProven, Refused
from cli.settings import json_option
from ledger.statistics import Statistics
from ledger.storage.folder import DiskFolder
from ledger.store import LedgerStore
from ledger.types import Height
from ledger.verification import LedgerDamaged, Verification, opened
from node.config import load_config
from node.home import Home, HomeInUse, load_genesis
from node.wal import VoteDamaged, VoteLog

FOLDERS: Final = ("blocks", "ledger", "wal", "evidence", "logs")
"""Of a home, by which the bytes of files are told."""

home_option = click.option(
    "--home", required=True, type=click.Path(path_type=Path), help="The node's folder."
)


@click.command("verify")
@home_option
@json_option
def verify_command(home: Path, as_json: bool) -> int:
    """Check every byte of the ledger against its own hashes and signatures, from genesis on.

    Block files, certificates, headers, receipts, the history and state trees of every height, every
    row of the database, and the log of votes. The node must be stopped; no contract runs (`db
    rebuild` executes all blocks again). Exit code 5 and the first wrong thing, if there is one,
    with the way out.
    """
    began, place = time.monotonic(), Home(home.resolve())
    try:
        with _stopped(place) as store:
            check = Verification(store)
            with output.progress("checking blocks", check.last - check.first + 1) as bar:
                for _ in check.blocks():
                    bar.advance()
            with output.progress("checking rows", check.rows_expected) as bar:
                for count in check.rows():
                    bar.advance(count)
            votes = _votes(place, store.certified_height)
            document: dict[str, Any] = {
                "ok": True,
                "first": check.first,
                "height": check.last,
                "executed": store.executed_height,
                "certified": store.certified_height,
                "cut_bytes": store.cut_bytes,
                "header_hash": store.head.hash,
                "transactions": check.transactions,
                "certificates": check.certificates,
                "rows": check.rows_checked,
                "votes": votes,
            }
    except LedgerDamaged as damage:
        if not as_json:
            raise NotProven(str(damage), damage.hint) from damage
        found = {"where": damage.where, "height": damage.n, "reason": damage.reason}
        output.data({"ok": False, **found, "hint": damage.hint}, True, ())
        return EXIT_INTEGRITY
    document["seconds"] = round(time.monotonic() - began, 3)
    parts = ("transactions", "certificates", "rows", "votes")
    held = ", ".join(f"{document[name]} {name}" for name in parts)
    lines = [
        f"blocks {document['first']} to {document['height']} hold: {held}",
        f"certified to block {document['certified']}; newest {document['header_hash'].hex()}",
    ]
    if document["executed"] < document["height"]:
        lines.append(f"executed to block {document['executed']}; the next start goes on there")
    if document["cut_bytes"]:
        lines.append(
            f"{document['cut_bytes']} bytes of a record that was never synced were cut off the "
            "block files, as by a start"
        )
    output.data(document, as_json, lines)
    return 0


@click.command("stats")
@home_option
@json_option
def stats_command(home: Path, as_json: bool) -> None:
    """Show what the ledger holds: heights, transactions, keys, and bytes by kind of row and file.

    The node must be stopped.
    """
    place = Home(home.resolve())
    with _stopped(place) as store:
        found = Statistics.of(store)
        with output.progress("counting rows", None) as bar:
            for count in found.count(store):
                bar.advance(count)
    files = {name: _bytes_in(place.root / name) for name in FOLDERS}
    kept = files["blocks"] + files["ledger"]
    document: dict[str, Any] = {
        "heights": {
            "executed": found.executed,
            "decided": found.decided,
            "certified": found.certified,
            "first_kept": found.first_kept,
        },
        "transactions": found.transactions,
        "bytes_per_transaction": kept // found.transactions if found.transactions else None,
        "keys": dict(sorted(found.keys.items())),
        "rows": {
            name: {"rows": size.rows, "bytes": size.bytes} for name, size in found.rows.items()
        },
        "files": files,
        "wal_bytes": files["wal"],
    }
    if as_json:
        output.data(document, True, ())
        return
    click.echo(
        f"block {found.executed} is executed, {found.certified} certified, {found.decided} decided;"
        f" blocks are kept from {found.first_kept} on"
    )
    each = document["bytes_per_transaction"]
    click.echo(
        f"{found.transactions} transactions"
        + ("" if each is None else f", {each} bytes of blocks and database for each")
    )
    for title, sizes in (
        ("contract", document["keys"].items()),
        ("folder", ((name, output.size(count)) for name, count in files.items())),
    ):
        click.echo()
        output.table((title, "keys" if title == "contract" else "size"), sizes)
    click.echo()
    output.table(
        ("rows", "count", "size"),
        ((name, size.rows, output.size(size.bytes)) for name, size in found.rows.items()),
    )


@contextmanager
def _stopped(place: Home) -> Iterator[LedgerStore]:
    """The ledger of a node that does not run. Raises `Refused`, `LedgerDamaged`, storage errors."""
    genesis = load_genesis(place, load_config(place.config).expect_hash)
    try:
        with place.lock():
            if not (place.ledger / "CURRENT").exists():
                raise Refused(
                    f"{place.ledger} holds no database",
                    "start the node once, or make it anew with `qiong db rebuild`",
                )
            with opened(place.root, genesis) as store:
                yield store
    except HomeInUse as error:
        raise Refused(
            str(error),
            "stop it first: the database has one owner; of a running node `qiong node status` and "
            "/metrics tell heights and disk",
        ) from error


def _votes(place: Home, certified: Height) -> int:
    """How many records the log of votes has. Raises `LedgerDamaged`."""
    if not place.wal.exists():
        return 0
    try:
        votes = VoteLog(DiskFolder(place.wal), certified)
    except VoteDamaged as damage:
        raise LedgerDamaged(None, place.wal.name, damage.reason, damage.hint) from damage
    votes.close()
    return len(votes.recovered)


def _bytes_in(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file())
