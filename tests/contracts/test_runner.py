"""The worker runner: the inline runner's outcomes, whatever happens to the worker."""

import errno
import os
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from contracts import outcomes, sandbox
from contracts.inline import InlineRunner
from contracts.local import MemoryState
from contracts.prefetch import PATTERNS_MAX, Prefetcher
from contracts.remembered import BYTES_MAX, Remembered
from contracts.runner import ATTEMPTS, ExecutionStopped, WorkerRunner
from contracts.sandbox import Sandbox, SandboxUnavailable, WorkerLost
from contracts.worker import wire
from devnet import sample
from ledger import canonical
from ledger.errors import FieldError
from ledger.execution import BlockContext
from ledger.transaction import Call
from ledger.types import Digest, Gas, Height, TimeMs

CORPORA = Path(__file__).parent

COUNTER = """
@call
def add(name: str, more: int) -> int:
    value = get("count/" + name)
    total = more if value is None else value + more
    put("count/" + name, total)
    emit("added", {"name": name, "total": total})
    return total

@call
def spin() -> None:
    for i in range(1000000000):
        put("x", i)

@call
def wipe(name: str) -> list:
    delete("count/" + name)
    return keys("count/", 10)

@call
def odd(name: str) -> str | None:
    return get(sha256(name))

@view
def read(name: str) -> int | None:
    return get("count/" + name)
"""


@pytest.fixture
def world(make_world):
    return make_world({"counter": COUNTER})


@pytest.fixture
def runner():
    with closing(WorkerRunner(Counting())) as made:
        yield made


class Counting(Sandbox):
    """A sandbox that records the bases of requests and the questions asked."""

    def __init__(self, **options):
        super().__init__(**options)
        self.bases = []
        self.questions = []

    def request(self, message, reply):
        self.bases.append(message[1])

        def recorded(question):
            self.questions.append(tuple(question))
            return reply(question)

        return super().request(message, recorded)

    def kill(self):
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()


def add(world, *names, gas=300_000, atomic=False):
    calls = [Call("counter", "add", [name, 1]) for name in names]
    return world.transaction(calls, "tourism", gas=gas, atomic=atomic)


def at(world, height, state, runner, *transactions):
    context = BlockContext(Digest(bytes(32)), Height(height), TimeMs(1_767_225_600_000))
    return runner.run(context, transactions, state)


def writes_of(done):
    merged = {}
    for outcome in done:
        merged.update(outcome.writes)
    return merged


def mixed(world):
    """Transactions of every status."""
    rows = [
        [row.id, row.type, row.holder, row.issued, row.expires] for row in sample.licences()[:30]
    ]
    keys = {entry.uscc: entry.id for entry in sample.departments()}
    issue = [
        world.transaction([Call("licence", "issue", row)], keys[sample.licences()[i].issuer])
        for i, row in enumerate(rows)
    ]
    world.register("guest", "91350100M000100Y43", (), submitter=False)
    return [
        *issue,
        world.transaction([Call("licence", "issue", rows[0])], "tourism"),
        world.transaction([Call("licence", "show", ["x"])], "tourism"),
        world.transaction([Call("nowhere", "x", [])], "tourism"),
        world.transaction([Call("counter", "spin", [])], "tourism", gas=20_000),
        world.transaction([Call("counter", "add", {"name": "a", "more": 3})], "tourism"),
        world.transaction([Call("counter", "wipe", ["a"]), Call("counter", "wipe", [1])], "health"),
        world.transaction([Call("counter", "add", ["a", 2**63 - 1])], "health"),
        add(world, "a", "b", "a", atomic=True),
        add(world, "c", gas=10),
        world.transaction([Call("counter", "add", ["a", 1])], "guest"),
    ]


def test_both_runners_say_the_same(world, runner) -> None:
    transactions = mixed(world)
    inline = InlineRunner().run(world.context, transactions, world.state)
    worker = runner.run(world.context, transactions, world.state)
    assert worker == inline
    assert {outcome.status for outcome in worker} >= {
        "ok", "rejected", "out_of_gas", "reverted", "limit"
    }  # fmt: skip


WRONG_SOURCES = [
    "def", "x = 1 if", "x=1\n y=2", "\tif", "x = b'é'", '"' * 3, 'f"{', "\0", "(" * 300, "é = 1",
    "import os", "class A: pass", "x = '\\d'", "x = 5is None", "x = '\\N{foo}'", "assert (1, 2)",
    "# -*- coding: latin-1 -*-\ndef", "x = " + "9" * 5000, "def f(:\n", "return 1", "\ufeffdef",
]  # fmt: skip


def test_no_source_ends_the_worker(make_world, runner) -> None:
    """To quote a line of a syntax error CPython would open the file: a system call, and the end."""
    world = make_world({f"wrong{i}": source for i, source in enumerate(WRONG_SOURCES)})
    box = runner._sandbox
    for i in range(len(WRONG_SOURCES)):
        call = Call(f"wrong{i}", "x", [])
        done = at(world, 1, world.state, runner, world.transaction([call], "tourism"))
        assert done[0].code == "compile_refused", WRONG_SOURCES[i]
    assert len(box.bases) == len(WRONG_SOURCES)


@pytest.mark.parametrize("corpus", ["hostile/*.txt", "dialect/accepted.txt"])
def test_the_corpus_ends_in_the_worker_as_it_does_inline(make_world, runner, corpus) -> None:
    """What the dialect says of hostile code, it says in the locked process too, and survives."""
    texts = [path.read_bytes().decode() for path in sorted(CORPORA.glob(corpus))]
    parts = [part for text in texts for part in text.split("\n### ")[1:]]
    sources = {f"c{i}": part.partition("\n")[2] for i, part in enumerate(parts)}
    world = make_world(sources)
    transactions = [
        world.transaction([Call(name, "main", [3])], "tourism", gas=20_000) for name in sources
    ]
    inline = InlineRunner().run(world.context, transactions, world.state)
    assert runner.run(world.context, transactions, world.state) == inline
    assert len(runner._sandbox.bases) == 1


def test_state_is_carried_from_block_to_block(world, runner) -> None:
    for height in (1, 2, 3):
        done = at(world, height, world.state, runner, add(world, "apple", "pear"))
        assert [call.result for call in done[0].calls] == [height, height]
        world.apply(done[0])
        runner.committed(Height(height), writes_of(done))
    runner.committed(Height(4), {})
    assert at(world, 5, world.state, runner, add(world, "pear"))[0].calls[0].result == 4
    box = runner._sandbox
    assert box.bases == [wire.RESET, wire.ADVANCE, wire.ADVANCE, wire.ADVANCE]
    # The sources once, the first key of its pattern once: the rest came along or was remembered.
    assert len(box.questions) == 2


@pytest.mark.parametrize("case", ["never", "other writes", "same height again", "height skipped"])
def test_in_doubt_the_worker_forgets(world, runner, case) -> None:
    done = at(world, 1, world.state, runner, add(world, "a"))
    assert done[0].calls[0].result == 1
    # The chain goes another way than this run did, and the runner is told or finds out.
    world.seed([("counter", "count/a", 40)])
    if case == "other writes":
        runner.committed(Height(1), {("counter", "count/a"): canonical.encode(40)})
    elif case == "height skipped":
        runner.committed(Height(2), {})
    height = 1 if case == "same height again" else 2
    if case == "same height again":
        runner.committed(Height(7), {})
    assert at(world, height, world.state, runner, add(world, "a"))[0].calls[0].result == 41


def test_a_run_not_committed_leaves_nothing_behind(world, runner) -> None:
    for _ in range(3):
        assert at(world, 1, world.state, runner, add(world, "a"))[0].calls[0].result == 1
    assert runner._sandbox.bases == [wire.RESET, wire.KEEP, wire.KEEP]


def test_a_query_between_run_and_commit_costs_the_memory_only(world, runner) -> None:
    done = at(world, 1, world.state, runner, add(world, "a"))
    context = BlockContext(Digest(bytes(32)), Height(0), TimeMs(0))
    call = Call("counter", "read", ["a"])
    assert runner.query(context, call, world.state).result is None
    world.apply(done[0])
    runner.committed(Height(1), writes_of(done))
    later = BlockContext(Digest(bytes(32)), Height(1), TimeMs(0))
    assert runner.query(later, call, world.state).result == 1
    assert at(world, 2, world.state, runner, add(world, "a"))[0].calls[0].result == 2


def test_a_killed_worker_is_replaced(world, runner) -> None:
    done = at(world, 1, world.state, runner, add(world, "a"))
    world.apply(done[0])
    runner.committed(Height(1), writes_of(done))
    runner._sandbox.kill()
    assert at(world, 2, world.state, runner, add(world, "a"))[0].calls[0].result == 2


class Failing(MemoryState):
    """A state whose reads go wrong as told."""

    def __init__(self, entries, fault):
        super().__init__(entries)
        self.fault = fault

    def get(self, contract, key):
        if key.startswith("count/"):
            self.fault()
        return super().get(contract, key)


def test_a_worker_that_always_dies_stops_execution(world, runner) -> None:
    box = runner._sandbox
    state = Failing(world.entries, box.kill)
    with pytest.raises(ExecutionStopped) as stopped:
        at(world, 9, state, runner, add(world, "a"))
    assert (stopped.value.height, stopped.value.attempts) == (9, ATTEMPTS)
    assert len(box.bases) == ATTEMPTS
    assert at(world, 9, world.state, runner, add(world, "a"))[0].status == "ok"


def test_a_fault_of_the_state_passes_through(world, runner) -> None:
    def fault():
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        at(world, 1, Failing(world.entries, fault), runner, add(world, "a"))
    assert at(world, 1, world.state, runner, add(world, "a"))[0].calls[0].result == 1


def test_a_hung_worker_is_ended_and_no_verdict(world) -> None:
    box = Counting(seconds_max=0.3)
    with closing(WorkerRunner(box)) as runner:
        box.start()
        os.kill(box._process.pid, signal.SIGSTOP)
        box._seconds_max = 0.3
        started = []
        original = box.start

        def start():
            original()
            started.append(box._process.pid)
            os.kill(box._process.pid, signal.SIGSTOP)

        box.start = start
        with pytest.raises(ExecutionStopped, match="no answer within"):
            at(world, 1, world.state, runner, add(world, "a"))
        assert len(started) == ATTEMPTS - 1
        assert not box.running


def test_without_seccomp_it_does_not_start(monkeypatch) -> None:
    boot = sandbox._BOOT.replace(
        "main(int",
        "from contracts.worker import lockdown; lockdown.MACHINES.clear(); main(int",
    )
    monkeypatch.setattr(sandbox, "_BOOT", boot)
    with pytest.raises(SandboxUnavailable, match="seccomp filter"):
        Sandbox().start()
    with closing(Sandbox(insecure=True)) as box:
        box.start()
        assert box.running


def test_what_keeps_a_worker_from_starting_again_stops_execution(
    world, runner, monkeypatch
) -> None:
    """No process left, or a lock-down that went well before: the machine's trouble, no refusal."""
    assert at(world, 1, world.state, runner, add(world, "a"))[0].status == "ok"
    runner._sandbox.kill()
    boot = sandbox._BOOT.replace(
        "main(int",
        "from contracts.worker import lockdown; lockdown.MACHINES.clear(); main(int",
    )
    with monkeypatch.context() as patched:
        patched.setattr(sandbox, "_BOOT", boot)
        with pytest.raises(ExecutionStopped, match="seccomp filter"):
            at(world, 1, world.state, runner, add(world, "a"))

    def refuse(*_, **__):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with monkeypatch.context() as patched:
        patched.setattr(sandbox.subprocess, "Popen", refuse)
        with pytest.raises(ExecutionStopped, match="cannot be started: Resource temporarily"):
            at(world, 1, world.state, runner, add(world, "a"))
    assert at(world, 1, world.state, runner, add(world, "a"))[0].status == "ok"


def test_a_worker_cannot_be_started_without_its_code(monkeypatch) -> None:
    monkeypatch.setattr(sandbox, "_BOOT", "raise SystemExit(7)")
    with pytest.raises(WorkerLost, match="died"):
        Sandbox().start()


LIES = {
    "too large": b"\xff\xff\xff\xff",
    "an extension": b"\x00\x00\x00\x04\x91\xd4\x04\x00",
    "no list": b"\x00\x00\x00\x01\xc0",
    "another kind": b"\x00\x00\x00\x02\x91\x09",
    "pickle": b"\x00\x00\x00\x04cos\n",
    "nothing": b"",
}


@pytest.mark.parametrize("lie", sorted(LIES))
def test_a_lying_worker_is_lost(monkeypatch, lie) -> None:
    ready = wire.answer_bytes([wire.READY])
    code = f"import os; os.write(1, {ready!r}); os.read(0, 9); os.write(1, {LIES[lie]!r})"
    monkeypatch.setattr(sandbox, "_BOOT", code)
    with closing(Sandbox()) as box, pytest.raises(WorkerLost):
        box.request((wire.RUN,), lambda question: (None,))


def nested(levels: int) -> object:
    return [nested(levels - 1)] if levels else 0


def good(world):
    return [
        [["ok"], [""], [5], [1], [1]],
        [["ok"], [""], [5], [None]],
        [[0], ["counter"], ["e"], [{}]],
        [["counter"], ["k"], [b""]],
    ]


@pytest.mark.parametrize(
    "path_and_value",
    [
        ((0, 0, 0), "fine"), ((0, 0, 0), 1), ((0, 0, 0), []), ((0, 0), ["ok", "ok"]),
        ((0, 1, 0), "x" * 65), ((0, 1, 0), "\u743c" * 22), ((0, 1, 0), None), ((0, 1), []),
        ((0, 2, 0), -1), ((0, 2, 0), 300_001), ((0, 2, 0), True), ((0, 2, 0), "5"),
        ((0, 3, 0), 2), ((0, 3, 0), 0), ((0, 3, 0), -1), ((0, 3, 0), None), ((0, 3, 0), True),
        ((0, 4, 0), 2), ((0, 4, 0), 0), ((0, 4, 0), -1), ((0, 4), [1, 0]), ((0,), []),
        ((1,), []), ((1,), [["ok"], [""], [5]]), ((1, 0, 0), None), ((1, 0, 0), "good"),
        ((1, 3, 0), 2.5), ((1, 3, 0), [2**63]), ((1, 3, 0), {1: 2}), ((1, 3, 0), nested(25)),
        ((2, 3, 0), {"a": 2.5}), ((2, 3, 0), {b"a": 1}), ((2, 3, 0), {"a": nested(24)}),
        ((1, 1, 0), "x" * 65), ((1, 2, 0), 300_001), ((1, 2, 0), -1), ((1, 3), []), ((1, 3), {}),
        ((2, 0, 0), 1), ((2, 0, 0), -1), ((2, 1, 0), ""), ((2, 1, 0), "c" * 129), ((2, 2, 0), ""),
        ((2, 2, 0), "e" * 65), ((2, 2, 0), "\u743c" * 22), ((2, 2, 0), b"e"), ((2, 3), None),
        ((3, 0, 0), "contracts"), ((3, 0, 0), 3), ((3, 1, 0), ""), ((3, 1, 0), "k" * 257),
        ((3, 1, 0), "\u743c" * 86), ((3, 2, 0), 7), ((3, 2, 0), b"x" * 70_000), ((3,), None),
    ],
)  # fmt: skip
def test_an_outcome_out_of_form_is_refused(world, path_and_value) -> None:
    asked = [add(world, "a")]
    assert outcomes.transactions(good(world), asked)[0].status == "ok"
    path, value = path_and_value
    bad = good(world)
    place = bad
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(FieldError):
        outcomes.transactions(bad, asked)
    with pytest.raises(FieldError):
        outcomes.transactions([], asked)


def test_what_a_contract_made_comes_in_canonical_order_and_as_deep_as_it_may_be(world) -> None:
    answer: list[Any] = good(world)
    answer[1][3], answer[2][3] = [nested(24)], [{"b": 1, "a": {"d": 2, "c": 3}}]
    done = outcomes.transactions(answer, [add(world, "a")])[0]
    assert done.calls[0].result == nested(24)
    assert canonical.pack(done.events[0].data) == canonical.encode(done.events[0].data)


def test_patterns_are_learnt_from_misses() -> None:
    prefetcher = Prefetcher()
    call = Call("credit", "attest", ["91350100M000100Y43", "tax-arrears", "B", "e", "2030-01-01"])
    assert list(prefetcher.guesses(call)) == []
    assert prefetcher.learn([call], "credit", "credit/tax-arrears/91350100M000100Y43")
    assert not prefetcher.learn([call], "credit", "credit/tax-arrears/91350100M000100Y43")
    other = Call("credit", "attest", ["S", "customs-aeo", "B", "e", "d"])
    assert list(prefetcher.guesses(other)) == [("credit", "credit/customs-aeo/S")]
    assert list(prefetcher.guesses(Call("credit", "attest", ["S", 1]))) == []
    assert list(prefetcher.guesses(Call("credit", "attest", {"list": "x"}))) == []
    assert list(prefetcher.guesses(Call("credit", "show", ["S", "x"]))) == []


def test_patterns_by_name_nested_contracts_and_bounds() -> None:
    prefetcher = Prefetcher()
    call = Call("grant", "pay", {"to": "someone", "n": 3})
    assert prefetcher.learn([call], "budget", "left/someone/")
    assert list(prefetcher.guesses(Call("grant", "pay", {"to": "else"}))) == [
        ("budget", "left/else/")
    ]
    assert not prefetcher.learn([call], "budget", "constant")
    for i in range(PATTERNS_MAX + 3):
        prefetcher.learn([call], "budget", f"k{i}/someone")
    assert len(list(prefetcher.guesses(call))) == PATTERNS_MAX


def test_memory_is_bounded() -> None:
    remembered = Remembered()
    chain = Digest(bytes(32))
    assert remembered.base(chain, 0) == wire.RESET
    remembered.add(("c", "k"), b"x" * BYTES_MAX)
    assert ("c", "k") in remembered
    assert remembered.base(chain, 0) == wire.RESET
    assert ("c", "k") not in remembered
    assert remembered.base(Digest(bytes(31) + b"1"), 0) == wire.RESET


def test_gas_limit_of_a_query(world, runner) -> None:
    context = BlockContext(Digest(bytes(32)), Height(0), TimeMs(0))
    done = runner.query(context, Call("counter", "read", ["a"]), world.state, Gas(60))
    assert done.status == "out_of_gas"
    assert runner.query(context, Call("counter", "add", ["a", 1]), world.state).code == (
        "unknown_method"
    )
