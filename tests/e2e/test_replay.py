"""`contract replay`, dry runs and simulations on a running network and a stopped node's disk."""

import json
from pathlib import Path
from typing import Any

import pytest

SHELF = '''"""What stands on a shelf."""

@call
def place(name: str, amount: int) -> list:
    """Place so many of `name` there; the names that stand there now."""
    before = get("item/" + name)
    put("item/" + name, amount if before is None else before + amount)
    emit("placed", {"name": name})
    return keys("item/", 10)

@view
def stands(name: str) -> int | None:
    return get("item/" + name)

@call
def clear(name: str) -> list:
    delete("item/" + name)
    return keys("item/", 10)
'''


def write(folder: Path, source: str) -> str:
    file = folder / "shelf.py"
    file.write_text(source)
    return str(file)


@pytest.fixture(scope="module")
def shelf(devnet: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A contract deployed, called twice, upgraded, and called again; the calls' outcomes."""
    folder = tmp_path_factory.mktemp("replay")
    devnet.run("contract", "deploy", write(folder, SHELF), "--name", "shelf", "--from", "tourism")

    def call(method: str, *args: Any) -> Any:
        text = json.dumps(args)
        command = ("tx", "submit", "shelf", method, text, "--from", "tourism", "--wait")
        return devnet.run(*command)

    calls = [call("place", "plate", 2), call("place", "cup", 1), call("place", "plate", 3)]
    other = SHELF.replace("before + amount", "before + 2 * amount")
    devnet.run("contract", "upgrade", "shelf", write(folder, other), "--from", "tourism")
    return folder, [*calls, call("place", "plate", 1), call("clear", "cup")]


def test_each_is_replayed_with_the_code_in_force_then(devnet: Any, shelf: Any) -> None:
    _, calls = shelf
    sources = []
    for done, options in ((calls[0], ["--step"]), (calls[2], []), (calls[4], ["--step"])):
        again = devnet.run("contract", "replay", done["id"], *options)
        assert (again["equal"], again["height"], again["calls"]) == (
            True, done["height"], done["calls"]
        )  # fmt: skip
        assert "checked against the trust file" in again["assurance"]
        sources += [{s["source_hash"] for s in trace["steps"]} for trace in again.get("trace", [])]
    assert again["calls"][0]["result"] == ["item/plate"]
    assert sources[0].isdisjoint(sources[1])


def test_from_the_disk_of_a_node_that_is_stopped(devnet: Any, shelf: Any) -> None:
    _, calls = shelf
    home = devnet.manifest.validators[1].home
    command = ("contract", "replay", calls[1]["id"], "--step", "--home", str(home))
    devnet.run(*command, code=3)
    devnet.run("devnet", "kill", devnet.manifest.validators[1].name, "--dir", str(devnet.folder))
    try:
        served = devnet.run("contract", "replay", calls[1]["id"], "--step")
        stored = devnet.run(*command)
    finally:
        name = devnet.manifest.validators[1].name
        devnet.run("devnet", "restart", name, "--dir", str(devnet.folder))
    assert stored["equal"] is True
    assert {**stored, "assurance": ""} == {**served, "assurance": ""}


def test_a_dry_run_shows_what_would_differ(devnet: Any, shelf: Any) -> None:
    folder, calls = shelf
    command = ("contract", "upgrade", "shelf")
    # Ten more: idle blocks may come before the command asks for the newest.
    blocks = ("--dry-run-blocks", str(devnet.agreed().height - calls[0]["height"] + 11))
    planted = SHELF.replace("before + amount", "before + 2 * amount")
    found = devnet.run(*command, write(folder, planted), *blocks, code=1)
    what = {each["id"]: each["what"] for each in found["differences"]}
    assert [what.get(done["id"]) for done in calls] == [
        ["gas"], ["gas"], ["gas", "writes"], ["writes"], None
    ]  # fmt: skip
    assert (found["differ"], found["gas_only"]) == (2, 2)
    flowed = found["differences"][-1]
    assert [flowed[side]["writes"][0]["value"] for side in ("before", "after")] == [7, 10]
    assert found["reached"] == len(calls)
    in_force = SHELF.replace("before + amount", "before + 2 * amount")
    since = devnet.agreed().height - calls[3]["height"] + 1
    same = devnet.run(*command, write(folder, in_force), "--dry-run-blocks", str(since))
    assert (same["differ"], same["gas_only"]) == (0, 0)


def test_simulate_tells_and_sends_nothing(devnet: Any, shelf: Any) -> None:
    command = ("tx", "simulate", "shelf", "place", '["bowl", 4]', "--from", "tourism")
    done = devnet.run(*command)
    (written,) = done["writes"]
    assert (done["status"], written["key"], written["value"]) == ("ok", "item/bowl", 4)
    assert done["calls"][0]["result"] == ["item/bowl", "item/plate"]
    assert devnet.run("query", "shelf", "stands", '["bowl"]')["result"] is None
