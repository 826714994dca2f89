"""One validator lies: the others agree, go on, and hold the evidence where there is any."""

from __future__ import annotations

import pytest

from tests.simulation import adversary
from tests.simulation.node import Node
from tests.simulation.test_seeds import CALM_MS, ROUGH_MS, add_transactions, settle
from tests.simulation.world import World


@pytest.mark.parametrize("kind", adversary.KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_one_liar_in_four(seed: int, kind: str) -> None:
    world = World(seed, 4)
    place = seed % 2
    nodes = [
        adversary.KINDS[kind](world, name) if index == place else Node(world, name)
        for index, name in enumerate(world.names)
    ]
    for node in nodes:
        node.start()
    add_transactions(world, 40, 150)
    world.run(ROUGH_MS)
    honest = [node for index, node in enumerate(nodes) if index != place]
    settle(world, honest, ROUGH_MS + CALM_MS)


@pytest.mark.parametrize("seed", range(3))
def test_one_key_run_twice(seed: int) -> None:
    world = World(seed, 4)
    twins = adversary.make_twins(world, world.names[0])
    honest = [Node(world, name) for name in world.names[1:]]
    for node in [*twins, *honest]:
        node.start()
    add_transactions(world, 40, 150)
    world.run(ROUGH_MS)
    settle(world, honest, ROUGH_MS + CALM_MS)
