"""What the operators of a node watch, in Prometheus' text form.

Numbers that the engine holds anyway are read when somebody asks; only durations and counts are
kept here. Each node has a registry of its own, so several can live in one process (tests).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from node.answers import NodeStatus

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

DURATION_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
"""Seconds; a local answer takes about 1 ms, a commit 50 to 500."""


class Metrics:
    """The metrics of one node.

    `status` is asked at each scrape; `home` is where its disk is.
    """

    def __init__(self, status: Callable[[], NodeStatus], home: Path) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_EngineCollector(status, home))
        self._requests = Counter(
            "qiong_http_requests",
            "Requests answered",
            ("method", "path", "status"),
            registry=self._registry,
        )
        self._request_seconds = Histogram(
            "qiong_http_request_seconds",
            "Time from a request's head to its answer",
            ("path",),
            buckets=DURATION_BUCKETS,
            registry=self._registry,
        )
        self._stage_seconds = Histogram(
            "qiong_stage_seconds",
            "Time of one stage of a block: verify, execute, commit",
            ("stage",),
            buckets=DURATION_BUCKETS,
            registry=self._registry,
        )

    def request(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count one answered request; `path` is the route, never the path as it came."""
        self._requests.labels(method, path, status).inc()
        self._request_seconds.labels(path).observe(seconds)

    def stage(self, stage: str, seconds: float) -> None:
        """Record the duration of a stage of the engine."""
        self._stage_seconds.labels(stage).observe(seconds)

    def render(self) -> bytes:
        """All metrics in the text exposition format."""
        return generate_latest(self._registry)


class _EngineCollector(Collector):
    """Gauges read from the engine's status."""

    def __init__(self, status: Callable[[], NodeStatus], home: Path) -> None:
        self._status = status
        self._home = home

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        voting = status.halted is None and status.observer is None
        accused = {suspect.organisation for suspect in status.suspects}
        plain = {
            "qiong_height": ("Last certified height", status.height),
            "qiong_executed_height": ("Last executed height", status.executed),
            "qiong_epoch": ("Epoch of the validator set", status.epoch),
            "qiong_view": ("Current view; each view change adds to it", status.view),
            "qiong_in_view_change": ("1 between two views", int(status.in_view_change)),
            "qiong_failed_views": ("Views in a row that came to nothing", status.failed_views),
            "qiong_evidence": ("Cases of contradicting signed messages", status.evidence),
            "qiong_suspects": ("Validators suspected or proven faulty", len(accused)),
            "qiong_missing_body": (
                "1 while a decided block waits for its body",
                int(status.missing is not None),
            ),
            "qiong_mempool_transactions": ("Waiting transactions", status.mempool_transactions),
            "qiong_mempool_bytes": ("Bytes of waiting transactions", status.mempool_bytes),
            "qiong_voting": ("1 while this node votes", int(voting)),
            "qiong_observer": ("1 while it only follows", int(status.observer is not None)),
            "qiong_halted": (
                "1 when a person must act before it votes again",
                int(status.halted is not None),
            ),
            "qiong_execution_stopped": (
                "1 while a block cannot be executed",
                int(status.execution_stopped),
            ),
            "qiong_syncing": ("1 while this node catches up", int(status.syncing)),
            "qiong_disk_free_bytes": ("Free disk space", free_bytes(self._home)),
        }
        for name, (text, value) in plain.items():
            yield GaugeMetricFamily(name, text, value=value)
        primary = GaugeMetricFamily("qiong_primary", "1 for the view's primary", labels=["name"])
        primary.add_metric([status.primary], 1)
        yield primary
        changes = CounterMetricFamily(
            "qiong_view_changes", "View changes begun, by reason", labels=["reason"]
        )
        for reason, count in status.view_changes.items():
            changes.add_metric([reason], count)
        yield changes
        suspected = GaugeMetricFamily(
            "qiong_suspect", "1 for a validator suspected or proven faulty", labels=["name"]
        )
        for name in dict.fromkeys(suspect.name for suspect in status.suspects):
            suspected.add_metric([name], 1)
        yield suspected
        yield from _index(status)
        yield from _peers(status)


def _index(status: NodeStatus) -> Iterator[Metric]:
    index = status.index
    if index is None:
        return
    usable = GaugeMetricFamily("qiong_index_usable", "1 while the query index answers")
    usable.add_metric([], int(index.height is not None and index.problem is None))
    yield usable
    if index.height is not None:
        lag = status.height - index.height
        yield GaugeMetricFamily("qiong_index_height", "Block of the query index", index.height)
        yield GaugeMetricFamily("qiong_index_lag_blocks", "Blocks it is behind", max(0, lag))


def _peers(status: NodeStatus) -> Iterator[Metric]:
    lag = GaugeMetricFamily("qiong_peer_lag_blocks", "Blocks behind us", labels=["peer"])
    heard = GaugeMetricFamily(
        "qiong_peer_heard_timestamp_seconds", "When last heard from", labels=["peer"]
    )
    connected = GaugeMetricFamily("qiong_peer_connected", "1 if linked", labels=["peer"])
    refused = CounterMetricFamily(
        "qiong_peer_refused_frames", "Frames delivered that were thrown away", labels=["peer"]
    )
    kept_out = GaugeMetricFamily(
        "qiong_peer_kept_out", "1 while no link is taken from it", labels=["peer"]
    )
    for peer in status.peers:
        kept_out.add_metric([peer.name], int(peer.kept_out_seconds > 0))
        if peer.behind is not None and peer.last_seen_ms is not None:
            lag.add_metric([peer.name], peer.behind)
            heard.add_metric([peer.name], peer.last_seen_ms / 1000)
        connected.add_metric([peer.name], int(peer.connected))
        refused.add_metric([peer.name], peer.refused)
    yield from (lag, heard, connected, refused, kept_out)


def free_bytes(path: Path) -> int:
    """Free space for this user on the disk that holds `path`."""
    return shutil.disk_usage(path).free
