"""What handlers share: the engine, the reading threads, and the limits.

`Engine` is the part of `node.service.NodeService` that the API uses, so that tests can put a small
one in its place. Reads that walk trees or many rows run in a few threads of their own; they come
last, behind consensus, so there are few of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from aiohttp import web
from pydantic import BaseModel

from ledger.genesis import Genesis
from ledger.proving import Prover
from ledger.types import Digest
from node.answers import Admission, NodeStatus, Readiness, TransactionStatus
from node.api.buckets import TokenBuckets
from node.api.turns import Turns
from node.api.wire import JSON, MSGPACK
from node.evidence import Case
from node.index.service import IndexService
from node.metrics import Metrics
from node.standing import Standing
from node.views import Views

READERS: Final = 2
"""Threads for reads; the interpreter runs one at a time anyway, and consensus comes first."""

P = ParamSpec("P")
R = TypeVar("R")


class Engine(Protocol):
    """The engine as the API sees it; `node.service` says what each method promises."""

    @property
    def genesis(self) -> Genesis: ...

    @property
    def store(self) -> Prover: ...

    @property
    def views(self) -> Views: ...

    @property
    def index(self) -> IndexService | None: ...

    @property
    def evidence(self) -> Sequence[Case]: ...

    def ready(self) -> Readiness: ...

    def status(self) -> NodeStatus: ...

    def standing(self) -> Standing: ...

    async def submit(self, raw_transactions: Sequence[bytes]) -> list[Admission]: ...

    def transaction_status(self, tx_id: Digest) -> TransactionStatus: ...

    async def wait_committed(self, tx_id: Digest, timeout: float) -> TransactionStatus: ...


@dataclass(frozen=True)
class ApiOptions:
    """Limits of one API; rates are per second and address, 0 for none. Sizes in bytes."""

    home: Path
    free_bytes_min: int = 0
    requests_per_second: int = 0
    transactions_per_second: int = 0


@dataclass
class Api:
    """One node's API."""

    engine: Engine
    options: ApiOptions
    metrics: Metrics
    transactions: TokenBuckets
    turns: Turns
    readers: ThreadPoolExecutor
    subscriptions: int = 0
    damage: str | None = None
    """What an answer found damaged on this node's disk, with the way out."""
    ending: bool = False
    """The server stops: streams without an end have one now."""

    @property
    def store(self) -> Prover:
        return self.engine.store

    async def read(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a read that may take long in one of the reading threads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.readers, lambda: function(*args, **kwargs))


API: Final = web.AppKey("api", Api)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Parameter:
    """A query parameter, for the documentation; the handler checks it."""

    name: str
    text: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True)
class Route:
    """One path and method: what serves it and what the OpenAPI document says of it.

    `path` is OpenAPI's; a part `{key}` takes the rest of the path. `answers` maps media types to a
    model, or None for bytes.
    """

    method: str
    path: str
    handler: Handler
    group: str
    summary: str
    answers: Mapping[str, type[BaseModel] | None]
    parameters: tuple[Parameter, ...] = ()
    body: type[BaseModel] | None = None
    problems: tuple[int, ...] = (400,)


def both(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """The same model as JSON and as msgpack."""
    return {JSON: model, MSGPACK: model}


HEIGHT: Final = Parameter("height", "as of this block; by default the newest", {"type": "integer"})
CURSOR: Final = Parameter("cursor", "where the page before ended")
LIMIT: Final = Parameter(
    "limit", "items of a page", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
)
