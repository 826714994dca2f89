"""`qiong db index`: what an operator sees and does of the index, on the folder of a real ledger."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.db import db_group
from contracts import deployment_layout
from ledger.genesis import Genesis, GenesisValidator
from ledger.store import LedgerStore
from node.config import render_config
from node.home import Home, HomeInUse
from node.index.choose import BadConnectionFile
from node.index.sqlite import SqliteIndex
from node.index.values import equal
from tests.ledger.ledger_world import KEYS, START_MS, World

FIELDS = ("colour",)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A node that executed five blocks, four of them certified."""
    place = Home(tmp_path / "node")
    place.root.mkdir()
    genesis = Genesis.build(
        name="test",
        created_ms=START_MS,
        validators=[
            GenesisValidator(name, "government", name, key.public, b"der", "127.0.0.1:1")
            for name, key in KEYS.items()
        ],
        attestations=[],
        state=deployment_layout.seed_entries([("kv", f"INDEX = {FIELDS!r}\n")]),  # type: ignore[arg-type]
    )
    place.genesis.write_bytes(genesis.encode())
    place.config.write_text(
        render_config(
            organisation="org0",
            api_listen="127.0.0.1:0",
            peer_listen="127.0.0.1:0",
            expect_hash=genesis.chain_id.hex(),
        )
    )
    world = World(genesis)
    store = LedgerStore.open(place.root, genesis)
    for n in range(5):
        world.advance(store, world.put(f"k{n}", {"colour": f"c{n % 2}"}), certify=n < 4)
    store.close()
    return place


def run(home: Home, *words: str) -> Result:
    arguments = ["index", *words, "--home", str(home.root)]
    return CliRunner().invoke(db_group, arguments, standalone_mode=False)


def document(home: Home, *words: str) -> Any:
    ended = run(home, *words, "--json")
    assert ended.return_value == 0, ended.exception
    return json.loads(ended.stdout)


def test_made_anew_shown_and_dropped(home: Home) -> None:
    nothing = {"database": "sqlite", "height": None, "fields": {}}
    assert document(home, "status") == nothing
    assert document(home, "rebuild") == {"database": "sqlite", "height": 4}
    shown = {"database": "sqlite", "height": 4, "fields": {"kv": ["colour"]}}
    assert document(home, "status") == shown
    index = SqliteIndex(home.index)
    found = index.search("kv", FIELDS, [equal("colour", "c1")], None, 10)
    index.close()
    assert (found.height, found.keys) == (4, ("k1", "k3"))
    assert "kv: colour" in run(home, "status").stdout
    assert document(home, "drop") == {"database": "sqlite"}
    assert document(home, "drop") == {"database": "sqlite"}
    assert document(home, "status") == nothing


def test_a_damaged_file_is_no_obstacle(home: Home) -> None:
    document(home, "rebuild")
    (home.index / "index.sqlite").write_bytes(b"something else entirely" * 1_000)
    assert run(home, "status").exception.code == "index_unavailable"  # type: ignore[union-attr]
    assert document(home, "rebuild")["height"] == 4


def test_the_index_of_a_running_node_is_looked_at_and_left_alone(home: Home) -> None:
    document(home, "rebuild")
    with home.lock():
        for command in ("drop", "rebuild"):
            assert isinstance(run(home, command).exception, HomeInUse)
        assert document(home, "status")["height"] == 4


def test_settings_that_name_no_index(home: Home) -> None:
    text = home.config.read_text()
    home.config.write_text(text.replace("[index]", "[index]\nenabled = false"))
    ended = run(home, "status")
    assert "keeps no query index" in str(ended.exception)
    chosen = 'database = "postgresql"\nconnection_file = "missing"'
    home.config.write_text(text.replace('database = "sqlite"', chosen))
    assert isinstance(run(home, "status").exception, BadConnectionFile)
