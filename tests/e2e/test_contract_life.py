"""A contract's life by the commands its author types: deploy, call, upgrade, freeze, retire."""

import json
from pathlib import Path
from typing import Any

import pytest

COUNTER = '''"""Counts by name."""

@call
def add(name: str, amount: int) -> int:
    total = (get("count/" + name) or 0) + amount
    put("count/" + name, total)
    return total

@view
def total(name: str) -> int:
    return get("count/" + name) or 0
'''
SECOND = (
    COUNTER.replace("amount: int)", "amount: int, times: int = 1)").replace(
        "+ amount", "+ amount * times"
    )
    + """
def migrate() -> None:
    put("count/migrated", height())
"""
)
AUTHOR = "health"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("counter")
    (folder / "counter.py").write_text(COUNTER)
    (folder / "second.py").write_text(SECOND)
    return folder


def test_the_life_of_a_contract(devnet: Any, folder: Path) -> None:
    def contract(*arguments: str, code: int = 0) -> Any:
        return devnet.run("contract", *arguments, code=code)

    package, first, second = (
        str(folder / name) for name in ("counter.qcontract", "counter.py", "second.py")
    )
    packed = contract("package", first, "-o", package)
    deployed = contract("deploy", package, "--from", AUTHOR)
    assert deployed["change"]["source"] == packed["source_hash"]
    assert deployed["assurance"].startswith("verified")
    _added(devnet, "a", 3, result=3)

    assert contract("upgrade", "counter", second, "--from", AUTHOR, code=3) is None
    upgraded = contract("upgrade", "counter", second, "--from", AUTHOR, "--yes")
    _added(devnet, "a", 3, 2, result=9)
    assert devnet.run("query", "counter", "total", '["migrated"]')["result"] == upgraded["height"]

    why = ("--reason", "counts twice")
    frozen = contract("freeze", "counter", *why, "--from", "governor")
    devnet.submit("counter", "add", "a", "1", sender="tourism", code=3)
    assert devnet.run("query", "counter", "total", '["a"]')["result"] == 9
    contract("unfreeze", "counter", "--from", AUTHOR)
    contract("retire", "counter", "--reason", "over", "--from", AUTHOR)

    history = contract("history", "counter")
    assert [(change["action"], change["version"]) for change in history] == [
        ("deployed", 1), ("upgraded", 2), ("frozen", None), ("unfrozen", None), ("retired", None)
    ]  # fmt: skip
    assert (history[2]["height"], history[2]["reason"]) == (frozen["height"], "counts twice")
    shown = contract("show", "counter")
    assert (shown["status"], shown["version"], shown["source"]) == ("retired", 2, SECOND)
    devnet.agreed()


def _added(devnet: Any, *args: Any, result: int) -> None:
    text = json.dumps(args)
    done = devnet.run("tx", "submit", "counter", "add", text, "--from", "tourism", "--wait")
    assert done["calls"][0]["result"] == result
