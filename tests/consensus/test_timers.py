"""The tick: when a replica suspects, how long it waits, what it says again."""

from __future__ import annotations

import pytest

from consensus.effects import Effect
from consensus.events import Tick
from consensus.messages import (
    Checkpoint,
    Commit,
    Prepare,
    PrePrepare,
    Status,
    Suspect,
    ViewChange,
)
from consensus.timers import timeout_ms
from ledger.types import Height, TimeMs, View
from tests.consensus.group import START_MS, Group, Solo, digest, header, sent

A = digest("a")


@pytest.fixture
def group() -> Group:
    return Group()


@pytest.fixture
def backup(group: Group) -> Solo:
    """In contact with everyone; the first tick resets its timer."""
    solo = Solo(group, "org-01")
    solo.live(250)
    return solo


def suspects(effects: list[Effect]) -> list[Suspect]:
    return sent(effects, Suspect)


# --- T(k) ---


@pytest.mark.parametrize(
    ("t0", "n", "table"),
    [
        (1_000, 4, {0: 1, 1: 2, 2: 4, 3: 8, 7: 8, 8: 16, 15: 16, 16: 32, 24: 64}),
        (1_000, 7, {3: 8, 13: 8, 14: 16, 27: 16, 28: 32}),
        (3_000, 4, {0: 3, 1: 6, 2: 8, 7: 8, 8: 16}),
    ],
)
def test_the_back_off_table(t0: int, n: int, table: dict[int, int]) -> None:
    solo = Solo(Group(n), "org-01", timeout_ms=t0)
    state = solo.replica._state
    for failed, seconds in table.items():
        state.failed_views = failed
        assert timeout_ms(state) == seconds * 1_000


def test_a_driver_can_tell_when_the_time_out_expires(backup: Solo) -> None:
    left = backup.replica.timer_left_ms(backup.at())
    assert 0 < left <= 1_000
    assert backup.replica.timer_left_ms(TimeMs(backup.now + 100)) == left - 100
    for later, suspected in ((left - 1, False), (1, True)):
        backup.now += later
        assert bool(suspects(backup.step(Tick(backup.at(), waiting=True)))) == suspected
    assert backup.replica.timer_left_ms(backup.at()) == 0


def test_waiting_for_a_silent_primary_takes_t0_only(group: Group) -> None:
    backup = Solo(group, "org-03")
    state = backup.replica._state
    backup.live(250)
    backup.suspect("org-00", "org-01", "org-02")
    state.failed_views = 3
    assert timeout_ms(state) == 8_000, "the next primary, org-01, was just heard"
    for silent_ticks in range(1, 6):
        backup.hear("org-00", "org-02")
        backup.tick()
        state.failed_views = 3
        assert timeout_ms(state) == (8_000 if silent_ticks <= 4 else 1_000)
    backup.receive(group.new_view(1))
    for _ in range(5):
        backup.hear("org-00", "org-02")
        backup.tick()
    state.failed_views = 3
    assert timeout_ms(state) == 8_000, "in a view its silence is what the timer measures"


def test_a_primary_to_be_is_not_silent_to_itself(group: Group, backup: Solo) -> None:
    backup.live(2_000)
    backup.suspect("org-00", "org-02", "org-03")
    backup.replica._state.failed_views = 3
    assert timeout_ms(backup.replica._state) == 8_000


@pytest.mark.parametrize("t0", [1_000, 3_000])
def test_a_waiting_transaction_is_waited_for_t0(group: Group, t0: int) -> None:
    backup = Solo(group, "org-01", timeout_ms=t0)
    backup.live(250)
    assert not suspects(backup.live(t0 - 250, waiting=True))
    effects = backup.live(250, waiting=True)
    assert suspects(effects) == [Suspect(View(0), Height(0), 1)]


def test_suspicion_is_said_each_tick(backup: Solo) -> None:
    backup.live(1_000, waiting=True)
    assert len(suspects(backup.live(1_000, waiting=True))) == 4


def test_nothing_is_owed_nothing_is_suspected(backup: Solo) -> None:
    assert not suspects(backup.live(9_000))


def test_a_height_in_flight_is_owed(group: Group, backup: Solo) -> None:
    backup.take(group.body(1))
    assert suspects(backup.live(1_500))


def test_an_executed_height_without_certificate_is_owed(backup: Solo) -> None:
    backup.decide(1)
    backup.executed(1)
    backup.replica._state.safety.accepted.clear()
    assert suspects(backup.live(1_500))


def test_progress_starts_the_timer_afresh(backup: Solo) -> None:
    for n in range(1, 8):
        assert not suspects(backup.live(750, waiting=True))
        backup.run(n)
    assert suspects(backup.live(1_250, waiting=True))


def test_no_block_for_the_idle_period_and_t_is_suspicious(group: Group) -> None:
    backup = Solo(group, "org-01", idle_block_ms=10_000)
    assert not suspects(backup.live(10_500))
    assert suspects(backup.live(500))


def test_after_a_long_silence_the_next_view_gets_its_time(group: Group) -> None:
    """Else every tick would give up a view, and the back-off would be used up in seconds."""
    backup = Solo(group, "org-01")
    backup.live(60_000)
    backup.suspect("org-00", "org-02", "org-03")
    assert backup.replica.status.view == 1
    assert not suspects(backup.live(1_500, view=1))
    backup.enter(2)
    assert not suspects(backup.live(750, view=2))


def test_regained_contact_after_a_long_silence_gives_the_primary_its_time(group: Group) -> None:
    backup = Solo(group, "org-01")
    backup.tick(240)
    assert not suspects(backup.live(750))


def test_the_timer_stands_still_while_the_own_worker_executes(backup: Solo) -> None:
    backup.live(500, waiting=True)
    backup.decide(1)
    assert not suspects(backup.live(9_000, waiting=True))
    backup.executed(1)
    backup.checkpoints(1)
    assert not suspects(backup.live(750, waiting=True))
    assert suspects(backup.live(500, waiting=True))


def test_a_view_change_is_waited_for_and_then_given_up(group: Group) -> None:
    backup = Solo(group, "org-03")
    backup.live(250)
    backup.suspect("org-00", "org-01", "org-02")
    status = backup.replica.status
    assert (status.view, status.in_view_change, status.failed_views) == (1, True, 1)
    backup.receive_all(group.view_change(name, 1) for name in ("org-00", "org-01"))
    assert not suspects(backup.live(1_750, view=1)), "T(1) is 2 s"
    assert suspects(backup.live(250, view=1))[0].view == 1


def test_who_waits_alone_wants_the_others_to_come_and_says_nothing_of_the_next_primary(
    group: Group,
) -> None:
    """With a liar's SUSPECT its own would cost the others the next view as they enter it."""
    backup = Solo(group, "org-03")
    backup.live(250)
    backup.suspect("org-00", "org-01", "org-02")
    backup.receive(group.view_change("org-00", 1))
    assert {item.view for item in suspects(backup.live(4_000))} == {0}
    backup.receive(group.view_change("org-02", 2))
    assert not suspects(backup.live(1_750, view=1)), "a quorum waits now, as long as T(1)"
    assert {item.view for item in suspects(backup.live(500, view=1))} == {1}


def test_who_waits_alone_follows_others_who_suspect_the_view(group: Group) -> None:
    backup = Solo(group, "org-03")
    backup.live(250)
    backup.suspect("org-00", "org-01", "org-02")
    backup.suspect("org-00", view=1)
    assert suspects(backup.suspect("org-01", view=1)) == [Suspect(View(1), Height(0), 4)]


# --- k ---


def fail_views(backup: Solo, count: int) -> None:
    for _ in range(count):
        view = backup.replica.status.view
        backup.suspect("org-00", "org-02", "org-03", view=view)
    assert backup.replica.status.failed_views == count


def test_each_view_that_a_quorum_gave_up_counts(backup: Solo) -> None:
    fail_views(backup, 3)
    assert backup.replica.status.view == 3


def test_a_certified_block_resets_the_back_off(group: Group, backup: Solo) -> None:
    fail_views(backup, 3)
    backup.receive(group.new_view(3))
    assert backup.replica.status.failed_views == 3
    backup.run(1, view=3)
    assert backup.replica.status.failed_views == 0


def test_regained_contact_with_a_quorum_resets_the_back_off(group: Group, backup: Solo) -> None:
    fail_views(backup, 3)
    for _ in range(6):
        backup.hear("org-02")
        backup.tick()
    assert backup.replica.status.failed_views == 3, "two of four are no quorum"
    backup.hear("org-02", "org-03")
    backup.tick()
    assert backup.replica.status.failed_views == 0
    backup.replica._state.failed_views = 3
    backup.live(2_000)
    assert backup.replica.status.failed_views == 3, "contact was never lost again"


def test_contact_needs_a_quorum(group: Group) -> None:
    group = Group(7)
    backup = Solo(group, "org-01")
    backup.replica._state.failed_views = 3
    backup.hear("org-02", "org-03", "org-04")
    backup.tick()
    assert backup.replica.status.failed_views == 3
    backup.hear("org-02", "org-03", "org-04", "org-05")
    backup.tick()
    assert backup.replica.status.failed_views == 0


# --- clocks ---


def test_a_jump_of_the_wall_clock_moves_no_timer(backup: Solo) -> None:
    for jump in (3_600_000, -7_200_000):
        backup.now += jump
        backup.hear()
        assert not suspects(backup.tick(2, waiting=True))
        backup.replica._state.timer_ms = backup.replica._state.clock_ms


# --- STATUS and saying it again ---


def test_status_says_where_we_are(backup: Solo) -> None:
    backup.run(1)
    backup.decide(2)
    backup.executed(2)
    backup.commits(0, 3, A)
    (status,) = sent(backup.tick(), Status)
    assert status == Status(Height(1), Height(2), View(0), False, A)
    backup.suspect("org-00", "org-02", "org-03", h=1)
    (status,) = sent(backup.tick(), Status)
    assert (status.view, status.in_view_change) == (1, True)


def said(effects: list[Effect]) -> list[object]:
    return [
        message
        for kind in (PrePrepare, Prepare, Commit, Checkpoint, ViewChange)
        for message in sent(effects, kind)
    ]


def test_own_votes_are_sent_again_unchanged_while_nothing_moves(backup: Solo) -> None:
    body = backup.prepare_height(1)
    assert not said(backup.tick()), "something moved since the tick before"
    again = [Prepare(View(0), Height(1), body.digest), Commit(View(0), Height(1), body.digest)]
    assert said(backup.tick()) == again
    assert said(backup.tick()) == again


def test_a_vote_that_was_lost_is_sent_again_although_later_ones_keep_coming(
    group: Group, backup: Solo
) -> None:
    body = backup.prepare_height(1)
    own = Commit(View(0), Height(1), body.digest)
    ticks = []
    for tick in range(9):
        backup.commits(0, 2 + tick // 2, A, ("org-02", "org-03")[tick % 2])
        if own in said(backup.tick()):
            ticks.append(tick)
    assert ticks == [2, 4, 8]


def test_own_checkpoints_and_proposals_are_sent_again(group: Group) -> None:
    primary = Solo(group, "org-00")
    body = group.body(1)
    primary.propose(body)
    primary.tick()
    assert said(primary.tick()) == [PrePrepare(View(0), Height(1), body.digest)]
    primary.prepares(0, 1, body.digest)
    primary.commits(0, 1, body.digest)
    primary.executed(1)
    primary.tick()
    assert Checkpoint(Height(1), header(1)) in said(primary.tick())
    primary.checkpoints(1)
    primary.tick()
    assert said(primary.tick()) == []


def test_the_view_change_is_sent_again_as_it_was(backup: Solo) -> None:
    backup.prepare_height(1)
    first = sent(backup.suspect("org-00", "org-02", "org-03"), ViewChange)
    backup.tick()
    assert said(backup.tick()) == first
    assert backup.now > START_MS
