"""Rows to send: NDJSON lines `{"contract", "method", "args", "from"}`, checked before any is sent.

Every bad line is named by its number, all of them at once, and then nothing is sent: a clerk mends
the file in one go.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from cli.errors import Refused
from ledger import canonical
from ledger.hashing import sha256
from ledger.transaction import Call

ROW_FIELDS: Final = frozenset({"contract", "method", "args", "from"})
BAD_LINES_SHOWN: Final = 10

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    """One call to send, signed by the key named `sender`; `digest` names the row in the journal."""

    call: Call
    sender: str
    digest: str


def parse_json(text: str) -> Any:
    """JSON as the chain can hold it: no floats, no NaN, no duplicate keys. Raises ValueError."""
    return json.loads(
        text,
        parse_float=_refuse_number,
        parse_constant=_refuse_number,
        object_pairs_hook=_no_duplicates,
    )


def _refuse_number(text: str) -> object:
    raise ValueError(f"{text}: only whole numbers have a canonical form; write it as a string")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return document


def read_rows(path: Path) -> list[Row]:
    """The rows of an NDJSON file, as `read_ndjson`."""
    hint = 'nothing was sent; a line is {"contract": .., "method": .., "args": [..], "from": KEY}'
    return number_rows(read_ndjson(path, _row, hint))


def read_ndjson(path: Path, parse: Callable[[Any], T], hint: str) -> list[T]:
    """What `parse` makes of each line's JSON; blank lines are skipped.

    `parse` raises `ValueError`. Raises `Refused` naming all bad lines, with `hint`.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise Refused(f"{path} is not UTF-8 text", "save it as UTF-8") from None
    rows: list[T] = []
    bad: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(parse(parse_json(line)))
        except (ValueError, canonical.EncodingError, RecursionError) as error:
            bad.append(f"line {number}: {error}")
    if bad:
        shown = "; ".join(bad[:BAD_LINES_SHOWN])
        more = f" and {len(bad) - BAD_LINES_SHOWN} more" if len(bad) > BAD_LINES_SHOWN else ""
        raise Refused(f"{path}: {shown}{more}", hint)
    return rows


def number_rows(rows: Iterable[tuple[Call, str]]) -> list[Row]:
    """Name each row by its content and how often the same content came before."""
    seen: Counter[bytes] = Counter()
    numbered: list[Row] = []
    for call, sender in rows:
        content = canonical.encode([call.contract, call.method, call.args, sender])
        digest = sha256(canonical.encode([seen[content], content])).hex()
        seen[content] += 1
        numbered.append(Row(call, sender, digest))
    return numbered


def _row(document: Any) -> tuple[Call, str]:
    if not isinstance(document, dict) or set(document) != ROW_FIELDS:
        raise ValueError(f"expected an object of {', '.join(sorted(ROW_FIELDS))}")
    for name in ("contract", "method", "from"):
        if not isinstance(document[name], str) or not document[name]:
            raise ValueError(f"{name} must be a name")
    args = document["args"]
    if not isinstance(args, list | dict):
        raise ValueError("args must be a list or an object")
    canonical.encode(cast(canonical.Value, args))
    return Call(document["contract"], document["method"], args), document["from"]
