"""`qiong contract new` and `test`: a project that works at once, and what is said of its tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.contract import contract_group, test
from cli.errors import Refused
from contracts import shipped

FAILING = """
def test_what_fails(chain, things):
    things.call("hand_over", "T-9", "nobody")
"""


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(contract_group, arguments, standalone_mode=False)


def run_tests(folder: Path, *arguments: str, code: int) -> tuple[Any, str]:
    """`qiong contract test --json` in a process of its own, since it runs pytest."""
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "cli.main", "contract", "test", *arguments, "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    return json.loads(ended.stdout) if ended.stdout else None, ended.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "things"
    answer = invoke("new", "things", "--dir", str(folder), "--json")
    assert json.loads(answer.stdout) == {
        "folder": str(folder),
        "files": ["things.py", "test_things.py", "README.md", ".gitignore"],
    }
    return folder


def test_a_new_project_passes_lint_run_and_its_own_tests(project: Path) -> None:
    file = str(project / "things.py")
    assert json.loads(invoke("lint", file, "--json").stdout) == []
    ran = invoke("run", file, "register", '["T-1", "a lathe"]', "--json")
    assert json.loads(ran.stdout)["status"] == "ok"
    document, told = run_tests(project, code=0)
    assert (document["passed"], document["failed"], document["errors"]) == (6, 0, 0)
    assert [row["method"] for row in document["gas"]] == ["register", "hand_over", "show"]
    register = document["gas"][0]
    assert register["calls"] > register["failed"] > 0
    assert 0 < register["min"] <= register["median"] <= register["max"] < 1_000
    (row,) = document["coverage"]
    assert (row["file"], row["percent"], row["missing"]) == ("things.py", 100, [])
    assert "6 passed" in told


def test_a_failing_test_says_where_the_contract_stopped(project: Path) -> None:
    tests = project / "test_things.py"
    tests.write_text(tests.read_text() + FAILING)
    document, told = run_tests(project, str(tests), "-k", "what_fails", code=1)
    assert (document["passed"], document["failed"]) == (0, 1)
    source = (project / "things.py").read_text().split("\n")
    line = source.index('    require(thing is not None, "UNKNOWN")') + 1
    assert f"things.hand_over ended reverted UNKNOWN at things.py:{line}" in told
    (row,) = document["coverage"]
    assert row["percent"] < 20
    assert line + 1 in row["missing"]


def test_calls_can_run_in_the_locked_down_worker(project: Path) -> None:
    document, _ = run_tests(project, "--worker", "-k", "holds_it", code=0)
    assert document["coverage"] is None
    assert document["gas"][0]["calls"] == 1


def test_a_folder_without_tests_is_told(tmp_path: Path) -> None:
    document, told = run_tests(tmp_path, code=3)
    assert document is None
    assert "hint: tests are functions test_... in files test_*.py" in told


def test_a_host_without_pytest_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test, "find_spec", lambda name: None)
    answer = invoke("test")
    assert isinstance(answer.exception, Refused)
    assert "pytest and hypothesis" in answer.exception.message
    assert "`contracts`" in answer.exception.hint


def test_lint_shows_people_the_line_and_what_the_contract_offers(project: Path) -> None:
    good = project / "things.py"
    wrong = project / "wrong.py"
    wrong.write_text("@call\ndef f(n: int) -> int:\n    return n / 2\n")
    helpers = project / "helpers.py"
    helpers.write_text("def f(n):\n    return n\n")
    answer = invoke("lint", str(good), str(wrong), str(helpers))
    assert answer.return_value == 1
    assert answer.stdout == (
        f"{wrong}:3:12: `/`\n    return n / 2\n           ^ write // for whole numbers\n"
    )
    assert answer.stderr == (
        f"{good}: nothing to refuse; calls: register, hand_over; views: show\n"
        f"{helpers}: nothing to refuse; but it offers no method: "
        "mark functions with @call or @view\n"
    )


@pytest.mark.parametrize(("method", "args"), [("regster", '["T-1", "x"]'), ("register", "[]")])
def test_run_says_what_the_contract_offers(project: Path, method: str, args: str) -> None:
    answer = invoke("run", str(project / "things.py"), method, args)
    assert answer.return_value == 1
    assert "offers call register(id: str, title: str) -> None; call hand_over" in answer.stderr


def test_nothing_is_overwritten(project: Path) -> None:
    readme = project / "README.md"
    readme.write_text("mine")
    (project / "things.py").unlink()
    answer = invoke("new", "things", "--dir", str(project))
    assert isinstance(answer.exception, Refused)
    assert readme.read_text() == "mine"
    assert not (project / "things.py").exists()


@pytest.mark.parametrize("name", ["Things", "9", "a b", "", "x" * 65, "../a", *shipped.LIBRARY])
def test_names_that_no_contract_can_have(name: str, tmp_path: Path) -> None:
    answer = invoke("new", name, "--dir", str(tmp_path))
    assert isinstance(answer.exception, Refused)
    assert list(tmp_path.iterdir()) == []
