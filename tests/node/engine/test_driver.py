"""The driver's order: nothing leaves before what it promises is on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from consensus.config import TICK_MS
from consensus.effects import AppendDecided, Broadcast, Effect, Execute, Persist, Send
from consensus.events import BodyArrived, Event, Executed
from consensus.messages import OwnVoteQuery
from consensus.records import Highest
from contracts.runner import ExecutionStopped
from ledger.block import null_digest
from ledger.genesis import Parameters
from ledger.storage.errors import StoreFailed, StoreFull
from ledger.types import Digest, Epoch, Height, TimeMs, View
from node.bodies import Bodies
from node.censorship import CensorshipWatch
from node.disk import DiskBatch
from node.driver import Driver, Parts
from node.frames import Lane
from node.mempool import Mempool
from node.proposer import Proposer

RECORD = Highest(Epoch(0), View(1), Height(2))
SOME_DIGEST = Digest(b"\x09" * 32)
NULL = AppendDecided(Height(1), null_digest(Height(1)))
EVENT = BodyArrived(TimeMs(1), SOME_DIGEST)


class ScriptedReplica:
    """Answers each event with the next list of effects."""

    proposal_slot = None

    def __init__(self) -> None:
        self.script: list[list[Effect]] = []
        self.events: list[Event] = []
        self.left_ms = 1_000

    def timer_left_ms(self, now_ms: TimeMs) -> int:
        return self.left_ms

    def certified_hash(self, n: Height) -> Digest | None:
        return None

    def step(self, event: Event) -> list[Effect]:
        self.events.append(event)
        return self.script.pop(0) if self.script else []


class SlowDisk:
    """Writes take until `finish`; what happens is noted in `journal`."""

    compaction_due = False

    def __init__(self, journal: list[str]) -> None:
        self.journal = journal
        self.batches: list[DiskBatch] = []
        self.finish = asyncio.Event()
        self.error: Exception | None = None

    async def write(self, batch: DiskBatch) -> None:
        self.batches.append(batch)
        self.journal.append("write")
        await self.finish.wait()
        if self.error is not None:
            raise self.error
        self.journal.append("synced")


class Recorder:
    """Links, execution and relay in one: note what they are asked."""

    def __init__(self, journal: list[str]) -> None:
        self.journal = journal
        self.error: Exception | None = None

    def send(self, organisation: str, lane: Lane, frame: bytes) -> None:
        self.journal.append(f"send {organisation}")

    def broadcast(self, lane: Lane, frame: bytes) -> None:
        self.journal.append("broadcast")

    def submit(
        self, n: Height, block: object, certified: Digest | None
    ) -> asyncio.Future[tuple[Digest, TimeMs]]:
        self.journal.append(f"execute {n}")
        done = asyncio.get_running_loop().create_future()
        if self.error is not None:
            done.set_exception(self.error)
        else:
            done.set_result((SOME_DIGEST, TimeMs(5)))
        return done

    def again(self, now_ms: int) -> None: ...

    def flush(self) -> None: ...


class Bench:
    """A driver between fakes."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.replica = ScriptedReplica()
        self.disk = SlowDisk(self.journal)
        self.execution = recorder = Recorder(self.journal)
        parameters = Parameters()
        mempool = Mempool(parameters)
        fakes: dict[str, Any] = {
            "replica": self.replica,
            "disk": self.disk,
            "execution": recorder,
            "collector": None,
            "relay": recorder,
            "links": recorder,
            "watcher": None,
        }
        self.driver = Driver(
            Parts(
                bodies=Bodies(),
                mempool=mempool,
                proposer=Proposer("me", mempool, parameters.idle_block_ms),
                censorship=CensorshipWatch(parameters),
                peers=("org-1", "org-2", "org-3"),
                parameters=parameters,
                clock_ms=lambda: 1,
                record=lambda event, effects: None,
                **fakes,
            )
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 - the fakes have no event for everything
                await asyncio.sleep(0)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.driver.stop()
    if bench.driver.ended.done():
        bench.driver.ended.exception()


def idle_turns() -> Iterator[None]:
    return iter([None] * 20)


async def test_no_message_of_a_turn_leaves_before_its_sync(bench: Bench) -> None:
    bench.replica.script = [
        [Broadcast(OwnVoteQuery()), Persist(RECORD), Send("a", OwnVoteQuery())],
    ]
    bench.driver.start([], Height(0))
    bench.driver.post(EVENT)
    await bench.until(lambda: "write" in bench.journal)
    for _ in idle_turns():
        await asyncio.sleep(0)
    assert bench.journal == ["write"]
    bench.disk.finish.set()
    await bench.until(lambda: "send a" in bench.journal)
    assert bench.journal == ["write", "synced", "broadcast", "send a"]


async def test_a_turn_has_one_write_for_all_its_events(bench: Bench) -> None:
    bench.disk.finish.set()
    bench.replica.script = [
        [Persist(RECORD), Broadcast(OwnVoteQuery())],
        [NULL, Execute(Height(1), NULL.digest)],
    ]
    bench.driver.post(EVENT)
    bench.driver.post(EVENT)
    bench.driver.start([], Height(0))
    await bench.until(lambda: "execute 1" in bench.journal)
    assert bench.journal == ["write", "synced", "broadcast", "execute 1"]
    assert bench.disk.batches[0].records == [RECORD]
    assert [block.n for block, _ in bench.disk.batches[0].blocks] == [1]


async def test_events_gather_while_the_disk_works(bench: Bench) -> None:
    bench.replica.script = [[Persist(RECORD)], [Persist(RECORD)], [Persist(RECORD)]]
    bench.driver.start([], Height(0))
    bench.driver.post(EVENT)
    await bench.until(lambda: "write" in bench.journal)
    bench.driver.post(EVENT)
    bench.driver.post(EVENT)
    bench.disk.finish.set()
    await bench.until(lambda: len(bench.disk.batches) == 2)
    assert [len(batch.records) for batch in bench.disk.batches] == [1, 2]


async def test_execution_is_reported_to_the_replica(bench: Bench) -> None:
    bench.disk.finish.set()
    bench.driver.start([NULL, Execute(Height(1), NULL.digest)], Height(0))
    await bench.until(lambda: any(isinstance(item, Executed) for item in bench.replica.events))
    executed = next(event for event in bench.replica.events if isinstance(event, Executed))
    assert (executed.n, executed.header_hash, executed.time_ms) == (1, SOME_DIGEST, 5)


@pytest.mark.parametrize("error", [StoreFailed("wal", "Input/output error"), ValueError("a bug")])
async def test_a_failed_write_ends_voting_and_nothing_is_sent(
    bench: Bench, error: Exception
) -> None:
    bench.replica.script = [[Persist(RECORD), Broadcast(OwnVoteQuery())]]
    bench.disk.error = error
    bench.disk.finish.set()
    bench.driver.start([], Height(0))
    bench.driver.post(EVENT)
    with pytest.raises(type(error)):
        await asyncio.wait_for(asyncio.shield(bench.driver.ended), 30)
    assert bench.driver.halted is not None
    bench.driver.post(EVENT)
    for _ in idle_turns():
        await asyncio.sleep(0)
    assert bench.journal == ["write"]


@pytest.mark.parametrize("where", ["write", "execution"])
async def test_what_ended_voting_is_one_line_with_its_hint(
    bench: Bench, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = StoreFull("wal/00000000000000000001.log")
    if where == "write":
        bench.disk.error = error
    else:
        bench.execution.error = error
    bench.disk.finish.set()
    bench.driver.start([NULL, Execute(Height(1), NULL.digest)], Height(0))
    with pytest.raises(StoreFull):
        await asyncio.wait_for(asyncio.shield(bench.driver.ended), 30)
    said = (
        "disk_full: no space left to write wal/00000000000000000001.log "
        "(hint: free some space and start again; nothing acknowledged is lost)"
    )
    assert bench.driver.halted == said
    [record] = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert record.getMessage() == f"stopped voting: {said}"
    assert record.exc_info is None, "no trace for what is not our bug"


async def test_a_block_that_cannot_be_executed_ends_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.execution.error = ExecutionStopped(1, 3, "died (exit -31)")
    bench.disk.finish.set()
    bench.replica.script = [[Broadcast(OwnVoteQuery())]]
    bench.driver.start([NULL, Execute(Height(1), NULL.digest)], Height(0))
    await bench.until(lambda: bench.driver.halted is not None)
    assert bench.driver.halted is not None
    assert bench.driver.halted.startswith("execution_stopped: ")
    [record] = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert "alarm execution_stopped at height 1" in record.getMessage()
    assert "died (exit -31)" in record.getMessage()
    bench.driver.post(EVENT)
    await bench.until(lambda: "broadcast" in bench.journal)
    assert not bench.driver.ended.done()


async def test_a_bug_shows_where_it_happened_and_the_first_end_counts(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bug = ValueError("a bug")
    bench.driver.fail(bug)
    bench.driver.fail(StoreFailed("wal", "Input/output error"))
    assert bench.driver.halted == "ValueError: a bug"
    [record] = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert record.exc_info is not None
    assert record.exc_info[1] is bug


async def test_a_full_inbox_slows_the_links_down(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.driver.INBOX_EVENTS_MAX", 2)
    bench.driver.post(EVENT)
    await asyncio.wait_for(bench.driver.room(), 30)
    bench.driver.post(EVENT)
    waiting = asyncio.create_task(bench.driver.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    bench.driver.start([], Height(0))
    await asyncio.wait_for(waiting, 30)


@pytest.mark.parametrize(("left", "next_tick"), [(20, 20), (249, 249), (250, 250), (900, 250)])
@pytest.mark.parametrize("expired", [0, -5])
async def test_a_tick_comes_when_the_time_out_expires(
    bench: Bench, left: int, next_tick: int, expired: int
) -> None:
    bench.replica.left_ms = left
    assert bench.driver._next_tick_ms() == next_tick
    bench.replica.left_ms = expired
    assert bench.driver._next_tick_ms() == TICK_MS
