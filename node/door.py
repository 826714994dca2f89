"""The peer listener's door: who may begin a TLS handshake, and how long until it is a link.

A handshake costs this node about a millisecond and the caller nothing but a packet, and until it is
over nobody knows who calls. So connections are counted by address before it begins: a bucket bounds
how often one address may call, two numbers how many calls may be unsettled at a time, and a timer
ends each one that has not asked for a link. What a caller says in TLS and HTTP until then is
bounded by these alone. Refused callers are closed at once, which costs next to nothing.

Validators behind one address share its bucket. Links that stand are not touched by any of this.
Left out: who the caller is and what it may say afterwards (`node.transport`, `node.conduct`).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Final, TypeAlias

from ledger.validators import VALIDATORS_MAX
from node.api.buckets import TokenBuckets

log = logging.getLogger(__name__)

CALLS_PER_SECOND: Final = 5
CALLS_BURST: Final = 2 * VALIDATORS_MAX
"""Of one address. A peer dials again after up to 3 s; a devnet has all of them on one address."""

UNSETTLED_MAX: Final = 256
UNSETTLED_PER_ADDRESS_MAX: Final = 32
"""Calls that asked for no link yet, some 100 kB each."""

SETTLE_SECONDS_MAX: Final = 5.0
"""From the call to its request: two round trips over any network, and patience with a busy peer."""

CLOSE_SECONDS_MAX: Final = 2.0
"""How long the far end gets to say goodbye, in TLS and on a link."""

BACKLOG: Final = 128
RETRY_SECONDS: Final = 0.1
"""Pause after the system refused to give us a call, as when file descriptors run out."""

Peername: TypeAlias = tuple[str, int]


class Door:
    """A listening socket. `protocol` makes the HTTP side of a connection; loop's thread only."""

    def __init__(self, context: ssl.SSLContext, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._context = context
        self._protocol = protocol
        self._calls = TokenBuckets(CALLS_PER_SECOND, CALLS_BURST)
        self._unsettled: Counter[str] = Counter()
        self._settled: dict[Peername, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: socket.socket | None = None
        self.refused = 0
        """Calls closed before they cost anything."""

    def open(self, host: str, port: int) -> int:
        """Listen; the port that is listened on. Raises `OSError` if the address is in use."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self._socket.setblocking(False)
        self._spawn(self._accept())
        return int(self._socket.getsockname()[1])

    async def close(self) -> None:
        """Stop listening and drop what is no link yet."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    def settle(self, peername: Peername) -> None:
        """The caller's request came: it becomes a link or is closed, and is no call any more."""
        event = self._settled.get(peername[:2])
        if event is not None:
            event.set()

    async def _accept(self) -> None:
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        while True:
            try:
                call, peername = await loop.sock_accept(self._socket)
            except OSError as error:
                log.warning("the peer listener takes no call: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if self._may_begin(peername[0], loop.time()):
                self._spawn(self._begin(call, peername[:2]))
            else:
                self.refused += 1
                call.close()

    def _may_begin(self, address: str, now: float) -> bool:
        if self._unsettled.total() >= UNSETTLED_MAX:
            return False
        if self._unsettled[address] >= UNSETTLED_PER_ADDRESS_MAX:
            return False
        return self._calls.take(address, 1, now) == 0

    async def _begin(self, call: socket.socket, peername: Peername) -> None:
        """From the call to the link, or to the end of it."""
        settled = self._settled[peername] = asyncio.Event()
        self._unsettled[peername[0]] += 1
        transport: asyncio.Transport | None = None
        try:
            async with asyncio.timeout(SETTLE_SECONDS_MAX):
                transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                    self._protocol,
                    call,
                    ssl=self._context,
                    ssl_handshake_timeout=SETTLE_SECONDS_MAX,
                    ssl_shutdown_timeout=CLOSE_SECONDS_MAX,
                )
                await settled.wait()
        except (OSError, TimeoutError) as error:
            log.debug("a call from %s came to nothing: %r", peername[0], error)
        finally:
            del self._settled[peername]
            self._unsettled[peername[0]] -= 1
            if not self._unsettled[peername[0]]:
                del self._unsettled[peername[0]]
            if transport is not None and not settled.is_set():
                transport.abort()

    def _spawn(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
