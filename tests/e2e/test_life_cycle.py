"""`qiong devnet`: validators go down and come back, and the ledger goes on."""

import json
import os
import subprocess
from itertools import islice
from typing import Any

from devnet import network, sample
from devnet.sample import Row

# Rows that no other module sends.
ROWS = list(islice(sample.credit_calls(), 900, 1000))


def _attest(devnet: Any, row: Row) -> Any:
    return devnet.submit(row["contract"], row["method"], *row["args"], sender=row["from"])


def test_up_again_changes_nothing(devnet: Any) -> None:
    before = devnet.manifest
    devnet.run("devnet", "up", "--dir", str(devnet.folder), "--detach")
    assert devnet.manifest == before


def test_status_speaks_of_every_validator(devnet: Any) -> None:
    states = devnet.run("devnet", "status", "--dir", str(devnet.folder))
    names = {state["name"] for state in states}
    assert names == {entry.name for entry in devnet.manifest.validators}
    assert all(state["primary"] in names for state in states)
    assert [set(state) for state in states] == [
        {"name", "pid", "state", "height", "header_hash", "primary"}
    ] * 4


def test_detached_validators_hold_nothing_of_the_caller(devnet: Any) -> None:
    for entry in devnet.manifest.validators:
        assert os.getsid(entry.pid) == entry.pid
        for descriptor in (0, 1, 2):
            target = os.readlink(f"/proc/{entry.pid}/fd/{descriptor}")  # noqa: PTH115
            assert target in ("/dev/null", str(entry.log))


def test_three_go_on_without_a_backup_and_it_catches_up(devnet: Any) -> None:
    folder = str(devnet.folder)
    primary = devnet.agreed().primary
    backup = next(e.name for e in devnet.manifest.validators if e.name != primary)
    assert devnet.run("devnet", "kill", backup, "--dir", folder) == {
        "name": backup,
        "was_running": True,
    }
    height = 0
    for row in ROWS[:3]:
        outcome = _attest(devnet, row)
        assert outcome["status"] == "committed"
        height = outcome["height"]
    by_name = {state.name: state for state in network.status(devnet.manifest)}
    assert by_name[backup].state == "stopped"
    old_pid = devnet.manifest.find(backup).pid
    devnet.run("devnet", "restart", backup, "--dir", folder)
    assert devnet.manifest.find(backup).pid != old_pid
    assert devnet.agreed(height_min=height).height >= height


def test_all_down_and_up_again_keeps_the_ledger(devnet: Any) -> None:
    folder = str(devnet.folder)
    before = devnet.agreed()
    assert len(devnet.run("devnet", "down", "--dir", folder)["stopped"]) == 4
    assert devnet.run("devnet", "down", "--dir", folder)["stopped"] == []
    devnet.run("devnet", "up", "--dir", folder, "--detach")
    assert _attest(devnet, ROWS[10])["status"] == "committed"
    assert devnet.agreed().height > before.height
    block = network.get(devnet.manifest.validators[0], f"/v1/blocks/{before.height}")
    assert before.header_hash in json.dumps(block)


def test_a_stopped_network_says_so_with_a_hint(devnet: Any) -> None:
    ended = subprocess.run(
        devnet.command("query", "licence", "show", '["x"]', "--node", "http://127.0.0.1:9"),
        env=devnet.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 4
    assert "hint:" in ended.stderr
    assert "Traceback" not in ended.stderr
