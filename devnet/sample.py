"""The sample data: six departments, 800 enterprises, 2,000 licences and 1,000 credit attestations.

The formats are the real ones (GB 32100 credit codes, GB/T 36904 licence identifiers), the subjects
are synthetic. Rows become the lines that `qiong tx send` reads: a department's `id` is the name of
the key that signs for it. A holder's name stays in the file; the chain knows codes only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypedDict

Row = TypedDict("Row", {"contract": str, "method": str, "args": list[str], "from": str})
"""One line for `qiong tx send`: a call, its arguments by position, and the key that signs it."""


@dataclass(frozen=True, slots=True)
class Department:
    """A government department; `id` is its key name in the devnet."""

    uscc: str
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Enterprise:
    """A synthetic enterprise; `region` is its GB/T 2260 code."""

    uscc: str
    name: str
    region: str


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence to be issued. `holder_name` is for people and never goes on the chain."""

    id: str
    type: str
    type_name: str
    issuer: str
    holder: str
    holder_name: str
    issued: str
    expires: str


@dataclass(frozen=True, slots=True)
class Credit:
    """A credit attestation. `evidence` is a SHA-256 in hex, `days_valid` counts from `made`."""

    subject: str
    list: str
    issuer: str
    grade: str
    evidence: str
    made: str
    days_valid: int

    @property
    def expires(self) -> str:
        """The last day it holds, `YYYY-MM-DD`."""
        return (date.fromisoformat(self.made) + timedelta(days=self.days_valid)).isoformat()


@cache
def departments() -> tuple[Department, ...]:
    """The six departments, in the file's order."""
    return tuple(
        Department(uscc=row["uscc"], id=row["id"], name=row["name"]) for row in _rows("departments")
    )


@cache
def enterprises() -> tuple[Enterprise, ...]:
    return tuple(
        Enterprise(uscc=row["uscc"], name=row["name"], region=row["region"])
        for row in _rows("enterprises")
    )


@cache
def licences() -> tuple[Licence, ...]:
    return tuple(Licence(**row) for row in _rows("licences"))


@cache
def attestations() -> tuple[Credit, ...]:
    return tuple(Credit(**row) for row in _rows("credit"))


@cache
def accreditations() -> dict[str, tuple[str, ...]]:
    """Which roles each department (by uscc) needs to issue the sample: sorted `issuer:...` names.

    A licence type belongs to the department that issues it in the sample; every department may
    attest to every credit list.
    """
    lists = {f"issuer:credit/{credit.list}" for credit in attestations()}
    roles = {department.uscc: set(lists) for department in departments()}
    for licence in licences():
        roles[licence.issuer].add(f"issuer:{licence.type}")
    return {uscc: tuple(sorted(names)) for uscc, names in roles.items()}


def licence_calls() -> Iterator[Row]:
    """`licence.issue(id, type, holder, issued, expires)` for every sample licence."""
    for row in licences():
        args = [row.id, row.type, row.holder, row.issued, row.expires]
        yield _row("licence", "issue", args, row.issuer)


def credit_calls() -> Iterator[Row]:
    """`credit.attest(subject, list, grade, evidence, expires)` for every sample attestation."""
    for row in attestations():
        args = [row.subject, row.list, row.grade, row.evidence, row.expires]
        yield _row("credit", "attest", args, row.issuer)


def write_rows(rows: Iterable[Row], path: Path) -> int:
    """Write `rows` as NDJSON for `qiong tx send`; return how many."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")
    return len(lines)


def _row(contract: str, method: str, args: list[str], issuer: str) -> Row:
    return {"contract": contract, "method": method, "args": args, "from": _key_names()[issuer]}


@cache
def _key_names() -> dict[str, str]:
    return {department.uscc: department.id for department in departments()}


def _rows(name: str) -> Iterator[dict[str, Any]]:
    text = files("devnet").joinpath("data", f"{name}.ndjson").read_text(encoding="utf-8")
    return (json.loads(line) for line in text.splitlines())
