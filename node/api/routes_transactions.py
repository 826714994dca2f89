"""Transactions: submit, and ask what became of them.

A transaction is posted as its wire bytes: `{"transaction": hex}` in JSON, a byte string (or the
transaction's own bytes as the body) in msgpack; an array of either is a list. What comes alone gets
the HTTP status of its admission; a list gets 200 and one status an item, in order.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, cast

from aiohttp import web

from ledger import canonical
from ledger.queries import TransactionResult
from ledger.types import Digest
from node.answers import Admission, TransactionStatus
from node.api import models
from node.api.context import API, Api, Parameter, Route, both
from node.api.guard import address_of
from node.api.problems import Problem
from node.api.wire import answer, parse_digest, query, read_value, validate

LIST_MAX: Final = 1_000
"""Transactions of one POST: as many as one block takes by default."""

COMMIT_SECONDS_MAX: Final = 20.0
"""Longest wait for a commit: ten times what one failed primary costs."""

_STATUS: Final[dict[str, models.TransactionState]] = {
    "pending": "accepted",
    "committed": "committed",
    "failed": "failed",
    "expired": "expired",
    "unknown": "unknown",
}


async def submit(request: web.Request) -> web.Response:
    """Take one transaction or a list of them."""
    parameters = query(request, "wait")
    wait = parameters.get("wait", "accepted")
    if wait not in ("accepted", "committed"):
        raise Problem(400, "bad_parameter", "wait: expected accepted or committed")
    raw, alone = _transactions(await read_value(request))
    api = request.app[API]
    pause = api.transactions.take(address_of(request), len(raw), time.monotonic())
    if pause:
        detail = "this address submits faster than it may"
        raise Problem(429, "too_many_requests", detail, retry_after=pause)
    admissions = await api.engine.submit(raw)
    if alone:
        return await _answer_alone(request, api, admissions[0], wait == "committed")
    if wait == "committed":
        items = await asyncio.gather(*(_committed(api, admission) for admission in admissions))
    else:
        items = [_item(admission) for admission in admissions]
    return answer(request, models.SubmittedList(list(items)))


async def show(request: web.Request) -> web.Response:
    """Where a transaction stands, with its outcome once it is executed."""
    query(request)
    api = request.app[API]
    tx_id = parse_digest(request.match_info["id"], "id")
    return answer(request, _view(api, api.engine.transaction_status(tx_id)))


def _transactions(value: object) -> tuple[list[bytes], bool]:
    """The wire bytes posted, and whether they came alone. Raises `Problem` 400."""
    if isinstance(value, bytes):
        return [value], True
    if isinstance(value, dict):
        return [validate(value, models.TransactionInput).transaction], True
    if not isinstance(value, list):
        raise Problem(400, "malformed", "expected a transaction or a list of transactions")
    if len(value) == 2 and isinstance(value[0], bytes) and isinstance(value[1], list):
        # The wire form itself; canonical, so encoding it again gives the bytes that came.
        return [canonical.encode(cast(canonical.Value, value))], True
    if not 0 < len(value) <= LIST_MAX:
        raise Problem(400, "malformed", f"expected 1 to {LIST_MAX} transactions")
    return [
        item if isinstance(item, bytes) else validate(item, models.TransactionInput).transaction
        for item in value
    ], False


async def _answer_alone(
    request: web.Request, api: Api, admission: Admission, committed: bool
) -> web.Response:
    """The answer to one transaction: a refusal is a problem document.

    One that is not committed in time is 202: what becomes of it is unknown, not failed.
    """
    if not admission.admitted or admission.id is None:
        raise Problem(admission.http, admission.code, admission.detail or admission.code)
    if not committed:
        status = api.engine.transaction_status(admission.id)
        return answer(request, _view(api, status), admission.http)
    status = await api.engine.wait_committed(admission.id, COMMIT_SECONDS_MAX)
    done = status.state in ("committed", "failed", "expired")
    return answer(request, _view(api, status), 200 if done else 202)


async def _committed(api: Api, admission: Admission) -> models.Submitted:
    """The item of a list whose sender waits for the commit."""
    if not admission.admitted or admission.id is None:
        return _item(admission)
    status = await api.engine.wait_committed(admission.id, COMMIT_SECONDS_MAX)
    code = _STATUS[status.state]
    final = code in ("committed", "failed", "expired")
    return models.Submitted(id=admission.id, http=200 if final else 202, code=code)


def _item(admission: Admission) -> models.Submitted:
    return models.Submitted(
        id=admission.id, http=admission.http, code=admission.code, detail=admission.detail
    )


def _view(api: Api, status: TransactionStatus) -> models.TransactionAnswer:
    if status.state not in ("committed", "failed"):
        return models.TransactionAnswer(id=status.id, status=_STATUS[status.state])
    result = api.store.transaction(Digest(status.id))
    if result is None:  # the engine knows by now, the index in a moment
        return models.TransactionAnswer(id=status.id, status="accepted")
    return _executed(status.id, _STATUS[status.state], result)


def _executed(
    tx_id: Digest, status: models.TransactionState, result: TransactionResult
) -> models.TransactionAnswer:
    return models.TransactionAnswer(
        id=tx_id,
        status=status,
        height=result.height,
        index=result.index,
        time=models.iso_time(result.time_ms),
        gas=result.receipt.gas,
        code=result.receipt.code,
        calls=[models.Call.of(call) for call in result.calls],
        events=[models.EventAnswer.of(event) for event in result.events],
    )


_WAIT: Final = Parameter(
    "wait",
    f"`committed` waits for the outcome, {COMMIT_SECONDS_MAX:g} seconds at most",
    {"type": "string", "enum": ["accepted", "committed"], "default": "accepted"},
)

ROUTES: Final = (
    Route(
        "POST",
        "/v1/transactions",
        submit,
        "transactions",
        "Submit one transaction or a list (200 and an item for each)",
        both(models.TransactionAnswer),
        parameters=(_WAIT,),
        body=models.TransactionInput,
        problems=(400, 401, 403, 404, 409, 410, 413, 415, 429, 503),
    ),
    Route(
        "GET",
        "/v1/transactions/{id}",
        show,
        "transactions",
        "Where a transaction stands",
        both(models.TransactionAnswer),
    ),
)
