"""A client that follows the events of validators which die, over connections that break."""

from __future__ import annotations

import asyncio
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from ledger.store import LedgerStore
from ledger.types import Height
from tests.chaos.checker import judge
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Figure, Found
from tests.chaos.follower import Follower
from tests.chaos.load import Load
from tests.chaos.scissors import Scissors

pytestmark = pytest.mark.chaos

CUTS = 50
CUT_BYTES_MAX = 8_000


def told_by(cluster: Cluster, name: str) -> list[tuple[int, int, str]]:
    """All events in the ledger of a stopped validator."""
    with closing(LedgerStore.open(cluster.home(name), cluster.genesis)) as store:
        found = store.events(Height(0))
        return [(event.height, event.index, event.tx_id.hex()) for event in found]


@pytest.mark.timeout(600)
async def test_every_event_comes_once_and_in_order(found: Found, figure: Figure) -> None:
    """Fifty cuts, and in the middle of them `kill -9` and a restart of one of the two followed."""
    cluster = found(proxied=False)
    await asyncio.to_thread(cluster.start)
    await asyncio.to_thread(cluster.wait_ready)
    first, second, third, _ = cluster.names
    ports = [urlsplit(cluster.entry(name).api).port for name in (first, second)]
    one, two = (Scissors(port, CUT_BYTES_MAX) for port in ports if port is not None)
    with Load(cluster, rate=20, in_flight=256, nodes=[third]) as load:
        async with (
            one.listening() as here,
            two.listening() as there,
            Follower.of([here, there], "--from-height=0") as follower,
        ):
            killed = False
            while (cuts := one.cuts + two.cuts) < CUTS:
                await asyncio.sleep(0.02)
                if not killed and cuts >= CUTS // 2:
                    killed = True
                    await asyncio.to_thread(cluster.kill, first)
                    await asyncio.to_thread(cluster.start, first)
            one.sharp = two.sharp = False
            await asyncio.to_thread(load.stop)
            await asyncio.to_thread(cluster.wait_agreed)
            await asyncio.to_thread(cluster.kill, third)
            expected = told_by(cluster, third)
            await follower.wait(len(expected))
            code, messages = await follower.ended()
    figure("events followed", events=len(expected), cuts=cuts, kills=1)
    assert follower.seen == expected
    assert len(expected) >= len(load.history.acknowledged)
    assert code == 0
    assert "Traceback" not in messages
    judge(cluster, load.history)
