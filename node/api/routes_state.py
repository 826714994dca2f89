"""The state: values, their history, contracts, and calls that change nothing.

What is answered here is this node's word; what must be believed has a proof (`routes_proofs`).
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from contracts.deployment_layout import RETIRED
from ledger.fields import NAME_SIZE_MAX
from ledger.proving import Prover
from node.api import deployments, models
from node.api.context import API, CURSOR, HEIGHT, LIMIT, Route, both
from node.api.guard import address_of
from node.api.pages import (
    check_text,
    contract_and_key,
    height_of,
    limit_of,
    named,
)
from node.api.problems import Problem
from node.api.wire import answer, natural, query, read_model

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
