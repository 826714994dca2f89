"""Every file of a validator spoilt in every way, one after another, while the others go on.

The validator is killed, the file is spoilt, and it is started again: it mends itself, or follows in
silence, or refuses with the file's name and the way out. In no case does it serve anything that the
others do not.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections import Counter
from pathlib import Path

import pytest

from cli.errors import EXIT_REFUSED
from node.service import EVIDENCE_FOLDER, WAL_FOLDER
from tests.chaos.checker import judge
from tests.chaos.cluster import Cluster, NotInTime
from tests.chaos.conftest import Figure, Found
from tests.chaos.damage import (
    REFUSED,
    REPAIRED,
    SILENT,
    Damage,
    answers,
    expected,
    settings_of,
    table,
)
from tests.chaos.load import Load

pytestmark = pytest.mark.chaos

RATE = 6.0
OUTCOME_SECONDS_MAX = 90.0


@pytest.fixture
def cluster(found: Found) -> Cluster:
    """Four validators that record what happens to them, started and ready."""
    made = found(proxied=False)
    for name in made.names:
        settings = made.home(name) / "qiong.toml"
        settings.write_text(settings.read_text().replace("[log]", "[log]\ntrace = true"))
    made.start()
    made.wait_ready()
    return made


def outcome(cluster: Cluster, name: str) -> tuple[str, int]:
    """What became of a start, and the exit code where it ended."""
    pid = cluster.entry(name).pid
    assert pid is not None
    deadline = time.monotonic() + OUTCOME_SECONDS_MAX
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return REFUSED, os.waitstatus_to_exitcode(status)
        said = cluster.status(name)
        if said is not None and said["observer"] and said["halted"]:
            assert "hint:" in said["halted"]
            return SILENT, 0
        if said is not None and cluster.votes(name):
            return REPAIRED, 0
        time.sleep(0.05)
    raise NotInTime(f"{name} neither ends nor votes nor says why: {cluster.status(name)}")


def words_since(cluster: Cluster, name: str, offset: int) -> str:
    """Its log from `offset` on, or all of it if it was deleted meanwhile; no stack trace in it."""
    text = cluster.log(name)
    words = text[offset:] if len(text) >= offset else text
    assert "Traceback" not in words, words
    return words


class Kept:
    """A file as it was, to be put back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = path.read_bytes()
        self._mode = stat.S_IMODE(path.stat().st_mode)

    def put_back(self) -> None:
        self._path.write_bytes(self._content)
        self._path.chmod(self._mode)


def next_of_table(home: Path, done: set[tuple[str, str]]) -> tuple[Damage, tuple[str, str]] | None:
    """The next kind of file and damage: the numbers in LevelDB's names change with each start.

    QIONG_CHAOS_FILES is a pattern of the files to spoil, all by default.
    """
    chosen = os.environ.get("QIONG_CHAOS_FILES", "")
    for damage in table(home):
        if not re.match(chosen, damage.file):
            continue
        place = re.sub(r"\d+", "#", damage.file), damage.kind
        if place not in done:
            return damage, place
    return None


def same_answers(cluster: Cluster, victim: str, donor: str, damage: object) -> int:
    """Compare what both serve; how many answers that were."""
    height = min(said["height"] for said in (cluster.status(victim), cluster.status(donor)) if said)
    mine, others = (answers(cluster, name, height) for name in (victim, donor))
    wrong = [path for path, answer in others.items() if mine.get(path) != answer]
    assert not wrong, (str(damage), wrong[0], mine.get(wrong[0]), others[wrong[0]])
    return len(others)


@pytest.mark.timeout(3600)
def test_row_30_every_file_spoilt_in_every_way(cluster: Cluster, figure: Figure) -> None:
    victim, donor = cluster.names[-1], cluster.names[0]
    home = cluster.home(victim)
    (home / EVIDENCE_FOLDER / "000001-0123456789abcdef.qevidence").write_bytes(b"not evidence")
    others = [name for name in cluster.names if name != victim]
    done: set[tuple[str, str]] = set()
    outcomes: Counter[str] = Counter()
    compared = 0
    with Load(cluster, rate=RATE, in_flight=256, nodes=others) as load:
        load.wait_commits(60)
        cluster.kill(victim)
        while (found := next_of_table(home, done)) is not None:
            damage, place = found
            done.add(place)
            kept, told = Kept(home / damage.file), len(cluster.log(victim))
            shutil.rmtree(home.parent / "wal.whole", ignore_errors=True)
            shutil.copytree(home / WAL_FOLDER, home.parent / "wal.whole")
            damage.do(home)
            cluster.start(victim, wait=False)
            end, code = outcome(cluster, victim)
            words = words_since(cluster, victim, told)
            assert end in expected(damage), (str(damage), end, code, words[-2000:])
            assert code == expected(damage)[end], (str(damage), words[-2000:])
            outcomes[end] += 1
            figure("spoilt", what=damage, end=end)
            if end == REFUSED:
                assert damage.part in words, (str(damage), words)  # in the message or the hint
                assert "hint:" in words, (str(damage), words)
                kept.put_back()
                continue
            compared += same_answers(cluster, victim, donor, damage)
            cluster.kill(victim)
            if end == SILENT:  # whole again: it signed nothing meanwhile
                shutil.rmtree(home / WAL_FOLDER)
                shutil.copytree(home.parent / "wal.whole", home / WAL_FOLDER)
        for text, named in settings_of(home):
            kept, told = Kept(home / "qiong.toml"), len(cluster.log(victim))
            (home / "qiong.toml").write_text(text)
            cluster.start(victim, wait=False)
            assert outcome(cluster, victim) == (REFUSED, EXIT_REFUSED), named
            words = words_since(cluster, victim, told)
            assert named in words
            assert "hint:" in words
            kept.put_back()
            outcomes[REFUSED] += 1
        cluster.start(victim)
        cluster.wait_voting(victim)
        load.wait_commits(10)
    figure("files spoilt", cases=sum(outcomes.values()), answers_compared=compared, **outcomes)
    judge(cluster, load.history)
