"""Packages on the command line, and what stops a deployment or an upgrade before it is sent."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.contract import change, contract_group, upgrade
from cli.contract.change import gas_for
from cli.contract.source import read_contract
from cli.errors import Refused
from contracts.dialect import compile_source
from contracts.package import Package
from contracts.worker.platform import expected_gas
from ledger.transaction import TRANSACTION_GAS_MAX
from node.keyfile import KeyMissing

SOURCE = '@call\ndef add(n: int) -> int:\n    put("n", n)\n    return n\n'
NEWER = SOURCE.replace("n: int", "n: int, m: int")
DEAD = "http://127.0.0.1:9"


def run(*arguments: object, input_: str | None = None) -> Any:
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(contract_group, words, input=input_)


def ended_with(answer: Any) -> int:
    return int(answer.exit_code)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "adder.py"
    file.write_text(SOURCE)
    return file


def test_a_package_is_the_same_from_file_folder_and_package(file: Path, tmp_path: Path) -> None:
    (tmp_path / "test_adder.py").write_text("import adder\n")
    made = [tmp_path / name for name in ("a.qcontract", "b.qcontract", "c.qcontract")]
    for place, target in zip((file, tmp_path, made[0]), made, strict=True):
        answer = run("package", place, "-o", target, "--json")
        assert ended_with(answer) == 0, answer.output
    assert len({target.read_bytes() for target in made}) == 1
    assert json.loads(answer.stdout)["name"] == "adder"
    assert Package.decode(made[0].read_bytes()).source == SOURCE


def test_the_contract_of_a_folder_is_the_one_named_like_it(tmp_path: Path) -> None:
    folder = tmp_path / "permits"
    folder.mkdir()
    with pytest.raises(Refused, match="no contract"):
        read_contract(folder)
    (folder / "other.py").write_text(SOURCE)
    assert read_contract(folder).name == "other"
    (folder / "permits.py").write_text(SOURCE)
    assert read_contract(folder).name == "permits"
    (folder / "permits.py").rename(folder / "third.py")
    with pytest.raises(Refused, match="several"):
        read_contract(folder)


def test_a_file_that_cannot_name_a_contract_needs_a_name(tmp_path: Path) -> None:
    (tmp_path / "Adder.py").write_text(SOURCE)
    with pytest.raises(Refused, match="name") as caught:
        read_contract(tmp_path / "Adder.py")
    assert "--name" in caught.value.hint
    assert read_contract(tmp_path / "Adder.py", "adder").name == "adder"
    with pytest.raises(Refused, match="name"):
        read_contract(tmp_path / "Adder.py", "contracts")


def test_what_lint_refuses_is_not_sent(file: Path) -> None:
    file.write_text("@call\ndef f() -> None:\n    import os\n")
    for command in (["deploy", file], ["upgrade", "adder", file]):
        answer = run(*command, "--from", "nobody", "--node", DEAD)
        assert ended_with(answer) == 3
        assert "adder.py:3:5" in answer.output


def test_a_damaged_package_is_refused(file: Path, tmp_path: Path) -> None:
    package = tmp_path / "adder.qcontract"
    data = read_contract(file).encode()
    package.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    answer = CliRunner().invoke(
        contract_group, ["deploy", str(package), "--from", "x"], standalone_mode=False
    )
    assert "package" in str(answer.exception)


def test_the_gas_is_worked_out_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gas_for(Package.of("adder", SOURCE)) == expected_gas(SOURCE)
    migrating = Package.of("adder", SOURCE + "\ndef migrate() -> None:\n    put('n', 1)\n")
    assert gas_for(migrating) == expected_gas(migrating.source) + 300_000
    monkeypatch.setattr(change, "TRANSACTION_GAS_MAX", expected_gas(SOURCE) - 1)
    with pytest.raises(Refused, match="gas"):
        gas_for(Package.of("adder", SOURCE))


def test_an_upgrade_asks_before_it_takes_something_away(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "_deployed", lambda *_: compile_source(SOURCE))
    command = ["upgrade", "adder", file, "--from", "nobody", "--node", DEAD]
    file.write_text(NEWER)
    answer = run(*command)
    assert (ended_with(answer), "changed  call add(n: int)" in answer.output) == (3, True)
    assert "--yes" in answer.output
    for words in (["--yes"], []):
        file.write_text(NEWER if words else SOURCE + "@view\ndef one() -> int:\n    return 1\n")
        answer = run(*command, *words)
        assert isinstance(answer.exception, KeyMissing), "it went on to look for the key"


def test_usage(file: Path) -> None:
    assert ended_with(run("upgrade", "adder", file)) == 2
    assert ended_with(run("deploy", file)) == 2
    assert ended_with(run("freeze", "adder", "--from", "x")) == 2
    assert ended_with(run("deploy", file, "--from", "x", "--gas", TRANSACTION_GAS_MAX + 1)) == 2
    file.write_text(SOURCE + "def migrate() -> None:\n    put('n', 1)\n")
    answer = run("upgrade", "adder", file, "--from", "x", "--from-height", "5", "--node", DEAD)
    assert (ended_with(answer), "migrate()" in answer.output) == (3, True)
