"""The application: every path of the table of routes behind one guard."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.metadata import version
from typing import Final

from aiohttp import web

from node.api import (
    routes_chain,
    routes_events,
    routes_node,
    routes_past,
    routes_proofs,
    routes_search,
    routes_simulate,
    routes_snapshots,
    routes_state,
    routes_transactions,
    routes_why,
)
from node.api.buckets import TokenBuckets
from node.api.context import API, READERS, Api, ApiOptions, Engine, Route
from node.api.guard import make_guard
from node.api.openapi import docs_page, openapi_document
from node.api.turns import Turns
from node.api.wire import JSON, query
from node.metrics import Metrics

BURST_SECONDS: Final = 2
"""Seconds of its rate that an address may use at once."""


async def openapi(request: web.Request) -> web.Response:
    """The OpenAPI document."""
    query(request)
    return web.Response(text=_description()[0], content_type=JSON, charset="utf-8")


async def docs(request: web.Request) -> web.Response:
    """The documentation."""
    query(request)
    return web.Response(text=_description()[1], content_type="text/html", charset="utf-8")


ROUTES: Final[tuple[Route, ...]] = (
    *routes_node.ROUTES,
    *routes_chain.ROUTES,
    *routes_why.ROUTES,
    *routes_transactions.ROUTES,
    *routes_simulate.ROUTES,
    *routes_state.ROUTES,
    *routes_search.ROUTES,
    *routes_past.ROUTES,
    *routes_proofs.ROUTES,
    *routes_events.ROUTES,
    *routes_snapshots.ROUTES,
    Route("GET", "/openapi.json", openapi, "node", "This description", {JSON: None}),
    Route("GET", "/docs", docs, "node", "This description for people", {"text/html": None}),
)


def make_app(engine: Engine, options: ApiOptions, metrics: Metrics) -> web.Application:
    """The API of `engine`."""
    rate = options.requests_per_second
    requests = TokenBuckets(rate, rate * BURST_SECONDS)
    rate = options.transactions_per_second
    app = web.Application(middlewares=[make_guard(requests, metrics)])
    app[API] = Api(
        engine=engine,
        options=options,
        metrics=metrics,
        transactions=TokenBuckets(rate, rate * BURST_SECONDS),
        turns=Turns(),
        readers=ThreadPoolExecutor(READERS, thread_name_prefix="api-reader"),
    )
    for route in ROUTES:
        path = re.sub(r"\{key\}", "{key:.+}", route.path)
        app.router.add_route(route.method, path, route.handler)
        if route.method == "GET" and route not in routes_events.ROUTES:
            app.router.add_route("HEAD", path, route.handler)
    app.on_shutdown.append(_end_streams)
    app.cleanup_ctx.append(_readers)
    return app


async def _end_streams(app: web.Application) -> None:
    app[API].ending = True


async def _readers(app: web.Application) -> AsyncIterator[None]:
    yield
    app[API].readers.shutdown(wait=True, cancel_futures=True)


@cache
def _description() -> tuple[str, str]:
    """The OpenAPI document as text, and the page made of it."""
    document = openapi_document(ROUTES, version("qiong"))
    return json.dumps(document, ensure_ascii=False), docs_page(document)
