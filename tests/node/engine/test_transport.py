"""Links between validators over real TLS sockets: pinning, replacing, reconnecting, bounds."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from node import door, peer_link
from node.frames import FRAMES_MAX, PACKED_BYTES_MAX, Lane, pack
from node.peer_link import PATH
from node.transport import Transport

Pinned = dict[str, bytes]


class End:
    """One validator's transport and what arrived at it."""

    def __init__(self, transport: Transport, name: str) -> None:
        self.transport = transport
        self.name = name
        self.received: list[tuple[str, bytes]] = []
        self.arrived = asyncio.Event()
        self.changed = asyncio.Event()

    async def receive(self, organisation: str, frames: list[bytes]) -> None:
        self.received += [(organisation, frame) for frame in frames]
        self.arrived.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self.arrived.clear()
                self.changed.clear()
                waits = [asyncio.create_task(e.wait()) for e in (self.arrived, self.changed)]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=0.2)
                for wait in waits:
                    wait.cancel()


@asynccontextmanager
async def listening(
    founder: Any, pinned: Pinned, addresses: dict[str, str], port: int = 0
) -> AsyncIterator[End]:
    server, client = founder.contexts(pinned)
    ends: list[End] = []
    transport = Transport(
        addresses,
        pinned,
        server,
        client,
        lambda organisation, frames: ends[0].receive(organisation, frames),
        lambda organisation, connected: ends[0].changed.set(),
    )
    ends.append(End(transport, founder.organisation))
    await transport.start("127.0.0.1", port)
    try:
        yield ends[0]
    finally:
        await transport.stop()


def address(end: End) -> str:
    return f"127.0.0.1:{end.transport.port}"


async def test_frames_arrive_in_order_from_the_right_organisation(
    founders: list[Any], pinned: Pinned
) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(listening(founders[0], pinned, {}))
        second = await stack.enter_async_context(
            listening(founders[1], pinned, {"org-0": address(first)})
        )
        await second.until(lambda: second.transport.connected("org-0"))
        for number in range(100):
            second.transport.send("org-0", Lane.CONSENSUS, b"%d" % number)
        await first.until(lambda: len(first.received) == 100)
        assert first.received == [("org-1", b"%d" % number) for number in range(100)]


async def test_a_stranger_is_refused_on_both_sides(
    founders: list[Any], stranger: Any, pinned: Pinned
) -> None:
    everyone = pinned | {"stranger": stranger.certificate}
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(listening(founders[0], pinned, {}))
        intruder = await stack.enter_async_context(
            listening(stranger, everyone, {"org-0": address(first)})
        )
        caller = await stack.enter_async_context(
            listening(founders[1], pinned, {"org-0": address(intruder)})
        )
        friend = await stack.enter_async_context(
            listening(founders[2], pinned, {"org-0": address(first)})
        )
        await friend.until(lambda: friend.transport.connected("org-0"))
        friend.transport.send("org-0", Lane.CONSENSUS, b"hello")
        await first.until(lambda: bool(first.received))
        caller.transport.send("org-0", Lane.CONSENSUS, b"secret")
        assert first.received == [("org-2", b"hello")]
        assert intruder.received == []
        assert not caller.transport.connected("org-0")


async def test_a_validator_at_anothers_address_is_not_taken_for_it(
    founders: list[Any], pinned: Pinned
) -> None:
    async with AsyncExitStack() as stack:
        impostor = await stack.enter_async_context(listening(founders[2], pinned, {}))
        caller = await stack.enter_async_context(
            listening(founders[0], pinned, {"org-1": address(impostor), "org-2": address(impostor)})
        )
        await caller.until(lambda: caller.transport.connected("org-2"))
        caller.transport.send("org-1", Lane.CONSENSUS, b"for org-1")
        caller.transport.send("org-2", Lane.CONSENSUS, b"for org-2")
        await impostor.until(lambda: bool(impostor.received))
        assert impostor.received == [("org-0", b"for org-2")]
        assert not caller.transport.connected("org-1")


async def test_plain_tls_without_a_client_certificate_is_refused(
    founders: list[Any], pinned: Pinned
) -> None:
    async with listening(founders[0], pinned, {}) as first:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        async with aiohttp.ClientSession() as session:
            with pytest.raises((aiohttp.ClientError, OSError)):
                await session.ws_connect(f"https://{address(first)}{PATH}", ssl=context)


async def test_a_restarted_peer_is_dialled_again(founders: list[Any], pinned: Pinned) -> None:
    async with AsyncExitStack() as stack:
        async with listening(founders[0], pinned, {}) as first:
            port = first.transport.port
            caller = await stack.enter_async_context(
                listening(founders[1], pinned, {"org-0": address(first)})
            )
            await caller.until(lambda: caller.transport.connected("org-0"))
        await caller.until(lambda: not caller.transport.connected("org-0"))
        again = await stack.enter_async_context(listening(founders[0], pinned, {}, port))
        await caller.until(lambda: caller.transport.connected("org-0"))
        caller.transport.send("org-0", Lane.CONSENSUS, b"back")
        await again.until(lambda: bool(again.received))


async def test_a_peer_that_dials_is_dialled_at_once(
    founders: list[Any], pinned: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restarted validator dials everyone, and need not wait until their patience ends."""
    monkeypatch.setattr(peer_link, "random", SimpleNamespace(uniform=lambda low, high: 600.0))
    async with AsyncExitStack() as stack:
        async with listening(founders[0], pinned, {}) as first:
            port = first.transport.port
        waiting = await stack.enter_async_context(
            listening(founders[1], pinned, {"org-0": f"127.0.0.1:{port}"})
        )
        await asyncio.sleep(1)  # its call is refused, and it waits for ten minutes
        await stack.enter_async_context(
            listening(founders[0], pinned, {"org-1": address(waiting)}, port)
        )
        await waiting.until(lambda: waiting.transport.connected("org-0"))


async def test_what_is_no_frame_ends_the_link(founders: list[Any], pinned: Pinned) -> None:
    async with listening(founders[0], pinned, {}) as first:
        _, client = founders[1].contexts(pinned)
        async with aiohttp.ClientSession() as session:
            socket = await session.ws_connect(f"https://{address(first)}{PATH}", ssl=client)
            await socket.send_bytes(b"\xff\xff\xff\xff")
            message = await asyncio.wait_for(socket.receive(), 30)
            assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            await socket.close()
        assert first.received == []


CONTEXTS: dict[str, ssl.SSLContext] = {}
"""Client sides by organisation: unlocking a key takes as long as a time out."""


@pytest.fixture(scope="module", autouse=True)
def contexts(founders: list[Any]) -> None:
    pinned = {founder.organisation: founder.certificate for founder in founders}
    CONTEXTS.update({founder.organisation: founder.contexts(pinned)[1] for founder in founders})


@asynccontextmanager
async def dialling(end: End) -> AsyncIterator[Callable[[str], Awaitable[Any]]]:
    """`dial(organisation)` makes a raw link to `end`; all are closed at the end."""
    async with aiohttp.ClientSession() as session, AsyncExitStack() as sockets:

        async def dial(organisation: str) -> Any:
            url, context = f"https://{address(end)}{PATH}", CONTEXTS[organisation]
            socket = await session.ws_connect(url, ssl=context, autoping=False)
            sockets.push_async_callback(socket.close)
            return socket

        yield dial


async def ended(socket: Any) -> None:
    async with asyncio.timeout(30):
        while (await socket.receive()).type not in (WSMsgType.CLOSED, WSMsgType.ERROR):
            pass


@pytest.mark.parametrize(
    "spoil",
    [
        lambda socket: socket.send_bytes(b"\xff\xff\xff\xff"),
        lambda socket: socket.send_str("text"),
        lambda socket: socket.send_bytes(pack([b"x"] * (FRAMES_MAX + 1))),
        lambda socket: socket.send_bytes(bytes(PACKED_BYTES_MAX + 1)),
    ],
    ids=["no frame", "text", "too many frames", "oversized"],
)
async def test_row_41_what_no_peer_sends_ends_the_link_and_keeps_the_sender_out(
    founders: list[Any], pinned: Pinned, spoil: Callable[[Any], Awaitable[None]]
) -> None:
    async with listening(founders[0], pinned, {}) as first, dialling(first) as dial:
        socket = await dial("org-1")
        with suppress(ConnectionError):
            await spoil(socket)
        await ended(socket)
        assert 0 < first.transport.kept_out("org-1") <= 1
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await dial("org-1")
        assert refused.value.status == 403
        assert refused.value.headers is not None
        assert refused.value.headers["Retry-After"] == "1"
        other = await dial("org-2")
        await other.send_bytes(pack([b"hello"]))
        await first.until(lambda: bool(first.received))
        assert first.received == [("org-2", b"hello")]
        await asyncio.sleep(first.transport.kept_out("org-1"))
        again = await dial("org-1")
        await again.send_bytes(pack([b"mended"]))
        await first.until(lambda: len(first.received) == 2)


async def test_an_expelled_peer_loses_its_link_at_once(founders: list[Any], pinned: Pinned) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(listening(founders[0], pinned, {}))
        second = await stack.enter_async_context(
            listening(founders[1], pinned, {"org-0": address(first)})
        )
        await second.until(lambda: second.transport.connected("org-0"))
        first.transport.expel("org-1", "lied")
        await second.until(lambda: not second.transport.connected("org-0"))
        await second.until(lambda: second.transport.connected("org-0"))
        assert first.transport.kept_out("org-1") == 0


async def test_a_newer_link_replaces_the_older_at_once(founders: list[Any], pinned: Pinned) -> None:
    async with listening(founders[0], pinned, {}) as first, dialling(first) as dial:
        older = await dial("org-1")
        newer = await dial("org-1")
        began = asyncio.get_running_loop().time()
        await newer.send_bytes(pack([b"new"]))
        await first.until(lambda: bool(first.received))
        assert asyncio.get_running_loop().time() - began < 1, "nobody waits for the old one"
        await ended(older)


async def test_pings_are_answered(founders: list[Any], pinned: Pinned) -> None:
    async with listening(founders[0], pinned, {}) as first, dialling(first) as dial:
        socket = await dial("org-1")
        await socket.ping(b"there?")
        message = await asyncio.wait_for(socket.receive(), 30)
        assert (message.type, message.data) == (WSMsgType.PONG, b"there?")


async def test_a_connection_gets_one_request(founders: list[Any], pinned: Pinned) -> None:
    async with listening(founders[0], pinned, {}) as first:
        _, client = founders[1].contexts(pinned)
        host, port = address(first).split(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=client)
        writer.write(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        answer = await asyncio.wait_for(reader.read(), 30)
        assert answer.count(b"HTTP/1.1 403") == 1
        writer.close()


# --- the door ---


async def silent_calls(end: End, count: int) -> list[asyncio.StreamWriter]:
    host, port = address(end).split(":")
    return [(await asyncio.open_connection(host, int(port)))[1] for _ in range(count)]


async def test_callers_that_say_nothing_are_few_and_dropped_in_time(
    founders: list[Any], pinned: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "SETTLE_SECONDS_MAX", 1.0)
    monkeypatch.setattr(door, "UNSETTLED_PER_ADDRESS_MAX", 3)
    async with listening(founders[0], pinned, {}) as first, dialling(first) as dial:
        writers = await silent_calls(first, 5)
        await first.until(lambda: first.transport.calls_refused == 2)
        with pytest.raises((aiohttp.ClientError, OSError)):
            await dial("org-1")
        await asyncio.sleep(1.2)
        socket = await dial("org-1")
        assert not socket.closed
        for writer in writers:
            writer.close()


async def test_who_calls_too_often_is_refused_before_tls(
    founders: list[Any], pinned: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "CALLS_BURST", 2)
    monkeypatch.setattr(door, "CALLS_PER_SECOND", 1)
    async with listening(founders[0], pinned, {}) as first, dialling(first) as dial:
        standing = await dial("org-1")
        await dial("org-2")
        with pytest.raises((aiohttp.ClientError, OSError)):
            await dial("org-3")
        assert first.transport.calls_refused == 1
        await standing.send_bytes(pack([b"still here"]))
        await first.until(lambda: bool(first.received))
        await asyncio.sleep(1.1)
        await dial("org-3")
