"""`qiong proof`: fetch proofs, and check them without any network.

`verify` imports nothing that could open a connection, and its exit codes are its own: 0 valid,
1 invalid, 3 revoked or suspended, 4 stale, 5 untrusted, 6 absent, 7 expired, 8 failed.
"""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from cli import output
from cli.args import DigestParam
from cli.errors import Refused
from cli.settings import Settings, common_options, resolve
from cli.trustfile import read_trust
from ledger.proof_format import PROOF_SIZE_MAX
from ledger.proofs import Verdict, verify
from ledger.trust import TrustAnchor
from ledger.types import Digest

_AGE: Final = re.compile(r"(\d{1,9})(s|m|h|d)", re.ASCII)
_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class AgeParam(click.ParamType[Any]):
    """A duration such as 90s, 15m, 24h or 7d, in milliseconds."""

    name = "AGE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        match = _AGE.fullmatch(str(value))
        if match is None:
            self.fail("expected a number and a unit: 90s, 15m, 24h or 7d")
        return int(match[1]) * _UNIT_MS[match[2]]


class MomentParam(click.ParamType[Any]):
    """An ISO 8601 moment with its offset, in milliseconds UTC."""

    name = "TIME"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.fail("expected a moment with its offset, e.g. 2026-07-02T09:30:00+08:00")
        return int(moment.timestamp() * 1000)


@click.group("proof")
def proof_group() -> None:
    """Fetch proofs, and check them offline."""


@proof_group.group("get")
def get_group() -> None:
    """Fetch a proof into a file."""


def _file_options(function: Any) -> Any:
    decorated = click.option(
        "--qr",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE.png",
        help="Also write the proof as a QR code.",
    )(function)
    return click.option(
        "-o",
        "--output",
        "file",
        required=True,
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE.qproof",
    )(decorated)


@get_group.command("tx")
@click.argument("tx_id", metavar="ID", type=DigestParam())
@_file_options
@common_options()
def get_tx(settings: Settings, tx_id: bytes, file: Path, qr: Path | None) -> int:
    """That a transaction was executed, and how it ended."""
    from cli.attestations import write_proof
    from cli.client import Client
    from cli.verified import Checker

    with Client(settings.nodes) as client:
        checker = Checker(client, settings.trust)
        proof, assurance = checker.fetch_transaction_proof(Digest(tx_id))
    return write_proof(settings, proof, file, qr, assurance)


@get_group.command("state")
@click.argument("contract")
@click.argument("key")
@click.option("--height", type=click.IntRange(0), help="As of this block; by default the newest.")
@click.option("--at", type=MomentParam(), help="As of this moment; the file then shows both sides.")
@_file_options
@common_options()
def get_state(
    settings: Settings,
    contract: str,
    key: str,
    height: int | None,
    at: int | None,
    file: Path,
    qr: Path | None,
) -> int:
    """What the state holds under a key, or that it holds nothing."""
    from cli.attestations import write_proof
    from cli.client import Client
    from cli.verified import Checker

    if height is not None and at is not None:
        raise click.UsageError("give --height or --at, not both")
    with Client(settings.nodes) as client:
        checker = Checker(client, settings.trust)
        proof, assurance = checker.fetch_state_proof(contract, key, height=height, at_ms=at)
    return write_proof(settings, proof, file, qr, assurance)


@proof_group.command("verify")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--trust", "trust_file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--max-age", type=AgeParam(), help="Refuse an older proof as stale, e.g. 24h.")
@click.option("--at", type=MomentParam(), help="Judge whether it was in force at this moment.")
@click.option("--licence", metavar="ID", help="Refuse a proof of another licence.")
@click.option("--key", metavar="K", help="Refuse a proof of another state key or transaction.")
@click.option("--expect", type=click.Choice(["absent"]), help="Absence is what should be proven.")
@click.option("--json", "as_json", is_flag=True, help="Print data as JSON on stdout.")
def verify_command(
    file: Path,
    trust_file: Path | None,
    max_age: int | None,
    at: int | None,
    licence: str | None,
    key: str | None,
    expect: str | None,
    as_json: bool,
) -> int:
    """Check a proof file against a trust file. Opens no connection.

    Exit codes: 0 valid, 1 invalid, 3 revoked or suspended, 4 stale, 5 untrusted, 6 absent,
    7 expired, 8 failed.
    """
    trust = _trust(trust_file)
    with file.open("rb") as opened:
        data = opened.read(PROOF_SIZE_MAX + 1)
    now_ms = time.time_ns() // 1_000_000
    verdict = verify(
        data,
        trust,
        now_ms=now_ms,
        at_ms=at,
        max_age_ms=max_age,
        expect="absent" if expect else "present",
        licence=licence,
        key=key,
    )
    document = {
        "verdict": verdict.verdict,
        "subject": verdict.subject,
        "claim": verdict.claim,
        "height": verdict.height,
        "time": None if verdict.time_ms is None else output.clock(verdict.time_ms),
        "reason": verdict.reason,
        "value": output.plain(verdict.value),
    }
    output.data(document, as_json, _lines(verdict, now_ms))
    return verdict.exit_code


def _trust(trust_file: Path | None) -> TrustAnchor:
    named = resolve((), None, str(trust_file) if trust_file else None, None, False).trust
    if named is None:
        raise Refused(
            "a proof is checked against a trust file, and none is named",
            "name one with --trust FILE; whoever runs the network publishes its fingerprint",
        )
    return read_trust(named)


def _lines(verdict: Verdict, now_ms: int) -> list[str]:
    when = ""
    if verdict.time_ms is not None:
        when = f", as of {output.clock(verdict.time_ms)} ({_age(now_ms - verdict.time_ms)} ago)"
    lines = [f"{verdict.subject or 'no proof'}  {verdict.verdict}{when}", verdict.reason]
    if isinstance(verdict.value, dict):
        lines += [f"  {name:12} {output.pretty(item)}" for name, item in verdict.value.items()]
    return lines


def _age(milliseconds: int) -> str:
    seconds = max(0, milliseconds // 1000)
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"
