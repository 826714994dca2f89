"""Rows of the fault table about crashes, lost power, and logs torn, damaged, deleted or copied."""

from __future__ import annotations

import copy

import pytest

from consensus.effects import AlarmKind
from consensus.messages import Checkpoint, NewView, ViewChange
from node.wal import VoteDamaged
from tests.simulation.chain import BlocksAnswer
from tests.simulation.disk import Disk, SegmentedLog
from tests.simulation.node import Node
from tests.simulation.scenario import check_once_everywhere, mend, settle
from tests.simulation.stage import (
    alarms,
    build,
    commits,
    longest_gap,
    message_in,
    next_commit,
    node,
)
from tests.simulation.world import World

SEEDS = range(3)


@pytest.mark.parametrize("n", [4, 7, 10])
def test_row_06_f_crashed(n: int) -> None:
    world = build(6, n)
    world.trickle(60, 50)
    world.run(2_000)
    for index in range(n - (n - 1) // 3, n):
        node(world, index).crash()
    world.run(4_000)
    assert longest_gap(world, 2_000) <= 500
    assert not world.checker.unplanned


@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_row_07_f_plus_one_crashed_halts_and_resumes(n: int) -> None:
    world = build(7, n)
    world.trickle(120, 50)
    world.run(2_000)
    crashed_at = world.now
    for index in range(n - (n - 1) // 3 - 1, n):
        node(world, index).crash()
    world.run(6_000)
    live = n - (n - 1) // 3 - 1
    assert bool(commits(world, crashed_at + 500)) == (live >= world.validators.quorum)
    mend(world)
    assert next_commit(world) <= 5_000
    settle(world, 10_000)


def _crash_at(turn: int, position: int, victim: int, segmented: bool = False) -> World:
    """Run with one crash: in the victim's `turn`, after `position` of its effects."""
    world = build(23, segmented=segmented)
    for one in world.all_nodes():
        one.execution_ms = 10
    node(world, victim).crash_plan[turn] = position
    world.trickle(8, 40)
    world.run(1_400)
    return world


@pytest.mark.parametrize("victim", [0, 2])
def test_row_23_crash_between_the_log_and_the_send(victim: int) -> None:
    """Everywhere in the turns of some blocks. Whatever it says afterwards is what it said before
    (`Checker.sent`), and with its own vote again it goes on.
    """
    crashes = 0
    for turn in range(15, 95, 9):
        for position in range(3):
            world = _crash_at(turn, position, victim, segmented=position % 2 == 1)
            crashes += world.totals.crashes
            settle(world, 5_000)
            assert alarms(world, AlarmKind.OBSERVER) == []
    assert crashes >= 10


@pytest.mark.parametrize("rolls_forward", [True, False])
def test_row_24_crash_between_decision_and_execution(rolls_forward: bool) -> None:
    """The block is in the block files, not in the ledger; after the restart it is executed once."""
    world = build(24)
    victim = node(world, 2)
    victim.execution_ms, victim.rolls_forward = 60, rolls_forward
    world.trickle(30, 50)
    for round_ in range(1_500, 2_500, 130):
        world.run(round_, lambda: bool(victim.executing.queue))
        waiting = list(victim.executing.queue)
        victim.crash(power=True)
        assert all(n not in victim.ledger.blocks and n in victim.ledger.decided for n in waiting)
        victim.start()
    assert world.totals.crashes >= 5
    settle(world, 5_000)
    check_once_everywhere(world)


@pytest.mark.parametrize("n", [4, 5, 6])
@pytest.mark.parametrize("seed", SEEDS)
def test_row_26_torn_tails_are_cut(seed: int, n: int) -> None:
    """Everyone loses power while writing, again and again, with a liar among them."""
    world = build(seed, n, liars={n - 1: "traitor"}, segmented=True)
    for one in world.all_nodes():
        one.disk_ms, one.torn_chance = 5, 0.2
        for moment in range(1_500, 5_000, 250):
            world.after(moment, one.start)
    world.trickle(60, 60)
    world.run(5_000)
    settle(world, 20_000)
    assert sum(one.disk.log.cut_bytes for one in world.all_nodes()) > 0


@pytest.mark.parametrize("seed", range(10))
def test_row_27_a_flipped_bit_in_the_log_stops_the_node(seed: int) -> None:
    world = build(seed, segmented=True)
    world.trickle(60, 50)
    world.run(2_000)
    victim = node(world, 1)
    victim.crash()
    assert isinstance(victim.disk.log, SegmentedLog)
    victim.disk.log.flip_bit(world.random)
    victim.start()
    assert isinstance(victim.refused, VoteDamaged)
    assert not victim.alive
    world.run(4_500)
    assert longest_gap(world, 2_000) <= 2_500, "the others go on"


@pytest.mark.parametrize("everyone", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_row_31_a_deleted_log_is_never_voted_with(seed: int, everyone: bool) -> None:
    """Also if power is lost everywhere at that moment, so that no peer remembers its votes."""
    world = build(seed)
    world.trickle(80, 50)
    world.run(2_000)
    victim = node(world, 1)
    for one in world.all_nodes() if everyone else [victim]:
        one.crash(power=True)
    victim.lose_log()
    for one in world.all_nodes():
        one.start()
    world.run(5_000)
    assert alarms(world, AlarmKind.OBSERVER) == [victim.name]
    assert victim.replica.status.observer is not None
    settle(world, 10_000)


@pytest.mark.parametrize("seed", SEEDS)
def test_row_31_a_restored_machine_is_noticed(seed: int) -> None:
    """Its whole disk goes back two seconds; it votes no more, and follows."""
    world = build(seed)
    world.trickle(100, 50)
    world.run(2_000)
    victim = node(world, 2)
    saved = copy.deepcopy(victim.disk)
    world.run(4_000)
    victim.crash()
    victim.disk, victim.lost_log = saved, True
    victim.start()
    world.run(6_000)
    assert alarms(world, AlarmKind.OBSERVER) == [victim.name]
    settle(world, 10_000)
    assert victim.replica.status.observer is not None


@pytest.mark.parametrize("copied_ms", [None, 500, 2_000])
@pytest.mark.parametrize("seed", SEEDS)
def test_row_32_one_key_on_two_hosts(seed: int, copied_ms: int | None) -> None:
    """A second host starts with the same key: on an empty disk, on an old copy of the first's, or
    on one of this very moment. The last cannot know; then only agreement is due.
    """
    world = build(seed)
    world.trickle(100, 50, 200)
    first = node(world, 2)
    disk: Disk | None = None
    if copied_ms is not None:
        world.run(copied_ms)
        disk = copy.deepcopy(first.disk)
    world.run(2_000)
    world.faulty[first.name] = None
    second = Node(world, first.name, disk)
    second.start()
    world.run(6_000)
    if copied_ms != 2_000:
        assert second.replica.status.observer is not None
        assert second.name in alarms(world, AlarmKind.OBSERVER)
    settle(world, 10_000)


@pytest.mark.parametrize("kind", ["nobody", "traitor", "forking-leader", "hider", "yes-sayer"])
@pytest.mark.parametrize("n", [4, 7])
def test_row_33_power_is_lost_everywhere(n: int, kind: str) -> None:
    """Three times, also in a view change; the liars lose power, too. Nothing committed is lost."""
    f = (n - 1) // 3
    liars = {} if kind == "nobody" else dict.fromkeys(range(f), kind)
    world = build(33, n, liars=liars, segmented=True)
    for one in world.all_nodes():
        one.disk_ms = 5
    world.trickle(80, 60)
    for moment in (1_600, 2_900, 4_700):
        world.run(moment)
        before = {
            item
            for one in world.honest_nodes()
            for item, at in one.ledger.executed_in.items()
            if at <= world.checker.top
        }
        for one in world.all_nodes():
            one.crash(power=True)
        for one in world.all_nodes():
            one.start()
        world.run_for(1)
        after = {item for one in world.honest_nodes() for item in one.ledger.executed_in}
        assert before <= after
    assert next_commit(world) <= 10_000
    settle(world, 20_000)


def test_row_31_a_new_disk_beside_a_used_key() -> None:
    world = build(1)
    world.trickle(20, 50)
    world.run(1_500)
    victim = node(world, 3)
    victim.crash()
    victim.disk, victim.lost_log = Disk(), True
    victim.start()
    world.run(3_000)
    assert alarms(world, AlarmKind.OBSERVER) == [victim.name]
    settle(world, 5_000)


def test_row_33_a_certificate_lost_with_the_power() -> None:
    """A replica prepared h+W, then lost the unsynced Certificate of h, and hears of h from nobody.

    Its log still proves h, so it takes part in the view change with all that it prepared.
    """
    world = build(34)
    world.network.delay_min, world.network.delay_max = 10, 30
    for one in world.all_nodes():
        one.execution_ms = 100
    world.keep_busy(100, 5_000)
    victim, window = node(world, 2), world.domain.window

    def staged() -> bool:
        loose, prepared = victim.ledger.loose, victim.replica._state.safety.prepared
        return bool(loose) and max(prepared, default=0) == loose[0].n + window

    def deaf(sender: str, to: str, frame: object) -> bool:
        proof = isinstance(frame, BlocksAnswer) or isinstance(
            message_in(world, frame), Checkpoint | ViewChange | NewView
        )
        return to != victim.name or not proof

    world.run(1_500)
    assert world.run(6_000, staged), "the stage"
    victim.crash()
    victim.ledger.lose(0)
    victim.start()
    world.network.filter = deaf
    world.network.isolate(world.names[0], world.names)
    world.run_for(6_000)
    own = victim.replica._state.safety.view_change
    assert own is not None
    assert world.verify(own.encode()) is not None
    assert max(item.n for item in own.message.prepared) == own.message.stable_n + window
    victim.crash()
    victim.start()
    settle(world, 20_000)
