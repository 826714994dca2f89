"""`qiong events --json` as a user would run it, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Final

SECONDS_MAX: Final = 120
"""Longest wait for what it is to print."""


class Follower:
    """`qiong events --json` as a user would run it; `seen` is what it has printed so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._reading = asyncio.create_task(self._read())
        self._more = asyncio.Event()
        self.seen: list[tuple[int, int, str]] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, nodes: list[str], *options: str) -> AsyncIterator[Follower]:
        given = [word for node in nodes for word in ("--node", node)]
        environment = {name: text for name, text in os.environ.items() if "QIONG" not in name}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "cli.main", "events", "--json", *given, *options),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        try:
            yield cls(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def wait(self, count: int) -> None:
        """Until it has printed so many events."""
        async with asyncio.timeout(SECONDS_MAX):
            while len(self.seen) < count:
                self._more.clear()
                await self._more.wait()

    async def ended(self) -> tuple[int, str]:
        """Ctrl-C: its exit code and messages."""
        self._process.send_signal(signal.SIGINT)
        assert self._process.stderr is not None
        messages = await self._process.stderr.read()
        await self._reading
        return await self._process.wait(), messages.decode()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            event = json.loads(line)
            self.seen.append((event["height"], event["index"], event["transaction"]))
            self._more.set()
