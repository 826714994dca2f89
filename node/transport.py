"""Links between validators: WebSockets in TLS 1.3, both sides authenticated by pinned keys.

Outgoing links are `node.peer_link`'s; this module takes incoming ones from `node.door` and hands
their frames on. One incoming link per validator: a newer one replaces the older, which a peer that
lost power can't close. A peer that sends too much is read more slowly, one that sends what is no
frame loses its link and is kept out (`node.conduct`); nobody else notices.

Left out: what frames mean, and signatures on them. A link only tells which organisation delivers.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final, Protocol

import aiohttp
from aiohttp import WebSocketError, WSMessage, WSMsgType, web

from ledger.errors import FieldError, InvalidInput
from node.conduct import EMPTY_FRAMES, Conduct
from node.door import CLOSE_SECONDS_MAX, Door
from node.frames import PACKED_BYTES_MAX, Lane, unpack
from node.peer_link import HEARTBEAT_SECONDS, PATH, PeerLink
from node.tls import PeerNotPinned, organisation_of

log = logging.getLogger(__name__)

MESSAGE_OVERHEAD_BYTES: Final = 64
"""What an empty WebSocket message costs beside its bytes."""


class Receiver(Protocol):
    """Takes the frames of a peer; awaited, so that a busy receiver slows the link down."""

    async def __call__(self, organisation: str, frames: list[bytes]) -> None: ...


@dataclass(frozen=True, slots=True)
class _Incoming:
    """A link that a peer sends on."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport


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
        self._incoming: dict[str, _Incoming] = {}
        self.conduct = Conduct(pinned)
        """What each peer may cost and how it behaved."""
        self._door: Door | None = None
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.port = 0
        """The port that is listened on."""

    async def start(self, host: str, port: int) -> None:
        """Listen, then dial every peer. Raises `OSError` if the address is in use."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._accept)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        assert self._runner.server is not None
        self._door = Door(self._server_context, self._runner.server)
        self.port = self._door.open(host, port)
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
        if self._door is not None:
            await self._door.close()
        await asyncio.gather(
            *(self._close(incoming.socket) for incoming in list(self._incoming.values())),
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

    def expel(self, organisation: str, reason: str) -> None:
        """End the link from a peer that misbehaved, and take no new one for a while."""
        self.conduct.refused[organisation] += 1
        seconds = self.conduct.offence(organisation, self._now())
        log.warning("%s %s: no link from it for %g s", organisation, reason, seconds)
        incoming = self._incoming.pop(organisation, None)
        if incoming is not None:
            incoming.transport.abort()

    def kept_out(self, organisation: str) -> float:
        """For how many seconds more no link is taken from it."""
        return self.conduct.kept_out(organisation, self._now())

    @property
    def calls_refused(self) -> int:
        """Connections to the peer listener closed before they cost anything."""
        return 0 if self._door is None else self._door.refused

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        """One request a connection: it becomes a link, or is refused and closed."""
        transport = request.transport
        if transport is None or self._door is None:
            raise ConnectionResetError("the caller went away")
        self._door.settle(transport.get_extra_info("peername"))
        refusal = web.Response(status=403)
        refusal.force_close()
        try:
            tls = transport.get_extra_info("ssl_object")
            shown = None if tls is None else tls.getpeercert(binary_form=True)
            organisation = organisation_of(shown, self._pinned)
        except PeerNotPinned as error:
            log.warning("refused a link from %s: %s", request.remote, error)
            return refusal
        seconds = self.kept_out(organisation)
        if seconds > 0:
            refusal.headers["Retry-After"] = str(ceil(seconds))
            return refusal
        if request.path != PATH:
            return refusal
        return await self._serve(organisation, request, transport)

    async def _serve(
        self, organisation: str, request: web.Request, transport: asyncio.Transport
    ) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            timeout=CLOSE_SECONDS_MAX,
            autoping=False,
            compress=False,
            heartbeat=HEARTBEAT_SECONDS,
            max_msg_size=PACKED_BYTES_MAX,
        )
        await socket.prepare(request)
        older = self._incoming.get(organisation)
        incoming = self._incoming[organisation] = _Incoming(socket, transport)
        if older is not None:
            older.transport.abort()
        link = self._links.get(organisation)
        if link is not None:
            link.called()
        try:
            await self._read(organisation, incoming)
        except InvalidInput as error:
            self.expel(organisation, f"sent what is no frame ({error})")
        finally:
            if self._incoming.get(organisation) is incoming:
                del self._incoming[organisation]
            await self._close(socket)
        return socket

    async def _read(self, organisation: str, incoming: _Incoming) -> None:
        """Hand on what comes until the link ends, is replaced or its peer expelled.

        Raises `InvalidInput` for what is no frame.
        """
        socket = incoming.socket
        allowance = self.conduct.allowance(organisation, self._now())
        while self._incoming.get(organisation) is incoming:
            message = await socket.receive()
            frames = _frames(message)
            if frames is None:
                return
            now = self._now()
            size = MESSAGE_OVERHEAD_BYTES + len(message.data or b"")
            count = len(frames) or EMPTY_FRAMES
            wait = max(allowance.bytes.take(size, now), allowance.frames.take(count, now))
            if wait > 0:
                await asyncio.sleep(wait)
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)
            elif frames:
                await self._receiver(organisation, frames)

    async def _close(self, socket: web.WebSocketResponse) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await socket.close()
        except (TimeoutError, OSError):
            log.debug("an incoming link did not close in time")


def _frames(message: WSMessage) -> list[bytes] | None:
    """The frames of a message, none for pings and pongs; None where the link ends by itself.

    Raises `FieldError` for what no peer of ours sends.
    """
    match message.type:
        case WSMsgType.BINARY:
            return unpack(message.data)
        case WSMsgType.PING | WSMsgType.PONG:
            return []
        case WSMsgType.CLOSE | WSMsgType.CLOSING | WSMsgType.CLOSED:
            return None
        case WSMsgType.ERROR if not isinstance(message.data, WebSocketError):
            return None
        case _:
            raise FieldError("message", "a WebSocket message of bytes", message.data)
