"""The mempool: bounds, turns, holds, expiry."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.genesis import Parameters
from ledger.transaction import SignedTransaction
from node import mempool as module
from node.mempool import Mempool, Pending

Make = Callable[..., SignedTransaction]
NOW = 1_000


def pool(**limits: int) -> Mempool:
    return Mempool(
        Parameters(body_transactions_max=4, body_gas_max=10_000, body_bytes_max=2_000), **limits
    )


def senders(chosen: list[Pending]) -> list[str]:
    return [pending.sender for pending in chosen]


def test_organisations_take_turns_and_the_oldest_goes_first(make_transaction: Make) -> None:
    mempool = pool()
    flood = [make_transaction() for _ in range(5)]
    for signed in flood:
        assert mempool.add(signed, "flooder", NOW) == "added"
    quiet = make_transaction()
    mempool.add(quiet, "quiet", NOW + 1)
    chosen = mempool.take(NOW)
    assert senders(chosen) == ["flooder", "quiet", "flooder", "flooder"]
    assert [pending.signed for pending in chosen if pending.sender == "flooder"] == flood[:3]
    assert senders(mempool.take(NOW)) == ["flooder", "flooder"]
    assert mempool.take(NOW) == []


def test_another_organisation_begins_the_next_body(make_transaction: Make) -> None:
    mempool = pool()
    for _ in range(8):
        mempool.add(make_transaction(), "a", NOW)
        mempool.add(make_transaction(), "b", NOW)
    assert senders(mempool.take(NOW))[0] == "a"
    assert senders(mempool.take(NOW))[0] == "b"


def test_a_body_respects_gas_and_bytes(make_transaction: Make) -> None:
    mempool = pool()
    for _ in range(3):
        mempool.add(make_transaction(gas=6_000), "a", NOW)
    assert len(mempool.take(NOW)) == 1
    mempool = pool()
    for _ in range(3):
        mempool.add(make_transaction(size=900), "a", NOW)
    assert len(mempool.take(NOW)) == 1


def test_what_does_not_fit_now_is_not_passed_over_for_smaller_ones(make_transaction: Make) -> None:
    mempool = pool()
    for gas in (8_000, 9_000, 60):
        mempool.add(make_transaction(gas=gas), "a", NOW)
    assert [pending.gas for pending in mempool.take(NOW)] == [8_000]
    assert [pending.gas for pending in mempool.take(NOW)] == [9_000, 60]


def test_one_id_is_held_once(make_transaction: Make) -> None:
    mempool = pool()
    signed = make_transaction()
    assert mempool.add(signed, "a", NOW) == "added"
    assert mempool.add(signed, "a", NOW) == "known"
    mempool.finish([signed])
    assert len(mempool) == 0
    assert mempool.knows(signed.digest)
    assert mempool.add(signed, "a", NOW) == "known"


def test_a_lone_flooder_gets_half_and_others_still_get_in(make_transaction: Make) -> None:
    mempool = pool(transactions_max=10)
    answers = [mempool.add(make_transaction(), "flooder", NOW) for _ in range(10)]
    assert answers.count("added") == 5
    assert answers[-1] == "full"
    assert mempool.add(make_transaction(), "quiet", NOW) == "added"


def test_the_oldest_of_an_organisation_is_taken_however_full(make_transaction: Make) -> None:
    mempool = pool(transactions_max=2)
    for name in ("a", "b", "c", "d"):
        assert mempool.add(make_transaction(), name, NOW) == "added"
        assert mempool.add(make_transaction(), name, NOW) == "full"


def test_released_transactions_keep_their_age(make_transaction: Make) -> None:
    mempool = pool()
    first, second = make_transaction(), make_transaction()
    mempool.add(first, "a", NOW)
    taken = mempool.take(NOW)
    mempool.add(second, "a", NOW + 1)
    assert mempool.oldest_arrival_ms() == NOW + 1
    mempool.release(pending.signed.digest for pending in taken)
    assert [pending.signed for pending in mempool.take(NOW)] == [first, second]


def test_expired_transactions_leave_unless_a_body_holds_them(make_transaction: Make) -> None:
    mempool = pool()
    waiting, held = make_transaction(valid_until_ms=NOW), make_transaction(valid_until_ms=NOW)
    mempool.add(held, "a", NOW)
    mempool.take(NOW)
    mempool.add(waiting, "a", NOW)
    assert mempool.expire(NOW) == 0
    assert mempool.expire(NOW + 1) == 1
    assert mempool.left(waiting.id) == NOW
    assert mempool.by_id(held.id) is not None
    mempool.release([held.digest])
    assert mempool.expire(NOW + 1) == 1
    assert mempool.add(waiting, "a", NOW + 1) == "lapsed"


def test_a_transaction_too_old_for_the_body_is_left_out(make_transaction: Make) -> None:
    mempool = pool()
    mempool.add(make_transaction(valid_until_ms=NOW), "a", NOW)
    fresh = make_transaction(valid_until_ms=NOW + 10)
    mempool.add(fresh, "a", NOW)
    assert [pending.signed for pending in mempool.take(NOW + 5)] == [fresh]


def test_relaying_again_is_oldest_first_and_bounded(make_transaction: Make) -> None:
    mempool = pool()
    for arrived in range(4):
        mempool.add(make_transaction(), "a", NOW + arrived)
    late = mempool.to_relay(NOW + 2, count_max=2, bytes_max=10_000)
    assert [pending.arrived_ms for pending in late] == [NOW, NOW + 1]
    late[0].relayed_ms = NOW + 5
    again = mempool.to_relay(NOW + 2, count_max=8, bytes_max=10_000)
    assert [pending.arrived_ms for pending in again] == [NOW + 1, NOW + 2]
    assert mempool.to_relay(NOW + 2, count_max=8, bytes_max=10) == []


def test_memory_of_finished_transactions_is_bounded(
    make_transaction: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FINISHED_MAX", 3)
    mempool = pool()
    transactions = [make_transaction() for _ in range(5)]
    mempool.finish(transactions)
    assert [mempool.knows(signed.digest) for signed in transactions] == [False] * 2 + [True] * 3


actions = st.lists(
    st.tuples(
        st.sampled_from(["add", "take", "release", "finish", "expire"]),
        st.integers(0, 19),
        st.sampled_from(["a", "b", ""]),
    ),
    max_size=60,
)


@given(actions)
def test_books_balance_whatever_happens(
    make_transaction: Make, steps: list[tuple[str, int, str]]
) -> None:
    """Counts, bytes and queues agree after any sequence, and no transaction is in two bodies."""
    mempool = pool(transactions_max=12)
    known = [make_transaction(valid_until_ms=NOW + 10 * i) for i in range(20)]
    bodies: list[list[Pending]] = []
    now = NOW
    for action, index, sender in steps:
        if action == "add":
            mempool.add(known[index], sender, now)
        elif action == "take":
            bodies.append(mempool.take(now))
        elif action == "release" and bodies:
            mempool.release(pending.signed.digest for pending in bodies.pop(index % len(bodies)))
        elif action == "finish" and bodies:
            mempool.finish(pending.signed for pending in bodies.pop(index % len(bodies)))
        elif action == "expire":
            now += index
            mempool.expire(now)
        held = [pending for body in bodies for pending in body]
        assert len({pending.signed.id for pending in held}) == len(held)
        present = [pending for signed in known if (pending := mempool.by_id(signed.id))]
        assert len(mempool) == len(present)
        assert mempool.bytes == sum(pending.size for pending in present)
        assert mempool.waiting == len(present) - len(held)
