"""What chaos tests share: clusters that are stopped whatever happens, and figures that are kept."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devnet import process
from tests.chaos.cluster import Cluster

Found = Callable[..., Cluster]
"""`found(validators=4, proxied=True)`: a new cluster, nothing started."""


@pytest.fixture
def found(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Found]:
    """Makes clusters; stops them at the end, and shows their logs' ends if the test failed."""
    clusters: list[Cluster] = []

    def make(validators: int = 4, *, proxied: bool = True) -> Cluster:
        folder = tmp_path / f"net{len(clusters)}"
        clusters.append(Cluster.found(folder, validators, proxied=proxied))
        return clusters[-1]

    failures = request.session.testsfailed
    yield make
    for cluster in clusters:
        if request.session.testsfailed > failures:
            for name in cluster.names:
                sys.stderr.write(f"--- {name}\n{process.log_tail(cluster.entry(name).log)}\n")
        cluster.close()


@pytest.fixture
def cluster(found: Found) -> Cluster:
    """Four validators behind fault proxies, started and ready."""
    made = found()
    made.start()
    made.wait_ready()
    return made


Figure = Callable[..., None]


@pytest.fixture
def figure(capsys: pytest.CaptureFixture[str]) -> Figure:
    """`figure(name, key=value, ...)`: one line to the terminal, and one to QIONG_CHAOS_REPORT."""

    def tell(name: str, **values: object) -> None:
        with capsys.disabled():
            words = " ".join(f"{key}={value}" for key, value in values.items())
            sys.stdout.write(f"\n{name}: {words}\n")
        path = os.environ.get("QIONG_CHAOS_REPORT")
        if path:
            with Path(path).open("a") as report:
                report.write(json.dumps({"figure": name, **values}) + "\n")

    return tell
