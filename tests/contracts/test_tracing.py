"""A traced transaction ends as an untraced one, and its steps account for all of its gas."""

import sys

import pytest

from contracts import tracing
from contracts.inline import InlineRunner
from contracts.short_text import short_text
from contracts.tracing import HostCall, Step, TracingRunner
from devnet import sample
from ledger.transaction import Call

SHELF = '''"""A shelf."""

def weight(items: list) -> int:
    "All together."; total = 0
    for item in items:
        total += item
    return total

@call
def fill(name: str, count: int) -> int:
    before = get("shelf/" + name)
    items = [i * 2
             for i in range(count)]
    total = weight(items) + weight([1])
    put("shelf/" + name, {"items": items, "total": total})
    bumped = call("counter", "bump", [name])
    emit("filled", {"total": total})
    if before is not None:
        delete("shelf/" + name)
    require(total < 100,
            "TOO_HEAVY")
    return total + bumped

@call
def spin() -> None:
    while (len("a") > 2 or
           len("b") < 2):
        put("x", 1)

@call
def long_key() -> None:
    put("x" * 300, 1)

@call
def no_such_key() -> int:
    return {"a": 1}["b"]
'''

COUNTER = """
@call
def bump(name: str) -> int:
    count = get("count/" + name)
    count = 1 if count is None else count + 1
    put("count/" + name, count)
    return count
"""


@pytest.fixture
def world(make_world):
    return make_world({"shelf": SHELF, "counter": COUNTER})


def trace(world, transactions, position=0):
    """The traces of one transaction of a block, checked against an untraced run."""
    runner = TracingRunner(position)
    former = sys.gettrace()
    outcomes = runner.run(world.context, transactions, world.state)
    assert sys.gettrace() is former
    assert outcomes == InlineRunner().run(world.context, transactions, world.state)
    outcome = outcomes[position]
    for call, traced in zip(outcome.calls, runner.calls, strict=False):
        if outcome.code != "ATOMIC" and call.code != "ATOMIC":
            assert (traced.status, traced.code, traced.gas) == (call.status, call.code, call.gas)
        steps = sum(step.gas for step in traced.steps)
        assert traced.gas_before + steps + traced.gas_after == traced.gas
        used = [step.used for step in traced.steps]
        assert used == sorted(used)
    return runner


def one(world, method, *args, gas=300_000):
    runner = trace(
        world, [world.transaction([Call("shelf", method, list(args))], "tourism", gas=gas)]
    )
    (call,) = runner.calls
    return call


def lines(call):
    return [(step.contract, step.line, step.depth) for step in call.steps if not step.resumed]


def test_every_line_in_its_order_and_statements_as_one(world) -> None:
    loop = [("shelf", 5, 1), ("shelf", 6, 1)]
    assert lines(one(world, "fill", "a", 2)) == [
        *[("shelf", line, 0) for line in (11, 12, 14)],
        ("shelf", 4, 1), *loop, *loop, ("shelf", 5, 1), ("shelf", 7, 1),
        ("shelf", 4, 1), *loop, ("shelf", 5, 1), ("shelf", 7, 1),
        *[("shelf", line, 0) for line in (15, 16)],
        *[("counter", line, 1) for line in (4, 5, 6, 7)],
        *[("shelf", line, 0) for line in (17, 18, 20, 22)],
    ]  # fmt: skip


def test_each_turn_of_a_loop_in_one_line_is_a_step(world) -> None:
    source = '@call\ndef go() -> None:\n    for i in range(3): put("k", i)\n    put("k", 9)\n'
    world = type(world)({"outer": source})
    (call,) = trace(world, [world.transaction([Call("outer", "go", [])], "tourism")]).calls
    assert [step.line for step in call.steps] == [3, 3, 3, 3, 4]
    written = [done.args[1] for step in call.steps for done in step.host_calls]
    assert written == [0, 1, 2, 9]
    assert [len(step.host_calls) for step in call.steps] == [1, 1, 1, 0, 1]


def test_reads_writes_events_calls_and_locals(world) -> None:
    world.seed([("shelf", "shelf/a", 7), ("counter", "count/a", 4)])
    call = one(world, "fill", "a", 2)
    value = {"items": [0, 2], "total": 3}
    by_line = {(step.contract, step.line): step for step in call.steps if step.host_calls}
    assert {place: step.host_calls for place, step in by_line.items()} == {
        ("shelf", 11): [HostCall("get", ("shelf/a",), None, 7)],
        ("shelf", 15): [HostCall("put", ("shelf/a", value), 7)],
        ("shelf", 16): [HostCall("call", ("counter", "bump", ["a"]), None, 5)],
        ("counter", 4): [HostCall("get", ("count/a",), None, 4)],
        ("counter", 6): [HostCall("put", ("count/a", 5), 4)],
        ("shelf", 17): [HostCall("emit", ("filled", {"total": 3}))],
        ("shelf", 19): [HostCall("delete", ("shelf/a",), value)],
    }
    first = call.steps[0]
    assert first.arguments == {"name": "'a'", "count": "2"}
    assert first.changed == {"before": "7"}
    assert by_line["counter", 4].changed == {"count": "4"}
    totals = [step.changed["total"] for step in call.steps if "total" in step.changed]
    assert totals == ["0", "2", "0", "1", "3"]
    assert by_line["counter", 6].source != first.source


def test_what_a_line_did_after_a_call_is_told_after_it(world) -> None:
    source = '@call\ndef go() -> None:\n    put("k", call("counter", "bump", ["a"]))\n'
    world = type(world)({"counter": COUNTER, "outer": source})
    runner = trace(world, [world.transaction([Call("outer", "go", [])], "tourism")])
    outer = [step for step in runner.calls[0].steps if step.contract == "outer"]
    assert [(step.line, step.resumed) for step in outer] == [(3, False), (3, True)]
    assert [[done.name for done in step.host_calls] for step in outer] == [["call"], ["put"]]
    assert all(step.gas > 0 for step in outer)


@pytest.mark.parametrize(
    ("method", "args", "gas", "line", "failure"),
    [
        ("fill", ["a", 20], 300_000, 20, "reverted TOO_HEAVY"),
        ("spin", [], 3_000, None, "out_of_gas OUT_OF_GAS"),
        ("long_key", [], 300_000, 32, "limit KEY_SIZE"),
        ("no_such_key", [], 300_000, 36, "error KEY"),
        ("fill", ["a", 20], 500, None, "out_of_gas OUT_OF_GAS"),
    ],
)
def test_failures_stand_on_their_line(world, method, args, gas, line, failure) -> None:
    call = one(world, method, *args, gas=gas)
    (failed,) = [step for step in call.steps if step.failure]
    assert failed.failure == failure
    assert line in (failed.line, None)
    if method == "long_key":
        assert failed.host_calls[-1].failure == failure


def test_no_key_is_asked_for_that_no_state_can_hold(world) -> None:
    asked = []

    class Watched(type(world.state)):
        def get(self, contract, key):
            asked.append(len(key))
            return super().get(contract, key)

    runner = TracingRunner(0)
    transaction = world.transaction([Call("shelf", "long_key", [])], "tourism")
    runner.run(world.context, [transaction], Watched(world.entries))
    assert max(asked) <= 256


def test_refused_calls_have_no_lines(world) -> None:
    for contract, method in (("nowhere", "x"), ("shelf", "no_such_method")):
        call = Call(contract, method, [])
        runner = trace(world, [world.transaction([call], "tourism")])
        (traced,) = runner.calls
        assert (traced.steps, traced.gas_before) == ([], traced.gas)


def test_the_wanted_transaction_meets_what_the_earlier_ones_wrote(world) -> None:
    earlier = world.transaction([Call("shelf", "fill", ["a", 1])], "tourism")
    wanted = world.transaction(
        [Call("shelf", "fill", ["a", 2]), Call("shelf", "fill", ["b", 30])], "health",
        gas=600_000, atomic=True,
    )  # fmt: skip
    later = world.transaction([Call("shelf", "fill", ["c", 1])], "tourism")
    runner = trace(world, [earlier, wanted, later], position=1)
    first, second = runner.calls
    assert first.steps[0].host_calls[0].result == {"items": [0], "total": 1}
    assert (second.status, second.code) == ("reverted", "TOO_HEAVY")
    assert set(runner.sources.values()) == {SHELF, COUNTER}


def test_the_library_line_by_line(world) -> None:
    keys = {entry.uscc: entry.id for entry in sample.departments()}
    for row in sample.licences()[:3]:
        args = [row.id, row.type, row.holder, row.issued, row.expires]
        transaction = world.transaction([Call("licence", "issue", args)], keys[row.issuer])
        (call,) = trace(world, [transaction]).calls
        assert call.status == "ok"
        assert any(done.name == "put" for step in call.steps for done in step.host_calls)


def test_locals_are_cut_short() -> None:
    assert short_text({"a": [1, "x", None], "b": b"y"}) == "{'a': [1, 'x', None], 'b': b'y'}"
    assert short_text("x" * 100) == repr("x" * 80) + "…"
    assert short_text(list(range(10_000))) == "[0, 1, 2, 3, 4, 5, …]"
    assert short_text((1, [[[{}, []], 2]])) == "(1, [[[…], 2]])"
    assert short_text({i: i for i in range(7)}).endswith("5: 5, …}")
    assert [short_text(value) for value in ([], (), {})] == ["[]", "()", "{}"]


def test_no_more_steps_are_kept_than_fit(world, monkeypatch) -> None:
    monkeypatch.setattr(tracing, "STEPS_MAX", 5)
    runner = TracingRunner(0)
    calls = [Call("shelf", "fill", ["a", 2])] * 2
    transaction = world.transaction(calls, "tourism", gas=600_000)
    outcomes = runner.run(world.context, [transaction], world.state)
    assert outcomes == InlineRunner().run(world.context, [transaction], world.state)
    assert [(len(call.steps), call.cut) for call in runner.calls] == [(5, True), (0, True)]


def test_an_argument_that_the_contract_changes_is_shown_as_it_was(world) -> None:
    source = '@call\ndef go(x: list) -> None:\n    x.append(1)\n    y = get("k")\n    y.append(2)\n'
    world = type(world)({"outer": source})
    world.seed([("outer", "k", [9])])
    runner = trace(world, [world.transaction([Call("outer", "go", [[0]])], "tourism")])
    (call,) = runner.calls
    assert call.call.args == [[0]]
    step = next(step for step in call.steps if step.host_calls)
    assert isinstance(step, Step)
    assert step.host_calls[0].result == [9]
    assert call.steps[-1].changed == {"y": "[9, 2]"}
