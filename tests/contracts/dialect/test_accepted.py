"""Contracts that must work give their results, for the gas that is recorded.

The corpus is `accepted.txt`; `verdicts.py` runs it. Hostile ones have `tests/contracts/hostile`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ACCEPTED = HERE / "accepted.txt"
RECORDED = HERE / "accepted.json"


def _heads(corpus: Path) -> list[str]:
    lines = corpus.read_text("utf-8").split("\n")
    return [line[4:].partition(": ")[0] for line in lines if line.startswith("### ")]


@pytest.fixture(scope="module")
def accepted(verdicts: ModuleType) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = verdicts.read_corpus(ACCEPTED.read_text("utf-8"))
    return found


@pytest.mark.parametrize("name", _heads(ACCEPTED))
def test_accepted(name: str, accepted: dict[str, tuple[str, str]], verdicts: ModuleType) -> None:
    expected, source = accepted[name]
    status, code, _, result = verdicts.verdict(source)
    assert (status, code) == ("ok", "")
    assert result == expected


def test_results_and_gas_are_as_recorded() -> None:
    """Gas is part of every receipt, so a price that changes is a change of the protocol.

    Re-record: python tests/contracts/dialect/verdicts.py . CORPUS > accepted.json
    """
    recorded = json.loads(RECORDED.read_text("utf-8"))
    assert _verdicts_of(sys.executable, dict(os.environ), ACCEPTED, "0") == recorded


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
