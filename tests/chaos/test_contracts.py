"""Contracts that would hold the chain up, and workers that do not say what the others' say."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import deployment_layout, shipped
from contracts.worker.executor import CALL_GAS_MAX
from tests.chaos import faulty
from tests.chaos.checker import check
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Found
from tests.chaos.load import Load
from tests.chaos.test_divergence import INTEGRITY, Operator, halted, issue
from tests.chaos.test_lost_workers import Build, poisoned, workers

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

FAILED = 1

HOSTILE = '''"""Every way to use a machine up that a caller may think of."""


@call
def spin() -> None:
    while True:
        pass


@call
def text() -> None:
    grown = "x"
    while True:
        grown = grown + grown


@call
def rows() -> None:
    grown = [0]
    while True:
        grown = grown + grown


@call
def kept() -> None:
    held = []
    while True:
        held.append("x" * 60000)


@call
def table() -> None:
    grown = {}
    i = 0
    while True:
        grown[i] = [i] * 100
        i += 1


@call
def number() -> None:
    grown = 3
    while True:
        grown = grown * grown


@call
def nested() -> None:
    grown = []
    for i in range(100000):
        grown = [grown]
    put("nested", grown)


@call
def stored() -> None:
    i = 0
    while True:
        put("key/" + str(i), "x" * 60000)
        i += 1


@call
def emitted() -> None:
    while True:
        emit("noise", {"text": "x" * 60000})


@call
def sorting() -> None:
    while True:
        sorted(range(10000))
'''
"""Calls that fail, each by its gas or by a limit."""

METHODS = [
    line[4 : -len("() -> None:")] for line in HOSTILE.splitlines() if line.startswith("def ")
]


def test_row_52_endless_loops_and_memory_bombs(
    found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a call's gas, all at once, again and again: failed receipts, the same everywhere to
    the gas, no worker lost, and the others' transactions go on."""
    honest = shipped.seed_entries
    seeded = [*honest(), *deployment_layout.seed_entries([("hostile", HOSTILE)])]
    monkeypatch.setattr(shipped, "seed_entries", lambda: seeded)
    cluster = found(proxied=False)
    cluster.start()
    cluster.wait_ready()
    operator = Operator(cluster)
    before = {name: workers(cluster, name) for name in cluster.names}
    assert all(before.values())
    outcomes: dict[str, Any] = {}
    with Load(cluster, rate=10, in_flight=64) as load:
        load.wait_commits(5)
        for turn, method in enumerate(METHODS):
            node = cluster.names[turn % len(cluster.names)]
            outcomes[method] = operator.qiong(
                *("tx", "submit", "hostile", method, "--from", "market-supervision"),
                *("--gas", str(CALL_GAS_MAX), "--wait", "--node", cluster.entry(node).api),
                code=FAILED,
            )
        load.wait_commits(5)
    cluster.wait_agreed()
    for method, outcome in outcomes.items():
        (call,) = outcome["calls"]
        assert outcome["status"] == "failed", method
        assert call["status"] in ("out_of_gas", "limit"), (method, call)
        assert call["gas"] <= CALL_GAS_MAX, (method, call)
        said = [cluster.get(name, f"/v1/transactions/{outcome['id']}") for name in cluster.names]
        assert all(answer == said[0] for answer in said), method
        assert said[0][1]["calls"][0]["gas"] == call["gas"]
    assert outcomes["spin"]["calls"][0]["status"] == "out_of_gas"
    assert {name: workers(cluster, name) for name in cluster.names} == before, "a worker was lost"
    for name in cluster.names:
        assert (cluster.status(name) or {})["halted"] is None
    assert cluster.evidence() == []
    cluster.close()
    check(cluster, [load.history])


def test_row_51_a_worker_that_says_something_else(found: Found) -> None:
    """One of four counts one unit of gas more: it halts at that block, the others go on."""
    cluster = found(proxied=False)
    victim, other = cluster.names[1], cluster.names[2]
    cluster.start(*[name for name in cluster.names if name != victim])
    cluster.start(victim, command=faulty.node_command("differ"))
    cluster.wait_ready()
    operator = Operator(cluster)
    licence, sender = issue(operator, 0, other)
    cluster.wait_agreed()
    outcome = operator.submit("suspend", licence, faulty.MARK, sender=sender, node=other)
    assert outcome["status"] == "committed"
    assert "diverged" in halted(cluster, victim)
    for row in range(1, 3):
        issue(operator, row, other)
    status = cluster.status(victim)
    assert status is not None
    assert status["height"] == outcome["height"] - 1
    apis = [f"--node={cluster.entry(name).api}" for name in (victim, other)]
    compared = operator.qiong("node", "why", *apis, code=INTEGRITY)["compared"]["receipt"]
    assert compared["transaction"] == outcome["id"]
    assert compared["own"]["gas"] == compared["other"]["gas"] + 1
    # The right software and a rebuild mend it; what is wrong again is refused.
    cluster.terminate(victim)
    rebuild = ("db", "rebuild", "--home", str(cluster.home(victim)))
    again = Build(cluster, "differ")._run(["qiong", *rebuild])
    assert (again.returncode, "still not the certified header" in again.stderr) == (INTEGRITY, True)
    operator.qiong(*rebuild)
    cluster.start(victim)
    cluster.wait_voting()
    cluster.terminate(other)
    issue(operator, 3, victim)
    assert cluster.evidence() == []
    cluster.close()
    check(cluster, [])


def test_row_51_too_many_that_say_something_else_stop_the_chain(found: Found) -> None:
    """Two of four: no header has a quorum, so the chain stands at that block, and nobody forks."""
    cluster = found(proxied=False)
    wrong, right = cluster.names[:2], cluster.names[2:]
    cluster.start(*right)
    cluster.start(*wrong, command=faulty.node_command("differ"))
    cluster.wait_ready()
    operator = Operator(cluster)
    licence, sender = issue(operator, 0, right[0])
    height = cluster.wait_agreed() + 1
    marked = poisoned(operator, sender, licence, right[0])

    def disputed() -> int | None:
        said = [cluster.get(name, "/v1/why")[1] for name in cluster.names]
        if any(answer["state"] != "nondeterminism" for answer in said):
            return None
        heights = {answer["disputed"] for answer in said}
        return heights.pop() if len(heights) == 1 else None

    at = cluster.until(disputed, "all say that headers differ")
    assert at >= height
    assert_split(cluster, at, wrong, right)
    # No start brings a certificate about, and none signs a second header.
    for name in cluster.names:
        cluster.terminate(name)
    cluster.start()
    assert cluster.until(disputed, "all say it again") == at
    assert_split(cluster, at, wrong, right)
    assert cluster.evidence() == []
    for name in cluster.names:
        assert cluster.get(name, f"/v1/transactions/{marked}")[1].get("status") != "committed"
    cluster.close()


def assert_split(cluster: Cluster, at: int, *sides: list[str]) -> None:
    """Each side signed one header of block `at`, and nobody has it certified."""
    names = {entry.organisation: entry.name for entry in cluster.manifest.validators}
    for name in cluster.names:
        answer = cluster.get(name, "/v1/why")[1]
        signers = [sorted(names[item] for item in row["signers"]) for row in answer["headers"]]
        assert sorted(signers) == sorted(sorted(side) for side in sides)
        assert answer["height"] == at - 1
