"""A fault proxy on every directed link: what a bad network does, as TCP shows it to its two ends.

Validator `a` dials `b` through a listener of ours, which passes the bytes of TLS untouched unless
told otherwise. Every fault belongs to a direction `source -> to` and meets all bytes that travel
that way: those of the link that `source` dialled, and the answers (handshakes, pongs) on the link
that `to` dialled.

TCP hides loss and disorder from its ends, so the proxy shows what remains of them, which is time:

- `loss` p: each chunk is lost with probability p and sent again after 0.2 s, 0.4 s, ... (RFC 6298,
  with Linux' least RTO); all behind it wait, as they do in a stream.
- `stall`: nothing passes and the ends are told nothing, as behind a router that fell silent. When
  it ends both sides are between two retransmissions, so bytes pass at the next one: 0.2 * (2^k - 1)
  seconds after the first that was held back, and for a connection that was being opened
  2^k - 1 seconds after its SYN. That is why a network does not heal at once.
- `cut`: what `source` dialled is reset and refused, as by a firewall that answers. The link that
  `to` dialled lives on, so this is a link that works one way, for as long as one likes.
- `drop` p: with probability p a chunk ends its connection with a reset.
- `corrupt` p: with probability p one bit of a chunk is flipped past TCP's checksum.
- `delay_ms`: every chunk arrives that much later.

All proxies run in one thread with an event loop of its own. What is on its way through one is
bounded by CHUNKS_MAX chunks a direction; beyond them it does not read, and TCP stops the sender.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import uvloop

CHUNK_BYTES: Final = 64 << 10
CHUNKS_MAX: Final = 64
"""Chunks under way in one direction of one connection: 4 MiB at most."""

RTO_SECONDS: Final = 0.2
"""Linux' least retransmission time-out, and its first where a round trip is short."""

SYN_RTO_SECONDS: Final = 1.0
"""First retransmission of a SYN (RFC 6298, 2.1)."""

RETRANSMISSIONS_MAX: Final = 6
"""Losses of one chunk in a row that are played out: 12.6 s, longer than any link here lives."""

CONNECT_SECONDS_MAX: Final = 3.0
ANSWER_SECONDS_MAX: Final = 10.0
"""Longest wait of a test for the proxies' thread."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to bytes of one direction. Probabilities are per chunk."""

    delay_ms: float = 0
    stall: bool = False
    cut: bool = False
    drop: float = 0.0
    corrupt: float = 0.0
    loss: float = 0.0


class Direction:
    """`source -> to`: the fault in force, and when a stall of it began and ended."""

    def __init__(self) -> None:
        self.fault = Fault()
        self.connections: set[asyncio.Transport] = set()
        """What `source` dialled."""
        self._open = asyncio.Event()
        self._open.set()

    def set(self, fault: Fault) -> None:
        self.fault = fault
        if fault.stall:
            self._open.clear()
        else:
            self._open.set()
        if fault.cut:
            for transport in list(self.connections):
                transport.abort()

    async def passing(self, rto_seconds: float = RTO_SECONDS) -> None:
        """Wait while it is stalled, and then for the next retransmission."""
        if self._open.is_set():
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not self._open.is_set():
            await self._open.wait()
            waits = 1
            while began + rto_seconds * (2**waits - 1) < loop.time():
                waits += 1
            await asyncio.sleep(began + rto_seconds * (2**waits - 1) - loop.time())


@dataclass
class Counts:
    """What the proxies did, for tests that must know that their fault took place."""

    connections: int = 0
    chunks: int = 0
    lost: int = 0
    dropped: int = 0
    corrupted: int = 0


@dataclass(frozen=True)
class Target:
    """Where validator `name` listens for its peers, on 127.0.0.1."""

    name: str
    port: int


class Links:
    """The proxies between validators; every method may be called from the test's thread."""

    def __init__(self, targets: Iterable[Target], seed: int = 0) -> None:
        """Listen for every ordered pair of `targets`."""
        self._ports = {target.name: target.port for target in targets}
        self._random = random.Random(seed)
        self.counts = Counts()
        self.listening: Mapping[tuple[str, str], int] = {}
        """(source, to) -> the port at which `source` reaches `to`."""
        self._directions: dict[tuple[str, str], Direction] = {}
        self._servers: list[asyncio.Server] = []
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        self._ask(self._listen())

    def set(
        self,
        source: str,
        to: str,
        *,
        delay_ms: float = 0,
        stall: bool = False,
        cut: bool = False,
        drop: float = 0.0,
        corrupt: float = 0.0,
        loss: float = 0.0,
    ) -> None:
        """Put exactly this fault on `source -> to`; without one, heal that direction."""
        self._set({(source, to): Fault(delay_ms, stall, cut, drop, corrupt, loss)})

    def set_all(self, fault: Fault) -> None:
        """The same fault everywhere."""
        self._set(dict.fromkeys(self._directions, fault))

    def partition(self, left: Iterable[str], right: Iterable[str]) -> None:
        """Nothing passes between `left` and `right`, and nobody is told."""
        left, right = list(left), list(right)
        pairs = [(a, b) for a in left for b in right]
        self._set(dict.fromkeys([*pairs, *((b, a) for a, b in pairs)], Fault(stall=True)))

    def isolate(self, name: str) -> None:
        """Nothing passes to or from `name`."""
        self.partition([name], [other for other in self._ports if other != name])

    def heal(self) -> None:
        """End every fault; stalled bytes pass at their next retransmission."""
        self.set_all(Fault())

    def close(self) -> None:
        """Close every connection and end the thread. A second call does nothing."""
        if self._thread.is_alive():
            self._ask(self._shut())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(ANSWER_SECONDS_MAX)
            self._loop.close()

    def _set(self, faults: Mapping[tuple[str, str], Fault]) -> None:
        async def apply() -> None:
            for pair, fault in faults.items():
                self._directions[pair].set(fault)

        self._ask(apply())

    def _ask(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_SECONDS_MAX)

    async def _listen(self) -> None:
        pairs = [(a, b) for a in self._ports for b in self._ports if a != b]
        self._directions = {pair: Direction() for pair in pairs}
        ports = {}
        for source, to in pairs:
            link = _Link(
                self._directions[source, to],
                self._directions[to, source],
                self._ports[to],
                self._random,
                self.counts,
            )
            server = await asyncio.start_server(link.accept, "127.0.0.1", 0, limit=CHUNK_BYTES)
            self._servers.append(server)
            ports[source, to] = server.sockets[0].getsockname()[1]
        self.listening = ports

    async def _shut(self) -> None:
        for server in self._servers:
            server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Dropped(Exception):
    """The fault in force ends this connection."""


@dataclass
class _Link:
    """What `source` dials to reach the validator at `port`."""

    there: Direction
    back: Direction
    port: int
    random: random.Random
    counts: Counts

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join the connection to one of our own until either breaks; no end outlives the other."""
        if self.there.fault.cut:
            writer.transport.abort()
            return
        self.counts.connections += 1
        self.there.connections.add(writer.transport)
        try:
            await self._join(reader, writer)
        except asyncio.CancelledError:
            pass  # `close`; asyncio would log a cancelled handler as an error
        finally:
            self.there.connections.discard(writer.transport)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A SYN goes there and its answer comes back.
        await self.there.passing(SYN_RTO_SECONDS)
        await self.back.passing(SYN_RTO_SECONDS)
        await asyncio.sleep((self.there.fault.delay_ms + self.back.fault.delay_ms) / 1000)
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                far_reader, far_writer = await asyncio.open_connection(
                    "127.0.0.1", self.port, limit=CHUNK_BYTES
                )
        except (OSError, TimeoutError):
            return
        try:
            async with asyncio.TaskGroup() as pumps:
                for source, to, direction in (
                    (reader, far_writer, self.there),
                    (far_reader, writer, self.back),
                ):
                    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_MAX)
                    pumps.create_task(self._take(source, waiting, direction))
                    pumps.create_task(self._pass_on(waiting, to, direction))
        except* (OSError, _Dropped):
            pass
        finally:
            far_writer.transport.abort()

    async def _take(
        self,
        source: asyncio.StreamReader,
        waiting: asyncio.Queue[tuple[float, bytes]],
        direction: Direction,
    ) -> None:
        """Read chunks, each with the time at which it arrives at the other end; the last is b""."""
        loop = asyncio.get_running_loop()
        chunk = b"?"
        while chunk:
            chunk = await source.read(CHUNK_BYTES)
            late = direction.fault.delay_ms / 1000 + self._retransmitting(direction.fault.loss)
            await waiting.put((loop.time() + late, chunk))

    async def _pass_on(
        self,
        waiting: asyncio.Queue[tuple[float, bytes]],
        to: asyncio.StreamWriter,
        direction: Direction,
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            arrival, chunk = await waiting.get()
            await asyncio.sleep(max(0.0, arrival - loop.time()))
            await direction.passing()
            if not chunk:
                if not to.is_closing():
                    to.write_eof()
                return
            self.counts.chunks += 1
            to.write(self._damage(chunk, direction.fault))
            await to.drain()

    def _retransmitting(self, probability: float) -> float:
        """Seconds that the retransmissions of one chunk take; those of the next go on meanwhile."""
        losses = 0
        while losses < RETRANSMISSIONS_MAX and self.random.random() < probability:
            losses += 1
        self.counts.lost += losses
        return RTO_SECONDS * (2**losses - 1)

    def _damage(self, chunk: bytes, fault: Fault) -> bytes:
        """The chunk as it arrives. Raises `_Dropped`."""
        if self.random.random() < fault.drop:
            self.counts.dropped += 1
            raise _Dropped
        if self.random.random() < fault.corrupt:
            self.counts.corrupted += 1
            damaged = bytearray(chunk)
            damaged[self.random.randrange(len(damaged))] ^= 1 << self.random.randrange(8)
            return bytes(damaged)
        return chunk
