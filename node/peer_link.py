"""One direction between two validators: we dial, we send, and nothing is read but pongs.

Every ordered pair of validators has its own link. Two links cost a second TLS session per pair and
save all the rest: no simultaneous-open to resolve, no tie to break after a restart, and whoever has
something to say owns the connection it says it on. Dialling again backs off up to a bound, with
jitter, so that peers of a restarted validator do not arrive all at once; a peer that dials us is
there, and is dialled at once.

While a link is down nothing is queued: votes are sent again every tick, and a peer that comes back
asks for what it missed. A peer that accepts bytes too slowly loses the link, not our memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp

from ledger.errors import QiongError
from node.frames import Lane, OutgoingQueue, pack
from node.tls import organisation_of

log = logging.getLogger(__name__)

PATH: Final = "/peer/1"
"""The request path of a link; its number is the version of the frames."""

BACKOFF_MIN_SECONDS: Final = 0.1
BACKOFF_MAX_SECONDS: Final = 3.0
"""Longest wait between two attempts: a healed partition must commit within 5 s."""

CONNECT_SECONDS_MAX: Final = 5.0
SEND_SECONDS_MAX: Final = 10.0
"""How long a batch may wait for a peer that does not read; then the link is given up."""

HEARTBEAT_SECONDS: Final = 5.0
"""A link without an answer to its ping for half of this is dead."""

INCOMING_BYTES_MAX: Final = 64 << 10
"""The far end says nothing on this link; anything longer than a control frame is refused."""


class WrongPeer(QiongError):
    """Another validator answers at this peer's address."""

    code = "wrong_peer"
    hint = "check the addresses in qiong.toml [peers]"

    def __init__(self, expected: str, found: str) -> None:
        self.expected = expected
        self.found = found
        super().__init__(f"expected {expected}, found {found}")


def check_peer(tls: ssl.SSLObject | None, expected: str, pinned: Mapping[str, bytes]) -> None:
    """Raise unless the pinned key of `expected` made this TLS session.

    `PeerNotPinned` for a stranger, `WrongPeer` for another validator.
    """
    found = organisation_of(None if tls is None else tls.getpeercert(binary_form=True), pinned)
    if found != expected:
        raise WrongPeer(expected, found)


class PeerLink:
    """The outgoing link to `organisation` at `address` (``host:port``).

    `pinned` maps each organisation to its TLS certificate in DER.
    """

    def __init__(
        self,
        organisation: str,
        address: str,
        session: aiohttp.ClientSession,
        context: ssl.SSLContext,
        pinned: Mapping[str, bytes],
        on_change: Callable[[str, bool], None],
    ) -> None:
        self.organisation = organisation
        self.address = address
        self.connected = False
        self._session = session
        self._context = context
        self._pinned = pinned
        self._on_change = on_change
        self._queue = OutgoingQueue()
        self._wake = asyncio.Event()
        self._called = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def dropped(self) -> int:
        """Frames dropped because the peer took them too slowly."""
        return self._queue.dropped

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"link to {self.organisation}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def called(self) -> None:
        """The peer has dialled us: it can be reached again, so stop waiting."""
        self._called.set()

    def send(self, lane: Lane, frame: bytes) -> None:
        """Queue a frame, or drop it while the link is down."""
        if self.connected:
            self._queue.put(lane, frame)
            self._wake.set()

    async def _run(self) -> None:
        failures = 0
        while True:
            self._called.clear()
            try:
                await self._connect_and_send()
                failures = 0
            except (aiohttp.ClientError, OSError, TimeoutError, QiongError) as error:
                if self.connected:
                    failures = 0
                level = logging.WARNING if isinstance(error, QiongError) else logging.DEBUG
                log.log(level, "link to %s (%s): %s", self.organisation, self.address, error)
            finally:
                self._set_connected(False)
            failures += 1
            await self._back_off(failures)

    async def _back_off(self, failures: int) -> None:
        """Wait before the next attempt, but not on once the peer calls or if it did meanwhile."""
        await asyncio.sleep(BACKOFF_MIN_SECONDS)
        longest = min(BACKOFF_MAX_SECONDS, BACKOFF_MIN_SECONDS * 2 ** min(failures, 10))
        seconds = random.uniform(longest / 2, longest) - BACKOFF_MIN_SECONDS
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._called.wait(), seconds)

    async def _connect_and_send(self) -> None:
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            socket = await self._session.ws_connect(
                f"https://{self.address}{PATH}",
                ssl=self._context,
                compress=0,
                heartbeat=HEARTBEAT_SECONDS,
                max_msg_size=INCOMING_BYTES_MAX,
            )
        try:
            check_peer(socket.get_extra_info("ssl_object"), self.organisation, self._pinned)
            self._set_connected(True)
            reader = asyncio.create_task(self._until_closed(socket))
            try:
                await self._send_until(socket, reader)
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)
        finally:
            await socket.close()

    async def _send_until(
        self, socket: aiohttp.ClientWebSocketResponse, reader: asyncio.Task[None]
    ) -> None:
        reader.add_done_callback(lambda _: self._wake.set())
        while not reader.done():
            while self._queue:
                async with asyncio.timeout(SEND_SECONDS_MAX):
                    await socket.send_bytes(pack(self._queue.take()))
            self._wake.clear()
            if not reader.done():
                await self._wake.wait()

    async def _until_closed(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Read, so that pings are answered and a close is noticed."""
        async for _ in socket:
            pass

    def _set_connected(self, connected: bool) -> None:
        if connected != self.connected:
            self.connected = connected
            self._queue.clear()
            self._on_change(self.organisation, connected)
