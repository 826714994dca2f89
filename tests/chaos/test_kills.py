"""Hundreds of `kill -9` at random moments of commits, one validator at a time, on a network.

Beside the mixed run in `test_crashes.py`, where more than f die at once: here a quorum is always
there, so that the others commit while one dies, and each death meets another moment of a commit.
"""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from tests.chaos.checker import judge
from tests.chaos.conftest import Figure, Found
from tests.chaos.figures import rounds, summary
from tests.chaos.load import Load

pytestmark = pytest.mark.chaos

KILLS = 500
RATE = 20.0
"""Transactions a second: as many blocks, so that nearly any moment is one of a commit."""

PAUSE_SECONDS_MAX = 0.2
"""Longest time from a recovery to the next kill: four blocks."""


@pytest.mark.timeout(7200)
def test_row_25_five_hundred_kills_while_blocks_are_committed(found: Found, figure: Figure) -> None:
    """Each restart comes up by itself, nothing acknowledged is lost or doubled, all agree.

    QIONG_CHAOS_CRASHES is how many.
    """
    cluster = found(proxied=False)
    cluster.start()
    cluster.wait_ready()
    ready: list[float] = []
    victims: Counter[str] = Counter()
    primaries = 0
    with Load(cluster, rate=RATE, in_flight=512) as load:
        load.wait_commits(40)
        began = time.monotonic()
        for _ in range(rounds("CRASHES", KILLS)):
            time.sleep(random.uniform(0, PAUSE_SECONDS_MAX))
            victim = random.choice(cluster.names)
            primaries += victim == cluster.primary()
            cluster.kill(victim)
            restarted = time.monotonic()
            cluster.start(victim)
            cluster.wait_ready(victim)
            ready.append(time.monotonic() - restarted)
            victims[victim] += 1
        seconds = time.monotonic() - began
        cluster.wait_voting()
        load.wait_commits(20)
    cluster.wait_agreed()
    for name in cluster.names:
        assert "Traceback" not in cluster.log(name)
    report = judge(cluster, load.history)
    figure("restart to ready, seconds", **summary(ready))
    figure(
        "kill -9 while blocks are committed",
        kills=sum(victims.values()),
        of_the_primary=primaries,
        recoveries=len(ready),
        seconds=round(seconds),
        **report.figures(),
    )
    assert report.failed == 0
    assert len(set(report.heights.values())) == 1
