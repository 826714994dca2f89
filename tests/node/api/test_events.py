"""`qiong events` against a real API whose connections break: every event once, in order."""

import asyncio
import itertools
from typing import Any

import pytest

from node.api import routes_events
from node.api.app import make_app
from node.api.server import ApiServer
from node.metrics import Metrics
from tests.chaos.follower import SECONDS_MAX, Follower
from tests.chaos.scissors import Scissors

CUTS = 50
CUT_BYTES_MAX = 3_000
"""A head and some six events."""


def issue(api: Any, row: int) -> None:
    """Commit a block of one licence of the sample; it tells one event."""
    signed = api.transaction(row)
    api.engine.pending[signed.id] = signed
    api.engine.commit()


def told_by(api: Any, contract: str | None = None) -> list[tuple[int, int, str]]:
    """All events of the ledger."""
    found = api.engine.store.events(0, 0, contract)
    return [(event.height, event.index, event.tx_id.hex()) for event in found]


async def test_one_contract_from_a_height(api: Any) -> None:
    for row in range(3):
        issue(api, row)
    async with Follower.of([api.url], "--from-height=2", "--contract=licence") as it:
        await it.wait(2)
        issue(api, 3)
        await it.wait(3)
        assert (await it.ended())[0] == 0
    assert it.seen == told_by(api)[1:]


async def test_what_a_stream_has_read_is_not_read_again(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few of the events are wanted."""
    monkeypatch.setattr(routes_events, "POLL_SECONDS", 0.01)
    asked: list[int] = []
    events = api.engine.store.events

    def noted(height: int, index: int, contract: str | None) -> Any:
        asked.append(height)
        return events(height, index, contract)

    monkeypatch.setattr(api.engine.store, "events", noted)
    issue(api, 0)
    async with api.session.get(api.url + "/v1/events?from=0&contract=credit"):
        for row, begins in ((1, 0), (2, 2), (3, 3)):
            while asked[-1:] != [begins]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            issue(api, row)
    assert asked[:3] == [0, 2, 3]


async def test_a_server_that_stops_ends_its_streams(api: Any, options: Any) -> None:
    server = ApiServer(make_app(api.engine, options, Metrics(api.engine.status, options.home)))
    _, port = await server.start("127.0.0.1", 0)
    async with api.session.get(f"http://127.0.0.1:{port}/v1/events") as response:
        await server.stop()
        assert await response.content.read() == b""


async def test_a_client_that_is_cut_off_fifty_times_misses_nothing(api: Any, options: Any) -> None:
    """Blocks are made meanwhile, and one of the two nodes it may follow is restarted."""

    async def started(port: int) -> tuple[ApiServer, int]:
        metrics = Metrics(api.engine.status, options.home)
        server = ApiServer(make_app(api.engine, options, metrics))
        return server, (await server.start("127.0.0.1", port))[1]

    other, port = await started(0)
    one, two = (Scissors(p, CUT_BYTES_MAX) for p in (api.port, port))
    async with (
        one.listening() as first,
        two.listening() as second,
        asyncio.timeout(SECONDS_MAX),
        Follower.of([first, second], "--from-height=0") as it,
    ):
        restarted = False
        for row in itertools.count():
            issue(api, row)
            await asyncio.sleep(0.03)
            cuts = one.cuts + two.cuts
            if not restarted and cuts >= CUTS // 2:
                restarted = True
                await other.stop()
                other, _ = await started(port)
            if cuts >= CUTS:
                break
        one.sharp = two.sharp = False
        expected = told_by(api)
        await it.wait(len(expected))
        code, messages = await it.ended()
    await other.stop()
    assert it.seen == expected
    assert code == 0
    assert "going on from" in messages
    assert "Traceback" not in messages
