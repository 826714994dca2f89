"""The listener: aiohttp with its limits set, and its own complaints put in our words.

aiohttp answers a malformed request line or header by itself, in plain text; here the answer is a
problem document too. Slow headers need no timer of their own: aiohttp closes a connection that has
no complete request head within the keep-alive time.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from http import HTTPStatus
from typing import Final, cast

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from node.api.guard import as_problem
from node.api.problems import PROBLEM_TYPE, Problem, internal_problem

log = logging.getLogger(__name__)

HEADER_SECONDS_MAX: Final = 10.0
"""Longest wait for a whole request head, and how long an idle connection is kept."""

LINGER_SECONDS: Final = 2.0
"""How long the rest of a refused body is read and thrown away, so that the answer arrives."""

CONNECTIONS_MAX: Final = 1_024
"""Open client connections, each of which may hold 1 MiB of a body; peers have a listener of their
own and file descriptors kept back for them (`node.main` raises the limit)."""

HEADERS_MAX: Final = 64
LINE_BYTES_MAX: Final = 8_190
"""Longest request line and header field; a path has at most 4,096 bytes."""

BACKLOG: Final = 256
SHUTDOWN_SECONDS_MAX: Final = 3.0
"""What requests in progress get to end when the node stops."""


class _Connection(web.RequestHandler):
    """One client connection, closed at once when there are too many."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        manager = self._manager
        if manager is not None and len(manager.connections) > CONNECTIONS_MAX:
            # uvloop's transports are no subclasses of asyncio's.
            cast(asyncio.WriteTransport, transport).write(_TOO_MANY_CONNECTIONS)
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what never reached a handler: bytes that are no HTTP request."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was under way when it failed")
        request_id = secrets.token_hex(8)
        if status == 400:
            problem = Problem(400, "bad_request", _first_line(message), close=True)
        else:
            log.error("request %s failed", request_id, exc_info=exc)
            problem = internal_problem()
        return problem.response(request_id)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Put an error that aiohttp raised outside the middleware in our words (bad Expect)."""
        if isinstance(resp, web.HTTPException):
            resp = as_problem(resp).response(secrets.token_hex(8))
        return await super().finish_response(request, resp, start_time)


class _Server(web.Server):
    """Makes a `_Connection` for each client."""

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    """An `AppRunner` whose server is ours; aiohttp has no public way to say so."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=True,
            **made._kwargs,
        )


class _NoAccessLog(AbstractAccessLogger):
    """The guard's metrics and debug lines take the place of an access log."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Nothing."""

    @property
    def enabled(self) -> bool:
        return False


class ApiServer:
    """The API of one node on one address."""

    def __init__(self, app: web.Application) -> None:
        self._runner = _Runner(
            app,
            access_log_class=_NoAccessLog,
            keepalive_timeout=HEADER_SECONDS_MAX,
            lingering_time=LINGER_SECONDS,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
            auto_decompress=False,
            shutdown_timeout=SHUTDOWN_SECONDS_MAX,
        )

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; returns the address (`port` 0 takes a free one). Raises `OSError`."""
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, host, port, backlog=BACKLOG, reuse_address=True)
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        host, port = self._runner.addresses[0][:2]
        return host, port

    async def stop(self) -> None:
        """Finish what is being answered and close every connection."""
        await self._runner.cleanup()


def _first_line(message: str | None) -> str:
    """aiohttp's reason without the bytes it quotes."""
    line = (message or "the bytes are no HTTP request").strip().partition("\n")[0]
    return line.rstrip(":")


def _raw(problem: Problem) -> bytes:
    """A whole HTTP answer for a connection that nobody will read from."""
    body = problem.document(secrets.token_hex(8))
    phrase = HTTPStatus(problem.status).phrase
    head = [
        f"HTTP/1.1 {problem.status} {phrase}",
        f"Content-Type: {PROBLEM_TYPE}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in problem.headers.items()),
    ]
    return "\r\n".join([*head, "", ""]).encode("ascii") + body


_TOO_MANY_CONNECTIONS: Final = _raw(
    Problem(429, "too_many_connections", "this node serves as many connections as it can")
)
