"""One validator of four lies, in every way that `tests.chaos.liar` knows; or runs twice.

Every test is a `Scene`: three honest validators and one liar under a light load, which goes to the
honest ones. At its end commits still go on, the three agree with the liar gone, their ledgers are
judged, and none of them holds evidence against another. `Scene.liar` is the primary of the view
named `turn`; a chain begins in view 0, and a planned rotation comes after eight seconds.
"""

from __future__ import annotations

import http.client
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from consensus.config import ROTATION_MS, TIMEOUT_LAN_MS
from devnet import founding, process, sample
from devnet.network import get
from tests.chaos.checker import check
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Figure, Found
from tests.chaos.liar import liar_command
from tests.chaos.load import Load

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

UNSUSPECTED: Final = {"planned rotation", "others left the view"}
"""Reasons of a view change that accuse nobody."""

CENSORED: Final = "the primary passed over an organisation"
CONTRADICTED: Final = "the primary contradicted itself"
TIMED_OUT: Final = "no progress in time"

RATE: Final = 40
"""Transactions a second: enough for many small blocks, little for the machine."""

NEXT_COMMIT_SECONDS: Final = 2.5
TURN_SECONDS: Final = ROTATION_MS / 1000
SLOW_TURN_SECONDS: Final = TURN_SECONDS + 4 * TIMEOUT_LAN_MS / 1000
"""A turn, two seconds of bodies dated back, and its first and last block just in time."""

SETTLE_COMMITS: Final = 40
"""Commits after which we say that commits go on."""

TWIN_PORTS: Final = range(30_000, 32_768)
"""Above those of a cluster, below those of outgoing connections."""

NOBODYS_PORT: Final = 9
RSS_BYTES_MAX: Final = 400 << 20


class Scene:
    """A cluster with one liar, and what its honest validators say."""

    def __init__(self, cluster: Cluster, turn: int) -> None:
        order = sorted(cluster.names, key=lambda name: cluster.entry(name).organisation)
        self.cluster = cluster
        self.liar = order[turn]
        self.honest = [name for name in order if name != self.liar]
        self.load = Load(cluster, rate=RATE, in_flight=1024, nodes=self.honest)

    def lie(self, kind: str, *arguments: str) -> None:
        self.cluster.start(self.liar, command=liar_command(kind, *arguments), wait=False)

    def view(self) -> int:
        """The highest view that an honest validator is in."""
        return max(int(said["view"]) for said in self._said())

    def reasons(self) -> Counter[str]:
        """Why honest validators changed view: for each reason the most often that one did."""
        found: Counter[str] = Counter()
        for said in self._said():
            found |= Counter(said["view_changes"])
        return found

    def evidence(self, kind: str) -> set[str]:
        """The honest validators that hold evidence of `kind` against the liar."""
        return {
            name
            for name in self.honest
            for item in self.cluster.get(name, "/v1/evidence")[1]["items"]
            if item["kind"] == kind and item["name"] == self.liar
        }

    def wait_evidence(self, kind: str) -> None:
        self.cluster.until(lambda: self.evidence(kind), f"evidence of two {kind}s", seconds=40)

    def wait_reason(self, reason: str, seconds: float = 40) -> None:
        self.cluster.until(lambda: self.reasons()[reason], f"a view change: {reason}", seconds)

    def wait_turn(self) -> None:
        """Wait until the liar is the primary."""
        self.cluster.until(
            lambda: all(said["primary"] == self.liar for said in self._said()),
            "the liar's turn",
        )

    def wait_turn_over(self) -> None:
        self.cluster.until(
            lambda: all(said["primary"] != self.liar for said in self._said()),
            "the end of the liar's turn",
        )

    def longest_gap(self, begin: float) -> float:
        """The longest time without an acknowledgement since `begin`, in seconds."""
        acknowledged = (o.acknowledged_s for o in self.load.history.acknowledged)
        moments = sorted(moment for moment in acknowledged if moment and moment > begin)
        return max(after - before for before, after in pairwise([begin, *moments]))

    def judge(self) -> None:
        """Commits go on; without the liar, the honest agree, and their ledgers hold."""
        self.load.wait_commits(SETTLE_COMMITS)
        self.load.stop()
        accused = {item["name"] for item in self.cluster.evidence()}
        assert accused <= {self.liar}, "evidence against the honest"
        if self.cluster.alive(self.liar):
            self.cluster.kill(self.liar)
        self.cluster.wait_agreed()
        self.cluster.kill_all()
        check(self.cluster, [self.load.history], honest=self.honest)

    def _said(self) -> list[dict[str, Any]]:
        said = self.cluster.statuses()
        return [said[name] for name in self.honest if name in said]


Play = Callable[..., Any]
"""`play(kind, *arguments, turn=0)`: a context manager that gives a running `Scene`, and judges."""


@pytest.fixture
def play(found: Found) -> Play:
    @contextmanager
    def playing(kind: str, *arguments: str, turn: int = 0) -> Iterator[Scene]:
        scene = Scene(found(proxied=False), turn)
        scene.cluster.start(*scene.honest, wait=False)
        scene.lie(kind, *arguments)
        scene.cluster.wait_ready(*scene.honest)
        with scene.load:
            yield scene
            scene.judge()

    return playing


# --- the primary lies ---


@pytest.mark.parametrize(("kind", "reason"), [("equivocate", CONTRADICTED), ("split", TIMED_OUT)])
def test_row_01_two_pre_prepares(play: Play, kind: str, reason: str) -> None:
    """Told to everyone they are evidence; told to each apart they get nobody a quorum."""
    with play(kind) as scene:
        scene.wait_reason(reason)
        scene.load.wait_commits(SETTLE_COMMITS)
        if reason == CONTRADICTED:
            scene.cluster.until(
                lambda: scene.evidence("PRE-PREPARE") == set(scene.honest), "evidence at all three"
            )


def test_row_02_silent_primary(play: Play, figure: Figure) -> None:
    """It does not begin its view, and nobody is without it for long."""
    with play("silent", turn=1) as scene:
        begin = time.monotonic()
        scene.wait_reason(TIMED_OUT)
        scene.load.wait_commits(SETTLE_COMMITS)
        gap = scene.longest_gap(begin)
    figure("silent primary", next_commit_s=round(gap, 3))
    assert gap <= NEXT_COMMIT_SECONDS


def test_row_03_slow_primary(play: Play, figure: Figure) -> None:
    """Whatever it puts into its blocks, it costs its own turn; then the turn is over."""
    with play("filler", turn=1) as scene:
        scene.wait_turn()
        begin = time.monotonic()
        scene.wait_turn_over()
        turn = time.monotonic() - begin
        figure("slow primary", turn_s=round(turn, 1))
        assert turn <= SLOW_TURN_SECONDS


def test_row_04_starved_validator(play: Play) -> None:
    """It follows without a word from the liar, and nobody changes view for that."""
    with play("starve") as scene:
        scene.load.wait_commits(3 * SETTLE_COMMITS)
        heights = [int(said["height"]) for said in scene._said()]
        scene.cluster.wait_height(max(heights), *scene.honest, seconds=10)
        assert set(scene.reasons()) <= UNSUSPECTED


def test_row_05_censoring_primary(play: Play) -> None:
    """It is suspected by what others know to wait, and no transaction stays behind."""
    victim = sample.licences()[0].issuer
    with play("censor", "--victim", victim, turn=1) as scene:
        scene.wait_reason(CENSORED)
        scene.load.wait_commits(SETTLE_COMMITS)
        begun = len(scene.load.history)
        scene.cluster.until(
            lambda: all(o.executed for o in list(scene.load.history)[:begun]),
            "every transaction commits",
            seconds=30,
        )


# --- blocks and bodies are served that are none ---


def test_row_10_forged_certificates(found: Found) -> None:
    """One signature short, one signer thrice, strangers, and others' names on its own signature."""
    _served_by_the_liar_alone(found, "forge-certificate")


def test_row_11_other_content_than_its_hash(found: Found, play: Play) -> None:
    """Neither in a block that is served, nor in a body beside its proposal."""
    _served_by_the_liar_alone(found, "wrong-hash")
    with play("wrong-body") as scene:
        scene.wait_reason(TIMED_OUT)


def test_row_22_lying_server(found: Found) -> None:
    """Claims of a height of a million bring nobody anywhere, and noise is no block."""
    _served_by_the_liar_alone(found, "lying-server")


def _served_by_the_liar_alone(found: Found, kind: str) -> None:
    """A validator that hears nobody but the liar takes no block; then others show it the chain."""
    cluster = found()
    assert cluster.links is not None
    scene = Scene(cluster, 0)
    *others, behind = scene.honest
    cluster.start(*others, wait=False)
    scene.lie(kind)
    cluster.wait_ready(*others)
    scene.load = Load(cluster, rate=RATE, in_flight=1024, nodes=others)
    with scene.load:
        scene.load.wait_commits(2 * SETTLE_COMMITS)
        cluster.links.partition([behind], others)
        cluster.start(behind)
        refused = "fetched block "
        cluster.until(
            lambda: cluster.log(behind).count(refused) >= 4, "four answers are refused", seconds=40
        )
        status = cluster.status(behind)
        assert status is not None
        assert (status["height"], status["halted"]) == (0, None)
        cluster.links.heal()
        cluster.wait_height(max(int(said["height"]) for said in scene._said()), behind)
        scene.judge()


# --- votes and views ---


def test_row_12_replay_of_old_views(play: Play) -> None:
    """Two hundred old messages of all a second move nothing."""
    with play("replay", "--rate", "200") as scene:
        before = scene.view()
        time.sleep(2 * TURN_SECONDS)
        scene.load.wait_commits(SETTLE_COMMITS)
        assert scene.view() > before, "there are old views to replay from"
        assert set(scene.reasons()) <= UNSUSPECTED


@pytest.mark.parametrize("kind", ["bad-new-view", "two-new-views"])
def test_row_15_new_views_that_do_not_follow(play: Play, kind: str) -> None:
    """Where another O is refused the right one is had from others; two valid ones are evidence."""
    with play(kind, turn=1) as scene:
        scene.wait_turn()
        if kind == "two-new-views":
            scene.wait_evidence("NEW-VIEW")
        scene.wait_turn_over()


def test_row_16_a_view_change_to_view_2_to_the_31(play: Play) -> None:
    with play("huge-view") as scene:
        begin = time.monotonic()
        scene.load.wait_commits(SETTLE_COMMITS)
        time.sleep(TURN_SECONDS)
        assert scene.view() <= 1 + (time.monotonic() - begin) // TURN_SECONDS
        assert set(scene.reasons()) <= UNSUSPECTED


def test_row_17_storm_of_view_changes(play: Play, figure: Figure) -> None:
    """Views change at most twice as often as turns end, and nobody is held up."""
    with play("storm") as scene:
        begin, before = time.monotonic(), scene.view()
        time.sleep(2 * TURN_SECONDS)
        usual = (time.monotonic() - begin) / TURN_SECONDS
        rate = (scene.view() - before) / usual
        figure("storm of view changes", rate=round(rate, 2))
        assert rate <= 2
        assert scene.longest_gap(begin) <= NEXT_COMMIT_SECONDS


def test_row_41_frames_that_are_no_messages(play: Play) -> None:
    """Noise, nesting, claims of length and frames too long keep their sender out, at each of the
    others; no more."""
    with play("garbage") as scene:
        scene.load.wait_commits(SETTLE_COMMITS)
        time.sleep(TURN_SECONDS)
        for name in scene.honest:
            assert scene.cluster.rss_bytes(name) < RSS_BYTES_MAX
        assert "what does not verify" in scene.cluster.log(name)


def test_a_liar_that_changes_its_own_messages(play: Play) -> None:
    """A random field of three in ten, signed anew: nothing of the table, and all of it."""
    with play("mutate") as scene:
        scene.load.wait_commits(4 * SETTLE_COMMITS)


# --- one key on two hosts ---


def test_row_08_twins(found: Found) -> None:
    """Both talk to all, and take the links from each other: what they contradict is evidence."""
    scene = Scene(found(proxied=False), 0)
    cluster = scene.cluster
    twin = Twin(cluster, scene.liar)
    twin.is_reached_by(scene.honest[2])
    twin.copy()
    cluster.start(*scene.honest, wait=False)
    scene.lie("twin")
    with twin.running(liar_command("twin", *twin.settings)):
        cluster.wait_ready(*scene.honest)
        with scene.load:
            scene.wait_evidence("PRE-PREPARE")
            scene.judge()


def test_row_09_twin_primaries_across_a_partition(found: Found) -> None:
    """Each leads its side; the side with a quorum goes on, and after healing there is one chain."""
    scene = Scene(found(), 0)
    cluster = scene.cluster
    alone, *quorum = scene.honest
    assert cluster.links is not None
    twin = Twin(cluster, scene.liar, peers=quorum)
    twin.is_reached_by(*quorum)
    twin.copy()
    cluster.links.partition([scene.liar, alone], quorum)
    cluster.start(*scene.honest, wait=False)
    scene.lie("twin")
    with twin.running(liar_command("twin", *twin.settings)):
        scene.load = Load(cluster, rate=RATE, in_flight=1024, nodes=quorum)
        cluster.wait_ready(*quorum)
        with scene.load, Load(cluster, rate=4, nodes=[alone]) as lonely:
            scene.load.wait_commits(2 * SETTLE_COMMITS)
            assert not lonely.history.acknowledged
            cluster.links.heal()
            lonely.wait_commits(SETTLE_COMMITS)
            lonely.stop()
            scene.judge()


def test_row_32_one_key_on_two_hosts(found: Found) -> None:
    """A copy of a home whose key voted on elsewhere refuses to vote, alarms, and harms nobody.

    One validator reaches the copy instead of the original: a copy that hears nobody votes neither,
    and does not know why.
    """
    scene = Scene(found(proxied=False), 3)
    cluster = scene.cluster
    twin = Twin(cluster, scene.liar)
    twin.is_reached_by(scene.honest[0])
    cluster.start()
    cluster.wait_ready()
    with scene.load:
        scene.load.wait_commits(SETTLE_COMMITS)
        cluster.terminate(scene.liar)
        twin.copy()
        cluster.start(scene.liar)
        scene.load.wait_commits(SETTLE_COMMITS)
        with twin.running(lambda home: [*process.node_command(home), *twin.settings]):
            cluster.until(lambda: "key voted beyond" in twin.says("observer"), "the copy alarms")
            scene.load.wait_commits(SETTLE_COMMITS)
            assert cluster.status(scene.liar)["observer"] is None
            assert "key voted beyond" in twin.says("observer")
        assert not cluster.evidence()
        scene.judge()


class Twin:
    """A copy of the home of `name`, for a second process with the same keys and other ports.

    `peers` are those that it reaches; all of them if None.
    """

    def __init__(self, cluster: Cluster, name: str, peers: list[str] | None = None) -> None:
        self.home = cluster.folder / "twin"
        self._cluster = cluster
        self._entry = cluster.entry(name)
        self._peers = cluster.names if peers is None else peers
        api, peer = _free_ports()
        self._api = f"127.0.0.1:{api}"
        self._address = f"127.0.0.1:{peer}"

    @property
    def settings(self) -> list[str]:
        """What its command line says besides `--home`."""
        return ["--set", f"api.listen={self._api}", "--set", f"peer.listen={self._address}"]

    def is_reached_by(self, *names: str) -> None:
        """Have `names` dial this one instead of the other; before they start."""
        for name in names:
            _set_peer(self._cluster.home(name), self._entry.organisation, self._address)

    def copy(self) -> None:
        """Make its home of the other's as it is now."""
        shutil.copytree(self._entry.home, self.home)
        for other in self._cluster.manifest.validators:
            if other is not self._entry:
                port = founding.ports(other)[1] if other.name in self._peers else NOBODYS_PORT
                _set_peer(self.home, other.organisation, f"127.0.0.1:{port}")

    @contextmanager
    def running(self, command: Callable[[Path], list[str]]) -> Iterator[None]:
        log = self.home / "logs" / "node.log"
        log.parent.mkdir(exist_ok=True)
        pid = process.start(command(self.home), log)
        try:
            yield
        finally:
            process.send_signal(pid, self.home, signal.SIGKILL)
            process.wait_end(pid, self.home, 10)

    def says(self, key: str) -> str:
        """A field of its status; empty if there is none or no answer."""
        try:
            code, answer = get(replace(self._entry, api=f"http://{self._api}"), "/v1/status")
        except (OSError, http.client.HTTPException):
            return ""
        return str(answer[key] or "") if code == 200 else ""


def _set_peer(home: Path, organisation: str, address: str) -> None:
    """Write where `organisation` is reached into a home's settings, which end with [peers]."""
    path = home / "qiong.toml"
    lines = path.read_text().splitlines()
    kept = [line for line in lines if not line.startswith(organisation)]
    path.write_text("\n".join([*kept, f'{organisation} = "{address}"', ""]))


def _free_ports() -> tuple[int, int]:
    ports = (port for port in TWIN_PORTS if process.port_free(port))
    return next(ports), next(ports)
