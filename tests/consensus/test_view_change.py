"""SUSPECT, VIEW-CHANGE, NEW-VIEW, rotation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.effects import CheckBody, Effect, SaveCertificate, ViewEntered
from consensus.events import Censored, Received
from consensus.messages import Commit, FetchBlocks, NewView, Prepare, Status, Suspect, ViewChange
from consensus.records import NewViewTaken, Prepared, PrePrepared, ViewChanged
from consensus.verifier import Signed
from ledger.types import Height, View
from tests.consensus.group import (
    Group,
    Solo,
    accused,
    digest,
    header,
    null,
    of,
    recorded,
    sent,
    sent_to,
)

A, B = digest("a"), digest("b")


@pytest.fixture
def group() -> Group:
    return Group()


@pytest.fixture
def backup(group: Group) -> Solo:
    return Solo(group, "org-01")


def left_to(effects: list[Effect]) -> list[int]:
    return [message.view for message in sent(effects, ViewChange)]


# --- SUSPECT ---


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9, 10])
def test_f_plus_one_suspects_are_joined_and_q_leave_the_view(n: int) -> None:
    group = Group(n)
    backup = Solo(group, "org-01")
    joined: list[int] = []
    left: list[int] = []
    for name in backup.others:
        effects = backup.suspect(name)
        joined.append(len(sent(effects, Suspect)))
        left.append(len(sent(effects, ViewChange)))
    assert joined.index(1) + 1 == group.weak
    assert left.index(1) + 1 == group.quorum - 1, "our own counts"
    assert sum(left) == 1
    assert backup.replica.status.view == 1


def test_the_same_suspect_twice_counts_once(backup: Solo) -> None:
    assert not sent(backup.suspect("org-02", "org-02", "org-02"), Suspect)


def test_a_suspect_counts_only_on_its_signer_s_own_link(group: Group, backup: Solo) -> None:
    for name in ("org-00", "org-02", "org-03"):
        vote = group.sign(name, Suspect(View(0), Height(0), 1))
        assert not sent(
            backup.receive(vote, link="org-03" if name != "org-03" else "org-02"), Suspect
        )
    assert backup.suspects == []


def test_a_suspect_counts_for_its_view_and_every_lower_one(group: Group, backup: Solo) -> None:
    backup.enter(2)
    assert not sent(backup.suspect("org-00", "org-02", view=1), Suspect)
    assert sent(backup.suspect("org-00", view=2) + backup.suspect("org-02", view=7), Suspect)


def test_a_suspect_expires_after_ten_seconds(backup: Solo) -> None:
    backup.suspect("org-00")
    backup.live(9_750)
    assert backup.suspects == ["org-00"]
    backup.live(500)
    assert backup.suspects == []
    assert not sent(backup.suspect("org-02"), Suspect)


@pytest.mark.parametrize(("h", "counts"), [(0, False), (1, True), (5, True), (9, True)])
def test_a_suspect_of_one_far_behind_does_not_count(backup: Solo, h: int, counts: bool) -> None:
    backup.run(5)
    backup.suspect("org-00", h=h)
    assert (backup.suspects == ["org-00"]) == counts


def test_a_replica_that_suspects_keeps_working(group: Group, backup: Solo) -> None:
    backup.suspect("org-02")
    backup.step(Censored(backup.at(), "department"))
    assert backup.suspects == ["org-02", "org-01"]
    body = group.body(1)
    assert sent(backup.take(body), Prepare)
    assert sent(backup.prepares(0, 1, body.digest), Commit)


def test_censorship_is_suspected(backup: Solo) -> None:
    effects = backup.step(Censored(backup.at(), "department"))
    assert [item.reason for item in sent(effects, Suspect)] == [3]


def test_the_reason_for_leaving_is_told(backup: Solo) -> None:
    effects = backup.suspect(*backup.others)
    (entered,) = of(effects, ViewEntered)
    assert (entered.view, entered.primary, entered.in_view_change) == (1, "org-01", True)
    assert entered.reason == "no progress in time"


# --- VIEW-CHANGE ---


def test_a_view_change_is_recorded_and_carries_what_was_prepared(backup: Solo) -> None:
    backup.run(2)
    third, fourth = backup.prepare_height(3), backup.decide(4)
    effects = backup.suspect("org-00", "org-02", "org-03", h=2)
    (message,) = sent(effects, ViewChange)
    assert (message.view, message.stable_n, message.stable_hash) == (1, 2, header(2))
    assert message.certificate == backup.certificates[2]
    held = [(item.n, item.view, item.digest) for item in message.prepared]
    assert held == [(3, 0, third.digest), (4, 0, fourth.digest)]
    (record,) = recorded(effects, ViewChanged)
    assert backup.group.verifier.verify(record.message).message == message


def test_a_prepared_certificate_lives_until_the_certificate_not_the_execution(
    backup: Solo,
) -> None:
    for n in (1, 2):
        backup.decide(n)
        backup.executed(n)
    (message,) = sent(backup.suspect("org-00", "org-02", "org-03"), ViewChange)
    assert [item.n for item in message.prepared] == [1, 2]


def test_while_it_changes_view_a_replica_neither_prepares_nor_commits(
    group: Group, backup: Solo
) -> None:
    body = group.body(1)
    backup.take(body)
    backup.suspect("org-00", "org-02", "org-03")
    assert not sent(backup.prepares(0, 1, body.digest), Commit)
    assert not sent(backup.take(group.body(2)), Prepare)


def test_a_proposal_for_the_view_it_changes_to_waits_for_the_new_view(group: Group) -> None:
    backup = Solo(group, "org-03")
    backup.suspect("org-00", "org-01", "org-02")
    body = group.body(1, 1)
    assert not of(backup.receive(group.pre_prepare(1, 1, body.digest)), CheckBody)
    assert [item.n for item in of(backup.receive(group.new_view(1)), CheckBody)] == [1]


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9, 10])
def test_f_plus_one_view_changes_above_are_followed_to_the_f_plus_first_highest(n: int) -> None:
    group = Group(n)
    backup = Solo(group, "org-01")
    views = list(range(2, 2 + group.weak))
    effects: list[Effect] = []
    for name, view in zip(backup.others, views, strict=False):
        assert left_to(effects) == []
        effects = backup.receive(group.view_change(name, view))
    assert left_to(effects) == [min(views)]


def test_one_huge_view_moves_nobody(group: Group, backup: Solo) -> None:
    assert not left_to(backup.receive(group.view_change("org-00", 2**31)))
    effects = backup.receive(group.view_change("org-02", 1))
    assert left_to(effects) == [1]
    effects = backup.receive(group.view_change("org-03", 2))
    assert left_to(effects) == [2], "the second highest of 2^31, 2 and 1"


def test_view_changes_to_the_present_view_or_below_are_not_followed(
    group: Group, backup: Solo
) -> None:
    backup.enter(2)
    effects = backup.receive_all([group.view_change("org-00", 2), group.view_change("org-03", 1)])
    assert left_to(effects) == []


@given(
    st.sampled_from([4, 7]),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12)), max_size=25),
)
def test_f_liars_alone_never_move_a_view(n: int, votes: list[tuple[int, int]]) -> None:
    group = Group(n)
    backup = Solo(group, "org-01")
    liars = backup.others[: group.validators.f]
    for who, view in votes:
        liar = liars[who % len(liars)]
        effects = backup.receive(group.view_change(liar, view))
        effects += backup.suspect(liar, view=view)
        assert left_to(effects) == []
    assert backup.replica.status.view == 0


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 12)), max_size=25))
def test_the_view_is_always_backed_by_f_plus_one(votes: list[tuple[int, int]]) -> None:
    group = Group()
    backup = Solo(group, "org-03")
    highest: dict[str, int] = {}
    for who, view in votes:
        name = backup.others[who]
        backup.receive(group.view_change(name, view))
        highest[name] = max(view, highest.get(name, 0))
        backed = sorted(highest.values(), reverse=True)
        present = backup.replica.status.view
        assert sum(item >= present for item in backed) >= 2 or present == 0


def test_two_view_changes_for_a_view_are_evidence(group: Group, backup: Solo) -> None:
    for _ in range(2):
        assert not accused(backup.receive(group.view_change("org-02", 1)))
    other = group.view_change("org-02", 1, 0, [group.prepared(0, 1, A)])
    assert accused(backup.receive(other)) == ["org-02"]
    assert not accused(backup.receive(group.view_change("org-02", 1)))
    assert not accused(backup.receive(group.view_change("org-02", 2)))


def test_one_view_change_is_kept_for_a_signer_its_highest(group: Group, backup: Solo) -> None:
    for view in (3, 5, 4, 2):
        backup.receive(group.view_change("org-02", view))
    kept = backup.replica._state.peers["org-02"].view_change
    assert kept is not None
    assert kept.message.view == 5


def test_a_certificate_inside_a_view_change_counts(group: Group, backup: Solo) -> None:
    backup.decide(1)
    backup.executed(1)
    effects = backup.receive(group.view_change("org-02", 1, 1))
    assert [item.certificate.n for item in of(effects, SaveCertificate)] == [1]


# --- NEW-VIEW ---


def test_the_primary_leads_with_a_quorum_of_view_changes(group: Group) -> None:
    leader = Solo(group, "org-01")
    held = group.prepared(0, 2, A)
    effects = leader.receive(group.view_change("org-00", 1))
    assert not sent(effects, NewView)
    effects = leader.receive(group.view_change("org-02", 1, 0, [held]))
    assert left_to(effects) == [1]
    (message,) = sent(effects, NewView)
    assert [(item.n, item.digest) for item in message.proposals] == [(1, null(1)), (2, A)]
    (record,) = recorded(effects, NewViewTaken)
    taken = group.verifier.verify(record.message)
    assert isinstance(taken, Signed)
    assert taken.message.view == 1
    slot = leader.replica.proposal_slot
    assert slot is not None
    assert slot.n == 3, "new proposals start above hi"


def test_a_backup_does_not_lead(group: Group) -> None:
    backup = Solo(group, "org-03")
    effects = backup.receive_all(group.view_change(name, 1) for name in backup.others)
    assert not sent(effects, NewView)


@pytest.mark.parametrize("n", [4, 5, 6, 7, 10])
def test_a_leader_waits_for_q(n: int) -> None:
    group = Group(n)
    leader = Solo(group, "org-01")
    counts = [
        len(sent(leader.receive(group.view_change(name, 1)), NewView)) for name in leader.others
    ]
    needed = group.quorum - 1
    assert counts == [1 if place == needed else 0 for place in range(1, n)]


def test_a_leader_that_lags_reaches_lo_first(group: Group) -> None:
    leader = Solo(group, "org-01")
    leader.decide(1)
    effects = leader.receive_all(group.view_change(name, 1, 1) for name in leader.others)
    assert not sent(effects, NewView)
    assert leader.replica.proposal_slot is None
    effects = leader.executed(1)
    assert [message.view for message in sent(effects, NewView)] == [1]
    assert leader.replica.status.certified == 1


def obliging(group: Group, lo: int = 0, view: int = 2) -> Signed[NewView]:
    """From `lo`: A at lo+1, NULL at lo+2, B at lo+3."""
    held = [group.prepared(0, lo + 1, A), group.prepared(1, lo + 3, B)]
    return group.new_view(
        view,
        [
            group.view_change("org-00", view, lo, held),
            group.view_change("org-02", view, lo),
            group.view_change("org-03", view, lo),
        ],
    )


def test_a_new_view_is_recorded_and_every_o_is_prepared(group: Group, backup: Solo) -> None:
    effects = backup.receive(obliging(group))
    assert [record.epoch for record in recorded(effects, NewViewTaken)] == [0]
    voted = [(vote.view, vote.n, vote.digest) for vote in sent(effects, Prepare)]
    assert voted == [(2, 1, A), (2, 2, null(2)), (2, 3, B)]
    assert not recorded(effects, PrePrepared), "the NEW-VIEW stands for them"


def test_what_was_executed_already_is_prepared_again_in_the_new_view(
    group: Group, backup: Solo
) -> None:
    body = backup.decide(1)
    backup.executed(1)
    held = group.prepared(0, 1, body.digest)
    changes = [group.view_change(name, 2, 0, [held]) for name in ("org-00", "org-02", "org-03")]
    effects = backup.receive(group.new_view(2, changes))
    assert [(vote.n, vote.digest) for vote in sent(effects, Prepare)] == [(1, body.digest)]
    assert sent(backup.prepares(2, 1, body.digest), Commit)


def test_o_is_prepared_and_committed_without_its_body(group: Group, backup: Solo) -> None:
    backup.receive(obliging(group))
    effects = backup.prepares(2, 1, A, "org-00", "org-03")
    assert [vote.n for vote in sent(effects, Commit)] == [1]
    assert recorded(effects, Prepared)


def test_up_to_hi_no_other_proposal_is_taken(group: Group, backup: Solo) -> None:
    backup.receive(obliging(group))
    for n in (1, 2, 3):
        assert not sent(backup.take(group.body(n, 2, at_ms=backup.now)), Prepare)
    assert sent(backup.take(group.body(4, 2, at_ms=backup.now)), Prepare)


def test_nobody_votes_in_a_view_before_its_first_height(group: Group, backup: Solo) -> None:
    """One Byzantine primary could halt the chain for good otherwise."""
    backup.receive(obliging(group, lo=2))
    status = backup.replica.status
    assert (status.view, status.in_view_change, status.certified) == (2, False, 0)
    assert not sent(backup.effects, Prepare)
    effects = backup.take(group.body(1, 2, at_ms=backup.now))
    effects += backup.take(group.body(6, 2, at_ms=backup.now))
    assert not sent(effects, Prepare)
    assert not sent(backup.prepares(2, 3, A), Commit)


def test_the_lagging_fetch_to_lo_and_vote_then(group: Group, backup: Solo) -> None:
    first, second = backup.decide(1), backup.decide(2)
    assert first != second
    effects = backup.receive(obliging(group, lo=2))
    assert not sent(effects, Prepare)
    backup.executed(1)
    effects = backup.executed(2)
    assert [item.certificate.n for item in of(effects, SaveCertificate)] == [2]
    assert [vote.n for vote in sent(effects, Prepare)] == [3, 4, 5]


def test_blocks_are_fetched_to_lo(group: Group, backup: Solo) -> None:
    backup.receive(obliging(group, lo=2))
    backup.hear("org-00", h=2, view=2)
    assert sent_to(backup.tick(), FetchBlocks) == [("org-00", FetchBlocks(Height(1)))]


def test_a_new_view_for_an_old_view_changes_nothing(group: Group, backup: Solo) -> None:
    backup.receive(group.view_change("org-02", 3))
    backup.receive(group.view_change("org-03", 3))
    assert backup.replica.status.view == 3
    effects = backup.receive(obliging(group))
    assert not recorded(effects, NewViewTaken)
    assert backup.replica.status.view == 3
    assert backup.replica.status.in_view_change


def test_the_same_new_view_again_changes_nothing(group: Group, backup: Solo) -> None:
    backup.receive(obliging(group))
    assert backup.receive(obliging(group)) == []


def test_two_new_views_for_a_view_are_evidence(group: Group, backup: Solo) -> None:
    backup.receive(obliging(group))
    effects = backup.receive(group.new_view(2))
    assert accused(effects) == ["org-02"]
    assert backup.replica.status.view == 2


def test_a_peer_below_our_view_is_shown_the_new_view(group: Group, backup: Solo) -> None:
    backup.receive(obliging(group))
    for changes in ({"view": 0}, {"view": 2, "in_view_change": True}):
        backup.now += 250
        shown = sent_to(backup.hear("org-03", **changes), NewView)
        assert [(to, message.view) for to, message in shown] == [("org-03", 2)]
    for changes in ({"view": 2}, {"view": 3}, {"view": 3, "in_view_change": True}):
        backup.now += 250
        assert not sent_to(backup.hear("org-03", **changes), NewView)


def test_a_status_counts_only_on_its_signer_s_own_link(group: Group, backup: Solo) -> None:
    backup.receive(obliging(group))
    status = group.sign("org-03", Status(Height(9), Height(9), View(0), False, None))
    effects = backup.step(Received(backup.at(), "org-00", status))
    assert not sent_to(effects, NewView)
    assert backup.replica.status.peers == {}


# --- planned rotation ---


def test_a_turn_ends_after_r_blocks(group: Group) -> None:
    backup = Solo(group, "org-02", rotation_blocks=3)
    backup.hear()
    backup.run(2)
    assert backup.replica.status.view == 0
    assert not of(backup.receive(group.pre_prepare(0, 4, A)), CheckBody), "above start + R"
    backup.decide(3)
    backup.executed(3)
    effects = backup.checkpoints(3)
    assert left_to(effects) == [1]
    (entered,) = of(effects, ViewEntered)
    assert entered.reason == "planned rotation"


def test_a_primary_proposes_nothing_beyond_its_turn(group: Group) -> None:
    primary = Solo(group, "org-00", rotation_blocks=2)
    for n in (1, 2):
        slot = primary.replica.proposal_slot
        assert slot is not None
        primary.propose(group.body(n))
    assert primary.replica.proposal_slot is None
    assert not sent(primary.propose(group.body(3)), Prepare)


@pytest.mark.parametrize(
    ("blocks", "time_ms", "over"),
    [(4, 8_000, True), (4, 7_999, False), (3, 99_000, False), (5, 8_000, True)],
)
def test_a_turn_ends_after_eight_seconds_of_header_time_with_four_blocks(
    group: Group, blocks: int, time_ms: int, over: bool
) -> None:
    backup = Solo(group, "org-02")
    backup.hear()
    start = backup.headers[Height(0)].time_ms
    backup.run(blocks - 1, header_ms=start + 1)
    assert backup.replica.status.view == 0
    backup.decide(blocks)
    backup.executed(blocks, start + time_ms)
    assert bool(left_to(backup.checkpoints(blocks))) == over


def test_the_turn_counts_from_the_view_s_first_height(group: Group) -> None:
    backup = Solo(group, "org-02", rotation_blocks=3)
    backup.hear()
    backup.run(2)
    changes = [group.view_change(name, 1, 2) for name in ("org-00", "org-01", "org-03")]
    backup.enter(1, changes)
    backup.run(4, view=1)
    assert backup.replica.status.view == 1
    backup.decide(5, view=1)
    backup.executed(5)
    assert left_to(backup.checkpoints(5)) == [2]


def test_whoever_enters_a_view_late_counts_its_turn_from_the_same_header(group: Group) -> None:
    """Else the primary leaves by its count, and the others wait for it by theirs."""
    backup = Solo(group, "org-02")
    backup.hear()
    start = backup.headers[Height(0)].time_ms
    for n in (1, 2, 3):
        backup.run(n, header_ms=start + 1_000 * n)
    changes = [group.view_change(name, 1, 2) for name in ("org-00", "org-01", "org-03")]
    backup.enter(1, changes)
    for n in (4, 5):
        backup.run(n, view=1, header_ms=start + 1_000 * n)
    backup.decide(6, view=1)
    backup.executed(6, start + 2_000 + 8_000)
    assert left_to(backup.checkpoints(6)) == [2]


@pytest.mark.parametrize(
    ("silent", "view"), [([], 1), (["org-01"], 2), (["org-02"], 1), (["org-01", "org-02"], 3)]
)
def test_rotation_skips_a_next_primary_that_is_silent(
    group: Group, silent: list[str], view: int
) -> None:
    backup = Solo(group, "org-03", rotation_blocks=1)
    backup.hear()
    backup.decide(1)
    for _ in range(41):
        backup.hear(*[name for name in backup.others if name not in silent])
        backup.tick()
    effects = backup.executed(1)
    for name in backup.others:
        effects = effects + backup.receive(group.checkpoint(name, 1), link="org-00")
    assert left_to(effects) == [view]


def test_rotation_skips_a_next_primary_that_is_far_behind(group: Group) -> None:
    """Such as one that cannot execute: it would cost everyone a time-out each time."""
    for behind, view in ((16, 1), (17, 2)):
        backup = Solo(group, "org-03", rotation_blocks=20)
        for n in range(1, 20):
            backup.run(n)
        backup.hear(h=20)
        backup.hear("org-01", h=20 - behind)
        backup.decide(20)
        effects = backup.executed(20)
        for name in backup.others:
            effects += backup.receive(group.checkpoint(name, 20), link="org-00")
        assert left_to(effects) == [view], behind


def test_in_the_last_height_of_an_epoch_nobody_rotates(group: Group) -> None:
    backup = Solo(group, "org-02", rotation_blocks=1, epoch_end=Height(1))
    backup.hear()
    backup.run(1)
    assert backup.replica.status.view == 0


def test_an_observer_starts_no_view_change(group: Group) -> None:
    backup = Solo(group, "org-01", begun=False)
    effects = backup.suspect(*backup.others)
    effects += backup.receive_all(group.view_change(name, 1) for name in backup.others)
    assert not left_to(effects)
    assert not sent(effects, Suspect | NewView)
