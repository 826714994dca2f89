"""What one call leaves for the next, what one contract can do to another, and hostile arguments: in
a locked worker, in one of the other CPython if there is one, and in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import pytest

from contracts.dialect import limits
from contracts.inline import InlineRunner
from contracts.runner import WorkerRunner
from contracts.worker.executor import CALL_DEPTH_MAX
from ledger import canonical
from ledger.execution import BlockContext
from ledger.hashing import sha256
from ledger.receipt import TransactionOutcome
from ledger.transaction import Call, Transaction
from ledger.types import Height
from tests.contracts.hostile.engines import (
    TIME_MS,
    Arguments,
    Input,
    Watched,
    execute,
    interpreters,
    state_of,
    transaction,
)

Runner = WorkerRunner | InlineRunner


@pytest.fixture(scope="module", params=["worker", "other worker", "inline"])
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    if request.param == "inline":
        yield InlineRunner()
        return
    executable = interpreters()[-1] if request.param == "other worker" else sys.executable
    worker = WorkerRunner(Watched(executable=executable))
    yield worker
    worker.close()


class Chain:
    """Blocks one after the other on a state in memory that nothing is committed to."""

    def __init__(self, runner: Runner, **sources: str) -> None:
        self._runner = runner
        self._state = state_of(list(sources.items()))
        self._id = sha256(repr(sorted(sources.items())).encode())
        self._height = 0

    def block(self, *transactions: Transaction) -> list[TransactionOutcome]:
        self._height += 1
        context = BlockContext(self._id, Height(self._height), TIME_MS)
        return list(self._runner.run(context, transactions, self._state))

    def call(self, contract: str, args: Arguments, method: str = "main") -> TransactionOutcome:
        return self.block(transaction(Call(contract, method, args), 300_000))[0]


def main_of(body: str, before: str = "") -> str:
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    return f"{before}@call\ndef main(n):\n{lines}"


def test_nothing_is_left_in_constants_defaults_or_arguments(runner: Runner) -> None:
    source = main_of(
        "n.append(1)\nd = TABLE.copy()\nd['x'] = n\nhelper(d)\nreturn [n, len(d), len(TABLE)]",
        "TABLE = {'a': 1}\n\ndef helper(d, seen=None):\n    seen = [] if seen is None else seen\n"
        "    seen.append(d)\n    require(len(seen) == 1, 'LEAKED')\n\n",
    )
    chain = Chain(runner, main=source)
    shared: list[canonical.Value] = [0]
    row = transaction(Call("main", "main", [shared]), 300_000)
    outcomes = [*chain.block(row, row), *chain.block(row)]
    assert {(item.status, item.gas, str(item.calls[0].result)) for item in outcomes} == {
        ("ok", outcomes[0].gas, "[[0, 1], 2, 1]")
    }
    assert shared == [0]


def test_what_failed_left_nothing_to_the_next(runner: Runner) -> None:
    source = main_of(
        "before = get('a')\nput('a', n)\nemit('e', {'n': n})\n"
        "require(n != 2, 'TWO')\nwhile n == 3:\n    pass\nreturn before"
    )
    chain = Chain(runner, main=source)
    rows = [transaction(Call("main", "main", [n]), 20_000) for n in (1, 2, 3, 4)]
    outcomes = chain.block(*rows)
    assert [item.status for item in outcomes] == ["ok", "reverted", "out_of_gas", "ok"]
    assert [item.calls[0].result for item in outcomes] == [None, None, None, 1]
    assert [len(item.events) for item in outcomes] == [1, 0, 0, 1]
    assert [sorted(item.writes) for item in outcomes] == [[("main", "a")], [], [], [("main", "a")]]


def test_a_failed_callee_takes_the_caller_along(runner: Runner) -> None:
    caller = main_of("put('a', 1)\ncall('callee', 'main', [n])\nput('b', 2)")
    chain = Chain(runner, main=caller, callee=main_of("put('c', 1)\nreturn 1 // n"))
    outcome = chain.call("main", [0])
    assert (outcome.status, outcome.code, outcome.writes) == ("error", "ZERO_DIVISION", {})
    assert set(chain.call("main", [1]).writes) == {("main", "a"), ("main", "b"), ("callee", "c")}


def test_a_callee_reaches_nothing_of_its_caller(runner: Runner) -> None:
    caller = main_of(
        "values = [1]\ngiven = call('callee', 'main', [values])\nvalues.append(2)\n"
        "given.append(3)\nreturn [values, call('callee', 'main', [[9]]), get('a')]"
    )
    callee = main_of("n.append(sender())\nput('a', n)\nreturn get('a')")
    outcome = Chain(runner, main=caller, callee=callee).call("main", [0])
    assert outcome.calls[0].result == [[1, 2], [9, "main"], None]


def test_no_contract_is_entered_twice_by_any_way_round(runner: Runner) -> None:
    chain = Chain(
        runner,
        main=main_of("return call('b', 'main', [n])"),
        b=main_of("return call('c', 'main', [n])"),
        c=main_of("return call('main', 'main', [n])"),
    )
    outcome = chain.call("main", [0])
    assert (outcome.status, outcome.code) == ("limit", "REENTRY")


def tall(function: str, last: str) -> str:
    """A contract as deep as it may be, whose last function does `last`."""
    heights = range(1, limits.CALL_DEPTH_MAX)
    helpers = [f"def f0(n):\n    {last}\n\n"]
    helpers += [f"def f{i}(n):\n    return f{i - 1}(n)\n\n" for i in heights[:-1]]
    return "".join(helpers) + main_of(f"return f{heights[-2]}(n)").replace("main", function)


def deepest_source() -> str:
    """As deep as the scan lets pass: `elif`s, then blocks, then operators."""
    chain = "".join(f"    elif n == {i}:\n        n\n" for i in range(limits.ELIF_MAX - 1))
    blocks = "".join("    " * (i + 2) + "if n:\n" for i in range(limits.INDENT_DEPTH_MAX - 2))
    deepest = "    " * limits.INDENT_DEPTH_MAX + "n = " + " + ".join(["n"] * 98) + "\n"
    return f"@call\ndef main(n):\n    if n:\n        n\n{chain}    else:\n{blocks}{deepest}"


def test_contracts_call_each_other_to_a_depth_and_compile_there(runner: Runner) -> None:
    """The deepest stack there can be leaves room to compile the deepest source, but not to call."""
    count = CALL_DEPTH_MAX - 1
    sources = {
        f"c{i}": tall("main", f"return call('c{i + 1}', 'main', [n])") for i in range(count - 1)
    }
    sources[f"c{count - 1}"] = tall("main", "return call(n, 'main', [0])")
    chain = Chain(
        runner,
        **sources,
        deepest=deepest_source(),
        more=tall("main", "return call('x', 'main', [])"),
    )
    assert chain.call("c0", ["deepest"]).status == "ok"
    outcome = chain.call("c0", ["more"])
    assert (outcome.status, outcome.code) == ("limit", "CALL_DEPTH")


HOSTILE_ARGUMENTS: Sequence[tuple[str, Arguments, str]] = (
    ("n: int", [True], "error TYPE"),
    ("n: bool", [1], "error TYPE"),
    ("n: int", [2**63 - 1], "limit INTEGER"),
    ("n: int", [-(2**63)], "ok"),
    ("n: str", [b"a"], "error TYPE"),
    ("n: str", [None], "error TYPE"),
    ("n: str", ["a" * 65_536], "ok"),
    ("n: str", ["\u743c" * 30_000], "limit STRING"),
    ("n: list", [[[[[[[[[[1]]]]]]]]]], "ok"),
    ("n: list[int]", [[1, "a"]], "error TYPE"),
    ("n: list[int]", [[1] * 10_000], "ok"),
    ("n: list[list[int]]", [[[1], [[1]]]], "error TYPE"),
    ("n: dict[str, int]", [{"a": None}], "error TYPE"),
    ("n: dict[str, int] | None", [{"a": 1}], "ok"),
    ("n: list", [[0] * 20_001], "limit NODES"),
    ("n", [], "error TYPE"),
    ("n", [1, 2], "error TYPE"),
    ("n", {"n": 1}, "ok"),
    ("n", {"m": 1}, "error TYPE"),
    ("n", {"n": 1, "m": 1}, "error TYPE"),
    ("n", {"self": 1}, "error TYPE"),
    ("n", {"_gas": 1, "n": 1}, "error TYPE"),
    ("n=1", {"__class__": 1}, "error TYPE"),
    ("n=1", [{"__class__": "x", "": {"": []}}], "ok"),
    ("n", ["{0.__class__}\u202e\x00%s"], "ok"),
)


@pytest.mark.parametrize(("parameter", "args", "expected"), HOSTILE_ARGUMENTS)
def test_hostile_arguments(runner: Runner, parameter: str, args: Arguments, expected: str) -> None:
    body = "return [n + 1] if str(n)[:4] == '9223' else [n]"
    source = f"@call\ndef main({parameter}):\n    {body}\n"
    if "int" not in parameter or "[" in parameter or "|" in parameter:
        source = f"@call\ndef main({parameter}):\n    return [n]\n"
    outcome = execute(runner, Input(source, args))
    assert f"{outcome.status} {outcome.code}".strip() == expected


@pytest.mark.parametrize(
    "method", ["", "helper", "__init__", "look", "main ", "MAIN", "put", "f\x00"]
)
def test_only_what_is_marked_can_be_called(runner: Runner, method: str) -> None:
    source = "def helper(n):\n    return n\n\n@view\ndef look(n):\n    return n\n\n" + main_of(
        "return n"
    )
    outcome = execute(runner, Input(source, [1], method=method))
    assert (outcome.status, outcome.code) == ("rejected", "unknown_method")


@pytest.mark.parametrize("gas", [1, 49, 50, 51, 60, 200])
def test_little_gas_is_all_charged_and_never_more(runner: Runner, gas: int) -> None:
    outcome = execute(runner, Input(main_of("while True:\n    n += 1"), [1], gas=gas))
    assert (outcome.status, outcome.gas, outcome.writes) == ("out_of_gas", gas, {})


def test_gas_is_one_budget_for_all_contracts_of_a_call(runner: Runner) -> None:
    chain = Chain(
        runner,
        main=main_of("while True:\n    call('b', 'main', [n])"),
        b=main_of("for i in range(1000):\n    n += 1\nreturn n"),
    )
    outcome = chain.call("main", [0])
    assert (outcome.status, outcome.gas) == ("out_of_gas", 300_000)
