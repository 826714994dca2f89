"""Counting votes, in bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consensus.log import VIEWS_MAX, VoteLog, quorum_of
from ledger.types import Height, View
from tests.consensus.group import Group, digest, header

GROUP = Group()
A, B = digest("a"), digest("b")
H1 = Height(1)
V0 = View(0)


def test_votes_for_one_proposal_are_counted_once_for_each_signer() -> None:
    log = VoteLog()
    for name in ("org-01", "org-02", "org-01"):
        assert log.add(GROUP.prepare(name, 0, 1, A), V0) is None
    assert list(log.prepares(V0, H1, A)) == ["org-01", "org-02"]
    assert log.prepares(V0, H1, B) == {}
    assert log.prepares(View(1), H1, A) == {}
    assert log.prepares(V0, Height(2), A) == {}
    assert log.commits(V0, H1, A) == {}


def test_the_pre_prepare_counts_as_the_primary_s_prepare() -> None:
    log = VoteLog()
    vote = GROUP.pre_prepare(0, 1, A)
    log.add(vote, V0)
    assert log.prepares(V0, H1, A) == {"org-00": vote.signature}
    assert log.pre_prepare(V0, H1, "org-00") == vote
    assert log.pre_prepare(V0, H1, "org-01") is None
    assert log.pre_prepare(View(1), H1, "org-00") is None


def test_the_first_vote_counts_and_a_second_is_handed_back_with_it() -> None:
    log = VoteLog()
    first = GROUP.commit("org-01", 0, 1, A)
    log.add(first, V0)
    assert log.add(GROUP.commit("org-01", 0, 1, B), V0) == first
    assert log.commits(V0, H1, B) == {}
    assert log.add(first, V0) is None, "the same again is no contradiction"
    checkpoint = GROUP.checkpoint("org-01", 1)
    assert log.add_checkpoint(checkpoint) is None
    assert log.add_checkpoint(GROUP.checkpoint("org-01", 1, digest("other"))) == checkpoint
    assert log.add_checkpoint(checkpoint) is None
    assert log.checkpoints(H1) == {header(1): {"org-01": checkpoint.signature}}


def test_kinds_views_and_heights_do_not_mix() -> None:
    log = VoteLog()
    for vote in (
        GROUP.prepare("org-01", 0, 1, A),
        GROUP.prepare("org-01", 1, 1, B),
        GROUP.commit("org-01", 0, 1, B),
        GROUP.prepare("org-01", 0, 2, B),
    ):
        assert log.add(vote, V0) is None
    assert log.size() == 4


def test_the_two_highest_other_views_of_a_signer_are_kept() -> None:
    log = VoteLog()
    for view in (5, 0, 3, 4, 2):
        log.add(GROUP.commit("org-01", view, 1, A), V0)
    held = [view for view in range(8) if log.commits(View(view), H1, A)]
    assert held == [0, 4, 5], "the own view, and the two highest"
    log.add(GROUP.commit("org-01", 7, 1, A), V0)
    assert [view for view in range(8) if log.commits(View(view), H1, A)] == [0, 5, 7]


def test_one_signer_does_not_push_out_another() -> None:
    log = VoteLog()
    log.add(GROUP.commit("org-01", 1, 1, A), V0)
    for view in range(2, 9):
        log.add(GROUP.commit("org-02", view, 1, A), V0)
    assert list(log.commits(View(1), H1, A)) == ["org-01"]


def test_a_height_that_is_not_certified_for_many_views_takes_no_more_room() -> None:
    log = VoteLog()
    for view in range(50):
        log.add(GROUP.commit("org-01", view, 1, A), View(view))
    assert log.size() <= 1 + VIEWS_MAX


@given(
    st.lists(
        st.tuples(
            st.sampled_from(GROUP.names),
            st.integers(0, 6),
            st.integers(1, 3),
            st.sampled_from([A, B]),
            st.sampled_from(["prepare", "commit", "checkpoint"]),
            st.integers(0, 1),
        ),
        max_size=80,
    )
)
def test_memory_is_bounded_and_no_signer_counts_for_two_values(votes: list[tuple]) -> None:
    log, own_view, most = VoteLog(), 0, 0
    for signer, view, n, d, kind, step in votes:
        own_view += step
        if kind == "checkpoint":
            log.add_checkpoint(GROUP.checkpoint(signer, n, d))
        elif kind == "commit":
            log.add(GROUP.commit(signer, view, n, d), View(own_view))
        elif GROUP.primary(view) == signer:
            log.add(GROUP.pre_prepare(view, n, d), View(own_view))
        else:
            log.add(GROUP.prepare(signer, view, n, d), View(own_view))
        for height in (1, 2, 3):
            for v in range(7):
                for tally in (log.prepares, log.commits):
                    both = tally(View(v), Height(height), A).keys() & tally(
                        View(v), Height(height), B
                    )
                    assert not both
        most = max(most, log.size())
    per_height = len(GROUP.names) * (3 * (1 + VIEWS_MAX) + 1)
    assert most <= 3 * per_height


def test_what_is_certified_is_forgotten() -> None:
    log = VoteLog()
    for n in (1, 2, 3):
        log.add(GROUP.prepare("org-01", 0, n, A), V0)
        log.add_checkpoint(GROUP.checkpoint("org-01", n))
    log.forget(Height(2))
    assert log.size() == 2
    assert log.checkpoint_heights() == [3]
    assert log.prepares(V0, Height(3), A)


def test_a_certificate_holds_the_first_q_in_order() -> None:
    tally = {name: GROUP.checkpoint(name, 1).signature for name in reversed(GROUP.names)}
    chosen = quorum_of(tally, 3)
    assert [name for name, _ in chosen] == GROUP.names[:3]
    assert dict(chosen) == {name: tally[name] for name in GROUP.names[:3]}
