"""Links between validators over real TLS sockets: pinning, replacing, reconnecting, bounds."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from node.conduct import TokenBucket
from node.frames import Lane
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


def test_a_token_bucket_lets_a_burst_through_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=10, burst=20, now=0)
    assert bucket.take(20, now=0) == 0
    assert bucket.take(10, now=0) == 1
    assert bucket.take(10, now=2) == 0
    assert bucket.take(40, now=100) == 2
