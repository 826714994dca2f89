"""Rows of the fault table about links, clocks and clients."""

from __future__ import annotations

import pytest

from tests.simulation.scenario import HOUR_MS, mend, settle
from tests.simulation.stage import build, commits, longest_gap, next_commit, node
from tests.simulation.world import World

SEEDS = range(3)
HEALED_MS = 5_000
"""Commits come within this of healing."""


def certified_times(world: World) -> list[tuple[int, int]]:
    """Of each certified block: when it was certified, and its own time, both in virtual ms."""
    ledger = max((one.ledger for one in world.honest_nodes()), key=lambda item: item.executed)
    return [
        (at, ledger.blocks[n].time_ms - world.wall_ms + world.now)
        for n, (_, at) in sorted(world.checker.certified.items())
        if n in ledger.blocks
    ]


@pytest.mark.parametrize("n", [4, 7])
@pytest.mark.parametrize("offset", [HOUR_MS, -HOUR_MS])
def test_row_34_clocks_an_hour_off_on_f_nodes(offset: int, n: int) -> None:
    """The first f primaries among them. Their proposals are refused, no block's time is theirs."""
    world = build(34, n)
    for index in range((n - 1) // 3):
        node(world, index).clock_offset = offset
    world.checker.clock_ahead_ms = max(0, offset)
    world.trickle(60, 100)
    world.run(8_000)
    settle(world, 10_000)
    times = certified_times(world)
    assert len(times) >= 20
    assert all(-15_000 <= time - at <= 500 for at, time in times)


@pytest.mark.parametrize("jump", [-60_000, -3_000, 3_000, 60_000])
def test_row_34_a_clock_jumps_and_back(jump: int) -> None:
    """Block time is monotonic (`Checker.executed`) and the jump of one validator costs a view."""
    world = build(35)
    victim = node(world, 0)

    def move(by: int) -> None:
        victim.clock_offset += by

    world.checker.clock_ahead_ms = max(0, jump)
    world.after(2_000, move, jump)
    world.after(5_000, move, -jump)
    world.trickle(120, 50)
    world.run(8_000)
    assert longest_gap(world, 1_500) <= 2_500
    settle(world, 5_000)
    assert all(time - at <= 500 + max(0, jump) for at, time in certified_times(world))


def test_row_34_clocks_drift_apart() -> None:
    """A hundred times as fast as bad quartz: 20 ms apart after each second of the run."""
    world = build(36, 7)
    for index, one in enumerate(world.all_nodes()):
        one.clock_drift = (index - 3) / 300
    world.checker.clock_ahead_ms = 1_000
    world.trickle(100, 100)
    world.run(11_000)
    assert longest_gap(world, 1_500) <= 2_500
    settle(world, 5_000)


@pytest.mark.parametrize("seed", range(5))
def test_row_35_two_two_partition(seed: int) -> None:
    world = build(seed)
    world.trickle(150, 50)
    world.run(2_000)
    names = world.random.sample(world.names, 4)
    world.network.partition(names[:2], names[2:])
    world.run_for(world.random.randint(1_000, 15_000))
    assert not commits(world, 2_500), "nobody has a quorum"
    mend(world)
    assert next_commit(world) <= HEALED_MS
    settle(world, 10_000)


@pytest.mark.parametrize("n", [4, 7, 10])
@pytest.mark.parametrize("primary", [True, False])
def test_row_36_a_minority_is_cut_off(primary: bool, n: int) -> None:
    """The majority goes on, behind a new primary if need be; the minority catches up."""
    world = build(36, n)
    world.trickle(150, 50)
    world.run(2_000)
    f = (n - 1) // 3
    minority = world.names[:f] if primary else world.names[-f:]
    rest = [name for name in world.names if name not in minority]
    world.network.partition(minority, rest)
    world.run(7_000)
    # Each of the first f primaries in turn may be away: their time-outs add up.
    assert longest_gap(world, 2_000) <= (2_500 + 1_500 * (f - 1) if primary else 500)
    mend(world)
    assert next_commit(world) <= HEALED_MS
    settle(world, 10_000)


@pytest.mark.parametrize("deaf", [True, False])
@pytest.mark.parametrize("index", [0, 2])
@pytest.mark.parametrize("seed", SEEDS)
def test_row_37_one_way_links(seed: int, index: int, deaf: bool) -> None:
    """A validator, or the primary, that hears nobody, or whom nobody hears."""
    world = build(seed)
    world.trickle(120, 50)
    world.run(2_000)
    name = world.names[index]
    for other in world.others[name]:
        world.network.cut(*((other, name) if deaf else (name, other)))
    world.run(6_000)
    assert longest_gap(world, 2_000) <= 2_500
    mend(world)
    assert next_commit(world) <= HEALED_MS
    settle(world, 10_000)


@pytest.mark.parametrize("period", [40, 300, 1_100])
@pytest.mark.parametrize("seed", SEEDS)
def test_row_38_flapping_links(seed: int, period: int) -> None:
    """All links of the primary and of one backup go up and down."""
    world = build(seed)
    world.trickle(120, 50)

    def flap(up: bool) -> None:
        world.network.heal()
        if not up:
            for name in world.names[:2]:
                world.network.isolate(name, world.names)
        if world.now < 7_000:
            world.after(world.random.randint(period // 2, 2 * period), flap, not up)

    world.after(1_500, flap, False)
    world.run(7_000)
    mend(world)
    world.run_for(2 * period)
    mend(world)
    assert next_commit(world) <= HEALED_MS
    settle(world, 10_000)


@pytest.mark.parametrize("n", [4, 7, 10])
def test_row_39_loss_duplication_and_reordering(n: int) -> None:
    """30 % of all frames are lost, 30 % come twice, 10 % up to two seconds late.

    One run may be unlucky (height 4 to 14 in ten seconds), five together are not.
    """
    heights = []
    for seed in range(39, 44):
        world = build(seed, n)
        network = world.network
        network.delay_max, network.loss, network.duplicate, network.straggle = 20, 0.3, 0.3, 0.1
        world.trickle(40, 150)
        world.run(10_000)
        heights.append(world.checker.top)
        settle(world, 15_000)
    assert sum(heights) >= 5 * 6, "it goes on while it lasts"


@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize("seed", SEEDS)
def test_row_50_a_client_talks_to_one_node_only(seed: int, at: int) -> None:
    """Its node passes the transactions on, also while it cannot reach the primary."""
    world = build(seed)
    for number in range(40):
        world.after(1_000 + 50 * number, world.submit, 1, "clients", world.names[at])
    if at:
        world.after(1_500, world.network.partition, [world.names[at]], [world.names[0]])
    world.run(4_000)
    done = node(world, 3).ledger.executed_in
    assert world.transactions.keys() <= done.keys()


def test_two_paused_validators_come_back() -> None:
    """SIGSTOP for longer than any clock check allows; what waited in the links is handled then."""
    world = build(43)
    world.trickle(200, 50)
    for index in (0, 1):
        world.after(2_000, node(world, index).pause)
        world.after(22_000, node(world, index).resume)
    world.run(22_000)
    assert not commits(world, 3_000)
    assert next_commit(world) <= HEALED_MS
    settle(world, 10_000)
