"""What happened to real nodes happens again here, step by step, from the traces they recorded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from consensus.effects import Broadcast, SaveCertificate, ViewEntered
from consensus.messages import KIND_COMMIT, KIND_NEW_VIEW
from consensus.trace import Step, StepDiffers, TraceDamaged, replay
from consensus.verifier import Signed
from devnet import manifest
from node.home import Home
from tests.chaos.cluster import Cluster
from tests.chaos.load import Load
from tests.simulation.replay import told


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four real validators that record, lost their primary, went on, and got it back."""
    place = tmp_path_factory.mktemp("traced") / "net"
    with Cluster.found(place, proxied=False) as cluster:
        for name in cluster.names:
            config = Home(cluster.home(name)).config
            text = config.read_text()
            assert "[log]\n" in text
            config.write_text(text.replace("[log]\n", "[log]\ntrace = true\n"))
        cluster.start()
        cluster.wait_ready()
        with Load(cluster, rate=20, in_flight=256) as load:
            load.wait_commits(20)
            primary = cluster.primary()
            cluster.kill(primary)
            load.wait_commits(10)
            cluster.start(primary)
            cluster.wait_voting()
            load.wait_commits(10)
        for name in cluster.names:
            cluster.terminate(name)
    return place


def traces(folder: Path) -> list[Path]:
    homes = [entry.home for entry in manifest.load(folder).validators]
    return [file for home in homes for file in sorted(Home(home).logs.glob("*.qtrace"))]


def test_every_step_of_real_nodes_replays(folder: Path) -> None:
    files = traces(folder)
    assert len(files) == 5  # one a life; the primary had two
    seen: list[Step] = []
    for file in files:
        steps = list(replay(file.read_bytes()))
        assert len(steps) > 100, file
        seen += steps
    effects = [effect for step in seen for effect in step.effects]
    sent = [
        item.message.message.kind
        for item in effects
        if isinstance(item, Broadcast) and isinstance(item.message, Signed)
    ]
    assert KIND_COMMIT in sent
    assert KIND_NEW_VIEW in sent
    assert sum(isinstance(item, SaveCertificate) for item in effects) > 20
    assert any(isinstance(item, ViewEntered) and item.in_view_change for item in effects)


def test_a_changed_byte_of_an_event_is_noticed(folder: Path) -> None:
    data = traces(folder)[0].read_bytes()
    for position in range(len(data) // 4, len(data) // 2, len(data) // 16):
        changed = bytearray(data)
        changed[position] ^= 0x10
        with pytest.raises((TraceDamaged, StepDiffers)):
            for _ in replay(bytes(changed)):
                pass


def test_a_person_can_read_it(folder: Path) -> None:
    file = traces(folder)[-1]
    command = [sys.executable, "-m", "tests.simulation.replay", str(file)]
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines == list(told(replay(file.read_bytes())))
    assert lines[0].endswith("starts from its log and ledger")
    assert any("is certified" in line for line in lines)
    assert any("take part in view 1" in line for line in lines)
