"""Links between validators: WebSockets in TLS 1.3, both sides authenticated by pinned keys.

Outgoing links are `node.peer_link`'s; this module accepts incoming ones and hands their frames on.
One incoming link per validator: a newer one replaces the older, which a peer that lost power can't
close. A peer that sends too much is read more slowly (TCP then slows the peer down); nobody else
notices. Frames that are no frames end the link.

Left out: what frames mean, and signatures on them. A link only tells which organisation delivers.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import aiohttp
from aiohttp import WSMsgType, web

from ledger.errors import InvalidInput
from node.frames import PACKED_BYTES_MAX, Lane, unpack
from node.peer_link import HEARTBEAT_SECONDS, PATH, PeerLink
from node.tls import PeerNotPinned, organisation_of

log = logging.getLogger(__name__)

BYTES_PER_SECOND: Final = 64 << 20
"""Sustained rate of one peer: half of a 1 Gbit/s link, many times a full chain's traffic."""

BYTES_BURST: Final = 128 << 20
"""A few answers of blocks at once, which a catching-up validator asks for itself."""

FRAMES_PER_SECOND: Final = 5_000
FRAMES_BURST: Final = 20_000
"""Frames of one peer: votes are some 40 a second and height, ticks four."""

CLOSE_SECONDS_MAX: Final = 2.0


class Receiver(Protocol):
    """Takes the frames of a peer; awaited, so that a busy receiver slows the link down."""

    async def __call__(self, organisation: str, frames: list[bytes]) -> None: ...


class TokenBucket:
    """How long to wait before `amount` more; `rate` a second, `burst` at once."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._updated = now

    def take(self, amount: float, now: float) -> float:
        """Take `amount` tokens at time `now` (seconds) and return the seconds to wait for them."""
        self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._rate)
        self._updated = now
        self._tokens -= amount
        return max(0.0, -self._tokens / self._rate)


class Transport:
    """All links of one validator.

    `addresses` maps every other organisation to its ``host:port``, `pinned` every organisation to
    its TLS certificate in DER.
    """

    def __init__(
        self,
        addresses: Mapping[str, str],
        pinned: Mapping[str, bytes],
        server_context: ssl.SSLContext,
        client_context: ssl.SSLContext,
        receiver: Receiver,
        on_change: Callable[[str, bool], None] = lambda organisation, connected: None,
    ) -> None:
        self._addresses = addresses
        self._pinned = pinned
        self._server_context = server_context
        self._client_context = client_context
        self._receiver = receiver
        self._on_change = on_change
        self._links: dict[str, PeerLink] = {}
        self._incoming: dict[str, web.WebSocketResponse] = {}
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.port = 0
        """The port that is listened on."""

    async def start(self, host: str, port: int) -> None:
        """Listen, then dial every peer. Raises `OSError` if the address is in use."""
        app = web.Application()
        app.router.add_get(PATH, self._accept)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, host, port, ssl_context=self._server_context, reuse_address=True
        )
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True)
        )
        for organisation, address in self._addresses.items():
            link = PeerLink(
                organisation,
                address,
                self._session,
                self._client_context,
                self._pinned,
                self._on_change,
            )
            self._links[organisation] = link
            link.start()

    async def stop(self) -> None:
        """Close every link and the listener."""
        await asyncio.gather(*(link.stop() for link in self._links.values()))
        if self._session is not None:
            await self._session.close()
        await asyncio.gather(
            *(self._close(socket) for socket in list(self._incoming.values())),
            return_exceptions=True,
        )
        if self._runner is not None:
            await self._runner.cleanup()

    def send(self, organisation: str, lane: Lane, frame: bytes) -> None:
        link = self._links.get(organisation)
        if link is not None:
            link.send(lane, frame)

    def broadcast(self, lane: Lane, frame: bytes) -> None:
        for link in self._links.values():
            link.send(lane, frame)

    def connected(self, organisation: str) -> bool:
        """Whether we can send to it now."""
        link = self._links.get(organisation)
        return link is not None and link.connected

    @property
    def connections(self) -> int:
        return sum(link.connected for link in self._links.values())

    @property
    def dropped(self) -> int:
        """Frames dropped for slow peers since the start."""
        return sum(link.dropped for link in self._links.values())

    async def _accept(self, request: web.Request) -> web.WebSocketResponse:
        tls = None if request.transport is None else request.transport.get_extra_info("ssl_object")
        try:
            organisation = organisation_of(
                None if tls is None else tls.getpeercert(binary_form=True), self._pinned
            )
        except PeerNotPinned as error:
            log.warning("refused a link from %s: %s", request.remote, error)
            raise web.HTTPForbidden from None
        socket = web.WebSocketResponse(
            compress=False, heartbeat=HEARTBEAT_SECONDS, max_msg_size=PACKED_BYTES_MAX
        )
        await socket.prepare(request)
        older = self._incoming.get(organisation)
        self._incoming[organisation] = socket
        if older is not None:
            await self._close(older)
        try:
            await self._read(organisation, socket)
        except InvalidInput as error:
            log.warning("closed the link from %s: %s", organisation, error)
        finally:
            if self._incoming.get(organisation) is socket:
                del self._incoming[organisation]
            await self._close(socket)
        return socket

    async def _read(self, organisation: str, socket: web.WebSocketResponse) -> None:
        loop = asyncio.get_running_loop()
        size = TokenBucket(BYTES_PER_SECOND, BYTES_BURST, loop.time())
        count = TokenBucket(FRAMES_PER_SECOND, FRAMES_BURST, loop.time())
        async for message in socket:
            if message.type is not WSMsgType.BINARY:
                break
            frames = unpack(message.data)
            now = loop.time()
            wait = max(size.take(len(message.data), now), count.take(len(frames), now))
            if wait > 0:
                await asyncio.sleep(wait)
            await self._receiver(organisation, frames)

    async def _close(self, socket: web.WebSocketResponse) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await socket.close()
        except TimeoutError:
            log.debug("an incoming link did not close in time")
