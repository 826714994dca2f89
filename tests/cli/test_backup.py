"""`qiong backup` and `qiong db verify | stats`: what people and programs are told."""

from __future__ import annotations

import contextlib
import io
import json
import socket
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.backup import ServedHeaders
from cli.client import Answer, NodeRefused
from cli.errors import NotProven
from cli.main import main
from consensus import records
from consensus.records import Highest
from ledger import canonical, schema
from ledger.block_files import BlockFiles
from ledger.storage.folder import DiskFolder
from ledger.storage.leveldb import LevelDBStore
from ledger.store import LedgerStore
from ledger.types import Epoch, Height, View
from node.config import render_config
from node.home import Home
from node.wal import VoteLog
from tests.ledger.ledger_world import World

BLOCKS = 5


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def qiong(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command line in this process."""

    def run(*words: object) -> Ended:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr("sys.argv", ["qiong", *map(str, words)])
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
        assert "Traceback" not in err.getvalue()
        return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    return run


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Of a node that is stopped, at block 5."""
    world, place = World(), Home(tmp_path / "node")
    place.root.mkdir()
    chain_id = world.genesis.chain_id.hex()
    place.config.write_text(
        render_config(
            organisation="org1",
            api_listen=f"0.0.0.0:{free_port()}",
            peer_listen="127.0.0.1:1",
            expect_hash=chain_id,
        )
    )
    place.genesis.write_bytes(world.genesis.encode())
    store = LedgerStore.open(place.root, world.genesis)
    for n in range(1, BLOCKS + 1):
        world.advance(store, world.put("k", n), world.put("other", n))
    store.close()
    return place


@contextlib.contextmanager
def store_of(home: Home) -> Iterator[LedgerStore]:
    with (
        contextlib.closing(BlockFiles(DiskFolder(home.blocks))) as blocks,
        contextlib.closing(LevelDBStore(home.ledger)) as kv,
    ):
        yield LedgerStore(World().genesis, kv, blocks)


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 4
    path.write_bytes(data)


def test_a_backup_is_made_and_checked(qiong: Any, home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    made = qiong("backup", "create", "--home", home.root, "-o", folder)
    assert made.code == 0
    assert "holds org1 to block 5, without keys" in made.out
    again = qiong("backup", "create", "--home", home.root, "-o", folder, "--json")
    with store_of(home) as store:
        assert again.json["header_hash"] == store.head.hash.hex()
    assert (again.json["height"], again.json["added"], again.json["keys"]) == (5, 0, False)
    checked = qiong("backup", "verify", folder)
    assert checked.code == 0
    assert f"chain {again.json['chain_id']}" in checked.out
    assert qiong("backup", "verify", folder, "--json").json["ok"]
    wrong = qiong("backup", "verify", folder, "--expect-hash", "ab" * 32)
    assert (wrong.code, wrong.out) == (5, "")
    assert "expected was abab" in wrong.err


def test_a_spoilt_backup_is_named_with_the_way_out(qiong: Any, home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    qiong("backup", "create", "--home", home.root, "-o", folder)
    segment = next((folder / "blocks").glob("*.log"))
    flip(segment, 300)
    told = qiong("backup", "verify", folder)
    assert (told.code, told.out) == (5, "")
    assert f"error: blocks/{segment.name}: was altered, near {segment.name} at byte" in told.err
    assert "hint: take another backup" in told.err
    answer = qiong("backup", "verify", folder, "--json")
    assert answer.code == 5
    assert answer.json["ok"] is False
    assert answer.json["where"] == f"blocks/{segment.name}"
    restored = qiong("backup", "restore", folder, "--home", tmp_path / "new")
    assert restored.code == 5
    assert not (tmp_path / "new").exists()
    assert qiong("backup", "verify", tmp_path / "nothing").code == 3


def test_a_running_node_that_does_not_answer(qiong: Any, home: Home, tmp_path: Path) -> None:
    with home.lock():
        told = qiong("backup", "create", "--home", home.root, "-o", tmp_path / "backup")
    assert told.code == 4
    assert "no answer from http://127.0.0.1:" in told.err
    assert "hint:" in told.err


def test_a_ledger_holds(qiong: Any, home: Home) -> None:
    told = qiong("db", "verify", "--home", home.root)
    assert told.code == 0
    assert "blocks 0 to 5 hold: 10 transactions, 5 certificates" in told.out
    document = qiong("db", "verify", "--home", home.root, "--json").json
    assert (document["ok"], document["height"], document["certified"]) == (True, 5, 5)
    counted = qiong("db", "stats", "--home", home.root, "--json").json
    assert counted["rows"].keys() >= {"headers", "values", "superseded values"}
    assert sum(size["rows"] for size in counted["rows"].values()) == document["rows"]
    assert counted["heights"] == {"executed": 5, "decided": 5, "certified": 5, "first_kept": 1}
    assert counted["transactions"] == document["transactions"] == 10
    assert counted["keys"] == {"kv": 3, "registry": 1}
    assert counted["files"]["blocks"] == sum(f.stat().st_size for f in home.blocks.iterdir())
    for words in ("block 5 is executed", "10 transactions, ", "superseded values", "KiB"):
        assert words in qiong("db", "stats", "--home", home.root).out


def test_the_first_wrong_row_is_named_with_the_way_out(qiong: Any, home: Home) -> None:
    with store_of(home) as store:
        row = schema.by_height(schema.RESULTS, 3)
        store._kv.write({row: store._kv.get(schema.by_height(schema.RESULTS, 2))}, sync=True)
    told = qiong("db", "verify", "--home", home.root)
    assert (told.code, told.out) == (5, "")
    assert "error: row H 3 or row R 3: block 3: the header does not hold: tx_root" in told.err
    assert "hint: stop the node and run `qiong db rebuild" in told.err
    document = qiong("db", "verify", "--home", home.root, "--json")
    assert document.code == 5
    assert document.json["ok"] is False
    assert document.json["height"] == 3


def test_the_first_wrong_byte_of_the_block_files_is_named(qiong: Any, home: Home) -> None:
    segment = next(home.blocks.glob("*.log"))
    flip(segment, 1000)
    told = qiong("db", "verify", "--home", home.root)
    assert told.code == 5
    assert f"{segment.name} at byte" in told.err
    assert "hint: put the folder `blocks` of another validator" in told.err


def test_a_wrong_byte_in_the_log_of_votes_is_named(qiong: Any, home: Home) -> None:
    log = VoteLog(DiskFolder(home.wal), Height(0))
    log.append([records.encode(Highest(Epoch(0), View(0), Height(n))) for n in range(3)])
    log.close()
    assert qiong("db", "verify", "--home", home.root, "--json").json["votes"] == 3
    segment = next(home.wal.glob("*.log"))
    flip(segment, 150)
    told = qiong("db", "verify", "--home", home.root)
    assert told.code == 5
    assert f"error: wal: {segment.name} at byte" in told.err
    assert "hint: move the folder `wal` away" in told.err


@pytest.mark.parametrize("command", ["verify", "stats"])
def test_what_is_refused(qiong: Any, home: Home, command: str) -> None:
    with home.lock():
        told = qiong("db", command, "--home", home.root)
    assert told.code == 3
    assert "hint: stop it first" in told.err
    (home.ledger / "CURRENT").unlink()
    told = qiong("db", command, "--home", home.root)
    assert told.code == 3
    assert "holds no database" in told.err
    assert qiong("db", command, "--home", home.root / "nowhere").code == 3
    assert qiong("db", command).code == 2


class Node:
    """A client of one node that is busy now and then; `items` is what it has."""

    nodes = ("http://node",)

    def __init__(self, items: list[object]) -> None:
        self.items = items
        self.slept = 0
        self.asked: list[tuple[int, int]] = []

    def get(self, where: str, accept: str, **query: Any) -> Answer:
        first, limit = query["from"], query["limit"]
        self.asked.append((first, limit))
        if len(self.asked) == 2:
            raise NodeRefused("http://node", 429, "too_many_requests", "")
        page = {"items": self.items[first : first + limit], "cursor": None}
        return Answer("http://node", 200, canonical.encode(page))  # type: ignore[arg-type]

    def sleep(self, seconds: float) -> None:
        self.slept += 1


def test_headers_come_in_pages_also_of_a_busy_node() -> None:
    node = Node([b"%d" % n for n in range(300)])
    served = ServedHeaders(node)  # type: ignore[arg-type]
    assert list(served.headers(Height(7), Height(250))) == node.items[7:251]
    assert node.asked == [(7, 100), (107, 100), (107, 100), (207, 44)]
    assert node.slept == 1


@pytest.mark.parametrize("items", [[], [b"x"] * 5, ["text"] * 9, [b"x"] * 3 + [None] * 9])
def test_what_is_no_header_is_not_taken(items: list[object]) -> None:
    with pytest.raises(NotProven):
        list(ServedHeaders(Node(items)).headers(Height(0), Height(8)))  # type: ignore[arg-type]
