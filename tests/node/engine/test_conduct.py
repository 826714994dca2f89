"""What a peer may cost, and how long one that lies is kept out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node import conduct
from node.conduct import FORGIVEN_SECONDS, KEPT_OUT_SECONDS_MIN, OFFENCES_MAX, Conduct, TokenBucket

LONGEST = KEPT_OUT_SECONDS_MIN * 2 ** (OFFENCES_MAX - 1)


def test_a_token_bucket_lets_a_burst_through_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=10, burst=20, now=0)
    assert bucket.take(20, now=0) == 0
    assert bucket.take(10, now=0) == 1
    assert bucket.take(10, now=2) == 0
    assert bucket.take(40, now=100) == 2


def test_nothing_is_spent_from_an_overdrawn_bucket() -> None:
    bucket = TokenBucket(rate=1, burst=2, now=0)
    assert [bucket.spend(1, now=0) for _ in range(3)] == [True, True, False]
    assert bucket.spend(10, now=0.5), "what is there covers the first part"
    assert not bucket.spend(0, now=9)
    assert bucket.spend(0, now=10.5)


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 50)), max_size=50))
def test_no_peer_gets_more_than_burst_and_rate(calls: list[tuple[float, float]]) -> None:
    bucket = TokenBucket(rate=10, burst=20, now=0)
    now = granted = 0.0
    for pause, amount in calls:
        now += pause
        now += bucket.take(amount, now)
        granted += amount
        assert granted <= 20 + 10 * now + 1e-6


def test_each_offence_doubles_the_time_out_up_to_a_bound() -> None:
    peers = Conduct(["a", "b"])
    now, times = 100.0, []
    for _ in range(OFFENCES_MAX + 3):
        times.append(peers.offence("a", now))
        assert peers.kept_out("a", now) == times[-1]
        now += times[-1]
        assert peers.kept_out("a", now) == 0
    assert times == [min(LONGEST, KEPT_OUT_SECONDS_MIN * 2**i) for i in range(len(times))]
    assert peers.kept_out("b", now) == 0


def test_offences_are_forgiven_one_by_one() -> None:
    peers = Conduct(["a"])
    for _ in range(3):
        peers.offence("a", 0)
    assert peers.offence("a", FORGIVEN_SECONDS) == KEPT_OUT_SECONDS_MIN * 4, "one of three"
    now = FORGIVEN_SECONDS * 100
    assert peers.offence("a", now) == KEPT_OUT_SECONDS_MIN
    assert peers.offence("a", now) == KEPT_OUT_SECONDS_MIN * 2


def test_dialling_again_fills_no_bucket() -> None:
    peers = Conduct(["a", "b"])
    assert peers.allowance("a", 0).cpu.take(2 * conduct.CPU_BURST_SECONDS, 0) > 0
    assert peers.allowance("a", 0.1).cpu.take(0, 0.1) > 0
    assert peers.allowance("b", 0.1).cpu.take(0, 0.1) == 0
