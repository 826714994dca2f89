"""The ledger alone under `kill -9`: hundreds of deaths at random moments and at chosen steps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.conftest import Figure
from tests.chaos.figures import rounds
from tests.chaos.killed_ledger import PHASES

ROUNDS = 500


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_row_25_a_ledger_killed_hundreds_of_times(tmp_path: Path, figure: Figure) -> None:
    """In a process of its own: it forks, and LevelDB's threads do not survive that."""
    count = rounds("LEDGER_KILLS", ROUNDS)
    command = [sys.executable, "-m", "tests.chaos.killed_ledger", str(tmp_path / "ledger")]
    ended = subprocess.run(
        [*command, "--rounds", str(count)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    found = json.loads(ended.stdout)
    figure("a ledger alone, killed", **found)
    assert found["rounds"] == found["by_hand"] + found["at_a_step"] == count
    assert set(found["phases"]) == set(PHASES), "some part of a commit was never met"
