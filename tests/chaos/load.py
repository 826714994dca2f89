"""Clients under load, and the history of what they were told.

Each transaction is signed once and its bytes are offered until a node tells its outcome, to another
node after every error: that is safe because the same bytes have the same id. What was never
answered stays `unknown` and is kept apart, for it may be in the chain or not. Acknowledged is only
what an API called committed (or failed: executed, with a failed receipt).

Rows are unique, so that a row executed twice would show: an `issue` of the same licence fails.

Times are `time.monotonic()` of this process, in seconds.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final

import aiohttp
import uvloop

from cli.compose import compose
from devnet import sample
from ledger import canonical
from ledger.keys import SigningKey
from ledger.transaction import Call
from ledger.types import Digest
from node.keyfile import Keyring
from tests.chaos.cluster import Cluster

ANSWER_SECONDS_MAX: Final = 25.0
"""Longest wait for one answer: the API's own wait for a commit, and some."""

CONNECT_SECONDS_MAX: Final = 2.0
RETRY_SECONDS: Final = 0.1
RETRY_SECONDS_MAX: Final = 0.8
"""First and longest wait before the same bytes are offered to the next node."""

STOP_SECONDS_MAX: Final = 30.0
"""What transactions under way get at the end to have an outcome."""

MSGPACK: Final = "application/msgpack"
FINAL: Final = ("committed", "failed", "expired")

SYMBOLS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(slots=True)
class Operation:
    """One transaction as its client saw it.

    `outcome` is committed, failed, expired (never executed), refused (a final refusal by the first
    node that was asked) or unknown. `height` is what the API said, `node` who said it.
    """

    id: Digest
    raw: bytes
    calls: int
    invoked_s: float
    acknowledged_s: float | None = None
    height: int | None = None
    outcome: str = "unknown"
    node: str = ""
    offers: int = 0

    @property
    def executed(self) -> bool:
        """Whether a client was told that it is in the chain."""
        return self.outcome in ("committed", "failed")


@dataclass
class History:
    """All operations of one load, in the order of their invocation."""

    operations: list[Operation] = field(default_factory=list)

    def __iter__(self) -> Iterator[Operation]:
        return iter(list(self.operations))

    def __len__(self) -> int:
        return len(self.operations)

    @property
    def acknowledged(self) -> list[Operation]:
        return [operation for operation in self if operation.executed]

    def count(self, outcome: str) -> int:
        return sum(operation.outcome == outcome for operation in self)

    def commit_after(self, moment: float) -> float | None:
        """When the first transaction that was invoked after `moment` was acknowledged.

        Those invoked earlier do not count: they may have been decided already.
        """
        times = [
            operation.acknowledged_s
            for operation in self
            if operation.invoked_s >= moment
            and operation.executed
            and operation.acknowledged_s is not None
        ]
        return min(times, default=None)


class Load:
    """Clients that keep `in_flight` transactions of `calls` calls under way.

    With `rate` (transactions a second) they begin that often instead, as long as fewer than
    `in_flight` are under way. `nodes` limits which nodes they talk to. A context manager; leaving
    it waits for what is under way.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        in_flight: int = 64,
        rate: float | None = None,
        nodes: Sequence[str] | None = None,
        calls: int = 1,
    ) -> None:
        self.history = History()
        self._rows = Rows(cluster, calls)
        self._urls = {name: cluster.entry(name).api for name in nodes or cluster.names}
        self._in_flight = in_flight
        self._rate = rate
        self._calls = calls
        self._began = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop = uvloop.new_event_loop()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="load", daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        self._began.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Begin no more, wait for what is under way. A second call does nothing."""
        if self._thread.is_alive() and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(STOP_SECONDS_MAX + ANSWER_SECONDS_MAX)
        assert not self._thread.is_alive(), "the load does not end"
        if self._error is not None:
            raise self._error

    def commits_per_second(self, begin: float, end: float) -> float:
        """Calls acknowledged between two moments, per second."""
        calls = sum(
            operation.calls
            for operation in self.history
            if operation.outcome == "committed" and begin <= (operation.acknowledged_s or 0) < end
        )
        return calls / (end - begin)

    def wait_commits(self, count: int, seconds: float = 60) -> None:
        """Wait for `count` more acknowledgements."""
        goal = len(self.history.acknowledged) + count
        deadline = time.monotonic() + seconds
        while len(self.history.acknowledged) < goal:
            assert time.monotonic() < deadline, f"{count} commits did not come in {seconds} s"
            time.sleep(0.05)

    def wait_commit_after(self, moment: float, seconds: float = 60) -> float:
        """Seconds from `moment` to the first commit of what was invoked after it; waits for it."""
        while (committed := self.history.commit_after(moment)) is None:
            assert time.monotonic() < moment + seconds, f"no commit in {seconds} s"
            time.sleep(0.02)
        return committed - moment

    def _main(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._run())
        except BaseException as error:
            self._error = error
        finally:
            self._began.set()

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        self._began.set()
        timeout = aiohttp.ClientTimeout(ANSWER_SECONDS_MAX, sock_connect=CONNECT_SECONDS_MAX)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            begin = self._keep if self._rate is None else self._pace
            clients = await begin(session)
            done, late = await asyncio.wait(clients, timeout=STOP_SECONDS_MAX)
            for client in late:
                client.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            for client in done:
                client.result()

    async def _keep(self, session: aiohttp.ClientSession) -> list[asyncio.Task[None]]:
        stop = self._stop
        assert stop is not None

        async def client(start: int) -> None:
            for turn in itertools.count(start):
                if stop.is_set():
                    return
                await self._submit(session, turn)

        clients = [asyncio.create_task(client(i)) for i in range(self._in_flight)]
        await stop.wait()
        return clients

    async def _pace(self, session: aiohttp.ClientSession) -> list[asyncio.Task[None]]:
        assert self._stop is not None
        assert self._rate is not None
        room = asyncio.Semaphore(self._in_flight)
        clients: set[asyncio.Task[None]] = set()
        due = time.monotonic()

        def ended(task: asyncio.Task[None]) -> None:
            clients.discard(task)
            room.release()

        for turn in itertools.count():
            if self._stop.is_set():
                break
            await room.acquire()
            task = asyncio.create_task(self._submit(session, turn))
            clients.add(task)
            task.add_done_callback(ended)
            due = max(due + 1 / self._rate, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
        return list(clients) or [asyncio.create_task(asyncio.sleep(0))]

    async def _submit(self, session: aiohttp.ClientSession, turn: int) -> None:
        """Offer one new transaction until its outcome is known or the load ends."""
        signed = self._rows.transaction()
        operation = Operation(signed.id, signed.raw, self._calls, time.monotonic())
        self.history.operations.append(operation)
        names = list(self._urls)
        for attempt in itertools.count():
            name = names[(turn + attempt) % len(names)]
            operation.offers += 1
            answer = await offer(session, self._urls[name], signed.raw)
            if answer is not None and _note(operation, name, *answer):
                return
            await asyncio.sleep(min(RETRY_SECONDS * 2**attempt, RETRY_SECONDS_MAX))


async def offer(
    session: aiohttp.ClientSession, url: str, raw: bytes
) -> tuple[int, dict[str, Any]] | None:
    """POST a transaction and wait for its outcome: status and answer, None if nobody answered."""
    try:
        async with session.post(
            f"{url}/v1/transactions?wait=committed",
            data=canonical.encode(raw),
            headers={"Content-Type": MSGPACK},
        ) as response:
            return response.status, await response.json(content_type=None)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None


def _note(operation: Operation, node: str, http: int, answer: dict[str, Any]) -> bool:
    """Take down what a node answered; True if that settles it."""
    if http in (200, 202):
        if answer["status"] not in FINAL:
            return False
        operation.outcome = answer["status"]
        operation.height = answer.get("height")
    elif http in (408, 429) or http >= 500:
        return False
    elif operation.offers > 1:
        # An earlier node may have admitted it: this refusal proves nothing.
        operation.outcome = "unknown"
        return True
    else:
        operation.outcome = "refused"
    operation.node = node
    operation.acknowledged_s = time.monotonic()
    return True


class Rows:
    """Makes signed transactions of unique rows: licences and credit attestations by turns."""

    def __init__(self, cluster: Cluster, calls: int = 1) -> None:
        self._chain_id = Digest(bytes.fromhex(cluster.manifest.chain_id))
        self._calls = calls
        keyring = Keyring(cluster.manifest.keys)
        self._keys: dict[str, SigningKey] = {
            department.uscc: keyring.key(department.id) for department in sample.departments()
        }
        self._turn = itertools.count()
        self._serial = itertools.count(random.randrange(10**8))

    def transaction(self) -> Any:
        """A new one; all its calls are of one department, which signs it."""
        turn = next(self._turn)
        make = self._licence if turn % 2 else self._credit
        issuer, call = make(turn)
        rest = [make(turn)[1] for _ in range(self._calls - 1)]
        return compose(self._chain_id, [call, *rest], [self._keys[issuer]])

    def _licence(self, turn: int) -> tuple[str, Call]:
        row = sample.licences()[turn % len(sample.licences())]
        fields = row.id.rsplit(".", 3)[0].split(".")
        serial = f"{next(self._serial) % 10**9:09d}{secrets.randbelow(100):02d}"
        unchecked = [*fields[5:], serial, "001"]
        check = _check_symbol("".join(unchecked))
        identifier = ".".join([*fields[:5], *unchecked, check])
        args = [identifier, row.type, row.holder, row.issued, row.expires]
        return row.issuer, Call("licence", "issue", args)

    def _credit(self, turn: int) -> tuple[str, Call]:
        row = sample.attestations()[turn % len(sample.attestations())]
        args = [row.subject, row.list, row.grade, secrets.token_hex(32), row.expires]
        return row.issuer, Call("credit", "attest", args)


def _check_symbol(text: str) -> str:
    """The symbol that completes `text` by ISO 7064 MOD 37,36 (section 9, hybrid systems)."""
    product = 36
    for symbol in text:
        product = ((product + SYMBOLS.index(symbol)) % 36 or 36) * 2 % 37
    return SYMBOLS[(1 - product) % 36]
