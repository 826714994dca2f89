"""The rules of one key's votes, alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.messages import Commit, NewView, Prepare, PrePrepare, Vote
from consensus.new_view import content
from consensus.records import (
    Certified,
    Highest,
    NewViewTaken,
    Prepared,
    PrePrepared,
    Record,
    ViewChanged,
)
from consensus.safety import Safety
from consensus.verifier import Signed
from ledger.types import Digest, Height, View
from tests.consensus.group import Group, digest, header, null

A, B = digest("a"), digest("b")
GROUP = Group()
ME = "org-01"


def make(name: str = ME) -> Safety:
    return Safety(GROUP.domain, name, GROUP.signer(name))


def prepare(safety: Safety, n: int, d: Digest = A, view: int = 0) -> Signed[Vote] | None:
    ruling = safety.prepare(Height(n), d, GROUP.pre_prepare(view, n, d).signature)
    return None if ruling is None else ruling.vote


def commit(safety: Safety, n: int, d: Digest = A, view: int = 0) -> Signed[Vote] | None:
    ruling = safety.commit(GROUP.prepared(view, n, d))
    return None if ruling is None else ruling.vote


def enter(safety: Safety, new_view: Signed[NewView]) -> bool:
    due = content(change.message for change in new_view.message.view_changes)
    return safety.enter(new_view, due) is not None


def leave(safety: Safety, view: int) -> bool:
    certificate = GROUP.certificate(safety.h) if safety.h else None
    return safety.leave(View(view), header(safety.h), certificate) is not None


def test_a_second_proposal_for_a_height_is_refused_and_the_first_gives_the_same_vote() -> None:
    safety = make()
    first = prepare(safety, 1)
    assert first is not None
    assert prepare(safety, 1, B) is None
    again = safety.prepare(Height(1), A, GROUP.pre_prepare(0, 1, A).signature)
    assert again is not None
    assert again.vote == first
    assert again.record is None, "it is durable already"


def test_a_primary_proposes_once_for_a_height() -> None:
    safety = make("org-00")
    first = safety.propose(Height(1), A)
    assert first is not None
    assert first.record == PrePrepared(
        GROUP.domain.epoch, View(0), Height(1), A, first.vote.signature
    )
    assert safety.propose(Height(1), B) is None
    assert safety.propose(Height(1), A) is not None


def test_a_backup_does_not_propose_and_a_primary_does_not_prepare() -> None:
    assert make().propose(Height(1), A) is None
    assert prepare(make("org-00"), 1) is None


@pytest.mark.parametrize(("n", "taken"), [(0, False), (1, True), (4, True), (5, False)])
def test_votes_stay_in_the_window(n: int, taken: bool) -> None:
    assert (prepare(make(), n) is not None) == taken


def test_a_commit_needs_the_proposal_we_accepted_in_this_view() -> None:
    safety = make()
    assert commit(safety, 1) is None, "nothing accepted"
    prepare(safety, 1)
    assert commit(safety, 1, B) is None, "another digest"
    assert commit(safety, 1, A, view=1) is None, "another view"
    ruling = safety.commit(GROUP.prepared(0, 1, A))
    assert ruling is not None
    assert isinstance(ruling.record, Prepared)
    again = safety.commit(GROUP.prepared(0, 1, A))
    assert again is not None
    assert (again.vote, again.record) == (ruling.vote, None)


def test_nothing_at_or_below_the_certified_height_is_voted_on() -> None:
    safety = make()
    prepare(safety, 1)
    safety.certified(Height(1))
    assert prepare(safety, 1) is None
    assert commit(safety, 1) is None
    assert safety.votes() == []
    assert prepare(safety, 5) is not None, "the window moved"


def test_a_replica_that_left_a_view_votes_in_it_no_more() -> None:
    safety = make()
    prepare(safety, 1)
    assert leave(safety, 1)
    assert safety.votes() == []
    assert prepare(safety, 2, view=1) is None
    assert commit(safety, 1) is None
    leader = make("org-02")
    assert leave(leader, 2)
    assert leader.propose(Height(1), A) is None


@pytest.mark.parametrize("view", [0, 3])
def test_views_only_go_up(view: int) -> None:
    safety = make()
    assert leave(safety, 3)
    assert not leave(safety, view)
    assert not enter(safety, GROUP.new_view(2)), "lower than the one we promised"
    assert enter(safety, GROUP.new_view(3))
    assert not enter(safety, GROUP.new_view(3)), "a second time"
    assert not enter(safety, GROUP.new_view(2))
    assert not leave(safety, 3)


def test_a_view_change_carries_the_highest_prepared_certificate_of_every_open_height() -> None:
    safety = make()
    for n in (1, 2, 3):
        prepare(safety, n)
        commit(safety, n)
    safety.certified(Height(1))
    ruling = safety.leave(View(1), header(1), GROUP.certificate(1))
    assert ruling is not None
    assert [(item.n, item.view) for item in ruling.vote.message.prepared] == [(2, 0), (3, 0)]
    changes = [ruling.vote, *(GROUP.view_change(name, 2) for name in GROUP.names[2:])]
    assert leave(safety, 2)
    assert safety.view_change is not None
    old = safety.view_change.message.prepared
    assert [(item.n, item.view) for item in old] == [(2, 0), (3, 0)]
    changes = [GROUP.view_change("org-00", 2, 1, old)] + [
        GROUP.view_change(name, 2, 1) for name in GROUP.names[2:]
    ]
    assert enter(safety, GROUP.new_view(2, changes))
    assert prepare(safety, 2, A, view=2) is not None
    assert commit(safety, 2, A, view=2) is not None
    assert leave(safety, 3)
    assert safety.view_change is not None
    newest = safety.view_change.message.prepared
    assert [(item.n, item.view) for item in newest] == [(2, 2), (3, 0)]


def obliged(lo: int = 0) -> Signed[NewView]:
    """NEW-VIEW 2 of org-02: from `lo`, O at lo+1 is A and at lo+2 NULL, at lo+3 B."""
    held = [GROUP.prepared(0, lo + 1, A), GROUP.prepared(1, lo + 3, B)]
    changes = [GROUP.view_change("org-00", 2, lo, held)]
    changes += [GROUP.view_change(name, 2, lo) for name in ("org-02", "org-03")]
    return GROUP.new_view(2, changes)


def test_up_to_hi_only_what_the_new_view_obliges_to_is_accepted() -> None:
    safety = make()
    assert enter(safety, obliged())
    assert safety.hi == 3
    for n, right, wrong in ((1, A, B), (2, null(2), A), (3, B, A)):
        assert prepare(safety, n, wrong, view=2) is None
        ruling = safety.prepare(Height(n), right, GROUP.pre_prepare(2, n, right).signature)
        assert ruling is not None
        assert ruling.record is None, "the NEW-VIEW's record stands for it"
    assert prepare(safety, 4, A, view=2) is not None


def test_at_or_below_lo_nothing_is_accepted_even_by_one_that_lags() -> None:
    safety = make()
    assert enter(safety, obliged(lo=1))
    assert safety.h == 0
    assert prepare(safety, 1, A, view=2) is None
    assert prepare(safety, 1, B, view=2) is None
    leader = make("org-02")
    due = content(change.message for change in obliged(lo=1).message.view_changes)
    leave(leader, 2)
    assert leader.lead(obliged(lo=1).message.view_changes, due) is not None
    assert leader.propose(Height(1), B) is None


def test_only_the_primary_of_the_view_it_changes_to_leads() -> None:
    changes = obliged().message.view_changes
    due = content(change.message for change in changes)
    backup = make()
    leave(backup, 2)
    assert backup.lead(changes, due) is None
    leader = make("org-02")
    assert leader.lead(changes, due) is None, "it did not leave the old view"
    leave(leader, 2)
    ruling = leader.lead(changes, due)
    assert ruling is not None
    assert isinstance(ruling.record, NewViewTaken)
    assert ruling.vote == obliged()
    assert leader.lead(changes, due) is None, "once"


def test_one_header_for_a_height() -> None:
    safety = make()
    first = safety.checkpoint(Height(1), header(1))
    assert first is not None
    assert safety.checkpoint(Height(1), digest("other")) is None
    assert safety.checkpoint(Height(1), header(1)) == first
    safety.certified(Height(1))
    assert safety.checkpoints() == []


def test_a_vote_under_our_key_that_we_did_not_give_is_recognised() -> None:
    safety = make()
    vote = prepare(safety, 1)
    assert vote is not None
    safety.checkpoint(Height(1), header(1))
    assert not safety.contradicts(vote)
    assert safety.contradicts(GROUP.prepare(ME, 0, 1, B))
    assert not safety.contradicts(GROUP.prepare(ME, 1, 1, B)), "of another view: unknown"
    assert safety.contradicts(GROUP.checkpoint(ME, 1, digest("other")))
    assert not safety.contradicts(GROUP.checkpoint(ME, 1))


# --- crashes ---


def restored(records: list[Record], name: str = ME, h: int = 0) -> Safety:
    """As `recovery` does."""
    safety = make(name)
    safety.certified(Height(h))
    for record in records:
        if isinstance(record, Highest):
            safety.restore_highest(record)
        elif isinstance(record, PrePrepared | Prepared):
            safety.restore_vote(record)
        elif isinstance(record, Certified):
            safety.restore_anchor(record)
        elif isinstance(record, ViewChanged):
            safety.restore_view_change(GROUP.verifier.verify(record.message))
        elif isinstance(record, NewViewTaken):
            enter(safety, GROUP.verifier.verify(record.message))
    safety.sign_again()
    return safety


Operation = tuple[str, int, Digest]
OPERATIONS = st.tuples(
    st.sampled_from(
        ["prepare", "propose", "commit", "leave", "enter", "certify", "crash", "compact"]
    ),
    st.sampled_from([1, 1, 1, 2, 2, 3, 4, 5]),
    st.sampled_from([A, A, A, B]),
)


class Machine:
    """Throws operations at a `Safety`, keeps its log and everything it ever said."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.safety = make(name)
        self.log: list[Record] = []
        self.said: dict[tuple[int, int, int], Digest] = {}
        self.committed: dict[int, tuple[int, Digest]] = {}

    def note(self, ruling: object) -> None:
        if ruling is None:
            return
        record, vote = ruling.record, ruling.vote.message
        if record is not None:
            self.log.append(record)
        if isinstance(vote, PrePrepare | Prepare | Commit):
            key = (vote.kind, vote.view, vote.n)
            assert self.said.setdefault(key, vote.digest) == vote.digest, "two votes in one place"
            if vote.kind == Commit.kind:
                self.committed[vote.n] = (vote.view, vote.digest)

    def run(self, operation: Operation) -> None:
        kind, number, d = operation
        safety, n = self.safety, Height(number)
        view = safety.view
        if kind == "prepare":
            self.note(safety.prepare(n, d, GROUP.pre_prepare(view, n, d).signature))
        elif kind == "propose":
            self.note(safety.propose(n, d))
        elif kind == "commit":
            self.note(safety.commit(GROUP.prepared(view, n, d)))
        elif kind == "leave":
            ruling = safety.leave(View(view + 1), header(safety.h), self.certificate())
            assert ruling is not None
            self.note(ruling)
            shown = {item.n: (item.view, item.digest) for item in ruling.vote.message.prepared}
            assert shown == self.committed, "a VIEW-CHANGE hides or invents a certificate"
        elif kind == "enter" and safety.in_view_change:
            names = [name for name in GROUP.names if name != self.name][:2]
            mine = safety.view_change
            assert mine is not None
            others = [GROUP.view_change(name, view, safety.h) for name in names]
            new_view = GROUP.new_view(view, [mine, *others])
            due = content(change.message for change in new_view.message.view_changes)
            self.note(safety.enter(new_view, due))
        elif kind == "certify" and number == safety.h + 1:
            safety.certified(n)
            self.committed = {k: item for k, item in self.committed.items() if k > n}
        elif kind == "compact":
            self.log = safety.compact()
        elif kind == "crash":
            before = safety
            self.safety = restored(self.log, self.name, before.h)
            assert self.safety.view == before.view
            assert self.safety.in_view_change == before.in_view_change
            assert self.safety.highest == before.highest
            assert self.safety.prepared == before.prepared
            assert self.safety.accepted == before.accepted

    def certificate(self):
        return GROUP.certificate(self.safety.h) if self.safety.h else None


@given(st.sampled_from(["org-00", "org-01"]), st.lists(OPERATIONS, max_size=40))
def test_no_sequence_of_votes_and_crashes_makes_a_key_contradict_itself(
    name: str, operations: list[Operation]
) -> None:
    machine = Machine(name)
    for operation in operations:
        machine.run(operation)


def test_after_a_crash_the_same_votes_come_back_as_the_same_bytes() -> None:
    safety, log = make(), []
    for n in (1, 2, 3):
        ruling = safety.prepare(Height(n), A, GROUP.pre_prepare(0, n, A).signature)
        assert ruling is not None
        log.append(ruling.record)
    ruling = safety.commit(GROUP.prepared(0, 1, A))
    assert ruling is not None
    log.append(ruling.record)
    again = restored(log)
    assert {vote.encode() for vote in again.votes()} == {vote.encode() for vote in safety.votes()}
    assert again.highest == (0, 3)


def test_after_a_crash_the_highest_certificate_of_a_height_counts_whatever_the_order() -> None:
    low, high = GROUP.prepared(0, 1, A), GROUP.prepared(1, 1, B)
    epoch = GROUP.domain.epoch
    for records in ([low, high], [high, low]):
        safety = restored([Prepared(epoch, item) for item in records])
        assert safety.prepared[Height(1)] == high


def test_a_compacted_log_remembers_the_highest_vote_alone() -> None:
    safety = make()
    for n in (1, 2, 3):
        prepare(safety, n)
    for n in (1, 2, 3):
        safety.certified(Height(n))
    records = safety.compact()
    assert records == [Highest(GROUP.domain.epoch, View(0), Height(3))]
    assert restored(records, h=3).highest == (0, 3)


def test_the_log_s_certificate_only_rises_and_is_kept() -> None:
    safety = make()
    for h in (1, 4):
        safety.certified(Height(h))
    assert safety.anchored(Height(4), GROUP.certificate(4)) is None, "the base proves it"
    record = safety.anchored(Height(5), GROUP.certificate(4))
    assert record == Certified(GROUP.certificate(4))
    assert safety.anchored(Height(8), GROUP.certificate(4)) is None, "it is written once"
    assert enter(safety, obliged(lo=1))
    assert safety.anchor == record
    assert restored(safety.compact(), h=1).anchor == record


@pytest.mark.parametrize("state", ["in a view", "changing view", "after a NEW-VIEW"])
def test_a_compacted_log_restores_everything_above_the_certified_height(state: str) -> None:
    safety = make()
    for n in (1, 2, 3):
        prepare(safety, n)
        commit(safety, n)
    prepare(safety, 4)
    safety.certified(Height(1))
    if state != "in a view":
        leave(safety, 2)
    if state == "after a NEW-VIEW":
        assert enter(safety, obliged(lo=1))
        prepare(safety, 5, B, view=2)
    again = restored(safety.compact(), h=1)
    for field in ("view", "in_view_change", "hi", "accepted", "prepared", "view_change", "highest"):
        assert getattr(again, field) == getattr(safety, field), field
    assert [item.n for item in again.prepared.values()] == [2, 3]
    if state == "in a view":
        assert {vote.encode() for vote in again.votes()} == {
            vote.encode() for vote in safety.votes()
        }


def test_a_new_view_raises_the_highest_vote_to_its_hi() -> None:
    safety = make()
    enter(safety, obliged())
    assert safety.highest == (2, 3)
    leave(safety, 3)
    assert safety.highest == (3, 0)
