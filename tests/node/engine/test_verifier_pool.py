"""Client signatures in threads: order, reasons, chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from ledger.errors import FieldError
from ledger.genesis import Parameters
from ledger.transaction import BadSignature, SignedTransaction
from ledger.types import Digest
from node.verifier_pool import CHUNK, VerifierPool, WrongChain

Make = Callable[..., SignedTransaction]
CHAIN = Digest(b"\x07" * 32)


@pytest.fixture
def pool() -> Iterator[VerifierPool]:
    pool = VerifierPool(CHAIN, Parameters())
    yield pool
    pool.close()


async def test_each_gets_its_own_verdict_in_order(
    pool: VerifierPool, make_transaction: Make
) -> None:
    good, other = make_transaction(), make_transaction(chain_id=Digest(b"\x08" * 32))
    forged = good.raw[:-1] + bytes([good.raw[-1] ^ 1])
    greedy = make_transaction(gas=2_000_000)
    verdicts = await pool.verify([good.raw, other.raw, forged, b"\xc0", greedy.raw])
    first, wrong_chain, bad, malformed, last = verdicts
    assert isinstance(first, SignedTransaction)
    assert first.raw == good.raw
    assert isinstance(wrong_chain, WrongChain)
    assert isinstance(bad, BadSignature | FieldError)
    assert isinstance(malformed, FieldError)
    assert isinstance(last, SignedTransaction)


async def test_what_no_body_could_hold_is_refused(make_transaction: Make) -> None:
    small = VerifierPool(CHAIN, Parameters(body_gas_max=500, body_bytes_max=400))
    try:
        verdicts = await small.verify(
            [make_transaction(gas=501).raw, make_transaction(gas=1, size=500).raw]
        )
    finally:
        small.close()
    assert all(isinstance(verdict, FieldError) for verdict in verdicts)


async def test_many_requests_share_the_threads(pool: VerifierPool, make_transaction: Make) -> None:
    raws = [make_transaction().raw for _ in range(CHUNK + 5)]
    whole, *singles = await asyncio.gather(pool.verify(raws), *(pool.verify([r]) for r in raws))
    assert [v.raw for v in whole if isinstance(v, SignedTransaction)] == raws
    assert [v[0].raw for v in singles if isinstance(v[0], SignedTransaction)] == raws
    assert pool.queued == 0


async def test_nothing_to_verify_is_answered_at_once(pool: VerifierPool) -> None:
    assert await pool.verify([]) == []
