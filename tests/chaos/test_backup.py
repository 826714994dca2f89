"""A validator's disk is lost: a new folder is made of a backup that was taken while it ran.

The node that starts there catches up and has everybody's header; its key is used and its log of
votes is empty, so it stays silent, also when its vote would be the one that is missing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from node.home import Home
from tests.chaos.checker import judge
from tests.chaos.conftest import Found
from tests.chaos.load import Load
from tests.chaos.test_damage import follows_in_silence

pytestmark = pytest.mark.chaos

COMMAND_SECONDS_MAX = 120


def qiong(*words: str) -> Any:
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "cli.main", *words, "--json"],
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    assert ended.returncode == 0, (words, ended.stdout[-2000:], ended.stderr[-2000:])
    return json.loads(ended.stdout)


@pytest.mark.timeout(600)
def test_row_31_a_home_made_of_a_backup_follows_in_silence(found: Found, tmp_path: Path) -> None:
    cluster = found(proxied=False)
    cluster.start()
    cluster.wait_ready()
    primary = cluster.primary()
    name = next(n for n in cluster.names if n != primary)
    others = [n for n in cluster.names if n != name]
    home, folder = cluster.home(name), str(tmp_path / "backup")
    with Load(cluster, in_flight=64, nodes=others) as load:
        load.wait_commits(40)
        first = qiong("backup", "create", "--home", str(home), "-o", folder)
        assert qiong("backup", "verify", folder)["height"] == first["height"] > 0
        load.wait_commits(40)
        made = qiong("backup", "create", "--home", str(home), "-o", folder)
        assert made["height"] == first["height"] + made["added"] > first["height"]
        assert qiong("backup", "verify", folder)["header_hash"] == made["header_hash"]
        assert cluster.votes(name)  # it voted through all of that

    with Load(cluster, rate=8.0, in_flight=256, nodes=others) as load_after:
        load_after.wait_commits(16)
        cluster.kill(name)
        lost = home.rename(home.with_name("lost"))
        restored = qiong("backup", "restore", folder, "--home", str(home))
        assert (restored["height"], restored["header_hash"]) == (
            made["height"],
            made["header_hash"],
        )
        assert restored["bring"] == ["keys/consensus.key", "keys/tls.key"]
        assert not Home(home).wal.exists()
        for key in (*restored["bring"], "keys/passphrase"):
            shutil.copy(lost / key, home / key)
        cluster.start(name, wait=False)
        follows_in_silence(cluster, name, load_after)
        height = load_after.history.acknowledged[-1].height or 0
        cluster.wait_height(height)
    said = {n: cluster.get(n, f"/v1/blocks/{height}")[1]["hash"] for n in cluster.names}
    assert len(set(said.values())) == 1, said
    cluster.wait_agreed()
    judge(cluster, load.history, load_after.history)
