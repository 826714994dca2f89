"""Search: entries of a contract by the values of their fields, from the index beside the ledger.

`FIELD=VALUE` asks for equal values, `FIELD_from=` and `FIELD_to=` for a range that includes both
ends; `changed_height_from/_to` and `changed_time_from/_to` ask when an entry was written last. All
that is asked for must hold. `node.index.values` says how values are compared. A declared field
comes first: where a contract declares `valid_from`, that is the field, not the beginning of a range
of `valid`; `cursor` and `limit` are always the page's.

Pages follow the order of the keys. An entry that meets the conditions all the while stands on
exactly one page; one that comes to meet them, or no longer does, between two pages may be on its
page or not, as it was when that page was made, but never on two. Each page names its height. A
cursor belongs to its question, and any node takes it on.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from ledger import canonical
from ledger.hashing import sha256
from ledger.proving import Prover
from node.api import deployments, models
from node.api.context import API, CURSOR, LIMIT, Parameter, Route, both
from node.api.pages import limit_of, named, parse_time
from node.api.problems import Problem
from node.api.wire import answer, natural, query
from node.index.service import IndexService
from node.index.values import Condition, between, changed, equal

PAGING: Final = ("cursor", "limit")
FROM: Final = "_from"
TO: Final = "_to"
HEIGHT: Final = "changed_height"
TIME: Final = "changed_time"

QUESTION_BYTES: Final = 8
"""Of the hash in a cursor that says which question it belongs to: against mistakes, not malice."""


async def search(request: web.Request) -> web.Response:
    """Entries whose fields have the given values."""
    name = named(request, "contract")
    asked = query(request, *request.query.keys())
    paging: dict[str, str] = {part: asked.pop(part) for part in PAGING if part in asked}
    limit = limit_of(paging)
    question = sha256(canonical.encode([name, dict(asked)]))[:QUESTION_BYTES]
    after = _after(paging.get("cursor"), question)
    api = request.app[API]
    index = api.engine.index
    if index is None:
        raise Problem(503, "index_off", "this node keeps no query index; ask another node")
    fields, conditions = await api.read(_conditions, api.store, index, name, asked)
    found = await index.search(name, fields, conditions, after, limit)
    items = [
        models.SearchItem(key=item.key, value=item.value, changed_height=item.changed)
        for item in found.items
    ]
    document = models.SearchPage(
        items=items,
        cursor=_cursor(items[-1].key, question) if found.more else None,
        height=found.height,
        certified_height=api.store.certified_height,
    )
    return answer(request, document)


def _conditions(
    store: Prover, index: IndexService, name: str, asked: Mapping[str, str]
) -> tuple[tuple[str, ...], list[Condition]]:
    """The contract's fields, and what the parameters ask of them. Raises `Problem` 404, 400."""
    height = store.certified_height
    fields = index.fields_of(deployments.deployed(store, name, height), height)
    conditions = [equal(field, asked[field]) for field in fields if field in asked]
    left = {given: text for given, text in asked.items() if given not in fields}
    for field in fields:
        low, high = left.pop(field + FROM, None), left.pop(field + TO, None)
        if low is not None or high is not None:
            conditions.append(between(field, low, high))
    heights = natural(left, HEIGHT + FROM), natural(left, HEIGHT + TO)
    if heights != (None, None):
        conditions.append(changed(*heights))
    times = left.get(TIME + FROM), left.get(TIME + TO)
    if times != (None, None):
        conditions.append(_changed_between(store, *times))
    for given in left:
        if given not in _EVERY_ENTRY:
            known = ", ".join(fields) or "none"
            raise Problem(400, "bad_parameter", f"{given[:80]!r} is no indexed field; {known}")
    return fields, conditions


def _changed_between(store: Prover, low: str | None, high: str | None) -> Condition:
    """Times as the blocks they fall on: a block's time is later than its parent's."""
    first = last = None
    if low is not None:
        before = store.height_at(parse_time(low, TIME + FROM) - 1)
        first = 0 if before is None else before + 1
    if high is not None:
        found = store.height_at(parse_time(high, TIME + TO))
        last = -1 if found is None else found
    return changed(first, last)


def _cursor(key: str, question: bytes) -> str:
    return base64.urlsafe_b64encode(question + key.encode()).decode().rstrip("=")


def _after(cursor: str | None, question: bytes) -> str | None:
    """The key that the page before ended with. Raises `Problem` 400."""
    if cursor is None:
        return None
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        key = data[QUESTION_BYTES:].decode()
    except ValueError:
        raise Problem(400, "bad_parameter", "cursor: expected what a page gave") from None
    if data[:QUESTION_BYTES] != question or not key:
        raise Problem(400, "bad_parameter", "cursor: it belongs to another question")
    return key


_EVERY_ENTRY: Final = {name + end for name in (HEIGHT, TIME) for end in (FROM, TO)}

_INTEGER: Final = {"type": "integer", "minimum": 0}

ROUTES: Final = (
    Route(
        "GET",
        "/v1/search/{contract}",
        search,
        "state",
        "Entries by the values of their fields",
        both(models.SearchPage),
        parameters=(
            Parameter(
                "FIELD",
                "the value of a field that the contract declares in its INDEX, as JSON writes it "
                "but without quotes; each field may be given",
            ),
            Parameter(
                "FIELD_from",
                "the lowest value, included; strings among strings by their "
                "characters, integers among integers",
            ),
            Parameter("FIELD_to", "the highest value, included"),
            Parameter(
                "changed_height_from",
                "the first block that may have written the entry last",
                _INTEGER,
            ),
            Parameter("changed_height_to", "the last such block", _INTEGER),
            Parameter(
                "changed_time_from",
                "the same by the blocks' times: milliseconds of UTC, or ISO 8601 with an offset",
            ),
            Parameter("changed_time_to", "the last such time, included"),
            CURSOR,
            LIMIT,
        ),
        problems=(400, 404, 503),
    ),
)
"""FIELD stands for each declared name, so `GET /v1/search/licence?status=active&expires_to=...`."""
