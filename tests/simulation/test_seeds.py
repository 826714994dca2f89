"""Seeded runs of the real replicas under loss, delay, reordering, duplication and crashes.

Each run has a rough phase and a calm one. The world checks safety all the time; at the end every
node must have executed every transaction and all must stand at one height.
"""

from __future__ import annotations

import pytest

from ledger.hashing import sha256
from tests.simulation.node import Node
from tests.simulation.world import Totals, Violation, World

ROUGH_MS = 12_000
CALM_MS = 120_000
TRANSACTIONS = 60

SEEDS = range(12)
SIZES = (4, 5, 7)


def make(seed: int, n: int) -> tuple[World, list[Node]]:
    world = World(seed, n)
    nodes = [Node(world, name) for name in world.names]
    for node in nodes:
        node.start()
    return world, nodes


def add_transactions(world: World, count: int, every_ms: int) -> None:
    def add(number: int) -> None:
        world.transactions.append(sha256(b"transaction %d" % number))

    for number in range(count):
        world.after(1_000 + number * every_ms, add, number)


def settle(world: World, nodes: list[Node], until: int) -> None:
    """Calm the network, start whoever is down, and demand that everything gets done everywhere."""
    world.network.loss = world.network.duplicate = world.network.straggle = 0.0
    for node in nodes:
        node.crash_chance = 0.0
        node.start()

    def done() -> bool:
        tops = {max(node.disk.blocks, default=0) for node in nodes}
        return len(tops) == 1 and all(
            transaction in node.done for node in nodes for transaction in world.transactions
        )

    if not world.run(until, done):
        heights = [max(node.disk.blocks, default=0) for node in nodes]
        world.fail(f"stuck: executed {heights}, done {[len(node.done) for node in nodes]}")


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_bad_network_and_crashing_backups(seed: int, n: int) -> None:
    world, nodes = make(seed, n)
    network = world.network
    network.loss = world.random.choice([0.0, 0.05, 0.2])
    network.duplicate = world.random.choice([0.0, 0.1])
    network.straggle = world.random.choice([0.0, 0.05])
    for node in nodes[1 : 1 + world.validators.f]:
        node.crash_chance = world.random.choice([0.0, 0.002, 0.01])
        for moment in range(2_000, ROUGH_MS, 2_000):
            world.after(moment, node.start)
    add_transactions(world, TRANSACTIONS, ROUGH_MS // TRANSACTIONS)
    world.run(ROUGH_MS)
    settle(world, nodes, ROUGH_MS + CALM_MS)
    assert world.totals.heights >= 5


@pytest.mark.parametrize("seed", range(6))
def test_a_primary_that_stays_down_is_replaced(seed: int) -> None:
    world, nodes = make(seed, 4)
    add_transactions(world, TRANSACTIONS, 150)
    world.after(world.random.randint(1_500, 6_000), nodes[0].crash)
    world.run(ROUGH_MS)
    assert world.totals.views >= 1
    settle(world, nodes, ROUGH_MS + CALM_MS)


@pytest.mark.parametrize("seed", range(4))
def test_power_is_lost_everywhere_at_once(seed: int) -> None:
    world, nodes = make(seed, 4)
    add_transactions(world, TRANSACTIONS, 100)
    world.run(world.random.randint(1_500, 6_000))
    for node in nodes:
        node.crash()
    settle(world, nodes, ROUGH_MS + CALM_MS)


def test_a_seed_replays_a_run_exactly() -> None:
    def run() -> tuple[Totals, int]:
        world, _ = make(3, 4)
        world.network.loss = 0.1
        add_transactions(world, 20, 100)
        world.run(8_000)
        return world.totals, world.random.randint(0, 1 << 60)

    assert run() == run()


def test_a_vote_without_its_record_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checker is itself checked: a node that writes nothing is caught."""
    world, nodes = make(1, 4)
    monkeypatch.setattr(nodes[1].disk, "wal", _Forgetful())
    add_transactions(world, 5, 100)
    with pytest.raises(Violation, match="without its record"):
        world.run(ROUGH_MS)


class _Forgetful(list[object]):
    """A log that keeps nothing."""

    def append(self, item: object) -> None:
        pass
