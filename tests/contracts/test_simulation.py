"""Simulations: both runners say the same, and what was read is all that was read."""

import os
from contextlib import closing

import pytest

from contracts.inline import InlineRunner
from contracts.runner import ExecutionStopped, WorkerRunner
from contracts.sandbox import Sandbox
from contracts.simulation import Listing
from ledger import canonical
from ledger.transaction import Call

SHELF = """
@call
def move(old: str, new: str) -> list:
    value = get("item/" + old)
    require(value is not None, "NOTHING")
    put("item/" + new, value)
    delete("item/" + old)
    again = get("item/" + new)
    return keys("item/", 3)

@view
def read(name: str) -> int | None:
    return get("item/" + name)
"""


@pytest.fixture
def world(make_world):
    made = make_world({"shelf": SHELF})
    made.seed([("shelf", f"item/{name}", i) for i, name in enumerate("abcde")])
    return made


def move(world, old, new):
    return world.transaction([Call("shelf", "move", [old, new])], "tourism")


def test_reads_are_of_the_state_before_and_writes_of_the_state_after(world) -> None:
    before = dict(world.entries)
    with closing(WorkerRunner(Sandbox(), attempts=1)) as runner:
        for _ in range(2):  # what the worker read once, it reads again
            done = runner.simulate(world.context, move(world, "b", "x"), world.state)
            assert done == InlineRunner().simulate(
                world.context, move(world, "b", "x"), world.state
            )
            own = {key: data for (name, key), data in done.reads.items() if name == "shelf"}
            # item/x was read after it was written: that hangs on nothing before.
            assert own == {"item/b": canonical.encode(1)}
            assert {name for name, _ in done.reads} == {"shelf", "registry"}
            assert done.outcome.calls[0].result == ["item/a", "item/c", "item/d"]
            assert done.outcome.writes == {
                ("shelf", "item/x"): canonical.encode(1), ("shelf", "item/b"): None
            }  # fmt: skip
            first, *_ = done.listings
            assert first == Listing("shelf", "item/", 3, ("item/a", "item/b", "item/c"))
        call = Call("shelf", "read", ["b"])
        assert runner.query(world.context, call, world.state).result == 1
    assert world.entries == before


def test_a_worker_for_questions_gives_way_to_others() -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    box = Sandbox(niceness=3)
    box.start()
    try:
        assert os.getpriority(os.PRIO_PROCESS, box._process.pid) == min(own + 3, 19)
    finally:
        box.close()


def test_a_question_that_ends_the_worker_is_asked_once(world) -> None:
    asked = []

    class Deadly:
        def get(self, contract, key):
            asked.append(key)
            runner._sandbox._process.kill()
            runner._sandbox._process.wait()
            return world.state.get(contract, key)

        def keys(self, contract, prefix, limit):
            raise AssertionError

    with closing(WorkerRunner(Sandbox(), attempts=1)) as runner:
        with pytest.raises(ExecutionStopped):
            runner.simulate(world.context, move(world, "b", "x"), Deadly())
        assert len(asked) == 1
        done = runner.simulate(world.context, move(world, "b", "x"), world.state)
        assert done.outcome.status == "ok"
