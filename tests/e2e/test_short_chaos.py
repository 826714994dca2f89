"""Three kills and a power loss under light load, and the judge of the long chaos runs; and a ledger
alone that is killed twenty times.

What `make chaos` does for far longer in other proportions; here it keeps the harness and the
shortest form of the promise in every run of the tests.
"""

import json
import subprocess
import sys
from pathlib import Path

from tests.chaos.checker import judge
from tests.chaos.cluster import Cluster
from tests.chaos.load import Load


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    with Cluster.found(tmp_path / "net", proxied=False) as cluster:
        cluster.start()
        cluster.wait_ready()
        with Load(cluster, rate=20, in_flight=512) as load:
            load.wait_commits(20)
            first = cluster.primary()
            cluster.kill(first)
            load.wait_commits(10)  # after a view change
            second, third = [name for name in cluster.names if name != first][:2]
            cluster.kill(second)
            cluster.start(first, second)  # more than f were away
            load.wait_commits(10)
            cluster.kill(third)
            cluster.start(third, wait=False)
            cluster.wait_voting()
            load.wait_commits(10)
            cluster.kill_all()
            cluster.start()
            load.wait_commits(10)
            cluster.wait_voting()
        report = judge(cluster, load.history)
    assert report.acknowledged >= 60
    assert report.failed == 0


def test_a_killed_ledger_is_at_some_block(tmp_path: Path) -> None:
    """Twenty deaths of a child that commits; `tests.chaos.killed_ledger` says what is compared."""
    command = [sys.executable, "-m", "tests.chaos.killed_ledger", str(tmp_path / "ledger")]
    ended = subprocess.run(
        [*command, "--rounds", "20"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    found = json.loads(ended.stdout)
    assert found["rounds"] == 20
    assert found["height"] >= 20
