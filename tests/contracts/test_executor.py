"""Transactions: gas shares, atomicity, statuses, layers of writes, contracts calling contracts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.worker import executor, host
from contracts.worker.state import LayeredState
from ledger.transaction import Call

NOTES = """
@call
def write(key: str, value: dict | list | str | int | None) -> str:
    put(key, value)
    emit("written", {"key": key})
    return key

@call
def fail(key: str) -> None:
    put(key, "no")
    emit("written", {"key": key})
    require(False, "NO")

@call
def remove(key: str) -> None:
    delete(key)

@call
def burn() -> None:
    for i in range(10000000):
        put("burnt", i)

@call
def long_code(code: str) -> None:
    require(False, code)

@call
def copy(source: str, target: str) -> None:
    value = get(source)
    value.append(1)
    require(get(source) != value, "ALIASED")
    put(target, value)

@call
def whoami() -> list:
    return [sender(), signers(), organisation(), now(), height()]

@call
def relay(contract: str, method: str, args: list) -> list:
    put("relayed", method)
    return [call(contract, method, args), sender()]

@call
def big(count: int) -> list:
    text = "x"
    for i in range(14):
        text = text + text
    return [text for i in range(count)]

@call
def reads(count: int) -> None:
    for i in range(count):
        get("k" + str(i))

@call
def listed(prefix: str, limit: int) -> list:
    return keys(prefix, limit)

@view
def read(key: str) -> dict | list | str | int | None:
    return get(key)

@view
def keys_of(prefix: str) -> list:
    return keys(prefix)

@view
def indirect(contract: str, method: str, args: list) -> dict | list | str | int | None:
    return call(contract, method, args)
"""

ECHO = """
@call
def who() -> str:
    put("caller", sender())
    return sender()

@call
def back(contract: str) -> None:
    call(contract, "write", ["a", 1])

@call
def deny() -> None:
    require(False, "DENIED")

@view
def seen() -> str | None:
    return get("caller")
"""


@pytest.fixture
def world(make_world):
    return make_world({"notes": NOTES, "echo": ECHO, "broken": "import os\n"})


def note(method, *args):
    return Call("notes", method, list(args))


def write(key, value=1):
    return note("write", key, value)


def one(world, *calls, gas=300_000, atomic=False):
    return world.run(world.transaction(calls, "tourism", gas=gas, atomic=atomic))[0]


def statuses(outcome):
    return [(call.status, call.code) for call in outcome.calls]


def test_a_call_writes_emits_and_returns(world) -> None:
    outcome = one(world, write("a", {"n": 1}))
    assert (outcome.status, outcome.code) == ("ok", "")
    assert outcome.calls[0].result == "a"
    assert outcome.gas == outcome.calls[0].gas > executor.CALL_GAS
    assert [(e.call_index, e.contract, e.name, e.data) for e in outcome.events] == [
        (0, "notes", "written", {"key": "a"})
    ]
    assert world.value("notes", "a") == {"n": 1}
    assert set(outcome.writes) == {("notes", "a")}


def test_independent_calls_fail_alone(world) -> None:
    outcome = one(world, write("a"), note("fail", "b"), write("c"))
    assert statuses(outcome) == [("ok", ""), ("reverted", "NO"), ("ok", "")]
    assert (outcome.status, outcome.code) == ("ok", "")
    assert outcome.gas == sum(call.gas for call in outcome.calls)
    assert [event.call_index for event in outcome.events] == [0, 2]
    assert set(outcome.writes) == {("notes", "a"), ("notes", "c")}


def test_when_all_fail_the_first_names_the_status(world) -> None:
    outcome = one(world, note("fail", "a"), note("copy", "none", "x"))
    assert statuses(outcome) == [("reverted", "NO"), ("error", "TYPE")]
    assert (outcome.status, outcome.code) == ("reverted", "NO")
    assert (outcome.writes, outcome.events) == ({}, ())


def test_atomic_calls_stand_or_fall_together(world) -> None:
    outcome = one(world, write("a"), note("fail", "b"), write("c"), atomic=True)
    assert (outcome.status, outcome.code) == ("reverted", "NO")
    assert statuses(outcome) == [("reverted", "ATOMIC"), ("reverted", "NO"), ("reverted", "ATOMIC")]
    assert outcome.calls[0].gas > 0
    assert outcome.calls[2].gas == 0
    assert outcome.gas == sum(call.gas for call in outcome.calls)
    assert (outcome.writes, outcome.events) == ({}, ())
    good = one(world, write("a"), write("b"), atomic=True)
    assert good.status == "ok"
    assert set(good.writes) == {("notes", "a"), ("notes", "b")}


def test_later_calls_and_transactions_see_earlier_writes_and_no_failed_ones(world) -> None:
    listing = [world.transaction([note("listed", "", 10)], "tourism") for _ in range(4)]
    outcomes = world.run(
        listing[0],
        world.transaction([write("a"), note("fail", "b"), note("listed", "", 10)], "tourism"),
        listing[1],
        world.transaction([write("c"), note("fail", "d")], "tourism", atomic=True),
        listing[2],
        world.transaction([note("remove", "a"), write("e")], "tourism"),
        listing[3],
    )
    seen = [outcomes[i].calls[-1].result for i in (0, 1, 2, 4, 6)]
    assert seen == [[], ["a"], ["a"], ["a"], ["e"]]


def test_gas_shares_of_independent_calls(world) -> None:
    limit = 10_000
    outcome = one(world, note("burn"), write("a"), gas=limit)
    assert statuses(outcome) == [("out_of_gas", "OUT_OF_GAS"), ("ok", "")]
    assert outcome.calls[0].gas == limit // 2
    # What the first leaves over, the second may use.
    outcome = one(world, write("a"), note("burn"), gas=limit)
    assert outcome.calls[1].gas == limit - outcome.calls[0].gas
    assert outcome.gas == limit


def test_one_call_has_a_limit_of_its_own(world) -> None:
    outcome = one(world, note("burn"), gas=2_000_000)
    assert outcome.calls[0].gas == executor.CALL_GAS_MAX


def test_gas_too_small_for_any_call(world) -> None:
    outcome = one(world, write("a"), write("b"), gas=executor.CALL_GAS - 1)
    assert statuses(outcome) == [("out_of_gas", "OUT_OF_GAS")] * 2
    assert outcome.gas <= executor.CALL_GAS - 1


def test_platform_refusals(world) -> None:
    assert statuses(one(world, Call("nowhere", "x", []))) == [("rejected", "unknown_contract")]
    assert statuses(one(world, Call("contracts", "x", []))) == [("rejected", "unknown_method")]
    assert statuses(one(world, note("nothing"))) == [("rejected", "unknown_method")]
    assert statuses(one(world, note("read", "a"))) == [("rejected", "unknown_method")]
    assert statuses(one(world, Call("broken", "x", []))) == [("rejected", "compile_refused")]
    world.register("guest", "91350100M000100Y43", (), submitter=False)
    outcome = world.run(world.transaction([write("a"), write("b")], "guest"))[0]
    assert statuses(outcome) == [("rejected", "missing_role")] * 2
    assert (outcome.status, outcome.code, outcome.gas) == ("rejected", "missing_role", 0)
    both = world.run(world.transaction([write("a")], "guest", "tourism"))[0]
    assert both.status == "ok"


def test_a_version_starts_at_its_height(world) -> None:
    entry = world.value("contracts", "notes")
    entry["versions"][0]["from"] = 5
    world.seed([("contracts", "notes", entry)])
    assert one(world, write("a")).code == "unknown_contract"
    world.height = 5
    assert one(world, write("a")).status == "ok"
    world.seed([("contracts", "notes", {**entry, "status": "retired"})])
    assert one(world, write("a")).code == "retired"


def test_what_a_call_knows_of_itself(world) -> None:
    key = world.keys["tourism"].hex()
    uscc = world.value("registry", f"key/{key}")["organisation"]
    outcome = one(world, note("whoami"))
    assert outcome.calls[0].result == [key, [key], uscc, world.context.time_ms, world.height - 1]


def test_contracts_call_contracts(world) -> None:
    outcome = one(world, note("relay", "echo", "who", []))
    assert outcome.calls[0].result == ["notes", world.keys["tourism"].hex()]
    assert world.value("echo", "caller") == "notes"
    assert world.view("notes", "indirect", "echo", "seen", []).result == "notes"


@pytest.mark.parametrize(
    ("contract", "method", "args", "expected"),
    [
        ("echo", "deny", [], ("reverted", "DENIED")),
        ("echo", "back", ["notes"], ("limit", "REENTRY")),
        ("notes", "write", ["a", 1], ("limit", "REENTRY")),
        ("echo", "none", [], ("error", "NAME")),
        ("nowhere", "who", [], ("error", "NAME")),
        ("broken", "who", [], ("error", "NAME")),
        ("echo", "who", [1], ("error", "TYPE")),
    ],
)
def test_an_inner_failure_fails_the_whole_call(world, contract, method, args, expected) -> None:
    outcome = one(world, note("relay", contract, method, args))
    assert statuses(outcome) == [expected]
    assert outcome.writes == {}


def test_a_view_reaches_views_only(world) -> None:
    outcome = world.view("notes", "indirect", "echo", "who", [])
    assert (outcome.status, outcome.code) == ("error", "NAME")
    assert world.view("notes", "write", "a", 1).code == "unknown_method"
    assert world.view("notes", "read", "a").result is None


def test_nothing_a_contract_holds_aliases_the_state(world) -> None:
    one(world, write("list", [1]))
    assert one(world, note("copy", "list", "two")).status == "ok"
    assert world.value("notes", "list") == [1]
    assert world.value("notes", "two") == [1, 1]


def test_limits(world) -> None:
    assert statuses(one(world, write(""))) == [("limit", "KEY_SIZE")]
    assert statuses(one(world, write("é" * 129))) == [("limit", "KEY_SIZE")]
    assert statuses(one(world, write("é" * 128))) == [("ok", "")]
    assert statuses(one(world, note("big", 5))) == [("limit", "RESULT_SIZE")]
    assert statuses(one(world, note("big", 4))) == [("ok", "")]
    assert statuses(one(world, write("v", ["x" * 30_000] * 3))) == [("limit", "VALUE_SIZE")]
    assert statuses(one(world, note("listed", "", 1_001))) == [("limit", "KEYS")]
    assert statuses(one(world, note("listed", "", -1))) == [("limit", "KEYS")]


def test_a_code_fits_a_receipt(world) -> None:
    assert statuses(one(world, note("long_code", "x" * 64))) == [("reverted", "x" * 64)]
    assert statuses(one(world, note("long_code", "é" * 33))) == [("limit", "CODE")]
    assert one(world, note("long_code", "x" * 65)).calls[0].status == "limit"


def test_reads_beyond_the_first_cost_what_a_trip_costs(world) -> None:
    gas = [one(world, note("reads", count)).gas for count in (1, 2, 3, 4)]
    assert gas[2] - gas[1] == gas[1] - gas[0] + host.READ_MISS_GAS
    assert gas[3] - gas[2] == gas[2] - gas[1]


def test_a_listing_is_paid_for(world) -> None:
    for i in range(50):
        world.seed([("notes", f"k{i:02}", 1)])
    few, many = (one(world, note("listed", "k", n)) for n in (2, 40))
    assert few.calls[0].result == ["k00", "k01"]
    assert many.gas - few.gas >= 38 * 6
    poor = one(world, note("listed", "k", 40), gas=few.gas + 60)
    assert statuses(poor) == [("out_of_gas", "OUT_OF_GAS")]


class Dictionary:
    def __init__(self, entries):
        self.entries = entries

    def get(self, contract, key):
        return self.entries.get(key)

    def keys(self, contract, prefix, limit):
        return sorted(key for key in self.entries if key.startswith(prefix))[:limit]


names = st.text("ab", max_size=4)
steps = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "end", "drop", "next", "list"]), names),
    max_size=30,
)


@given(st.sets(names, max_size=12), steps, st.integers(0, 6))
def test_listing_through_the_layers_is_listing_the_result(committed, plan, limit) -> None:
    state = LayeredState(Dictionary(dict.fromkeys(committed, b"c")))
    now = dict.fromkeys(committed, b"c")
    kept = [dict(now)]
    for action, name in plan:
        if action == "put":
            state.put("x", name, b"p")
            now[name] = b"p"
        elif action == "delete":
            state.put("x", name, None)
            now.pop(name, None)
        elif action == "drop":
            state.end_call(keep=False)
            now = dict(kept[-1])
        elif action in {"end", "next"}:
            state.end_call(keep=True)
            kept.append(dict(now))
            if action == "next":
                state.end_transaction(keep=True)
        looks: list[int] = []
        expected = sorted(key for key in now if key.startswith(name))[:limit]
        assert state.keys("x", name, limit, looks.append) == expected
        assert sum(looks) >= len(expected)
        assert state.get("x", name) == now.get(name)
