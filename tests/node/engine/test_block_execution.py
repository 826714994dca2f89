"""A block that cannot be executed: what is held, who is asked, and what lets it go on."""

from __future__ import annotations

import asyncio

import pytest

from contracts.runner import ExecutionStopped
from ledger.block import DecidedBlock
from ledger.errors import QiongError
from ledger.execution import WrongHeight
from ledger.hashing import sha256
from ledger.quarantine import QuarantineAwaited
from ledger.store import HeaderMismatch
from ledger.types import Digest, Height, TimeMs
from node.block_execution import ASK_MS, ROUNDS, BlockExecution

PEERS = ("org-1", "org-2", "org-3")
OURS, CERTIFIED = sha256(b"ours"), sha256(b"certified")
LOST = ExecutionStopped(1, 3, "died (exit -31)")


class Bench:
    """A thread that fails at block 1 with `error`, if there is one; everything is noted."""

    def __init__(self, error: QiongError | None) -> None:
        self.error = error
        self.executed = 0
        self.certified: dict[Height, Digest] = {}
        self.given: list[tuple[Height, Digest | None]] = []
        self.asked: list[str] = []
        self.done: list[Height] = []
        self.now_ms = 1_000_000
        self.execution = BlockExecution(
            self,
            PEERS,
            self.certified.get,
            lambda peer, n: self.asked.append(peer),
            lambda n, header_hash, time_ms: self.done.append(n),
        )

    def submit(
        self, n: Height, block: DecidedBlock | None, certified: Digest | None
    ) -> asyncio.Future[tuple[Digest, TimeMs]]:
        self.given.append((n, certified))
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[Digest, TimeMs]] = loop.create_future()
        error: QiongError | None = self.error
        if n != self.executed + 1:
            error = WrongHeight(Height(self.executed + 1), n)
        elif error is None and certified is not None and certified != OURS:
            error = HeaderMismatch(n, certified, OURS)
        if error is not None:
            loop.call_soon(future.set_exception, error)
        else:
            self.executed = n
            loop.call_soon(future.set_result, (OURS, TimeMs(1)))
        return future

    async def run(self, *heights: int) -> None:
        await asyncio.gather(*(self.execution.run(Height(n), None) for n in heights))

    async def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.now_ms += ASK_MS
            await self.run(*self.execution.resumed(self.now_ms))


@pytest.mark.parametrize("error", [LOST, QuarantineAwaited(Height(1), [OURS])])
async def test_blocks_behind_it_are_held_until_a_quarantine_comes(error: QiongError) -> None:
    bench = Bench(error)
    await bench.run(1, 2, 3)  # 2 and 3 were in the thread's queue
    await bench.run(4)
    assert bench.execution.stopped is not None
    assert (bench.done, [n for n, _ in bench.given]) == ([], [1, 2, 3])
    await bench.tick(4)
    assert bench.asked == ["org-1", "org-2", "org-3", "org-1"]
    assert bench.done == []
    bench.error = None
    bench.execution.quarantine_came()
    await bench.tick()
    assert bench.done == [1, 2, 3, 4]
    assert bench.execution.stopped is None


async def test_a_quarantine_that_comes_while_it_is_tried_counts() -> None:
    bench = Bench(LOST)
    trying = asyncio.create_task(bench.execution.run(Height(1), None))
    await asyncio.sleep(0)
    bench.execution.quarantine_came()
    await trying
    assert bench.execution.stopped is not None
    bench.error = None
    await bench.tick()
    assert bench.done == [1]


async def test_it_is_executed_again_once_it_is_certified() -> None:
    bench = Bench(QuarantineAwaited(Height(1), [OURS]))
    await bench.run(1)
    bench.error = None
    await bench.tick()
    assert bench.done == []
    bench.certified[Height(1)] = OURS
    await bench.tick()
    assert bench.done == [1]
    assert bench.given[-1] == (1, OURS)


async def test_one_peer_at_a_time_is_asked() -> None:
    bench = Bench(LOST)
    await bench.run(1)
    for _ in range(20):
        bench.now_ms += ASK_MS // 4
        assert bench.execution.resumed(bench.now_ms) == []
    assert len(bench.asked) == 5


async def test_a_result_that_is_not_the_certified_one_waits_for_every_peer() -> None:
    """One of them may have kept a quarantine back."""
    bench = Bench(None)
    bench.certified[Height(1)] = CERTIFIED
    await bench.run(1)
    assert bench.done == []
    assert bench.execution.stopped is None, "no alarm before it is known whose fault it is"
    await bench.tick(ROUNDS * len(PEERS))
    assert set(bench.asked) == set(PEERS)
    assert bench.done == []
    await bench.tick(2)
    # Nobody has one: the result is our own, and the replica compares it.
    assert bench.done == [1]
    assert bench.given[-1] == (1, None)


async def test_a_result_that_cannot_be_kept_is_an_end() -> None:
    bench = Bench(None)
    bench.certified[Height(1)] = CERTIFIED
    await bench.run(1)
    bench.error = HeaderMismatch(Height(1), CERTIFIED, OURS)
    with pytest.raises(HeaderMismatch):
        await bench.tick(ROUNDS * len(PEERS) + 2)


async def test_other_errors_pass_through() -> None:
    bench = Bench(None)
    with pytest.raises(WrongHeight):
        await bench.run(2)


async def test_a_diverged_validator_asks_for_a_quarantine_and_not_for_ever() -> None:
    bench = Bench(None)
    bench.execution.diverged(Height(1))
    await bench.tick(50)
    assert len(bench.asked) == ROUNDS * len(PEERS) + 1
    assert bench.execution.stopped is None
