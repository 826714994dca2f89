"""The ledger alone under `kill -9`: hundreds of deaths at random moments and at chosen steps.

What is compared after each is in `tests.chaos.killed_ledger`; that it would notice is shown here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ledger.store import LedgerStore
from tests.chaos.conftest import Figure
from tests.chaos.figures import rounds
from tests.chaos.killed_ledger import PHASES, Notes, Twin, block, look
from tests.ledger.ledger_world import World

ROUNDS = 500


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_row_25_a_ledger_killed_hundreds_of_times(tmp_path: Path, figure: Figure) -> None:
    """In a process of its own: it forks, and LevelDB's threads do not survive that."""
    count = rounds("LEDGER_KILLS", ROUNDS)
    command = [sys.executable, "-m", "tests.chaos.killed_ledger", str(tmp_path / "ledger")]
    ended = subprocess.run(
        [*command, "--rounds", str(count)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    found = json.loads(ended.stdout)
    figure("a ledger alone, killed", **found)
    assert found["rounds"] == found["by_hand"] + found["at_a_step"] == count
    assert set(found["phases"]) == set(PHASES), "some part of a commit was never met"


def left_by_a_child(home: Path, blocks: int, *, other: bool = False) -> Notes:
    """A ledger of so many blocks, the last of them another one than the twin's if wanted."""
    world, notes = World(), Notes()
    with closing(LedgerStore.open(home, world.genesis)) as store:
        for n in range(1, blocks + 1):
            made = block(world, n)
            if other and n == blocks:
                made = world.block(n, [world.put("another", n)])
            world.apply(store, made)
    notes.decided(blocks)
    notes.committed(blocks)
    return notes


def test_what_is_right_is_taken(tmp_path: Path) -> None:
    assert look(tmp_path, Twin(), left_by_a_child(tmp_path, 3), whole=True) == 3


def test_a_lost_block_is_noticed(tmp_path: Path) -> None:
    notes = left_by_a_child(tmp_path, 3)
    notes.committed(4)
    with pytest.raises(AssertionError, match="committed 4, executed 3"):
        look(tmp_path, Twin(), notes, whole=False)


def test_another_block_is_noticed(tmp_path: Path) -> None:
    notes = left_by_a_child(tmp_path, 3, other=True)
    with pytest.raises(AssertionError, match="block 3 is not the twin's"):
        look(tmp_path, Twin(), notes, whole=False)


def test_a_database_made_anew_is_noticed(tmp_path: Path) -> None:
    notes = left_by_a_child(tmp_path, 3)
    next((tmp_path / "ledger").glob("MANIFEST-*")).unlink()
    with pytest.raises(AssertionError, match="made anew"):
        look(tmp_path, Twin(), notes, whole=False)
