"""Events as they are certified: Server-Sent Events (WHATWG HTML §9.2), resumable for ever.

Events are read from the ledger by their cursor, height and index, never from a queue in memory: a
client that was away, or a node that was restarted, loses none. `Last-Event-ID` is the cursor of the
last event seen; the next one follows it.
"""

from __future__ import annotations

import asyncio
import json
import re
from itertools import islice
from typing import Final

from aiohttp import web

from ledger.fields import NAME_SIZE_MAX
from ledger.queries import Pruned, StoredEvent
from ledger.types import Height
from node.api import models
from node.api.context import API, Api, Parameter, Route
from node.api.pages import check_text
from node.api.problems import Problem
from node.api.wire import natural, parse_natural, query

SUBSCRIPTIONS_MAX: Final = 64
"""Streams at once; each costs a look at the head every `POLL_SECONDS`."""

POLL_SECONDS: Final = 0.2
KEEP_ALIVE_SECONDS: Final = 15.0
"""A comment this often tells both sides that the other is there."""

BATCH_MAX: Final = 100
"""Events read from disk at once for one stream."""

STREAM: Final = "text/event-stream"


async def events(request: web.Request) -> web.StreamResponse:
    """Follow certified events from a cursor on, of one contract if named."""
    parameters = query(request, "contract", "from")
    contract = parameters.get("contract")
    if contract is not None:
        check_text(contract, "contract", NAME_SIZE_MAX)
    api = request.app[API]
    cursor = _cursor(request, natural(parameters, "from"), api)
    if api.subscriptions >= SUBSCRIPTIONS_MAX:
        detail = f"this node serves {SUBSCRIPTIONS_MAX} streams of events"
        raise Problem(429, "too_many_subscriptions", detail)
    api.subscriptions += 1
    try:
        response = web.StreamResponse(
            headers={"Content-Type": STREAM, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)
        await _follow(api, response, cursor, contract)
    finally:
        api.subscriptions -= 1
    return response


async def _follow(
    api: Api, response: web.StreamResponse, cursor: tuple[Height, int], contract: str | None
) -> None:
    """Write events until the node stops, or the client goes away; that ends this task."""
    loop = asyncio.get_running_loop()
    written = loop.time()
    while not api.ending:
        certified = api.store.certified_height
        batch: list[StoredEvent] = []
        if cursor[0] <= certified:
            batch = await api.read(_batch, api, cursor, contract)
        for event in batch:
            await response.write(_line(event))
            cursor = (event.height, event.index + 1)
            written = loop.time()
        if len(batch) < BATCH_MAX:
            # Read to its end, and maybe beyond: no block is looked at twice, however few of its
            # events are wanted.
            cursor = max(cursor, (Height(certified + 1), 0))
        if loop.time() - written >= KEEP_ALIVE_SECONDS:
            await response.write(b": here\n\n")
            written = loop.time()
        if not batch:
            await asyncio.sleep(POLL_SECONDS)


def _batch(api: Api, cursor: tuple[Height, int], contract: str | None) -> list[StoredEvent]:
    return list(islice(api.store.events(*cursor, contract), BATCH_MAX))


def _cursor(request: web.Request, first: int | None, api: Api) -> tuple[Height, int]:
    """Where to begin: after `Last-Event-ID`, else at block `first`, else after the newest block."""
    last = request.headers.get("Last-Event-ID")
    if last is None:
        return _kept(Height(api.store.certified_height + 1 if first is None else first), api), 0
    parts = re.fullmatch(r"([0-9]+)\.([0-9]+)", last, re.ASCII)
    if parts is None:
        raise Problem(400, "bad_parameter", "Last-Event-ID: expected HEIGHT.INDEX")
    height, index = (parse_natural(part, "Last-Event-ID") for part in parts.groups())
    return _kept(Height(height), api), index + 1


def _kept(height: Height, api: Api) -> Height:
    """`height` if its events are kept. Raises `Pruned`: what is gone must not be passed over."""
    if height < api.store.first_height:
        raise Pruned(height, api.store.first_height)
    return height


def _line(stored: StoredEvent) -> bytes:
    """One event of the stream; its `id` is its cursor."""
    document = {
        "height": stored.height,
        "index": stored.index,
        "transaction": stored.tx_id.hex(),
        "call_index": stored.event.call_index,
        "contract": stored.event.contract,
        "name": stored.event.name,
        "data": models.plain(stored.event.data),
    }
    data = json.dumps(document, ensure_ascii=False)
    return f"id: {stored.height}.{stored.index}\nevent: event\ndata: {data}\n\n".encode()


ROUTES: Final = (
    Route(
        "GET",
        "/v1/events",
        events,
        "events",
        "Follow certified events; resume with Last-Event-ID",
        {STREAM: None},
        parameters=(
            Parameter("contract", "only this contract's events"),
            Parameter("from", "begin at this height", {"type": "integer"}),
        ),
        problems=(400, 410, 429),
    ),
)
