"""`qiong evidence`: who contradicted itself under its own signature, and checking that offline.

`verify` opens no connection and believes nobody. It takes two signatures by the accused's key, as
the trust file names it, and the rule that no honest validator signs both. Exit codes: 0 every case
of the file is proven, 2 usage, 5 it is no proof.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from cli import output
from cli.errors import EXIT_INTEGRITY, NotProven, Refused
from cli.settings import Settings, common_options, json_option, resolve
from cli.trustfile import read_trust
from ledger.errors import IntegrityError, InvalidInput
from ledger.trust import TrustAnchor
from ledger.types import Digest
from node.evidence import (
    CASES_MAX,
    FILE_BYTES_MAX,
    Case,
    EvidenceFile,
    EvidenceInvalid,
    EvidenceUntrusted,
    of_cases,
    read_message,
)

PAGE_ITEMS: Final = 100
"""Cases asked for at once; the node ends a page earlier if they are large."""

MEANING: Final = (
    "An honest validator never signs both. Its node was altered, its key is in use in two places, "
    "or it computes wrongly: ask the organisation; a key that may be in other hands must be rotated"
)


@dataclass(frozen=True, slots=True)
class Held:
    """What a node says it holds."""

    node: str
    chain_id: Digest
    cases: tuple[Case, ...]
    names: dict[str, str]


@dataclass(frozen=True, slots=True)
class Judged:
    """A case and what the check of its signatures gave."""

    case: Case
    verdict: str
    reason: str

    def document(self) -> dict[str, Any]:
        """For programs."""
        case = self.case
        return {
            "verdict": self.verdict,
            "organisation": case.organisation,
            "kind": case.kind,
            "epoch": case.epoch,
            "view": case.view,
            "height": case.height,
            "words": case.words,
            "reason": self.reason,
        }

    def line(self, name: str = "") -> str:
        """For people."""
        who = f"{name} ({self.case.organisation})" if name else self.case.organisation
        return f"{self.verdict:10}  {who} {self.case.words}"


@click.group("evidence")
def evidence_group() -> None:
    """Proof that a validator contradicted itself: see it, take it away, check it offline."""


@evidence_group.command("list")
@common_options()
def list_command(settings: Settings) -> int:
    """List the evidence that the node at --node holds; with a trust file it is checked, too."""
    held = _fetch(settings)
    if settings.trust is None:
        judged = [Judged(case, "unverified", "") for case in held.cases]
        said = f"unverified: said by {held.node}"
    else:
        judged = _judge(held.chain_id, held.cases, read_trust(settings.trust))
        said = f"said by {held.node}, checked against {settings.trust}"
    rows = [item.document() | {"name": held.names[item.case.organisation]} for item in judged]
    document = {"node": held.node, "chain_id": held.chain_id, "cases": rows}
    output.data(document, settings.json, (i.line(held.names[i.case.organisation]) for i in judged))
    if not settings.json:
        output.message(said if judged else f"no evidence against anybody ({said})")
    return _exit_code(judged) if settings.trust is not None else 0


@evidence_group.command("export")
@click.option(
    "-o",
    "--output",
    "file",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.qevidence",
)
@common_options()
def export(settings: Settings, file: Path) -> int:
    """Write the evidence that the node at --node holds to a file that proves itself."""
    held = _fetch(settings)
    if not held.cases:
        raise Refused(f"{held.node} holds no evidence", "ask another validator with --node")
    if settings.trust is not None:
        for item in _judge(held.chain_id, held.cases, read_trust(settings.trust)):
            if item.verdict != "proven":
                raise NotProven(f"{held.node} sent what is no proof: {item.reason}")
    file.write_bytes(of_cases(held.chain_id, held.cases).encode())
    accused = sorted({case.organisation for case in held.cases})
    document = {"file": str(file), "cases": len(held.cases), "organisations": accused}
    words = f"{len(held.cases)} cases against {', '.join(accused)} in {file}"
    output.data(document, settings.json, [words])
    if not settings.json and settings.trust is None:
        output.message(f"unverified; check it with: qiong evidence verify {file} --trust FILE")
    return 0


@evidence_group.command("verify")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--trust", "trust_file", metavar="FILE", type=click.Path(path_type=Path))
@json_option
def verify(file: Path, trust_file: Path | None, as_json: bool) -> int:
    """Check an evidence file against a trust file. Opens no connection.

    Exit codes: 0 every case is proven, 2 usage, 5 it is no proof.
    """
    named = resolve((), None, str(trust_file) if trust_file else None, None, False).trust
    if named is None:
        raise click.UsageError("name the trust file to check it against with --trust FILE")
    trust = read_trust(named)
    with file.open("rb") as opened:
        data = opened.read(FILE_BYTES_MAX + 1)
    judged: list[Judged] = []
    try:
        found = EvidenceFile.decode(data)
        judged = _judge(found.chain_id, found.cases, trust)
        verdict, reason = _worst(judged)
    except EvidenceInvalid as error:
        verdict, reason = "invalid", error.reason
    document = {
        "verdict": verdict,
        "reason": reason,
        "organisations": sorted({i.case.organisation for i in judged if i.verdict == "proven"}),
        "cases": [item.document() for item in judged],
    }
    lines = [item.line() for item in judged]
    output.data(document, as_json, [*lines, MEANING if verdict == "proven" else reason])
    return 0 if verdict == "proven" else EXIT_INTEGRITY


def _fetch(settings: Settings) -> Held:
    """All that the first answering node holds. Raises `NotProven` if it sends no evidence."""
    from cli.client import Client

    rows: list[dict[str, Any]] = []
    with Client(settings.nodes) as client:
        while True:
            answer = client.get("/v1/evidence", cursor=len(rows), limit=PAGE_ITEMS)
            page = answer.json()
            rows += page["items"]
            if page["cursor"] is None or not page["items"] or len(rows) >= CASES_MAX:
                break
    try:
        return Held(
            node=answer.node,
            chain_id=Digest(bytes.fromhex(page["chain_id"])),
            cases=tuple(_case(row) for row in rows),
            names={row["organisation"]: row["name"] for row in rows},
        )
    except (ValueError, KeyError, TypeError, InvalidInput, IntegrityError) as error:
        raise NotProven(f"{answer.node} sent what is no evidence: {error}") from None


def _case(row: dict[str, Any]) -> Case:
    return Case.of(*(read_message(bytes.fromhex(row[name])) for name in ("first", "second")))


def _judge(chain_id: Digest, cases: Iterable[Case], trust: TrustAnchor) -> list[Judged]:
    """Check each case by the keys of the trust file."""
    judged: list[Judged] = []
    for case in cases:
        try:
            if chain_id != trust.chain_id:
                raise EvidenceUntrusted(f"of chain {chain_id.hex()}, not the trust file's")
            case.verify(chain_id, trust.epoch, trust.validators)
            judged.append(Judged(case, "proven", ""))
        except EvidenceUntrusted as error:
            judged.append(Judged(case, "untrusted", error.reason))
        except EvidenceInvalid as error:
            judged.append(Judged(case, "invalid", error.reason))
    return judged


def _worst(judged: list[Judged]) -> tuple[str, str]:
    """The verdict on a whole file: one bad case spoils it."""
    for verdict in ("invalid", "untrusted"):
        for item in judged:
            if item.verdict == verdict:
                return verdict, item.reason
    return "proven", ""


def _exit_code(judged: list[Judged]) -> int:
    return 0 if _worst(judged)[0] == "proven" else EXIT_INTEGRITY
