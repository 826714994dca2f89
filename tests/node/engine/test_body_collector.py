"""Completing bodies: from the mempool, from what came beside them, from peers in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from consensus.messages import BodyData, FetchBody, FetchTransactions, UnsignedMessage
from ledger.block import Body
from ledger.genesis import Parameters
from ledger.transaction import SignedTransaction
from ledger.types import Digest, Height, TimeMs, View
from node import body_collector
from node.bodies import Bodies, HeldBody, within_limits
from node.body_collector import BodyCollector, BodyNotFound
from node.verifier_pool import Verdict, check

Make = Callable[..., SignedTransaction]
CHAIN = Digest(b"\x07" * 32)


def body_of(transactions: Sequence[SignedTransaction], n: int = 1) -> HeldBody:
    digests = tuple(signed.digest for signed in transactions)
    body = Body(Height(n), View(0), "org-0", TimeMs(1), digests)
    return HeldBody(body, body.encode(), tuple(transactions))


class Bench:
    """A collector whose questions are noted, and answered by `answer` if set."""

    def __init__(self) -> None:
        self.bodies = Bodies()
        self.known: dict[Digest, SignedTransaction] = {}
        self.on_its_way: set[Digest] = set()
        self.asked: list[tuple[str, UnsignedMessage]] = []
        self.answer: Callable[[str, UnsignedMessage], None] = lambda peer, message: None
        self.collector = BodyCollector(
            self.bodies,
            self.known.get,
            self.on_its_way.__contains__,
            self._verify,
            self._send,
            lambda: ["a", "b", "c"],
        )

    async def _verify(self, raw_transactions: Sequence[bytes]) -> list[Verdict]:
        return [check(raw, CHAIN, Parameters()) for raw in raw_transactions]

    def _send(self, peer: str, message: UnsignedMessage) -> None:
        self.asked.append((peer, message))
        self.answer(peer, message)

    def offer(self, peer: str, message: BodyData) -> None:
        self.collector.body_arrived(self.bodies.propose(peer, message))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(body_collector, "ON_ITS_WAY_SECONDS", 0.001)
    monkeypatch.setattr(body_collector, "ASK_AGAIN_SECONDS", 0.001)
    return Bench()


def test_known_transactions_make_a_body_at_once(bench: Bench, make_transaction: Make) -> None:
    held = body_of([make_transaction(), make_transaction()])
    bench.known.update({signed.digest: signed for signed in held.transactions})
    assert bench.collector.assemble(held.digest) is None
    bench.offer("a", BodyData(held.encoded, ()))
    assert bench.collector.assemble(held.digest) == held
    assert bench.bodies.get(held.digest) == held
    assert bench.asked == []


async def test_what_came_beside_is_verified(bench: Bench, make_transaction: Make) -> None:
    held = body_of([make_transaction(), make_transaction()])
    bench.offer("a", held.message())
    assert await bench.collector.collect(held.digest, "a") == held
    forged = held.transactions[0].raw[:-1] + b"\x00"
    liar = make_transaction()
    body = Body(Height(1), View(0), "org-0", TimeMs(1), (SignedTransaction.decode(forged).digest,))
    bench.offer("a", BodyData(body.encode(), (forged, liar.raw)))
    with pytest.raises(BodyNotFound):
        await bench.collector.collect(body.digest, "a")


async def test_peers_are_asked_in_turn_until_one_has_the_body(
    bench: Bench, make_transaction: Make
) -> None:
    held = body_of([make_transaction()])

    def answer(peer: str, message: UnsignedMessage) -> None:
        if peer == "c" and isinstance(message, FetchBody):
            bench.offer("c", held.message())

    bench.answer = answer
    assert await bench.collector.collect(held.digest, "b") == held
    assert [peer for peer, _ in bench.asked] == ["b", "a", "c"]


async def test_what_a_late_block_holds_is_not_asked_for(
    bench: Bench, make_transaction: Make
) -> None:
    earlier = body_of([make_transaction()])
    bench.bodies.hold(earlier)
    again = body_of([make_transaction(), *earlier.transactions], n=2)
    bench.known[again.transactions[0].digest] = again.transactions[0]
    bench.offer("a", BodyData(again.encoded, ()))
    assert await bench.collector.collect(again.digest, "a") == again
    assert bench.asked == []


async def test_a_transaction_that_a_body_waits_for_is_wanted(
    bench: Bench, make_transaction: Make
) -> None:
    held = body_of([make_transaction()])
    (signed,) = held.transactions
    bench.offer("a", BodyData(held.encoded, ()))
    collecting = asyncio.create_task(bench.collector.collect(held.digest, "a"))
    await asyncio.sleep(0)
    assert bench.collector.wants(signed.digest)
    bench.collector.transaction_arrived(signed)
    assert await collecting == held
    assert not bench.collector.wants(signed.digest)


async def test_missing_transactions_are_asked_for_but_not_those_on_their_way(
    bench: Bench, make_transaction: Make
) -> None:
    held = body_of([make_transaction(), make_transaction()])
    coming, absent = held.transactions
    bench.on_its_way.add(coming.digest)
    bench.offer("a", BodyData(held.encoded, ()))

    def answer(peer: str, message: UnsignedMessage) -> None:
        assert isinstance(message, FetchTransactions)
        assert message.digests == (absent.digest,)
        for signed in (absent, coming):
            bench.collector.transaction_arrived(signed)

    bench.answer = answer
    assert await bench.collector.collect(held.digest, "a") == held
    assert len(bench.asked) == 1


async def test_a_body_nobody_has_is_given_up(
    bench: Bench, make_transaction: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_collector, "GIVE_UP_SECONDS", 0.01)
    held = body_of([make_transaction()])
    with pytest.raises(BodyNotFound):
        await bench.collector.collect(held.digest, "a")
    bench.offer("a", BodyData(held.encoded, ()))
    with pytest.raises(BodyNotFound):
        await bench.collector.collect(held.digest, "a")
    # Nothing is remembered of what was given up.
    bench.collector.transaction_arrived(held.transactions[0])
    await asyncio.sleep(0)
    assert held.digest not in bench.bodies


def test_a_liar_fills_only_its_own_place(bench: Bench, make_transaction: Make) -> None:
    honest = body_of([make_transaction()])
    bench.offer("a", honest.message())
    for n in range(100):
        bench.offer("liar", body_of([], n).message())
    assert bench.bodies.take_candidate(honest.digest) == honest.message()


def test_limits_of_a_fresh_body(make_transaction: Make) -> None:
    limits = Parameters(body_transactions_max=2, body_gas_max=2_000, body_bytes_max=600)
    one = make_transaction(gas=1_000)
    assert within_limits(body_of([one, make_transaction()]), limits)
    assert not within_limits(body_of([one, one]), limits)
    assert not within_limits(body_of([make_transaction(gas=1) for _ in range(3)]), limits)
    assert not within_limits(body_of([one, make_transaction(gas=1_001)]), limits)
    assert not within_limits(body_of([one, make_transaction(gas=1, size=600)]), limits)


def test_held_bodies_outlive_their_certificate_for_a_while(make_transaction: Make) -> None:
    bodies = Bodies()
    first = body_of([make_transaction()], 1)
    second = body_of([make_transaction()], 2)
    bodies.hold(first)
    bodies.hold(second)
    bodies.drop_certified(Height(9))
    assert first.digest not in bodies
    assert bodies.between(Height(1), Height(9)) == [second]
    wanted = second.transactions[0].digest
    assert bodies.transactions([wanted, Digest(bytes(32))]) == {wanted: second.transactions[0]}
