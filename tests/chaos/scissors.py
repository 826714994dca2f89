"""A proxy that cuts connections in the middle of what a server says.

While it is `sharp`, each connection ends after a random number of bytes, wherever that is: in a
head, a chunk, a character; but the first after `bytes_max`, for who never had an answer may give
up. It says nothing of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Final

CHUNK_BYTES: Final = 65_536


class Scissors:
    """Passes connections to 127.0.0.1:`port`; belongs to one event loop."""

    def __init__(self, port: int, bytes_max: int) -> None:
        self._port = port
        self._bytes_max = bytes_max
        self._tasks: set[asyncio.Task[None]] = set()
        self.sharp = True
        self.cuts = 0
        """Connections cut so far."""

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Its URL, as long as it listens."""
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        try:
            port = server.sockets[0].getsockname()[1]
            yield f"http://127.0.0.1:{port}"
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        finally:
            task.add_done_callback(self._tasks.discard)
        upwards = asyncio.create_task(_pump(reader, far_writer))
        try:
            await self._answer(far_reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # either end has gone, or the test has ended
        finally:
            upwards.cancel()
            writer.transport.abort()
            far_writer.transport.abort()

    async def _answer(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        left = random.randrange(self._bytes_max) if self.cuts else self._bytes_max
        while chunk := await source.read(CHUNK_BYTES):
            if self.sharp and len(chunk) > left:
                to.write(chunk[:left])
                with contextlib.suppress(OSError):
                    await to.drain()
                    to.write_eof()
                self.cuts += 1
                return
            to.write(chunk)
            await to.drain()
            left -= len(chunk)


async def _pump(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError):
        while chunk := await source.read(CHUNK_BYTES):
            to.write(chunk)
            await to.drain()
