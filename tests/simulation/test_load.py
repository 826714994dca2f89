"""Sustained load: always transactions waiting, the window full, bodies full.

What random faults do not show: a core that drops a proposal just beyond the window is as safe and
as live as before, and several times slower.
"""

from __future__ import annotations

import pytest

from tests.simulation.chain import BATCH
from tests.simulation.scenario import settle
from tests.simulation.stage import build, commits, longest_gap, node
from tests.simulation.world import World


def busy(seed: int, n: int, window: int) -> World:
    world = build(seed, n, window=window)
    world.network.delay_min, world.network.delay_max = 20, 60
    world.keep_busy(2 * BATCH * window + 20, 8_000)
    world.run(8_000)
    return world


@pytest.mark.parametrize("n", [4, 7])
def test_four_heights_in_flight_are_nearly_four_times_as_fast(n: int) -> None:
    rates = {window: len(commits(busy(1, n, window), 1_500)) / 6.5 for window in (1, 4)}
    assert rates[1] >= 4.5, "one height after the other, each of about 170 ms"
    assert rates[4] >= 3 * rates[1]


@pytest.mark.parametrize("n", [4, 7])
@pytest.mark.parametrize("seed", range(2))
def test_proposals_just_beyond_a_window_are_kept(seed: int, n: int) -> None:
    """With f down every vote is needed, and on links of 1 to 100 ms some window always lags behind
    the primary's. A dropped proposal waits for a resend: 5 to 7 heights a second, gaps of 0.8 s.
    """
    world = build(seed, n)
    world.network.delay_min, world.network.delay_max = 1, 100
    for index in range(n - (n - 1) // 3, n):
        node(world, index).crash()
    world.keep_busy(100, 8_000)
    world.run(8_000)
    assert len(commits(world, 1_500)) / 6.5 >= 10
    assert longest_gap(world, 1_500) <= 450


@pytest.mark.parametrize("seed", range(2))
def test_bodies_are_full_and_nobody_waits_long(seed: int) -> None:
    world = busy(seed, 4, 4)
    bodies = [block.body for block in node(world, 1).ledger.blocks.values() if block.body]
    full = [body for body in bodies if len(body.transaction_digests) == BATCH]
    assert len(full) >= 0.9 * len(bodies)
    assert longest_gap(world, 1_500) <= 250
    assert not world.checker.unplanned
    settle(world, 5_000)
