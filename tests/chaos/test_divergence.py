"""A validator whose database was changed under it: it halts, the others go on, and it comes back.

What brings it back is what `qiong node why` prints, followed to the letter.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from devnet import manifest, network, sample
from ledger import canonical, schema
from ledger.storage.leveldb import LevelDBStore
from node.home import Home
from tests.chaos.checker import check
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Found

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

COMMAND_SECONDS_MAX = 120
INTEGRITY = 5


class Operator:
    """Somebody at a shell."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        clean = {name: text for name, text in os.environ.items() if not name.startswith("QIONG_")}
        bin_folder = str(Path(sys.executable).parent)
        self.environment = clean | {
            "PATH": f"{bin_folder}:{clean['PATH']}",
            "QIONG_KEYS": str(cluster.folder / manifest.KEYS),
            "QIONG_TRUST": str(cluster.folder / manifest.TRUST),
        }
        self.started: list[subprocess.Popen[bytes]] = []

    def qiong(self, *words: str, code: int = 0) -> Any:
        ended = self._run(["qiong", *words, "--json"])
        assert ended.returncode == code, (words, ended.stdout[-2000:], ended.stderr[-2000:])
        return json.loads(ended.stdout)

    def text(self, *words: str) -> str:
        return self._run(["qiong", *words]).stdout

    def paste(self, line: str) -> None:
        """Run a line in a shell as it was printed. What runs on until it is told is let run."""
        if " node run " in line:
            with (self.cluster.folder / "by-hand.log").open("ab") as log:
                process = subprocess.Popen(
                    ["/bin/bash", "-c", f"exec {line}"],
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self.started.append(process)
            # As a shell or systemd would, lest it stay a zombie that others wait for.
            threading.Thread(target=process.wait, daemon=True).start()
            return
        ended = self._run(["/bin/bash", "-c", line])
        assert ended.returncode == 0, (line, ended.stdout[-2000:], ended.stderr[-2000:])

    def submit(self, method: str, *args: str, sender: str, node: str) -> Any:
        """One call of `licence`, committed."""
        text = json.dumps(args)
        words = ["tx", "submit", "licence", method, text, "--from", sender, "--wait"]
        return self.qiong(*words, "--node", self.cluster.entry(node).api)

    def stop(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(COMMAND_SECONDS_MAX)

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )


@pytest.fixture
def cluster(found: Found) -> Cluster:
    """Four validators with nothing between them, started and ready."""
    made = found(proxied=False)
    made.start()
    made.wait_ready()
    return made


@pytest.fixture
def operator(cluster: Cluster) -> Iterator[Operator]:
    made = Operator(cluster)
    try:
        yield made
    finally:
        made.stop()


def change_status(home: Path, licence: str, status: str) -> None:
    """What no software does: change a value of the state where it lies."""
    row = schema.by_name("licence", f"licence/{licence}")
    store = LevelDBStore(Home(home).ledger)
    try:
        data = store.get(row)
        assert data is not None
        height, value = schema.decode_state(data)
        assert value is not None
        entry: Any = canonical.decode(value)
        assert entry["status"] == "active"
        changed = canonical.encode(entry | {"status": status})
        store.write({row: schema.encode_state(height, changed)}, sync=True)
    finally:
        store.close()


@contextmanager
def out_of_sight(path: Path) -> Iterator[None]:
    """Without its devnet.json a node's home is like any other."""
    hidden = path.with_suffix(".hidden")
    path.rename(hidden)
    try:
        yield
    finally:
        hidden.rename(path)


def issue(operator: Operator, row: int, node: str) -> tuple[str, str]:
    """Issue a licence of the sample; its id and its issuer's key."""
    licence = sample.licences()[row]
    sender = next(d.id for d in sample.departments() if d.uscc == licence.issuer)
    args = (licence.id, licence.type, licence.holder, licence.issued, licence.expires)
    assert operator.submit("issue", *args, sender=sender, node=node)["status"] == "committed"
    return licence.id, sender


def diverge(operator: Operator) -> tuple[str, str, Any, int]:
    """Bring one validator to halt: its name, another's, the outcome that did it, and the height
    all had before."""
    cluster = operator.cluster
    primary = cluster.primary()
    victim, other = [name for name in cluster.names if name != primary][:2]
    licence, sender = issue(operator, 0, other)
    cluster.wait_agreed()
    cluster.terminate(victim)
    change_status(cluster.home(victim), licence, "revoked")
    cluster.start(victim)
    cluster.wait_ready()
    before = cluster.wait_agreed()
    outcome = operator.submit("suspend", licence, "inspection", sender=sender, node=other)
    assert outcome["status"] == "committed"
    return victim, other, outcome, before


def halted(cluster: Cluster, name: str) -> str:
    """Wait until `name` says that it halted; what it says."""

    def look() -> str | None:
        status = cluster.status(name)
        return None if status is None else status["halted"]

    return str(cluster.until(look, f"{name} halts"))


def restart_halted(cluster: Cluster, name: str) -> None:
    """Start a node that will not be healthy."""
    cluster.start(name, wait=False)
    halted(cluster, name)


def assert_explained(found: Any, outcome: Any) -> None:
    """The height, both headers, and the first differing receipt with both outcomes."""
    divergence, compared = found["divergence"], found["compared"]
    assert found["state"] == "diverged"
    assert divergence["height"] == outcome["height"]
    assert divergence["own"] != divergence["certified"]
    assert compared["certified"]
    assert "receipts" in compared["differs"]
    assert {item["name"] for item in compared["fields"]} >= {"receipts_root", "state_root"}
    assert compared["receipt"]["transaction"] == outcome["id"]
    assert compared["receipt"]["own"]["status"] == "reverted"
    assert compared["receipt"]["other"]["status"] == "ok"
    assert compared["call"]["own"]["code"] == "REVOKED"
    assert compared["call"]["other"]["status"] == "ok"


@pytest.mark.parametrize("where", ["devnet", "alone"])
def test_row_51_a_validator_that_executes_differently_halts_and_is_mended(
    cluster: Cluster, operator: Operator, where: str
) -> None:
    victim, other, outcome, before = diverge(operator)
    home = cluster.home(victim)
    assert "diverged" in halted(cluster, victim)
    assert f"alarm diverged at height {outcome['height']}" in cluster.log(victim)
    # No fork, and the others go on.
    status = cluster.status(victim)
    assert status is not None
    assert status["height"] == outcome["height"] - 1 >= before
    for row in range(1, 4):
        issue(operator, row, other)
    assert cluster.get(victim, "/health")[0] == 503
    # Explained while it runs, after a crash, and with the node stopped.
    api = [f"--node={cluster.entry(name).api}" for name in (victim, other)]
    assert_explained(operator.qiong("node", "why", *api, code=INTEGRITY), outcome)
    cluster.kill(victim)
    restart_halted(cluster, victim)
    assert_explained(operator.qiong("node", "why", *api, code=INTEGRITY), outcome)
    ask = ("node", "why", "--home", str(home))
    if where == "devnet":
        (cluster.folder / network.LOCK_FILE).touch()  # as `qiong devnet up` makes it
        found = operator.qiong(*ask, code=INTEGRITY)
    else:
        cluster.terminate(victim)
        assert_explained(operator.qiong(*ask, code=INTEGRITY), outcome)
        operator.paste(f"qiong node run --home {home}")
        halted(cluster, victim)
        with out_of_sight(cluster.folder / manifest.FILE):
            found = operator.qiong(*ask, api[1], code=INTEGRITY)
    assert_explained(found, outcome)
    words = operator.text(*ask)
    assert f"DIVERGED at height {outcome['height']}" in words
    assert outcome["id"] in words
    # Mended by what it says.
    commands = [step["command"] for step in found["steps"] if step["command"] is not None]
    assert any(" db rebuild " in line for line in commands)
    *mend, see = commands
    for line in mend:
        operator.paste(line)
    cluster.until(lambda: _answers(cluster, victim), "it answers")
    cluster.until(lambda: operator.text(*ask).splitlines()[1].startswith("VOTING"), "it votes")
    assert see == f"qiong node why --home {home}"
    operator.paste(see)
    # Its vote counts: with another one down the chain needs it.
    cluster._manifest = manifest.load(cluster.folder)
    third = next(name for name in cluster.names if name not in (victim, other))
    cluster.terminate(third)
    issue(operator, 4, other)
    issue(operator, 5, victim)
    cluster.start(third)
    cluster.until(lambda: _agree(cluster), "all agree")
    for name in cluster.names:
        assert cluster.get(name, "/v1/evidence")[1]["items"] == []
    operator.stop()
    cluster.close()
    check(cluster, [])


def test_a_rebuild_that_does_not_help_changes_nothing(cluster: Cluster, operator: Operator) -> None:
    """Damaged block files, and a result that differs again: an error that says so."""
    victim, _, outcome, _ = diverge(operator)
    halted(cluster, victim)
    cluster.terminate(victim)
    home = Home(cluster.home(victim))
    segment = next(home.blocks.glob("*.log"))
    intact = segment.read_bytes()
    spoilt = bytearray(intact)
    spoilt[intact.index(b"licence")] ^= 1
    segment.write_bytes(spoilt)
    ended = operator._run(["qiong", "db", "rebuild", "--home", str(home.root)])
    assert ended.returncode == INTEGRITY
    assert "block files are damaged" in ended.stderr
    segment.write_bytes(intact)
    assert not (home.root / "ledger.new").exists()
    assert not (home.root / "ledger.old").exists()
    found = operator.qiong("node", "why", "--home", str(home.root), code=INTEGRITY)
    assert found["divergence"]["height"] == outcome["height"]
    # A rebuild that was broken off leaves its beginnings behind; the next one begins anew.
    shutil.copytree(home.ledger, home.root / "ledger.new")
    operator.qiong("db", "rebuild", "--home", str(home.root))
    assert not (home.root / "ledger.new").exists()
    cluster.start(victim)
    cluster.wait_agreed()


def _answers(cluster: Cluster, name: str) -> bool:
    return cluster.status(name) is not None


def _agree(cluster: Cluster) -> bool:
    said = [cluster.status(name) for name in cluster.names]
    return all(said) and len({(s["height"], s["header_hash"]) for s in said if s}) == 1
