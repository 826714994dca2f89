"""What VIEW-CHANGEs oblige the next primary to propose."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consensus.messages import PreparedCertificate, ViewChange
from consensus.new_view import content
from ledger.types import Height, View
from tests.consensus.group import Group, digest, header, null

GROUP = Group()
A, B, C = digest("a"), digest("b"), digest("c")


def change(stable: int, *prepared: PreparedCertificate) -> ViewChange:
    return GROUP.view_change("org-00", 9, stable, prepared).message


def test_nothing_prepared_obliges_to_nothing() -> None:
    due = content([change(0), change(0), change(0)])
    assert (due.lo, due.hi, due.digests, due.lo_certificate) == (0, 0, (), None)
    assert due.lo_hash == header(0)


def test_lo_is_the_highest_certified_height_with_its_certificate() -> None:
    due = content([change(2), change(5), change(3)])
    assert (due.lo, due.hi, due.digests) == (5, 5, ())
    assert due.lo_hash == header(5)
    assert due.lo_certificate == GROUP.certificate(5)


def test_the_certificate_of_the_highest_view_wins_wherever_it_stands() -> None:
    first, second, third = (GROUP.prepared(v, 1, d) for v, d in ((1, A), (5, B), (3, C)))
    for order in ([first, second, third], [third, first, second], [second, third, first]):
        due = content([change(0, item) for item in order])
        assert due.digests == ((1, B),)


def test_a_gap_is_filled_with_null() -> None:
    due = content([change(0, GROUP.prepared(0, 2, A), GROUP.prepared(0, 4, B)), change(0)])
    assert due.hi == 4
    assert due.digests == ((1, null(1)), (2, A), (3, null(3)), (4, B))


def test_what_is_certified_already_obliges_to_nothing() -> None:
    due = content([change(2), change(0, GROUP.prepared(0, 2, A), GROUP.prepared(0, 3, B))])
    assert (due.lo, due.hi, due.digests) == (2, 3, ((3, B),))
    due = content([change(2), change(0, GROUP.prepared(0, 1, A))])
    assert (due.lo, due.hi, due.digests) == (2, 2, ())


CERTIFICATES = st.dictionaries(
    st.integers(1, 4), st.tuples(st.integers(0, 5), st.sampled_from([A, B, C])), max_size=4
)
CHANGES = st.lists(st.tuples(st.integers(0, 4), CERTIFICATES), min_size=1, max_size=5)


def read(raw: list[tuple[int, dict[int, tuple[int, bytes]]]]) -> list[ViewChange]:
    changes = []
    for stable, certificates in raw:
        prepared = tuple(
            PreparedCertificate(Height(stable + step), View(view), d, ())
            for step, (view, d) in sorted(certificates.items())
        )
        certificate = GROUP.certificate(stable) if stable else None
        changes.append(ViewChange(View(9), Height(stable), header(stable), certificate, prepared))
    return changes


@given(CHANGES)
def test_every_height_from_lo_to_hi_gets_the_digest_of_its_highest_view(
    raw: list[tuple[int, dict[int, tuple[int, bytes]]]],
) -> None:
    changes = read(raw)
    due = content(changes)
    assert due.lo == max(item.stable_n for item in changes)
    every = [item for one in changes for item in one.prepared if item.n > due.lo]
    assert due.hi == max((item.n for item in every), default=due.lo)
    assert [n for n, _ in due.digests] == list(range(due.lo + 1, due.hi + 1))
    for n, d in due.digests:
        here = [item for item in every if item.n == n]
        highest = max((item.view for item in here), default=None)
        if highest is None:
            assert d == null(n)
        else:
            assert d in [item.digest for item in here if item.view == highest]
