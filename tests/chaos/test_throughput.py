"""What one faulty validator of four costs, as a share of what all four honest ones commit.

For each kind of fault a fresh network carries the same load twice: with all four honest (A), then
with one of them at fault (B), from the beginning of a turn to the beginning of the same turn one
cycle of primaries later, so that every validator's turn counts as often as it comes round. The
segments alternate, A B A B, and a B is compared with the A before and the A after it: the machine
is not equally fast all the time. Client load is closed (`IN_FLIGHT` under way) and talks to the
honest validators only.

The targets are those of `reliability.md`: 0.85 with f crashed, 0.60 with f Byzantine (Aardvark,
NSDI '09, showed PBFTs that fall to nothing).
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

import pytest

from devnet import sample
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Figure, Found
from tests.chaos.liar import liar_command
from tests.chaos.load import Load

pytestmark = pytest.mark.chaos

IN_FLIGHT: Final = 128
"""Enough for full use of two cores by four validators, little enough to leave latency small."""

WARM_UP_SECONDS: Final = 4.0
HONEST_SECONDS: Final = 14.0
CYCLE_SECONDS_MAX: Final = 180.0

CRASHED: Final = "crashed"
TARGETS: Final = {CRASHED: 0.85}
BYZANTINE_TARGET: Final = 0.60

KINDS: Final = (
    CRASHED,
    "slow-primary",
    "filler",
    "equivocate",
    "split",
    "silent",
    "censor",
    "starve",
    "storm",
)


@dataclass(frozen=True)
class Segment:
    """Commits per second: all honest, then with the fault over `seconds` of one cycle."""

    kind: str
    honest: float
    faulty: float
    seconds: float


@pytest.mark.timeout(1200)
def test_throughput_with_one_faulty_validator(found: Found, figure: Figure) -> None:
    chosen = os.environ.get("QIONG_CHAOS_KINDS", ",".join(KINDS)).split(",")
    segments = [_segment(found(proxied=False), kind) for kind in chosen]
    honest = [segment.honest for segment in segments]
    missed = []
    for number, segment in enumerate(segments):
        base = sum(honest[number : number + 2]) / len(honest[number : number + 2])
        ratio = segment.faulty / base
        figure(
            f"throughput with one {segment.kind}",
            tps=round(segment.faulty),
            honest=round(base),
            seconds=round(segment.seconds),
            ratio=round(ratio, 2),
        )
        if ratio < TARGETS.get(segment.kind, BYZANTINE_TARGET):
            missed.append(f"{segment.kind} {ratio:.2f}")
    assert not missed, missed


def _segment(cluster: Cluster, kind: str) -> Segment:
    cluster.start()
    cluster.wait_ready()
    faulty, *honest = sorted(cluster.names, key=lambda name: cluster.entry(name).organisation)
    with Load(cluster, in_flight=IN_FLIGHT, nodes=honest) as load:
        time.sleep(WARM_UP_SECONDS)
        begin = time.monotonic()
        time.sleep(HONEST_SECONDS)
        base = load.commits_per_second(begin, time.monotonic())
        cluster.kill(faulty)
        if kind != CRASHED:
            victim = _busiest() if kind == "censor" else cluster.entry(honest[0]).organisation
            cluster.start(faulty, command=liar_command(kind, "--victim", victim))
            cluster.wait_ready(faulty)
        first = _view_above(cluster, honest[-1], _view(cluster, honest[-1]))
        begin = time.monotonic()
        _view_above(cluster, honest[-1], first + len(cluster.names) - 1)
        end = time.monotonic()
    cluster.close()
    return Segment(kind, base, load.commits_per_second(begin, end), end - begin)


def _view_above(cluster: Cluster, name: str, view: int) -> int:
    """Wait until `name` is in a higher view than `view`; which."""
    cluster.until(
        lambda: _view(cluster, name) > view, f"a view above {view}", seconds=CYCLE_SECONDS_MAX
    )
    return _view(cluster, name)


def _view(cluster: Cluster, name: str) -> int:
    status = cluster.status(name)
    return -1 if status is None else int(status["view"])


def _busiest() -> str:
    """The department with most of the load's rows."""
    issuers = Counter(row.issuer for row in (*sample.licences(), *sample.attestations()))
    return issuers.most_common(1)[0][0]
