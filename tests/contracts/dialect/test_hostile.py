"""Hostile contracts end with the documented status, the same on every interpreter.

The corpus is `hostile.txt`; `verdicts.py` runs it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
HOSTILE = HERE / "hostile.txt"
ACCEPTED = HERE / "accepted.txt"
RECORDED = HERE / "accepted.json"


def _heads(corpus: Path) -> list[str]:
    lines = corpus.read_text("utf-8").split("\n")
    return [line[4:].partition(": ")[0] for line in lines if line.startswith("### ")]


@pytest.fixture(scope="module")
def corpus(verdicts: ModuleType) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for path in (HOSTILE, ACCEPTED):
        found |= verdicts.read_corpus(path.read_text("utf-8"))
    return found


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len(_heads(HOSTILE)) >= 120


@pytest.mark.parametrize("name", _heads(HOSTILE))
def test_hostile(name: str, corpus: dict[str, tuple[str, str]], verdicts: ModuleType) -> None:
    expected, source = corpus[name]
    status, code, used, _ = verdicts.verdict(source)
    assert f"{status} {code}".strip() == expected
    assert 0 <= used <= 300_000


@pytest.mark.parametrize("name", _heads(ACCEPTED))
def test_accepted(name: str, corpus: dict[str, tuple[str, str]], verdicts: ModuleType) -> None:
    expected, source = corpus[name]
    status, code, _, result = verdicts.verdict(source)
    assert (status, code) == ("ok", "")
    assert result == expected


def test_results_and_gas_are_as_recorded() -> None:
    """Gas is part of every receipt, so a price that changes is a change of the protocol.

    Re-record: python tests/contracts/dialect/verdicts.py . CORPUS > accepted.json
    """
    recorded = json.loads(RECORDED.read_text("utf-8"))
    assert _verdicts_of(sys.executable, dict(os.environ), ACCEPTED, "0") == recorded


def _works(command: str, environment: dict[str, str]) -> bool:
    """True if `command` is CPython 3.11 or 3.12."""
    check = "import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 12))"
    try:
        finished = subprocess.run(
            [command, "-c", check], env=environment, capture_output=True, timeout=30, check=False
        )
    except OSError:
        return False
    return finished.returncode == 0


def _interpreters() -> list[tuple[str, dict[str, str]]]:
    """Command and environment of this interpreter and of every other supported one found.

    pyenv's shims answer only for the version that PYENV_VERSION names, so each is tried.
    """
    found = [(sys.executable, dict(os.environ))]
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = (
        sorted(path.name for path in versions.glob("3.1[12].*")) if versions.is_dir() else []
    )
    for name in ("python3.11", "python3.12"):
        command = shutil.which(name)
        if command is None or sys.executable.endswith(name):
            continue
        for version in ("", *(v for v in installed if v.startswith(name[6:]))):
            environment = dict(os.environ)
            if version:
                environment["PYENV_VERSION"] = version
            if _works(command, environment):
                found.append((command, environment))
                break
    return found


def _verdicts_of(
    command: str, environment: dict[str, str], corpus: Path, seed: str
) -> dict[str, list[object]]:
    # Not -I: it would ignore the hash seed that this test varies.
    finished = subprocess.run(
        [command, "-S", str(HERE / "verdicts.py"), str(ROOT), str(corpus)],
        env={**environment, "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        timeout=120,
        check=True,
    )
    found: dict[str, list[object]] = json.loads(finished.stdout)
    return found


@pytest.mark.parametrize("corpus_path", [HOSTILE, ACCEPTED], ids=["hostile", "accepted"])
def test_every_interpreter_and_hash_seed_agrees(corpus_path: Path) -> None:
    interpreters = _interpreters()
    reference = _verdicts_of(*interpreters[0], corpus_path, "0")
    assert reference
    others = [(*interpreters[0], "1"), *((*interpreter, "2") for interpreter in interpreters[1:])]
    for command, environment, seed in others:
        assert _verdicts_of(command, environment, corpus_path, seed) == reference, command
