"""`qiong snapshot` and `qiong db prune` on folders of stopped nodes: words, documents, codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.errors import Refused
from cli.main import cli
from ledger.errors import QiongError
from ledger.store import LedgerStore
from ledger.types import Height
from node.config import render_config
from node.home import Home
from node.opened import NoDatabase
from node.prune import KEEP_MIN
from node.restore import NothingToGain
from tests.ledger.ledger_world import World
from tests.node.snapshot_home import chain, head_of, home_with

LAST = KEEP_MIN + 4


@pytest.fixture(scope="module")
def made() -> tuple[World, LedgerStore]:
    return chain(LAST)


def home(root: Path, made: tuple[World, LedgerStore], blocks: int) -> Home:
    """A home with settings and genesis, and the first `blocks` blocks."""
    world, truth = made
    place = home_with(root, world, truth, blocks) if blocks else Home(root)
    root.mkdir(exist_ok=True)
    place.genesis.write_bytes(world.genesis.encode())
    settings = render_config(
        organisation="org1",
        api_listen="127.0.0.1:1",
        peer_listen="127.0.0.1:2",
        expect_hash=world.genesis.chain_id.hex(),
    )
    place.config.write_text(settings)
    return place


def run(*arguments: str) -> Any:
    ended = CliRunner().invoke(cli, [*arguments, "--json"], standalone_mode=False)
    if ended.exception is not None:
        raise ended.exception
    assert ended.return_value == 0
    return json.loads(ended.stdout)


def test_created_and_restored(tmp_path: Path, made: tuple[World, LedgerStore]) -> None:
    world, truth = made
    donor = home(tmp_path / "donor", made, 6)
    target = tmp_path / "taken"
    # Left by an attempt that was broken off.
    target.mkdir()
    (target / "000007.chunk").write_bytes(b"old")
    told = run("snapshot", "create", "--home", str(donor.root), "-o", str(target), "--height", "5")
    right = truth.header(Height(5))
    assert (told["height"], told["header_hash"]) == (5, right.hash.hex())
    assert sorted(path.name for path in target.iterdir()) == ["000000.chunk", "IN_USE", "manifest"]
    assert told["bytes"] == sum(path.stat().st_size for path in target.iterdir())
    with pytest.raises(Refused, match="not empty"):
        run("snapshot", "create", "--home", str(donor.root), "-o", str(target))
    with pytest.raises(QiongError, match="not certified"):
        run("snapshot", "create", "--home", str(donor.root), "-o", f"{target}2", "--height", "9")
    fresh = home(tmp_path / "fresh", made, 0)
    with pytest.raises(NoDatabase):
        run("snapshot", "create", "--home", str(fresh.root), "-o", f"{target}3")
    restored = run("snapshot", "restore", str(target), "--home", str(fresh.root))
    assert restored["header_hash"] == told["header_hash"]
    assert (restored["fetched"], restored["chunks"], restored["kept"]) == (1, 1, [])
    assert head_of(fresh, world.genesis) == (5, 5, right.hash)
    with pytest.raises(NothingToGain):
        run("snapshot", "restore", str(target), "--home", str(donor.root))


def test_pruned(tmp_path: Path, made: tuple[World, LedgerStore]) -> None:
    world, truth = made
    place = home(tmp_path / "node", made, LAST)
    prune = ["db", "prune", "--home", str(place.root), "--keep"]
    few = CliRunner().invoke(cli, [*prune, str(KEEP_MIN - 1)])
    assert few.exit_code == 2
    assert run(*prune, str(KEEP_MIN)) == {"first": 4, "first_before": 0, "newest": LAST}
    assert head_of(place, world.genesis) == (4, LAST, truth.head.hash)
    again = CliRunner().invoke(cli, [*prune, str(KEEP_MIN)], standalone_mode=False)
    assert again.stdout == f"nothing to give up: kept are 4 to {LAST}\n"
