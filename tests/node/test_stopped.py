"""What the folder of a stopped node says of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from consensus.records import Retired
from ledger.types import Epoch, Height
from node.home import HomeInUse
from node.rebuild import Rebuild
from node.standing import Standing
from node.stopped import StoppedNode, inspect
from tests.ledger.ledger_world import ToyRunner
from tests.node import diverged_home
from tests.node.diverged_home import CERTIFIED, DIVERGED_AT, LAST, DivergedHome


@pytest.fixture
def home(tmp_path: Path) -> DivergedHome:
    return diverged_home.make(tmp_path / "node")


def found(home: DivergedHome, **settings: object) -> Standing:
    with inspect(home.place, home.genesis, home.config(**settings)) as node:
        return node.standing


def test_a_node_that_diverged(home: DivergedHome) -> None:
    home.vote(home.record)
    own = home.headers()[DIVERGED_AT]
    with inspect(home.place, home.genesis, home.config()) as node:
        standing = node.standing
        assert isinstance(node, StoppedNode)
        assert node.ledger is not None
        assert node.ledger.executed_header(DIVERGED_AT).hash == own
    assert (standing.state, standing.name) == ("diverged", "org1")
    assert (standing.height, standing.executed, standing.decided) == (CERTIFIED, LAST, LAST)
    divergence = standing.divergence
    assert divergence is not None
    assert (divergence.height, divergence.own) == (DIVERGED_AT, own)
    assert divergence.certified == home.right[DIVERGED_AT]
    divergence.certificate.verify(home.genesis.chain_id, home.genesis.validator_set)
    assert Standing.from_json(standing.to_json()) == standing


def test_one_that_was_rebuilt_since(home: DivergedHome) -> None:
    home.vote(home.record)
    with Rebuild(home.place, home.genesis) as work:
        list(work.run(ToyRunner()))
        work.replace()
    assert found(home).state == "repaired"
    shutil.rmtree(home.place.ledger)
    assert found(home).state == "repaired"


def test_one_with_nothing_wrong(home: DivergedHome) -> None:
    standing = found(home)
    assert (standing.state, standing.divergence) == ("stopped", None)
    assert (standing.executed, standing.decided) == (LAST, LAST)


def test_one_that_never_ran(tmp_path: Path) -> None:
    home = diverged_home.make(tmp_path / "node")
    for folder in (home.place.wal, home.place.blocks, home.place.ledger):
        shutil.rmtree(folder)
    standing = found(home)
    assert (standing.state, standing.decided) == ("stopped", 0)
    assert not home.place.ledger.exists()


def test_one_without_disk_space(home: DivergedHome) -> None:
    standing = found(home, free_bytes_min=1 << 60)
    assert standing.state == "disk_floor"
    assert "disk.free_bytes_min" in standing.reason


def test_one_whose_log_of_votes_is_gone(home: DivergedHome) -> None:
    shutil.rmtree(home.place.wal)
    assert found(home).state == "log_lost"
    home.vote(Retired(Epoch(0), Height(5), "a peer holds more of our votes"))
    standing = found(home)
    assert (standing.state, standing.reason) == ("log_lost", "a peer holds more of our votes")


@pytest.mark.parametrize("part", ["wal", "blocks", "ledger"])
def test_one_with_damaged_files_which_are_left_alone(home: DivergedHome, part: str) -> None:
    folder: Path = getattr(home.place, part)
    file = folder / "CURRENT" if part == "ledger" else next(folder.glob("*.log"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    standing = found(home)
    assert standing.state == "damaged"
    assert "hint" in standing.reason
    assert file.read_bytes() == data


def test_one_that_runs(home: DivergedHome) -> None:
    with home.place.lock(), pytest.raises(HomeInUse):
        found(home)
