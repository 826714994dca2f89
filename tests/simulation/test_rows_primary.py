"""Rows of the fault table in which the primary does harm."""

from __future__ import annotations

import pytest

from consensus.effects import AlarmKind
from tests.simulation.adversary_primary import CENSORED
from tests.simulation.scenario import check_once_everywhere, settle
from tests.simulation.stage import (
    alarms,
    build,
    commits,
    evidence_against,
    first_commit,
    longest_gap,
    node,
)

SEEDS = range(3)


@pytest.mark.parametrize("n", [4, 5, 6, 7])
@pytest.mark.parametrize("kind", ["equivocator", "traitor"])
@pytest.mark.parametrize("seed", SEEDS)
def test_row_01_primary_sends_two_pre_prepares(seed: int, kind: str, n: int) -> None:
    f = (n - 1) // 3
    world = build(seed, n, liars=dict.fromkeys(range(f), kind))
    world.trickle(20, 100)
    world.run(4_000)
    settle(world, 10_000)
    assert evidence_against(world, world.names[0]) >= 1
    assert world.checker.unplanned, "the liar's view was not left"


@pytest.mark.parametrize("n", [4, 7, 10])
@pytest.mark.parametrize("seed", SEEDS)
def test_row_02_silent_primary_costs_two_and_a_half_seconds(seed: int, n: int) -> None:
    world = build(seed, n)
    world.trickle(100, 50)
    killed_at = world.random.randint(1_500, 3_000)
    world.after(killed_at, node(world, 0).crash)
    world.run(6_000)
    assert longest_gap(world, killed_at) <= 2_500


def test_row_02_a_primary_that_only_does_not_propose() -> None:
    world = build(1, liars={0: "silent-primary"})
    world.trickle(60, 50)
    world.run(5_000)
    assert first_commit(world, 1_000) <= 2_500


@pytest.mark.parametrize("seed", range(2))
def test_row_03_primary_just_under_the_time_out_costs_its_turn_only(seed: int) -> None:
    """It takes 0.7 s for each proposal, so it is never suspected, and hands over after 60 s."""
    world = build(seed, liars={0: "slow-primary"})
    world.trickle(300, 250)
    world.run(75_000)
    views = world.checker
    assert not views.unplanned
    assert 1_000 < views.planned[min(views.planned)] <= 63_000
    turn = [at for at in commits(world, 2_000) if at < 60_000]
    assert len(turn) >= 60
    after = [at for at in commits(world, 65_000) if at < 74_000]
    assert len(after) >= 30, "the next primary is not slow"
    settle(world, 5_000)


@pytest.mark.parametrize("n", [4, 7])
@pytest.mark.parametrize("seed", SEEDS)
def test_row_04_primary_starves_f_nodes(seed: int, n: int) -> None:
    world = build(seed, n, liars={0: "starver"})
    world.trickle(40, 80)
    world.run(5_000)
    settle(world, 5_000)
    assert not world.checker.unplanned, "no view change is needed"


@pytest.mark.parametrize("seed", SEEDS)
def test_row_05_primary_censors_one_organisation(seed: int) -> None:
    world = build(seed, liars={0: "censor"})
    world.trickle(150, 100)
    world.after(2_000, world.submit, 1, CENSORED)
    world.run(15_500)
    (censored,) = [item for item, sender in world.transactions.items() if sender == CENSORED]
    assert all(censored in one.ledger.executed_in for one in world.honest_nodes())
    reasons = {entered.reason for one in world.honest_nodes() for _, entered in one.entered}
    assert "the primary passed over an organisation" in reasons


def test_row_05_a_flood_frames_no_honest_primary() -> None:
    world = build(5)
    world.network.delay_min, world.network.delay_max = 20, 60
    world.keep_busy(200, 14_000)
    world.run(1_000)
    world.submit(1, "small")
    world.run(14_000)
    assert not world.checker.unplanned


@pytest.mark.parametrize("n", [4, 7, 10])
def test_row_18_f_plus_one_faulty_primaries_in_a_row(n: int) -> None:
    """The time-outs add up to T0 * (2^(f+1) - 1); ticks and links get 0.75 s for each."""
    f = (n - 1) // 3
    world = build(3, n, liars=dict.fromkeys(range(f + 1), "silent-primary"))
    world.trickle(200, 100)
    bound = 1_000 * (2 ** (f + 1) - 1) + 750 * (f + 1)
    world.run(1_000 + bound)
    assert first_commit(world, 1_000) <= bound
    settle(world, 30_000)


@pytest.mark.parametrize("seed", SEEDS)
def test_row_48_a_transaction_proposed_again_is_executed_once(seed: int) -> None:
    """Here only the ledger's rule can be wrong; a second execution would give another header."""
    world = build(seed, liars={0: "repeater"})
    world.trickle(40, 50)
    world.run(4_000)
    settle(world, 5_000)
    check_once_everywhere(world)
    proposed = sum(
        len(block.body.transaction_digests)
        for block in node(world, 1).ledger.blocks.values()
        if block.body is not None
    )
    assert proposed > 40, "the liar repeated some"
    assert sum(block.fresh for block in node(world, 1).ledger.blocks.values()) == 40


@pytest.mark.parametrize("seed", SEEDS)
def test_row_51_a_node_that_executes_differently_halts_alone(seed: int) -> None:
    world = build(seed)
    wrong = node(world, 3)
    wrong.wrong_from = 10
    world.trickle(40, 50)
    world.run(4_000)
    assert alarms(world, AlarmKind.DIVERGED) == [wrong.name]
    assert wrong.certified == 9
    assert wrong.ledger.blocks[10].hash != wrong.header_hash(10)
    others = [one for one in world.honest_nodes() if one is not wrong]
    assert all(one.ledger.executed == others[0].ledger.executed > 20 for one in others)
    wrong.crash()
    wrong.start()
    assert wrong.certified == 9, "it stays halted after a restart"


def test_row_51_too_many_different_results_stop_the_chain() -> None:
    """Two of four differ: no header gets a quorum. An alarm, no SUSPECT, no fork."""
    world = build(1)
    for index in (2, 3):
        node(world, index).wrong_from = 10
    world.trickle(40, 50)
    world.run(12_000)
    assert world.checker.top == 9
    assert set(alarms(world, AlarmKind.NONDETERMINISM)) == set(world.names)
    assert not world.checker.unplanned
