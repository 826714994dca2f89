"""HTTP to the validators, for programs that are not servers.

A `Client` knows several nodes and goes on to the next when one does not answer. Its methods are
plain functions; the event loop inside is there to keep several requests in flight. What a node
says is not believed here or anywhere: `cli.verified` checks it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, TypeVar
from urllib.parse import quote

import aiohttp
from yarl import URL

from cli.errors import Refused, Unreachable
from ledger import canonical

TIMEOUT_SECONDS: Final = 30.0
"""Longest wait for one answer; longer than any server-side wait for a commit."""

CONNECT_SECONDS: Final = 3.0
"""Longest wait for a connection before the next node is tried."""

PARALLEL_MAX: Final = 16
"""Requests in flight at once: enough to hide latency, below any server's per-address limit."""

POST_BYTES_MAX: Final = 900_000
"""Bytes of one POST; servers refuse bodies over 1 MiB."""

ANSWER_BYTES_MAX: Final = 64 << 20
"""Largest answer read: a block of the greatest size with room to spare."""

MSGPACK: Final = "application/msgpack"

T = TypeVar("T")


class NodeUnreachable(Unreachable):
    """No node answered. Nothing is known about what was asked."""

    def __init__(self, tried: Sequence[str], reason: str) -> None:
        super().__init__(
            f"no answer from {', '.join(tried)}: {reason}",
            "is the network up? see `qiong devnet status`, or name a node with --node URL",
        )


class NodeRefused(Refused):
    """A node answered with a problem document (RFC 9457): `problem` is its stable code."""

    def __init__(self, node: str, status: int, problem: str, detail: str, hint: str = "") -> None:
        self.status = status
        self.problem = problem
        super().__init__(f"{detail or problem} ({problem}, HTTP {status}, from {node})", hint)


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes of a successful answer and the node that gave it."""

    node: str
    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises `NodeRefused` if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise NodeRefused(self.node, self.status, "not_json", "the answer is no JSON") from None


def path(*parts: str) -> str:
    """A request path of percent-encoded `parts`; a slash inside a part is encoded too."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


class Client:
    """Use as a context manager; belongs to one thread."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self._nodes = tuple(nodes)
        self._runner = asyncio.Runner()
        self._session: aiohttp.ClientSession | None = None

    @property
    def nodes(self) -> tuple[str, ...]:
        return self._nodes

    def __enter__(self) -> Client:
        self._session = self._runner.run(self._open())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            self._runner.run(self._session.close())
        self._runner.close()

    async def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS, connect=CONNECT_SECONDS),
            connector=aiohttp.TCPConnector(limit=PARALLEL_MAX),
            read_bufsize=1 << 18,
        )

    def get(self, where: str, accept: str = "application/json", **query: object) -> Answer:
        """GET from the first node that answers. Raises `NodeUnreachable`, `NodeRefused`."""
        return self._runner.run(self._any("GET", where, accept, None, "", query))

    def get_many(self, paths: Sequence[str], accept: str = "application/json") -> list[Answer]:
        """GET all `paths`, a few at a time, answers in order."""
        return self._gather([self._any("GET", where, accept, None, "", {}) for where in paths])

    def post_json(
        self, where: str, document: object, accept: str = "application/json", **query: object
    ) -> Answer:
        """POST a JSON document to the first node that answers."""
        body = json.dumps(document, ensure_ascii=False).encode()
        return self._runner.run(self._any("POST", where, accept, body, "application/json", query))

    def post_transactions(self, raw: Sequence[bytes]) -> list[dict[str, Any]]:
        """Submit wire transactions in one request; one `{id, http, code}` each, in order."""
        body = canonical.encode(list(raw))
        answer = self._runner.run(
            self._any("POST", "/v1/transactions", "application/json", body, MSGPACK, {})
        )
        rows = answer.json()
        if not isinstance(rows, list) or len(rows) != len(raw):
            raise NodeRefused(answer.node, answer.status, "bad_answer", "not one answer per item")
        return rows

    def stream(
        self,
        node: str,
        where: str,
        headers: Mapping[str, str],
        silence_seconds_max: float,
        **query: object,
    ) -> Iterator[bytes]:
        """The body of an answer that has no end, from `node` alone, as it arrives.

        The first chunk is empty and comes once the node has agreed. Ends when the node ends it.
        Raises `NodeUnreachable` when the connection breaks or nothing arrives for so long,
        `NodeRefused`.
        """
        try:
            response = self._runner.run(
                self._open_stream(node, where, headers, silence_seconds_max, query)
            )
            try:
                yield b""
                while chunk := self._runner.run(response.content.readany()):
                    yield chunk
            finally:
                response.close()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NodeUnreachable([node], str(error) or type(error).__name__) from None

    def sleep(self, seconds: float) -> None:
        """Wait without blocking what is in flight."""
        self._runner.run(asyncio.sleep(seconds))

    def _gather(self, tasks: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        async def bounded() -> list[T]:
            gate = asyncio.Semaphore(PARALLEL_MAX)

            async def one(task: Coroutine[Any, Any, T]) -> T:
                async with gate:
                    return await task

            return list(await asyncio.gather(*(one(task) for task in tasks)))

        return self._runner.run(bounded())

    async def _open_stream(
        self,
        node: str,
        where: str,
        headers: Mapping[str, str],
        silence_seconds_max: float,
        query: Mapping[str, object],
    ) -> aiohttp.ClientResponse:
        assert self._session is not None, "use Client as a context manager"
        timeout = aiohttp.ClientTimeout(connect=CONNECT_SECONDS, sock_read=silence_seconds_max)
        response = await self._session.get(
            _url(node, where, query), headers=headers, timeout=timeout
        )
        if response.status >= 400:
            try:
                raise _refusal(node, response.status, await response.content.read(POST_BYTES_MAX))
            finally:
                response.close()
        return response

    async def _any(
        self,
        method: str,
        where: str,
        accept: str,
        body: bytes | None,
        content_type: str,
        query: dict[str, object],
    ) -> Answer:
        """Ask the nodes in turn; a node that is down or cannot serve now is passed over."""
        reason = "no node is named"
        for node in self._nodes:
            try:
                answer = await self._ask(node, method, where, accept, body, content_type, query)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                reason = str(error) or type(error).__name__
                continue
            except NodeRefused as error:
                if error.status not in (502, 503, 504) or node == self._nodes[-1]:
                    raise
                continue
            return answer
        raise NodeUnreachable(self._nodes, reason)

    async def _ask(
        self,
        node: str,
        method: str,
        where: str,
        accept: str,
        body: bytes | None,
        content_type: str,
        query: dict[str, object],
    ) -> Answer:
        assert self._session is not None, "use Client as a context manager"
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
        async with self._session.request(
            method, _url(node, where, query), data=body, headers=headers
        ) as response:
            content = await response.content.read(ANSWER_BYTES_MAX + 1)
            while len(content) <= ANSWER_BYTES_MAX and not response.content.at_eof():
                content += await response.content.read(ANSWER_BYTES_MAX + 1)
            if len(content) > ANSWER_BYTES_MAX:
                raise NodeRefused(
                    node, response.status, "answer_too_large", "the answer is too large"
                )
            if response.status >= 400:
                raise _refusal(node, response.status, content)
            return Answer(node, response.status, content)


def _url(node: str, where: str, query: Mapping[str, object]) -> URL:
    """`query` without what is None; a name may end in `_` where Python keeps the word."""
    given = {name.rstrip("_"): str(v) for name, v in query.items() if v is not None}
    return URL(node + where, encoded=True).update_query(given)


def _refusal(node: str, status: int, body: bytes) -> NodeRefused:
    try:
        problem = json.loads(body)
        code, detail = str(problem.get("code", "")), str(problem.get("detail", ""))
    except (ValueError, AttributeError):
        code, detail = "", ""
    return NodeRefused(node, status, code or f"http_{status}", detail)
