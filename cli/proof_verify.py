"""`qiong proof verify`: nothing here could open a connection.

Its exit codes are its own: 0 valid, 1 invalid, 3 revoked or suspended, 4 stale, 5 untrusted,
6 absent, 7 expired, 8 failed. So that no script takes a missing trust file for a revoked licence,
whatever kept it from judging at all ends it with 2. A proof of many keys ends with the code of the
worst verdict among them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cli import output
from cli.args import AgeParam, MomentParam
from cli.errors import EXIT_USAGE, CommandError
from cli.settings import json_option, resolve
from cli.trustfile import read_trust
from ledger.errors import QiongError
from ledger.proof_claims import StatesClaim
from ledger.proof_text import FILE_SIZE_MAX, read_proof
from ledger.proof_verdicts import Verdict, worst
from ledger.proofs import verify_each
from ledger.trust import TrustAnchor


class NotJudged(CommandError):
    """There is no verdict: what to judge, or by what, could not be read."""

    exit_code = EXIT_USAGE


@click.command("verify")
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)
@click.option("--trust", "trust_file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--max-age", type=AgeParam(), help="Refuse an older proof as stale, e.g. 24h.")
@click.option("--at", type=MomentParam(), help="Judge whether it was in force at this moment.")
@click.option("--licence", metavar="ID", help="Refuse a proof of another licence.")
@click.option("--key", metavar="K", help="Refuse a proof of another state key or transaction.")
@click.option("--expect", type=click.Choice(["absent"]), help="Absence is what should be proven.")
@json_option
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

    FILE is a .qproof, or the text that a proof's QR code holds; - is standard input. Exit codes:
    0 valid, 1 invalid, 2 nothing was judged, 3 revoked or suspended, 4 stale, 5 untrusted,
    6 absent, 7 expired, 8 failed. A proof of many keys has a verdict for each (--json: a list), and
    ends with the code of the worst: they rank 1, 5, 4, 8, 6, 3, 7, 0. With --licence or --key
    only that one of them is judged.
    """
    trust = _trust(trust_file)
    data = _read(file)
    now_ms = time.time_ns() // 1_000_000
    verdicts = verify_each(
        data,
        trust,
        now_ms=now_ms,
        at_ms=at,
        max_age_ms=max_age,
        expect="absent" if expect else "present",
        licence=licence,
        key=key,
    )
    if _of_many(data):
        document: Any = [_document(verdict) for verdict in verdicts]
        lines = _lines_of_many(verdicts, now_ms)
    else:
        document, lines = _document(verdicts[0]), _lines(verdicts[0], now_ms)
    output.data(document, as_json, lines)
    return worst(verdicts).exit_code


def _trust(trust_file: Path | None) -> TrustAnchor:
    try:
        named = resolve((), None, str(trust_file) if trust_file else None, None, False).trust
        if named is not None:
            return read_trust(named)
    except CommandError as error:
        raise NotJudged(error.message, error.hint) from None
    except QiongError as error:
        raise NotJudged(str(error), error.hint) from None
    raise NotJudged(
        "a proof is checked against a trust file, and none is named",
        "name one with --trust FILE; whoever runs the network publishes its fingerprint",
    )


def _read(file: Path) -> bytes:
    try:
        with click.open_file(str(file), "rb") as opened:
            data: bytes = opened.read(FILE_SIZE_MAX + 1)
            return data
    except OSError as error:
        raise NotJudged(f"{file}: {error.strerror}", "name a file that can be read") from None


def _of_many(data: bytes) -> bool:
    try:
        return isinstance(read_proof(data).claim, StatesClaim)
    except QiongError:
        return False


def _document(verdict: Verdict) -> dict[str, Any]:
    return {
        "verdict": verdict.verdict,
        "subject": verdict.subject,
        "claim": verdict.claim,
        "height": verdict.height,
        "time": None if verdict.time_ms is None else output.clock(verdict.time_ms),
        "reason": verdict.reason,
        "value": output.plain(verdict.value),
    }


def _lines(verdict: Verdict, now_ms: int) -> list[str]:
    subject = verdict.subject or "no proof"
    lines = [f"{subject}  {verdict.verdict}{_as_of(verdict, now_ms)}", verdict.reason]
    if isinstance(verdict.value, dict):
        lines += [f"  {name:12} {output.pretty(item)}" for name, item in verdict.value.items()]
    return lines


def _lines_of_many(verdicts: Sequence[Verdict], now_ms: int) -> list[str]:
    counts = Counter(verdict.verdict for verdict in verdicts)
    words = ", ".join(f"{count} {name}" for name, count in counts.items())
    keys = "1 key" if len(verdicts) == 1 else f"{len(verdicts)} keys"
    return [
        f"{keys}  {words}{_as_of(verdicts[0], now_ms)}",
        *(f"  {each.subject}  {each.verdict}: {each.reason}" for each in verdicts),
    ]


def _as_of(verdict: Verdict, now_ms: int) -> str:
    if verdict.time_ms is None:
        return ""
    return f", as of {output.clock(verdict.time_ms)} ({_age(now_ms - verdict.time_ms)} ago)"


def _age(milliseconds: int) -> str:
    seconds = max(0, milliseconds // 1000)
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"
