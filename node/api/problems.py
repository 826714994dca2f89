"""How the API says no: problem documents (RFC 9457) with a stable code.

A `Problem` is raised wherever a request turns out wrong and becomes the answer in one place
(`node.api.guard`). `code` is what programs match on and never changes its meaning; `detail` is for
the person reading. Internal errors say nothing but a request id, which the log shows beside the
trace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from ledger.errors import QiongError

PROBLEM_TYPE: Final = "application/problem+json"

TITLES: Final[Mapping[str, str]] = {
    "bad_json": "The body is not the JSON we accept",
    "bad_msgpack": "The body is not canonical msgpack",
    "bad_request": "The request does not follow HTTP",
    "bad_path": "The path is not acceptable",
    "bad_parameter": "A parameter is not acceptable",
    "malformed": "A field is not what the format asks for",
    "not_canonical": "The bytes are not in their one canonical form",
    "bad_key": "A key is not acceptable",
    "bad_signature": "A signature is not valid",
    "missing_role": "The signer may not do this",
    "not_found": "There is nothing here",
    "not_yet": "The chain has not reached this height",
    "unknown_contract": "There is no such contract",
    "unknown_method": "The contract has no such method",
    "frozen": "The contract is frozen for now",
    "retired": "The contract is retired for good",
    "method_not_allowed": "The method does not fit the path",
    "not_acceptable": "No form of the answer suits the request",
    "slow_request": "The request took too long to arrive",
    "wrong_chain": "The transaction is for another chain",
    "expired": "The transaction has expired",
    "too_far_ahead": "The transaction expires too far in the future",
    "before_genesis": "The chain did not exist at this time",
    "proof_too_large": "The proof would be larger than any that is read",
    "pruned": "This node no longer keeps this height",
    "too_large": "The request is too large",
    "unsupported_type": "The body's type is not supported",
    "too_many_requests": "Too many requests",
    "too_many_connections": "Too many connections",
    "too_many_subscriptions": "Too many subscriptions",
    "answer_too_large": "The answer would be too large",
    "views_busy": "Too many views and simulations wait",
    "view_lost": "The contract worker was lost over the question",
    "index_off": "This node keeps no query index",
    "index_unavailable": "The query index is not available",
    "index_behind": "The query index is not there yet",
    "index_busy": "Too many searches wait",
    "search_too_slow": "The search took too long",
    "damaged": "This node's data is damaged",
    "internal": "The node met an error of its own",
    "mempool_full": "The node holds as many transactions as it can",
    "not_ready": "The node cannot take transactions now",
    "no_quorum": "Too few validators answer",
    "starting": "The node is starting",
    "observer": "The node only follows: its key must not vote",
    "syncing": "The node is catching up",
    "halted": "The node has stopped voting",
}
"""Every code of the API; one page of error codes, served with the documentation."""

RETRY_SECONDS: Final = 1
"""Retry-After of answers that will be different soon."""


class Problem(Exception):
    """A request that is refused. `close` ends the connection after the answer."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        retry_after: int | None = None,
        close: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.close = close
        self.headers = dict(headers or {})
        if retry_after is None and status in (429, 503):
            retry_after = RETRY_SECONDS
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)
        super().__init__(f"{status} {code}: {detail}")

    @classmethod
    def of(cls, error: QiongError, status: int = 400) -> Problem:
        """The problem that a typed error is."""
        detail = f"{error}; {error.hint}" if error.hint else str(error)
        return cls(status, error.code, detail)

    def document(self, request_id: str) -> bytes:
        """The problem document in JSON."""
        fields = {
            "type": f"/docs#{self.code}",
            "title": TITLES.get(self.code, self.code.replace("_", " ")),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "request_id": request_id,
        }
        return json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace") + b"\n"

    def response(self, request_id: str) -> web.Response:
        response = web.Response(
            status=self.status,
            body=self.document(request_id),
            content_type=PROBLEM_TYPE,
            headers=self.headers,
        )
        if self.close:
            response.force_close()
        return response


def damaged_problem() -> Problem:
    """What a client learns of our disk."""
    detail = "what this node holds of that is damaged and is not served; ask another validator"
    return Problem(500, "damaged", detail)


def internal_problem() -> Problem:
    """What a client learns of an error of ours."""
    return Problem(500, "internal", "the node met an error; its log tells more by the request id")
