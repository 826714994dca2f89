"""Networks that break between living validators: partitions, one way, loss, flipped bits.

Every link runs through a proxy of `tests.chaos.proxy`, whose docstring tells what a fault means
there. After each fault the network heals, commits go on in time, and the ledgers are judged.
"""

from __future__ import annotations

import random
import time
from itertools import combinations

import pytest

from tests.chaos.checker import judge
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Figure
from tests.chaos.figures import percentile, rounds, summary
from tests.chaos.load import Load
from tests.chaos.proxy import Fault, Links

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(420)]

HEALED_SECONDS_MAX = 5.0
RSS_BYTES_MAX = 400 << 20
"""A validator at rest holds some 150 MiB; its queues and mempool are bounded far below the rest."""


def links(cluster: Cluster) -> Links:
    assert cluster.links is not None
    return cluster.links


def finish(cluster: Cluster, load: Load) -> float:
    """Heal, and see that commits go on at every node: seconds until the first one."""
    healed = time.monotonic()
    links(cluster).heal()
    seconds = load.wait_commit_after(healed)
    cluster.wait_voting()
    load.stop()
    judge(cluster, load.history)
    return seconds


def test_row_35_two_against_two(cluster: Cluster, figure: Figure) -> None:
    halves = cluster.names[:2], cluster.names[2:]
    with Load(cluster, rate=10, in_flight=1024) as load:
        load.wait_commits(30)
        links(cluster).partition(*halves)
        time.sleep(1)  # what was certified before may still be told
        split = time.monotonic()
        time.sleep(9)
        assert load.history.commit_after(split) is None
        seconds = finish(cluster, load)
    figure("healed after two against two", next_commit_s=round(seconds, 3))
    assert seconds <= HEALED_SECONDS_MAX


def test_row_36_minority(cluster: Cluster, figure: Figure) -> None:
    """The primary alone: the others replace it and go on, and it acknowledges nothing."""
    alone = cluster.primary()
    with Load(cluster, rate=20, in_flight=1024) as load:
        load.wait_commits(40)
        cut = time.monotonic()
        links(cluster).isolate(alone)
        gap = load.wait_commit_after(cut)
        time.sleep(9)
        told = [o for o in load.history.acknowledged if o.node == alone and o.invoked_s > cut]
        assert not told
        assert cluster.get(alone, "/ready")[0] == 503
        healed = time.monotonic()
        links(cluster).heal()
        cluster.wait_voting(alone)
        figure(
            "primary cut off",
            next_commit_s=round(gap, 3),
            in_step_after_healing_s=round(time.monotonic() - healed, 3),
        )
        finish(cluster, load)


@pytest.mark.parametrize("kind", ["deaf", "mute", "half_deaf", "half_mute"])
def test_row_37_one_way(cluster: Cluster, figure: Figure, kind: str) -> None:
    """The primary hears nobody, is heard by nobody, or so with every second one."""
    primary = cluster.primary()
    others = [name for name in cluster.names if name != primary]
    if kind.startswith("half"):
        others = others[:2]
    with Load(cluster, rate=20, in_flight=1024) as load:
        load.wait_commits(40)
        began = time.monotonic()
        for other in others:
            pair = (other, primary) if kind.endswith("deaf") else (primary, other)
            links(cluster).set(*pair, cut=True)
        gap = load.wait_commit_after(began)
        time.sleep(6)
        assert load.wait_commit_after(time.monotonic()) <= HEALED_SECONDS_MAX
        seconds = finish(cluster, load)
    figure("one way", kind=kind, next_commit_s=round(gap, 3), healed_s=round(seconds, 3))


def test_row_38_flapping(cluster: Cluster, figure: Figure) -> None:
    """Links fall silent and come back, some every second, for 30 s."""
    with Load(cluster, rate=20, in_flight=1024) as load:
        load.wait_commits(40)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            pairs = list(combinations(cluster.names, 2))
            chosen = random.sample(pairs, random.randrange(1, len(pairs)))
            for a, b in chosen:
                links(cluster).partition([a], [b])
            time.sleep(random.uniform(0.2, 2))
            links(cluster).heal()
            time.sleep(random.uniform(0.2, 1))
        seconds = finish(cluster, load)
    figure("healed after flapping", next_commit_s=round(seconds, 3))
    assert seconds <= HEALED_SECONDS_MAX


def test_row_39_loss_duplication_reordering(cluster: Cluster, figure: Figure) -> None:
    """30 % of all chunks lost and sent again, all late, and some connections reset.

    TCP shows its ends neither a duplicate nor another order, but the validators' own resending
    makes both: late votes arrive beside those said again.
    """
    with Load(cluster, rate=20, in_flight=1024) as load:
        load.wait_commits(40)
        began = time.monotonic()
        links(cluster).set_all(Fault(delay_ms=10, loss=0.3, drop=0.002))
        time.sleep(30)
        during = load.commits_per_second(began, time.monotonic())
        assert links(cluster).counts.lost > 100
        assert links(cluster).counts.dropped > 0
        assert max(map(cluster.rss_bytes, cluster.names)) < RSS_BYTES_MAX
        seconds = finish(cluster, load)
    figure("30 % loss", commits_per_s=round(during, 1), healed_s=round(seconds, 3))
    assert during > 0
    assert seconds <= HEALED_SECONDS_MAX


def test_row_40_flipped_bits(cluster: Cluster, figure: Figure) -> None:
    """A bit flipped past TCP's checksum ends that TLS session and changes nothing else."""
    with Load(cluster, rate=20, in_flight=1024) as load:
        load.wait_commits(40)
        began = time.monotonic()
        links(cluster).set_all(Fault(corrupt=0.01))
        time.sleep(20)
        during = load.commits_per_second(began, time.monotonic())
        assert links(cluster).counts.corrupted > 5
        assert cluster.running() == cluster.names
        seconds = finish(cluster, load)
    figure("flipped bits", commits_per_s=round(during, 1), healed_s=round(seconds, 3))
    assert during > 0
    assert seconds <= HEALED_SECONDS_MAX


@pytest.mark.timeout(1800)
def test_partitions_heal_in_time(cluster: Cluster, figure: Figure) -> None:
    """Two against two, by turns who with whom and for how long; the first commit after healing."""
    healing: list[float] = []
    with Load(cluster, rate=10, in_flight=1024) as load:
        load.wait_commits(30)
        for _ in range(rounds("PARTITIONS", 20)):
            left = random.sample(cluster.names, 2)
            right = [name for name in cluster.names if name not in left]
            links(cluster).partition(left, right)
            # From a hiccup to longer than links live without an answer.
            time.sleep(random.uniform(2, 12))
            healed = time.monotonic()
            links(cluster).heal()
            healing.append(load.wait_commit_after(healed))
            cluster.wait_voting()
            time.sleep(1)
    report = judge(cluster, load.history)
    figure("partition healed to commit, seconds", **summary(healing))
    figure("after partitions", **report.figures())
    assert percentile(healing, 0.99) <= HEALED_SECONDS_MAX
