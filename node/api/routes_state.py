"""The state: values, their history, contracts, calls that change nothing, and search by fields.

What is answered here is this node's word; what must be believed has a proof (`routes_proofs`).

Search walks a contract's entries in the order of their keys and keeps those whose fields match; one
request looks at `SCANNED_MAX` entries at most and then gives a cursor, be the page full or not.
Only fields that the contract declares in `INDEX` may be asked for, so that a real index can take
the walk's place without a change of the interface.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from contracts.deployment_layout import RETIRED
from contracts.dialect.outline import outline
from ledger import canonical
from ledger.fields import NAME_SIZE_MAX
from ledger.proving import Prover
from node.api import deployments, models
from node.api.context import API, CURSOR, HEIGHT, LIMIT, Parameter, Route, both
from node.api.guard import address_of
from node.api.pages import (
    KEY_BYTES_MAX,
    check_text,
    contract_and_key,
    height_of,
    limit_of,
    named,
)
from node.api.problems import Problem
from node.api.wire import answer, natural, query, read_model

SCANNED_MAX: Final = 2_000
"""Entries looked at for one page of a search; some 20 ms."""

PAGING: Final = ("cursor", "limit")


async def entry(request: web.Request) -> web.Response:
    """The value under a key as of a height; `present` is false where there is none."""
    height = height_of(request, query(request, "height"))
    contract, key = contract_and_key(request)
    api = request.app[API]
    value = await api.read(api.store.state_at, contract, key, height)
    document = models.StateAnswer(
        contract=contract,
        key=key,
        height=height,
        present=value is not None,
        value=models.decoded(value),
    )
    return answer(request, document)


async def history(request: web.Request) -> web.Response:
    """The certified changes of a key, newest first."""
    parameters = query(request, *PAGING)
    contract, key = contract_and_key(request)
    below = natural(parameters, "cursor")
    api = request.app[API]
    page = await api.read(_history, api.store, contract, key, below, limit_of(parameters))
    return answer(request, page)


async def search(request: web.Request) -> web.Response:
    """Entries whose fields have the given values."""
    name = named(request, "contract")
    filters = query(request, *request.query.keys())
    paging: dict[str, str] = {part: filters.pop(part) for part in PAGING if part in filters}
    after = paging.get("cursor")
    if after is not None:
        check_text(after, "cursor", KEY_BYTES_MAX)
    api = request.app[API]
    page = await api.read(_search, api.store, name, filters, after, limit_of(paging))
    return answer(request, page)


async def contract(request: web.Request) -> web.Response:
    """A contract: its status, owner and versions, what changed, and the source in force."""
    query(request)
    name = named(request, "name")
    api = request.app[API]
    return answer(request, await api.read(deployments.contract, api.store, name))


async def call(request: web.Request) -> web.Response:
    """Call a method on the newest certified state and keep nothing."""
    query(request)
    name = named(request, "name")
    posted = await read_model(request, models.QueryInput)
    check_text(posted.method, "method", NAME_SIZE_MAX)
    api = request.app[API]
    if deployments.deployed(api.store, name, api.store.certified_height).status == RETIRED:
        raise Problem(409, RETIRED, f"contract {name} is retired; its state stays readable")
    with api.turns.turn(address_of(request)):
        called = await api.engine.views.query(name, posted.method, posted.args)
    outcome = called.outcome
    if outcome.status == "rejected" and outcome.code == "unknown_method":
        raise Problem(404, "unknown_method", f"contract {name} has no method {posted.method!r}")
    document = models.QueryAnswer(
        height=called.height,
        status=outcome.status,
        code=outcome.code,
        gas=outcome.gas,
        result=outcome.result,
    )
    return answer(request, document)


def _history(
    store: Prover, contract: str, key: str, below: int | None, limit: int
) -> models.HistoryPage:
    changes = [
        (height, value)
        for height, value in store.versions(contract, key)
        if below is None or height < below
    ]
    items = [
        models.HistoryItem(
            height=height,
            time=models.iso_time(store.header(height).time_ms),
            present=value is not None,
            value=models.decoded(value),
        )
        for height, value in changes[:limit]
    ]
    more = len(changes) > limit
    return models.HistoryPage(items=items, cursor=items[-1].height if more else None)


def _search(
    store: Prover, name: str, filters: Mapping[str, str], after: str | None, limit: int
) -> models.KeyPage:
    height = store.certified_height
    deployed = deployments.deployed(store, name, height)
    fields = outline(deployments.source(store, deployed.source_hash, height)).index
    for field in filters:
        if field not in fields:
            known = ", ".join(fields) or "none"
            raise Problem(400, "bad_parameter", f"{field[:80]!r} is no indexed field; {known}")
    items: list[models.StateItem] = []
    keys = store.keys_at(name, "", SCANNED_MAX + 1, height, after)
    cursor: str | None = None
    for position, key in enumerate(keys):
        if position == SCANNED_MAX or len(items) == limit:
            cursor = keys[position - 1]
            break
        value = models.decoded(store.state_at(name, key, height))
        if not filters or _matches(value, filters):
            items.append(models.StateItem(key=key, value=value))
    return models.KeyPage(items=items, cursor=cursor, height=height)


def _matches(value: canonical.Value, filters: Mapping[str, str]) -> bool:
    """Whether the value is a map whose fields, as JSON's text has them, are the given ones."""
    if not isinstance(value, dict):
        return False
    return all(_text(value.get(name)) == wanted for name, wanted in filters.items())


def _text(value: canonical.Value) -> str | None:
    """How a scalar is written in a query; None for what cannot be asked for."""
    match value:
        case bool():
            return str(value).lower()
        case bytes():
            return value.hex()
        case int() | str():
            return str(value)
        case _:
            return None


_FILTER: Final = Parameter("field", "`FIELD=VALUE` for each field of the contract's INDEX")

ROUTES: Final = (
    Route(
        "GET",
        "/v1/state/{contract}/{key}",
        entry,
        "state",
        "The value under a key",
        both(models.StateAnswer),
        parameters=(HEIGHT,),
        problems=(400, 404, 410),
    ),
    Route(
        "GET",
        "/v1/history/{contract}/{key}",
        history,
        "state",
        "The changes of a key, newest first",
        both(models.HistoryPage),
        parameters=(CURSOR, LIMIT),
    ),
    Route(
        "GET",
        "/v1/search/{contract}",
        search,
        "state",
        "Entries by the values of their fields",
        both(models.KeyPage),
        parameters=(_FILTER, CURSOR, LIMIT),
        problems=(400, 404),
    ),
    Route(
        "GET",
        "/v1/contracts/{name}",
        contract,
        "state",
        "A deployed contract and its history",
        both(models.ContractAnswer),
        problems=(400, 404),
    ),
    Route(
        "POST",
        "/v1/contracts/{name}/query",
        call,
        "state",
        "Call a method and keep nothing",
        both(models.QueryAnswer),
        body=models.QueryInput,
        problems=(400, 404, 413, 415, 429, 503),
    ),
)
