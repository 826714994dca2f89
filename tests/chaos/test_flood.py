"""One organisation floods the others for a minute: their memory stays bounded, their work goes on.

The attacker (`tests.chaos.flooder`) holds a real validator's keys; its own node does not run. So
three of four validators carry the load throughout, and the seconds before and after the flood, in
the same run, are what the flood is compared with. Target: 80 % (Aardvark, NSDI '09, showed PBFTs
that one bad participant stops).
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final

import pytest

from devnet import founding
from tests.chaos import flooder
from tests.chaos.checker import check
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Figure, Found
from tests.chaos.figures import rounds
from tests.chaos.load import Load

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(420)]

FLOOD_SECONDS: Final = 60
QUIET_SECONDS: Final = 20
WARM_UP_SECONDS: Final = 5
IN_FLIGHT: Final = 128

THROUGHPUT_MIN: Final = 0.80

GROWTH_BYTES_MAX: Final = 128 << 20
"""What one peer may cost a validator beyond the load's own growth: answers queued for it (32 MiB),
one message on its way in (8 MiB, twice), a frame decoded (20 MiB), and as much again that the
allocator keeps."""

ROOT: Final = Path(__file__).resolve().parents[2]


class Memory:
    """The greatest resident memory of each process while the block runs, in bytes."""

    def __init__(self, cluster: Cluster, names: list[str]) -> None:
        self._cluster = cluster
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.before = {name: cluster.rss_bytes(name) for name in names}
        self.peak = dict(self.before)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        return max(self.peak[name] - self.before[name] for name in self.before)

    def _watch(self) -> None:
        while not self._stop.wait(0.25):
            for name in self.peak:
                self.peak[name] = max(self.peak[name], self._cluster.rss_bytes(name))


def test_row_41_a_minute_of_malformed_messages(found: Found, figure: Figure) -> None:
    _flooded(found(proxied=False), "malformed", figure)


def test_a_minute_of_valid_messages(found: Found, figure: Figure) -> None:
    _flooded(found(proxied=False), "valid", figure)


def _flooded(cluster: Cluster, mix: str, figure: Figure) -> None:
    seconds = rounds("FLOOD_SECONDS", FLOOD_SECONDS)
    attacker, *others = cluster.names
    process = _prepared(cluster, attacker, others, mix, seconds)
    cluster.start(*others)
    cluster.wait_ready(*others)
    with Load(cluster, in_flight=IN_FLIGHT, nodes=others) as load:
        time.sleep(WARM_UP_SECONDS)
        before = _quiet(load)
        with Memory(cluster, others) as memory:
            began = time.monotonic()
            said = _flood(process)
            flooded = load.commits_per_second(began, time.monotonic())
        time.sleep(WARM_UP_SECONDS)
        after = _quiet(load)
        refused = [_refused(cluster, name, attacker) for name in others]
        cluster.wait_voting(*others)
    cluster.kill_all()
    check(cluster, [load.history], honest=others)
    quiet = (before + after) / 2
    figure(
        f"flood of {mix} messages",
        seconds=seconds,
        tps=round(flooded),
        quiet=round(quiet),
        ratio=round(flooded / quiet, 2),
        growth_mib=memory.growth >> 20,
        messages=sum(said.values()),
        links=said["links"],
        calls=said["calls"],
        refused=refused,
    )
    assert said["links"] >= len(others), "it reached them all"
    if mix == "malformed":
        assert all(count > 0 for count in refused)
    assert memory.growth <= GROWTH_BYTES_MAX
    assert flooded >= THROUGHPUT_MIN * quiet


def _quiet(load: Load) -> float:
    began = time.monotonic()
    time.sleep(QUIET_SECONDS)
    return load.commits_per_second(began, time.monotonic())


def _prepared(
    cluster: Cluster, attacker: str, others: list[str], mix: str, seconds: int
) -> subprocess.Popen[str]:
    """An attacker that waits to be told to begin."""
    targets = [f"127.0.0.1:{founding.ports(cluster.entry(name))[1]}" for name in others]
    command = [sys.executable, "-m", "tests.chaos.flooder", "--home", str(cluster.home(attacker))]
    process = subprocess.Popen(
        [*command, "--mix", mix, "--seconds", str(seconds), *targets],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == flooder.READY
    return process


def _flood(process: subprocess.Popen[str]) -> dict[str, int]:
    """Let the attacker begin, and wait for its end; what it said, by kind."""
    out, err = process.communicate("go\n")
    assert process.returncode == 0, err[-3000:]
    said: dict[str, int] = json.loads(out)
    return said


def _refused(cluster: Cluster, name: str, attacker: str) -> int:
    """What `name` threw away of what the attacker delivered."""
    status = cluster.status(name)
    assert status is not None
    return next(peer["refused"] for peer in status["peers"] if peer["name"] == attacker)
