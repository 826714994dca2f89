"""Rows of the fault table about leaving a view and beginning the next."""

from __future__ import annotations

import pytest

from consensus.messages import (
    Commit,
    NewView,
    Prepare,
    PrePrepare,
    SignedMessage,
    Suspect,
    ViewChange,
)
from consensus.records import Prepared
from ledger.block import null_digest
from ledger.types import Height, View
from tests.simulation.adversary import Adversary
from tests.simulation.disk import Disk
from tests.simulation.scenario import settle
from tests.simulation.stage import build, first_commit, message_in, node
from tests.simulation.world import World

SEEDS = range(3)


def test_row_13_of_two_prepared_values_the_later_view_wins() -> None:
    """d1 is prepared in view 0 at validator 3 alone, d2 in view 1 at validator 2 alone."""
    world = build(13)
    zero, _, two, three = world.names

    def staged(sender: str, to: str, frame: object) -> bool:
        message = message_in(world, frame)
        if isinstance(message, Commit):
            return message.view >= 2
        if isinstance(message, Prepare):
            return message.view >= 2 or to == (three, two)[message.view]
        if isinstance(message, ViewChange):
            return (message.view, sender) not in ((1, three), (2, zero))
        return not (isinstance(message, NewView) and message.view == 1 and to == three)

    world.network.filter = staged
    world.submit(1)
    world.run(12_000, lambda: world.checker.top >= 1)
    prepared = {
        item.certificate.view: item.certificate.digest
        for index in (2, 3)
        for item in node(world, index).disk.log.reopen(Height(0))[0]
        if isinstance(item, Prepared)
    }
    assert prepared[View(0)] != prepared[View(1)], "the stage: two values were prepared"
    assert node(world, 0).ledger.decided[1][0] == prepared[View(1)]
    world.network.calm()
    settle(world, 15_000)


@pytest.mark.parametrize("seed", SEEDS)
def test_row_14_a_hidden_certificate_does_not_undo_a_decision(seed: int) -> None:
    """Only validator 1 knows that height 5 is decided, and is cut off; validator 3 hides it."""
    world = build(seed, liars={3: "hider"})
    one = world.names[1]
    world.network.filter = lambda sender, to, frame: (
        not (
            isinstance(message := message_in(world, frame), Commit) and message.n >= 5 and to != one
        )
    )
    world.trickle(60, 40)
    assert world.run(5_000, lambda: 5 in node(world, 1).ledger.decided)
    world.network.calm()
    world.network.isolate(one, world.names)
    world.run_for(8_000)
    assert node(world, 2).ledger.executed > 5, "the others went on without it"
    settle(world, 10_000)
    assert node(world, 1).ledger.decided[5] == node(world, 2).ledger.decided[5]


@pytest.mark.parametrize("kind", ["bad-leader", "forking-leader"])
@pytest.mark.parametrize("seed", SEEDS)
def test_row_15_another_o_or_two_new_views(seed: int, kind: str) -> None:
    world = build(seed, liars={1: kind})
    world.network.delay_min, world.network.delay_max = 20, 60
    world.keep_busy(100, 4_000)
    world.run(2_000)
    world.network.isolate(world.names[0], world.names)
    world.run(5_000)
    settle(world, 20_000)
    assert world.totals.views >= 1


def test_row_16_one_view_change_to_a_huge_view_moves_nobody() -> None:
    world = build(16)
    world.nodes[world.names[3]].clear()
    liar = Adversary(world, world.names[3], Disk())
    liar.start()
    world.trickle(40, 50)
    world.run(1_500)
    s = liar.state
    liar.put(liar.others(), ViewChange(View(2**31), s.h, s.h_hash, s.certificate, ()))
    world.run(4_000)
    assert world.totals.views == 0
    settle(world, 5_000)


@pytest.mark.parametrize("n", [4, 7])
@pytest.mark.parametrize("kind", ["stormer", "huge-views"])
def test_row_17_a_storm_of_f_nodes_at_most_doubles_the_rate(kind: str, n: int) -> None:
    def views(liars: dict[int, str]) -> int:
        world = build(17, n, liars=liars, rotation_blocks=20, rotation_blocks_min=20)
        world.trickle(70, 50)
        world.run(4_500)
        settle(world, 5_000)
        return world.totals.views

    f = (n - 1) // 3
    usual = views({})
    assert 2 <= usual <= 10, "planned rotations alone"
    assert views(dict.fromkeys(range(n - f, n), kind)) <= 2 * usual


@pytest.mark.parametrize("seed", SEEDS)
def test_row_19_a_gap_is_filled_by_null_and_order_is_kept(seed: int) -> None:
    """Height 10 is never prepared in view 0, the heights after it are decided."""
    world = build(seed)
    world.network.delay_min, world.network.delay_max = 10, 30
    world.network.filter = lambda sender, to, frame: (
        not (
            isinstance(message := message_in(world, frame), Prepare)
            and (message.view, message.n) == (0, 10)
        )
    )
    world.keep_busy(100, 6_000)
    world.run(7_000)
    settle(world, 10_000)
    ledger = node(world, 2).ledger
    assert ledger.decided[10] == (null_digest(Height(10)), None)
    assert ledger.decided[11][1] is not None
    assert ledger.decided[11][1].first_view == 0, "it kept the value that was decided in view 0"


class Lonely:
    """A stage: from `silent_ms` on nothing is proposed, and validator 3 alone hears the SUSPECTs of
    all, so it leaves the view alone. Then proposals pass again; SUSPECTs still do not.
    """

    def __init__(self, seed: int, silent_ms: int, rotation_blocks: int) -> None:
        self.world = world = build(seed, rotation_blocks=rotation_blocks)
        self.three = node(world, 3)
        self.said: list[SignedMessage] = []
        """What validator 3 said after it left."""
        self.heard: list[tuple[str, object]] = []
        """What it was told before."""
        self._silent = self._left = False
        world.network.filter = self._filter
        world.trickle(400, 50)
        world.run(silent_ms)
        self._silent = True
        assert world.run_for(2_000, lambda: self.three.replica.status.in_view_change)
        self._silent, self._left = False, True
        self.view = self.three.replica.status.view

    def _filter(self, sender: str, to: str, frame: object) -> bool:
        message = message_in(self.world, frame)
        if self._left and sender == self.three.name and message is not None:
            self.said.append(message)
        elif not self._left and to == self.three.name and message is not None:
            self.heard.append((sender, frame))
        if isinstance(message, Suspect):
            return to == self.three.name
        return not (self._silent and isinstance(message, PrePrepare))


@pytest.mark.parametrize("seed", SEEDS)
def test_row_20_a_node_alone_in_a_view_change_follows(seed: int) -> None:
    stage = Lonely(seed, 2_000, 100)
    world, three = stage.world, stage.three
    alone_at = world.now
    world.run_for(2_500)
    assert not world.checker.unplanned_since(alone_at), "nobody follows it"
    assert three.replica.status.in_view_change
    assert three.certified >= node(world, 1).certified - 5, "it catches up"
    world.network.calm()
    world.run_for(6_000)
    assert not three.replica.status.in_view_change, "rotation takes it back in"
    assert not world.checker.unplanned_since(alone_at)


@pytest.mark.parametrize("seed", SEEDS)
def test_row_21_nobody_returns_to_a_view_it_left(seed: int) -> None:
    """The lonely one is shown all of the view it left again, its NEW-VIEW and proposals too."""
    stage = Lonely(seed, 4_500, 60)
    world = stage.world
    assert stage.view == 2, "view 1 began with a NEW-VIEW"
    for delay in (100, 900):
        for sender, frame in stage.heard:
            world.after(delay, stage.three.on_frame, sender, frame)
    world.run_for(1_500)
    votes = [item for item in stage.said if isinstance(item, PrePrepare | Prepare | Commit)]
    assert all(vote.view >= stage.view for vote in votes)
    assert stage.three.replica.status.view == stage.view
    assert stage.said, "it is not silent otherwise"


def test_a_new_view_record_stands_for_its_pre_prepares() -> None:
    """After a power loss of all, the heights in flight are PREPAREd again from that record alone.

    Nobody hears a PREPARE of view 1 before the power loss, so the NEW-VIEW's record is the last of
    each log; after it, height 10 and those above must be decided in view 1 itself.
    """
    world = build(20)
    world.network.delay_min, world.network.delay_max = 10, 30

    def no_prepares(sender: str, to: str, frame: object) -> bool:
        message = message_in(world, frame)
        if isinstance(message, Prepare):
            return message.view == 0 and message.n != 10
        return not (isinstance(message, PrePrepare) and message.view >= 1)

    world.network.filter = no_prepares
    world.keep_busy(100, 4_000)
    assert world.run(
        8_000,
        lambda: all(
            one.replica.status.view == 1 and not one.replica.status.in_view_change
            for one in world.honest_nodes()
        ),
    )
    for one in world.all_nodes():
        one.crash(power=True)
    world.network.calm()
    lost_at = world.now
    for one in world.all_nodes():
        one.start()
    world.run_for(1_000)
    assert first_commit(world, lost_at) <= 1_000, "without waiting for another view"
    assert _views(world) == {1}
    settle(world, 10_000)


def _views(world: World) -> set[int]:
    return {one.replica.status.view for one in world.honest_nodes()}
