"""Validators that fell behind what the others keep, or lost their disk, begin from a snapshot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from cli.errors import EXIT_INTEGRITY, EXIT_REFUSED
from ledger import canonical, snapshot
from ledger.snapshot import FolderSource, Manifest
from ledger.store import BLOCKS_FOLDER, STORE_FOLDER
from node.prune import KEEP_MIN
from node.service import WAL_FOLDER
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Found
from tests.chaos.load import Load
from tests.ledger.snapshots import MemorySource, made_of

pytestmark = pytest.mark.chaos

RATE = 12.0
COMMAND_SECONDS_MAX = 120


def qiong(cluster: Cluster, *arguments: str, code: int = 0) -> tuple[Any, str]:
    """Run `qiong ARGUMENTS --json` against the cluster; its document and its words."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("QIONG_")}
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "cli.main", *arguments, "--json"],
        env=clean | {"QIONG_TRUST": str(cluster.folder / "trust.json")},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    assert ended.returncode == code, (arguments, ended.stdout, ended.stderr)
    assert "Traceback" not in ended.stderr
    return json.loads(ended.stdout) if ended.stdout else None, ended.stderr


@contextmanager
def serving(source: MemorySource) -> Iterator[str]:
    """A server that offers one snapshot as a node does; its URL."""
    height = Manifest.decode(source.manifest()).height

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            if self.path == "/v1/snapshots":
                body = json.dumps({"items": [{"height": height}]}).encode()
            elif "/chunks/" in self.path:
                body = source.chunk(int(name))
            else:
                body = source.manifest()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def why(cluster: Cluster, name: str) -> str:
    code, answer = cluster.get(name, "/v1/why")
    assert code == 200
    return str(answer["state"])


def lie_of(folder: Path) -> MemorySource:
    """The snapshot in `folder` with one licence less, and hashes that fit."""
    honest = FolderSource(folder)
    manifest = Manifest.decode(honest.manifest())
    records = list(snapshot.records(snapshot.chunks_of(manifest, honest)))
    licences = [r for r in records if r[0] == snapshot.STATE and r[1] == "licence"]
    licences[-1][4] = canonical.encode({"status": "revoked"})
    return made_of(records, manifest)


def altered(folder: Path) -> MemorySource:
    """The snapshot in `folder` with a byte changed on the way."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    name = snapshot.chunk_name(0)
    files[name] = files[name][:-1] + bytes([files[name][-1] ^ 1])
    return MemorySource(files)


@pytest.mark.timeout(600)
def test_row_22_a_lying_snapshot_is_refused(found: Found, tmp_path: Path) -> None:
    """A validator lags behind what the others keep; two servers lie to it, and it takes the truth.

    Its log of votes is whole, so it votes again. Another one lost its whole disk: it follows, and
    never votes.
    """
    cluster = found(proxied=False)
    cluster.start()
    cluster.wait_ready()
    *others, lost, behind = [name for name in cluster.names if name != cluster.primary()]
    others.append(cluster.primary())
    with Load(cluster, rate=RATE, in_flight=256, nodes=others) as load:
        load.wait_commits(8)
        cluster.kill(behind)
        for _ in range(3 * KEEP_MIN):
            load.wait_commits(1)
        # The others give up what it lacks, one after the other.
        for name in (*others, lost):
            cluster.terminate(name)
            document, _ = qiong(
                cluster, "db", "prune", "--home", str(cluster.home(name)), "--keep", str(KEEP_MIN)
            )
            cluster.start(name)
            cluster.wait_voting(name)
            assert document["first"] > 0
        firsts = [cluster.status(name)["first_height"] for name in others]  # type: ignore[index]
        load.wait_commits(4)
        cluster.start(behind)
        stuck = cluster.status(behind)
        assert stuck is not None
        assert stuck["height"] < min(firsts) - 1
        code, problem = cluster.get(others[0], f"/v1/blocks/{stuck['height'] + 1}")
        assert (code, problem["code"]) == (410, "pruned")
        assert str(firsts[0]) in problem["detail"]
        load.wait_commits(4)
        stuck = cluster.status(behind)
        assert stuck is not None
        assert stuck["height"] < min(firsts) - 1
        cluster.until(
            lambda: why(cluster, behind) == "left_behind", "it knows that it is left behind"
        )
        cluster.terminate(behind)

        honest = cluster.entry(others[0])
        taken = tmp_path / "taken"
        made, _ = qiong(cluster, "snapshot", "create", "--home", str(honest.home), "-o", str(taken))
        home = ["--home", str(cluster.home(behind))]
        with serving(lie_of(taken)) as liar, serving(altered(taken)) as careless:
            before = sorted(path.name for path in cluster.home(behind).iterdir())
            _, words = qiong(
                cluster, "snapshot", "restore", *home, "--node", liar, code=EXIT_INTEGRITY
            )
            assert "state has the root" in words
            assert sorted(path.name for path in cluster.home(behind).iterdir()) == before
            nodes = [part for url in (liar, careless, honest.api) for part in ("--node", url)]
            told, words = qiong(cluster, "snapshot", "restore", *home, *nodes)
        assert "state has the root" in words
        assert "chunk 0" in words
        assert told["from"] == honest.api
        assert told["header_hash"] == made["header_hash"]
        cluster.start(behind)
        cluster.wait_voting(behind)
        qiong(cluster, "snapshot", "restore", str(taken), *home, code=EXIT_REFUSED)

        cluster.kill(lost)
        for part in (BLOCKS_FOLDER, STORE_FOLDER, WAL_FOLDER, "base"):
            shutil.rmtree(cluster.home(lost) / part)
        qiong(cluster, "snapshot", "restore", str(taken), "--home", str(cluster.home(lost)))
        cluster.start(lost, wait=False)  # one that does not vote is not healthy
        load.wait_commits(8)
        cluster.wait_height(made["height"] + 1, lost)
    cluster.wait_agreed()
    said = cluster.statuses()
    assert said[lost]["observer"] is not None
    assert said[lost]["first_height"] == made["height"]
    assert all(said[name]["observer"] is None for name in (*others, behind))
    assert cluster.evidence() == []
    assert all(operation.executed for operation in load.history)
