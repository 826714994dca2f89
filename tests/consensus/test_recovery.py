"""Starting: the same votes again after a crash, and none with a lost log."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import records
from consensus.effects import AlarmKind, Broadcast, CheckBody, Effect, Execute
from consensus.events import OwnVoteAnswered, OwnVoteAsked
from consensus.messages import (
    Checkpoint,
    Commit,
    NewView,
    OwnVote,
    OwnVoteQuery,
    Prepare,
    PrePrepare,
    Suspect,
    ViewChange,
)
from consensus.records import Certified, Highest, NewViewTaken, Prepared, PrePrepared, ViewChanged
from consensus.verifier import AnySigned, MessageRefused
from ledger.errors import InvalidInput
from ledger.types import Epoch, Height, View
from tests.consensus.group import Group, Solo, alarms, digest, null, of, recorded, sent, sent_to

A, B = digest("a"), digest("b")
OTHERS = ("org-00", "org-02", "org-03")


@pytest.fixture
def group() -> Group:
    return Group()


@pytest.fixture
def backup(group: Group) -> Solo:
    return Solo(group, "org-01")


def answers(solo: Solo, *votes: AnySigned, of_names: tuple[str, ...] = OTHERS) -> list[Effect]:
    effects: list[Effect] = []
    for name in of_names:
        effects += solo.step(OwnVoteAnswered(solo.at(), name, votes))
    return effects


def observes(effects: list[Effect]) -> bool:
    return [item.kind for item in alarms(effects)] == [AlarmKind.OBSERVER]


def said_again(solo: Solo) -> list[bytes]:
    """The votes sent when nothing moves."""
    solo.tick(2)
    effects = solo.tick()
    kinds = (PrePrepare, Prepare, Commit, Checkpoint, ViewChange)
    return [item.message.encode() for item in broadcasts(effects) if _is(item, kinds)]


def broadcasts(effects: list[Effect]) -> list[Any]:
    return of(effects, Broadcast)


def _is(item: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(getattr(item.message, "message", None), kinds)


# --- the same again ---


def test_after_a_crash_the_same_votes_are_sent_as_the_same_bytes(backup: Solo) -> None:
    backup.prepare_height(1)
    backup.decide(2)
    backup.take(backup.group.body(3, at_ms=backup.now))
    before = said_again(backup)
    assert len(before) == 5
    assert sorted(said_again(backup.restart())) == sorted(before)


def test_votes_that_were_never_sent_are_sent_once_it_may_vote(backup: Solo) -> None:
    """A crash came between the record and the message: nobody would ask for it."""
    body = backup.prepare_height(1)
    effects = answers(backup.restart(begun=False))
    assert sent(effects, Prepare) == [Prepare(View(0), Height(1), body.digest)]
    assert sent(effects, Commit) == [Commit(View(0), Height(1), body.digest)]
    group = backup.group
    primary = Solo(group, "org-00")
    primary.propose(group.body(1))
    assert (
        len(sent(answers(primary.restart(begun=False), of_names=tuple(primary.others)), PrePrepare))
        == 1
    )


def test_a_primary_proposes_the_same_again_and_goes_on_above_it(group: Group) -> None:
    primary = Solo(group, "org-00")
    primary.propose(group.body(1))
    primary.propose(group.body(2))
    before = said_again(primary)
    again = primary.restart()
    assert said_again(again) == before
    slot = again.replica.proposal_slot
    assert slot is not None
    assert slot.n == 3
    assert not sent(again.propose(group.body(1, name="another")), PrePrepare)


def test_after_a_crash_another_proposal_is_not_prepared(group: Group, backup: Solo) -> None:
    backup.take(group.body(1, name="first"))
    again = backup.restart()
    assert not sent(again.take(group.body(1, name="second")), Prepare)


def test_a_restored_pre_prepare_counts_towards_prepared(group: Group) -> None:
    backup = Solo(group, "org-01")
    body = group.body(1)
    backup.take(body)
    again = backup.restart()
    assert sent(again.prepares(0, 1, body.digest, "org-02"), Commit), "it, ours and one more"


def test_prepared_certificates_survive_and_are_shown_in_a_view_change(backup: Solo) -> None:
    body = backup.decide(1)
    backup.executed(1)
    again = backup.restart()
    (message,) = sent(again.suspect(*OTHERS), ViewChange)
    assert [(item.n, item.digest) for item in message.prepared] == [(1, body.digest)]


def test_a_view_change_survives(backup: Solo) -> None:
    backup.prepare_height(1)
    (before,) = sent(backup.suspect(*OTHERS), ViewChange)
    again = backup.restart()
    status = again.replica.status
    assert (status.view, status.in_view_change) == (1, True)
    again.tick(2)
    assert sent(again.tick(), ViewChange) == [before]
    assert not sent(again.take(again.group.body(2)), Prepare)


def obliging(group: Group, lo: int = 0) -> Any:
    """NEW-VIEW 2 from `lo`: A, NULL, B."""
    held = [group.prepared(0, lo + 1, A), group.prepared(1, lo + 3, B)]
    changes = [group.view_change("org-00", 2, lo, held)]
    changes += [group.view_change(name, 2, lo) for name in ("org-02", "org-03")]
    return group.new_view(2, changes)


def test_the_new_view_s_pre_prepares_are_rebuilt_from_its_record(
    group: Group, backup: Solo
) -> None:
    backup.receive(obliging(group))
    torn = [record for record in backup.wal if not isinstance(record, Prepared)]
    again = backup.restart(begun=False, records=torn)
    effects = answers(again, of_names=OTHERS[:2])
    voted = [(vote.view, vote.n, vote.digest) for vote in sent(effects, Prepare)]
    assert voted == [(2, 1, A), (2, 2, null(2)), (2, 3, B)]
    for n in (1, 2, 3):
        assert not sent(again.take(group.body(n, 2, at_ms=again.now)), Prepare)
    assert sent(again.prepares(2, 1, A, "org-00"), Commit)


def test_a_primary_that_wrote_its_new_view_leads_with_it_after_a_crash(group: Group) -> None:
    leader = Solo(group, "org-01")
    effects = leader.receive_all(group.view_change(name, 1) for name in OTHERS[:2])
    (before,) = sent(effects, NewView)
    again = leader.restart()
    again.now += 250
    shown = sent_to(again.hear("org-03", view=0), NewView)
    assert [message.to_value() for _, message in shown] == [before.to_value()]
    effects = again.receive_all(group.view_change(name, 1) for name in OTHERS)
    assert not sent(effects, NewView), "no second one"


def test_a_replica_that_crashed_below_lo_votes_once_it_is_there(group: Group, backup: Solo) -> None:
    backup.decide(1)
    backup.receive(obliging(group, lo=1))
    again = backup.restart()
    assert not sent(again.effects, Prepare)
    assert [item.n for item in of(backup.restart(begun=False).effects, Execute)] == [1]
    effects = again.executed(1)
    effects += again.checkpoints(1)
    assert [vote.n for vote in sent(effects, Prepare)] == [2, 3, 4]


def test_what_was_appended_is_executed_and_then_signed(backup: Solo) -> None:
    backup.decide(1)
    backup.decide(2)
    backup.executed(1)
    again = backup.restart(begun=False)
    assert [item.n for item in of(again.effects, Execute)] == [2]
    assert not sent(again.executed(2), Checkpoint), "not before it may vote"
    effects = answers(again, of_names=OTHERS[:2])
    assert [vote.n for vote in sent(effects, Checkpoint)] == [1, 2]


def test_records_of_another_epoch_mean_nothing(group: Group) -> None:
    old = Highest(Epoch(7), View(99), Height(99))
    solo = Solo(group, "org-01", records=[old, Highest(Epoch(0), View(0), Height(0))])
    assert solo.replica.status.view == 0
    assert solo.replica.status.observer is None


def test_a_damaged_record_stops_the_start(group: Group) -> None:
    good = group.view_change("org-01", 1).encode()
    forged = Prepared(Epoch(0), group.prepared(0, 1, A, group.names[:2]))
    vote = group.prepare("org-01", 0, 1, A).encode()
    changed = good[:-3] + bytes([good[-3] ^ 1]) + good[-2:]
    for record in (
        ViewChanged(Epoch(0), changed),
        ViewChanged(Epoch(0), vote),
        NewViewTaken(Epoch(0), vote),
        forged,
    ):
        with pytest.raises(InvalidInput):
            Solo(group, "org-01", records=[record], begun=False)
    with pytest.raises(MessageRefused):
        Solo(group, "org-01", records=[ViewChanged(Epoch(0), vote)], begun=False)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["take", "prepare", "commit", "execute", "certify", "suspect", "enter", "tick"]
        ),
        st.integers(1, 6),
    ),
    max_size=30,
)


@given(STEPS, st.booleans())
def test_a_crash_anywhere_changes_nothing_that_was_promised(
    steps: list[tuple[str, int]], compacted: bool
) -> None:
    group = Group()
    solo = Solo(group, "org-03")
    for kind, n in steps:
        status = solo.replica.status
        view = status.view
        body = group.body(n, view, at_ms=solo.now)
        if kind == "take" and group.primary(view) != solo.name:
            solo.take(body)
        elif kind == "prepare":
            accepted = solo.replica._state.safety.accepted.get(Height(n))
            if accepted is not None:
                solo.prepares(view, n, accepted.digest)
        elif kind == "commit":
            prepared = solo.replica._state.safety.prepared.get(Height(n))
            if prepared is not None:
                solo.commits(prepared.view, n, prepared.digest)
        elif kind == "execute" and status.executed < status.appended:
            solo.executed(status.executed + 1)
        elif kind == "certify" and status.certified < status.executed:
            solo.checkpoints(status.certified + 1)
        elif kind == "suspect":
            solo.suspect("org-00", "org-01", "org-02", view=view, h=status.certified)
        elif kind == "enter" and status.in_view_change and group.primary(view) != solo.name:
            mine = solo.replica._state.safety.view_change
            assert mine is not None
            others = [
                group.view_change(name, view, status.certified) for name in ("org-00", "org-01")
            ]
            solo.receive(group.new_view(view, [mine, *others]))
        else:
            solo.tick()
    before = solo.replica._state.safety
    log = solo.replica.compact() if compacted else None
    after = solo.restart(begun=False, records=log).replica._state.safety
    for field in ("view", "in_view_change", "h", "accepted", "prepared", "highest", "anchor"):
        assert getattr(after, field) == getattr(before, field), field
    if not before.in_view_change:
        mine = {vote.encode() for vote in before.votes() if not _obliged(before, vote)}
        assert mine <= {vote.encode() for vote in after.votes()}


def _obliged(safety: Any, vote: Any) -> bool:
    """A PREPARE of an O[n]: the recovered replica gives it once it may vote."""
    accepted = safety.accepted.get(vote.message.n)
    return vote.message.kind == Prepare.kind and accepted is not None and accepted.obliged


# --- lost logs ---


def test_a_start_asks_everyone_and_says_nothing_until_q_minus_one_answered(group: Group) -> None:
    group = Group(7)
    solo = Solo(group, "org-01", begun=False)
    assert [to for to, _ in sent_to(solo.effects, OwnVoteQuery)] == solo.others
    for name in solo.others[: group.quorum - 2]:
        solo.step(OwnVoteAnswered(solo.at(), name, ()))
        solo.step(OwnVoteAnswered(solo.at(), name, ()))
    assert solo.replica.status.observer is not None
    assert not sent(solo.take(group.body(1)), Prepare)
    asked = [to for to, _ in sent_to(solo.tick(), OwnVoteQuery)]
    assert asked == solo.others[group.quorum - 2 :], "those that did not answer, again"
    solo.step(OwnVoteAnswered(solo.at(), solo.others[-1], ()))
    assert solo.replica.status.observer is None
    assert sent(solo.take(group.body(1)), Prepare)


def test_a_held_proposal_is_looked_at_once_the_replica_may_vote(group: Group) -> None:
    solo = Solo(group, "org-01", begun=False)
    solo.receive(group.pre_prepare(0, 1, A))
    assert [item.n for item in of(solo.begin(), CheckBody)] == [1]


def test_the_first_start_marks_the_log_as_begun(group: Group) -> None:
    solo = Solo(group, "org-01")
    assert solo.wal == [Highest(Epoch(0), View(0), Height(0))]
    assert not recorded(solo.restart().effects, Highest)


def test_an_empty_log_beside_a_used_ledger_is_a_lost_one(backup: Solo) -> None:
    backup.run(2)
    again = backup.restart(begun=False, records=[])
    assert observes(again.effects)
    answers(again)
    assert again.replica.status.observer is not None
    effects = again.take(again.group.body(3)) + again.suspect(*OTHERS) + again.live(2_000)
    assert not sent(effects, Prepare | Suspect | ViewChange | Checkpoint)


HIGHER = ["vote", "view change", "checkpoint"]


def higher(group: Group, kind: str) -> AnySigned:
    if kind == "vote":
        return group.prepare("org-01", 0, 4, A)
    if kind == "view change":
        return group.view_change("org-01", 1)
    return group.checkpoint("org-01", 3)


@pytest.mark.parametrize("kind", HIGHER)
def test_a_rolled_back_log_is_shown_up_by_one_answer(backup: Solo, kind: str) -> None:
    backup.run(2)
    backup.prepare_height(3)
    again = backup.restart(begun=False)
    effects = again.step(OwnVoteAnswered(again.at(), "org-02", (higher(again.group, kind),)))
    assert observes(effects)
    answers(again)
    assert again.replica.status.observer is not None
    assert not sent(again.take(again.group.body(4)), Prepare)


@pytest.mark.parametrize("kind", HIGHER)
def test_a_late_answer_that_shows_a_higher_vote_silences_us_too(backup: Solo, kind: str) -> None:
    backup.run(2)
    backup.prepare_height(3)
    again = backup.restart()
    assert again.replica.status.observer is None
    own = again.group.prepare("org-01", 0, 3, again.group.body(3).digest)
    known = (own, again.group.checkpoint("org-01", 2))
    assert not alarms(again.step(OwnVoteAnswered(again.at(), "org-03", known)))
    vote = higher(again.group, kind)
    assert observes(again.step(OwnVoteAnswered(again.at(), "org-03", (vote,))))
    assert not sent(again.take(again.group.body(4)), Prepare)


def test_votes_that_the_log_knows_do_no_harm(backup: Solo) -> None:
    backup.run(2)
    backup.prepare_height(3)
    group = backup.group
    known = (group.prepare("org-01", 0, 3, group.body(3).digest), group.checkpoint("org-01", 2))
    again = backup.restart(begun=False)
    answers(again, *known)
    assert again.replica.status.observer is None


def test_an_answer_with_another_s_vote_is_none(group: Group) -> None:
    solo = Solo(group, "org-01", begun=False)
    effects = answers(solo, group.prepare("org-02", 0, 9, A))
    assert not alarms(effects)
    assert solo.replica.status.observer is not None


@pytest.mark.parametrize("kind", HIGHER)
def test_a_vote_of_ours_above_our_log_means_the_key_is_used_elsewhere(
    backup: Solo, kind: str
) -> None:
    backup.run(2)
    backup.prepare_height(3)
    vote = higher(backup.group, kind)
    effects = backup.receive(vote, link="org-02")
    assert observes(effects)
    assert not sent(backup.take(backup.group.body(4)), Prepare)


def test_a_different_vote_in_the_place_of_ours_means_it_too(backup: Solo) -> None:
    body = backup.prepare_height(1)
    group = backup.group
    assert not alarms(backup.receive(group.prepare("org-01", 0, 1, body.digest), link="org-02"))
    assert observes(backup.receive(group.prepare("org-01", 0, 1, B), link="org-02"))
    assert not alarms(backup.receive(group.prepare("org-01", 0, 2, B), link="org-02")), "once"


def test_others_can_not_silence_a_replica(backup: Solo) -> None:
    group = backup.group
    for name in OTHERS:
        effects = backup.receive(group.view_change(name, 50))
        assert not alarms(effects)
        effects = backup.step(OwnVoteAnswered(backup.at(), name, (group.commit(name, 60, 4, A),)))
        assert effects == []
    assert backup.replica.status.observer is None


# --- answering ---


def held_for(solo: Solo, name: str) -> list[AnySigned]:
    effects = solo.step(OwnVoteAsked(solo.at(), name))
    ((to, message),) = sent_to(effects, OwnVote)
    assert to == name
    return list(solo.group.verifier.own_votes(message))


def test_the_highest_vote_seen_is_shown_also_while_starting(group: Group) -> None:
    solo = Solo(group, "org-01", begun=False)
    assert held_for(solo, "org-02") == []
    votes = [
        group.prepare("org-02", 0, 3, A),
        group.commit("org-02", 0, 2, A),
        group.prepare("org-02", 3, 1, A),
    ]
    for vote in votes:
        solo.receive(vote)
    assert held_for(solo, "org-02") == [votes[2]]
    assert held_for(solo, "org-03") == []
    change = group.view_change("org-02", 4)
    solo.receive(change)
    assert held_for(solo, "org-02") == [change]
    assert solo.step(OwnVoteAsked(solo.at(), "stranger")) == []


def test_what_prepared_and_certified_a_height_is_remembered_over_a_crash(backup: Solo) -> None:
    backup.run(1)
    body = backup.prepare_height(2)
    again = backup.restart()
    group = backup.group
    assert held_for(again, "org-00") == [
        group.pre_prepare(0, 2, body.digest),
        group.checkpoint("org-00", 1),
    ]


# --- a power loss that takes Certificates, which are not synced ---


@pytest.mark.parametrize("kept", range(9))
def test_what_we_prepared_can_be_shown_whatever_certificates_are_lost(kept: int) -> None:
    """Window 4: 1 to 8 certified, each two late, 9 and 10 prepared, `kept` Certificates left."""
    group = Group()
    solo = Solo(group, "org-01")
    for n in range(1, 11):
        if n > 2:
            solo.checkpoints(n - 2)
        solo.decide(n)
        solo.executed(n)
    assert solo.replica.status.certified == 8
    assert [item.certificate.n for item in solo.wal if isinstance(item, Certified)] == [3, 6]
    solo.certificates = {n: item for n, item in solo.certificates.items() if n <= kept}
    again = solo.restart()
    reached = max(kept, 6)
    assert again.replica.status.certified == reached
    (change,) = sent(again.suspect(*OTHERS, h=reached), ViewChange)
    assert [item.n for item in change.prepared] == list(range(reached + 1, 11))
    own = again.replica._state.safety.view_change
    assert own is not None
    assert group.verifier.verify(own.encode()) == own, "others take it, and so does our log"


def test_a_new_view_s_certificate_comes_back_with_it(group: Group) -> None:
    solo = Solo(group, "org-01")
    solo.run(4)
    solo.receive(obliging(group, lo=4))
    for n, proposed in ((5, A), (6, null(6)), (7, B)):
        solo.prepares(2, n, proposed, "org-00", "org-03")
    solo.certificates = {}
    again = solo.restart()
    assert again.replica.status.certified == 4
    (change,) = sent(again.suspect(*OTHERS, view=2, h=4), ViewChange)
    assert [item.n for item in change.prepared] == [5, 6, 7]


def test_records_come_back_through_their_bytes(backup: Solo) -> None:
    backup.run(1)
    backup.prepare_height(2)
    backup.suspect(*OTHERS, h=1)
    assert [records.decode(records.encode(item)) for item in backup.wal] == backup.wal
    assert {type(item) for item in backup.wal} == {Highest, PrePrepared, Prepared, ViewChanged}


# --- silent for good ---


@pytest.mark.parametrize("how", ["empty log", "older log", "key used elsewhere"])
def test_a_silenced_key_stays_silent_whatever_its_log_holds_by_then(backup: Solo, how: str) -> None:
    """As an observer it goes on noting new views, which are beyond what any peer saw it sign."""
    group = backup.group
    backup.run(2)
    if how == "empty log":
        silent = backup.restart(begun=False, records=[])
    else:
        silent = backup.restart(begun=how == "key used elsewhere")
        vote = higher(group, "vote")
        if how == "older log":
            answers(silent, vote)
        else:
            silent.receive(vote, link="org-02")
    assert recorded(silent.receive(group.new_view(7), link="org-02"), NewViewTaken)
    for records_left in (None, list(silent.replica.compact())):
        again = silent.restart(begun=False, records=records_left)
        assert observes(again.effects)
        assert not alarms(answers(again))
        assert again.replica.status.observer is not None
        assert not said_again(again)
