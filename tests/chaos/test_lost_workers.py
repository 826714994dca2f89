"""Workers that are lost: one by bad luck, and all of them by a poison transaction, which a quorum
takes out by the lines that `qiong node why` prints."""

from __future__ import annotations

import json
import os
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

from devnet import network
from tests.chaos import faulty
from tests.chaos.checker import check
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Found
from tests.chaos.load import Load
from tests.chaos.test_divergence import Operator, issue

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

FAILED = 1
REFUSED = 3


def workers(cluster: Cluster, name: str) -> list[int]:
    """The contract workers of a node."""
    pid = cluster.entry(name).pid
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(word) for word in children.read_text().split()]
    return sorted(found)


def test_a_killed_worker_costs_nothing(found: Found) -> None:
    """kill -9 and SIGSTOP of workers under load: another one takes the block, nobody notices."""
    cluster = found(proxied=False)
    cluster.start()
    cluster.wait_ready()
    with Load(cluster, rate=30, in_flight=64) as load:
        load.wait_commits(20)
        for turn in range(6):
            for pid in workers(cluster, cluster.names[turn % 2]):
                os.kill(pid, signal.SIGKILL)
            load.wait_commits(10)
    cluster.wait_agreed()
    for name in cluster.names:
        status = cluster.status(name)
        assert status is not None
        assert status["halted"] is None
        assert "execution_stopped" not in cluster.log(name)
    assert cluster.evidence() == []
    cluster.close()
    check(cluster, [load.history])


class Build(Operator):
    """Somebody at a shell whose `qiong` has the workers of the faulty build."""

    def __init__(self, cluster: Cluster, fault: str) -> None:
        super().__init__(cluster)
        self.folder = cluster.folder / "operators"
        programs = self.folder / "bin"
        programs.mkdir(parents=True)
        program = programs / "qiong"
        program.write_text(f'#!/bin/sh\nexec {shlex.join(faulty.command(fault))} "$@"\n')
        program.chmod(0o755)
        self.environment["PATH"] = f"{programs}:{self.environment['PATH']}"
        self.fault = fault

    def here(self, line: str, code: int = 0) -> str:
        """Run a line in the folder where the operators keep their files; its stdout."""
        ended = self._run(["/bin/bash", "-c", f"cd {self.folder} && {line}"])
        assert ended.returncode == code, (line, ended.stdout[-2000:], ended.stderr[-2000:])
        return ended.stdout


def poisoned(operator: Operator, sender: str, licence: str, node: str) -> str:
    """Submit a transaction with the mark and do not wait; its id."""
    text = json.dumps([licence, faulty.MARK])
    words = ["tx", "submit", "licence", "suspend", text, "--from", sender]
    return str(operator.qiong(*words, "--node", operator.cluster.entry(node).api)["id"])


def stand_still(cluster: Cluster, *names: str) -> int:
    """Wait until `names` say that they cannot execute a block, all the same one; its height."""

    def look() -> int | None:
        said = [cluster.status(name) for name in names]
        if not all(status and status["halted"] for status in said):
            return None
        heights = {status["executed"] + 1 for status in said if status is not None}
        return heights.pop() if len(heights) == 1 else None

    return int(cluster.until(look, "they stand at one block", 120))


def assert_explained(operator: Build, name: str, height: int) -> list[str]:
    """Status, metrics, log and `why` say what is the matter; the commands that `why` prints."""
    cluster = operator.cluster
    status = cluster.status(name)
    assert status is not None
    assert status["halted"].startswith(f"execution_stopped: block {height} not executed")
    assert cluster.metrics(name)["qiong_execution_stopped"] == 1
    assert cluster.get(name, "/health")[0] == 503
    assert cluster.get(name, "/ready")[0] == 503
    assert f"alarm execution_stopped at height {height}" in cluster.log(name)
    home = str(cluster.home(name))
    assert f"EXECUTION STOPPED: execution_stopped: block {height}" in operator.text(
        "node", "why", "--home", home
    )
    found = operator.qiong("node", "why", "--home", home, code=FAILED)
    assert found["state"] == "execution_stopped"
    return [step["command"] for step in found["steps"] if step["command"] is not None]


def signed_away(operator: Build, name: str, height: int, poison: str) -> str:
    """Follow the steps of `why` on one node up to the signature; the line that applies."""
    commands = assert_explained(operator, name, height)
    stop = next(line for line in commands if " devnet kill " in line)
    find = next(line for line in commands if " quarantine find " in line)
    apply = next(line for line in commands if " quarantine apply " in line)
    refused = f"{find.replace(' find ', ' sign ')} {height} {poison} -o early.json --yes"
    operator.here(refused, REFUSED)  # it runs
    operator.here(stop)
    shown = operator.here(find)
    assert "licence.suspend" in shown
    assert poison in shown
    (sign,) = [line.strip() for line in shown.splitlines() if " quarantine sign " in line]
    operator.here(sign, REFUSED)  # nobody is there to agree
    operator.here(f"{sign} --yes")
    return apply


@pytest.mark.parametrize("fault", ["escape", "hang", "memory"])
def test_a_poison_transaction_is_taken_out_by_a_quorum(found: Found, fault: str) -> None:
    cluster = found(proxied=False)
    (cluster.folder / network.LOCK_FILE).touch()  # as `qiong devnet up` makes it
    start = faulty.node_command(fault)
    cluster.start(command=start)
    cluster.wait_ready()
    operator = Build(cluster, fault)
    first, second, third, late = cluster.names
    licence, sender = issue(operator, 0, first)
    poison = poisoned(operator, sender, licence, first)
    height = stand_still(cluster, *cluster.names)
    # The API and the links are up, also after a crash.
    cluster.kill(second)
    cluster.start(second, command=start, wait=False)
    stand_still(cluster, *cluster.names)
    assert cluster.get(second, f"/v1/blocks/{height - 1}")[0] == 200
    lines = [signed_away(operator, name, height, poison) for name in (first, second, third)]
    two = f"{lines[0].rsplit(' ', 1)[0]} quarantine-{height}-{first}.json"
    operator.here(f"{two} quarantine-{height}-{second}.json", 5)
    for line in lines:
        operator.here(line)
    cluster.start(first, second, third, command=start)
    # The fourth gets it from the others and goes on by itself.
    cluster.wait_voting()
    cluster.wait_height(height)
    cluster.terminate(first)
    issue(operator, 1, late)
    again = operator.qiong("db", "rebuild", "--home", str(cluster.home(first)))
    assert again["blocks"] >= height
    cluster.start(first, command=start)
    cluster.wait_voting()
    issue(operator, 2, first)
    cluster.wait_agreed()
    assert_quarantined(operator, poison, height)
    operator.stop()
    cluster.close()
    check(cluster, [])


def assert_quarantined(operator: Build, poison: str, height: int) -> None:
    """The same receipt everywhere, proven."""
    cluster = operator.cluster
    said: list[Any] = []
    for name in cluster.names:
        code, answer = cluster.get(name, f"/v1/transactions/{poison}")
        assert code == 200
        said.append(answer)
        assert answer["height"] == height
        assert [call["code"] for call in answer["calls"]] == ["QUARANTINED"]
        assert answer["status"] == "failed"
    assert cluster.evidence() == []
    api = cluster.entry(cluster.names[3]).api
    operator.here(f"qiong proof get tx {poison} -o poison.qproof --node {api}")
    ended = operator._run(
        ["qiong", "proof", "verify", str(operator.folder / "poison.qproof"), "--json"]
    )
    assert json.loads(ended.stdout)["verdict"] == "failed", ended.stdout
