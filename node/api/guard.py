"""What every request passes before its handler, and every answer on its way out.

One middleware: it names the request, checks the form that HTTP libraries leave to taste, takes a
token from the client's bucket, and turns whatever is raised below into a problem document. No
answer holds a stack trace; the log has it, under the request's id.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ledger.block_files import BlockDamaged
from ledger.errors import InvalidInput, StorageError
from ledger.proving import NotProvable
from ledger.queries import NotYet, Pruned, RowMissing
from ledger.state_tree import RecordsWrong
from node.api.buckets import TokenBuckets
from node.api.context import API
from node.api.paths import check_path
from node.api.problems import Problem, damaged_problem, internal_problem
from node.errors import in_words
from node.index.interface import IndexBehind, IndexDamaged, IndexUnavailable, SearchTooSlow
from node.index.service import IndexBusy
from node.metrics import Metrics
from node.views import ViewLost, ViewsBusy

log = logging.getLogger(__name__)

UNLIMITED: Final = ("/health", "/ready", "/metrics")
"""Paths that answer a node's keepers even while clients flood it."""

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
    "Server": "qiong",
}

REQUEST_ID: Final = web.RequestKey("request_id", str)


def make_guard(
    buckets: TokenBuckets, metrics: Metrics, clock: Callable[[], float] = time.monotonic
) -> Middleware:
    """The middleware. `buckets` holds one bucket an address, one token a request."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[REQUEST_ID] = secrets.token_hex(8)
        began = clock()
        try:
            _check(request, buckets, clock())
            response = await handler(request)
        except Exception as error:
            response = _refusal(request, error)
        route = request.match_info.route.resource
        path = route.canonical if route is not None else "other"
        metrics.request(request.method, path, response.status, clock() - began)
        if not response.prepared:
            response.headers.update({**HEADERS, **response.headers})
            response.headers["X-Request-Id"] = request[REQUEST_ID]
        return response

    return guard


def address_of(request: web.Request) -> str:
    """The client's address, by which it is limited."""
    return request.remote or "unknown"


def _check(request: web.Request, buckets: TokenBuckets, now: float) -> None:
    """Refuse what is wrong whatever the path means."""
    check_path(request.raw_path.partition("?")[0])
    if request.path not in UNLIMITED:
        wait = buckets.take(address_of(request), 1, now)
        if wait:
            detail = "this address asks faster than it may"
            raise Problem(429, "too_many_requests", detail, retry_after=wait)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        detail = "compressed bodies are not supported"
        raise Problem(415, "unsupported_type", detail, close=True)
    if request.can_read_body and request.method in ("GET", "HEAD"):
        detail = f"a {request.method} request has no body"
        raise Problem(400, "bad_request", detail, close=True)


def _refusal(request: web.Request, error: Exception) -> web.Response:
    """The answer that `error` becomes."""
    problem = as_problem(error)
    request_id = request[REQUEST_ID]
    if problem.code == "damaged":
        request.app[API].damage = in_words(error)
        log.critical("request %s met damage: %s", request_id, in_words(error))
    elif problem.status >= 500 and problem.code == "internal":
        log.error("request %s failed", request_id, exc_info=error)
    else:
        log.debug("request %s refused: %s", request_id, problem)
    return problem.response(request_id)


def as_problem(error: Exception) -> Problem:
    """The problem that any exception of a handler is."""
    match error:
        case Problem():
            return error
        case web.HTTPNotFound():
            return Problem(404, "not_found", "no such path; /docs lists them")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            detail = f"this path takes {allowed}"
            return Problem(405, "method_not_allowed", detail, headers={"Allow": allowed})
        case web.HTTPException():
            return Problem(error.status, "bad_request", error.reason)
        case NotYet():
            return Problem.of(error, 404)
        case Pruned():
            return Problem.of(error, 410)
        case InvalidInput():
            return Problem.of(error)
        case ViewsBusy() | ViewLost():
            return Problem.of(error, 503)
        case IndexUnavailable() | IndexDamaged():
            # The reason may name machines and files; it is in the log.
            detail = f"the query index of this node is not available; {IndexUnavailable.hint}"
            return Problem(503, error.code, detail)
        case IndexBehind() | IndexBusy() | SearchTooSlow():
            return Problem.of(error, 503)
        case StorageError() | RowMissing() | RecordsWrong() | BlockDamaged() | NotProvable():
            return damaged_problem()
        case asyncio.TimeoutError():
            return Problem(503, "not_ready", "the node did not answer in time")
        case _:
            return internal_problem()
