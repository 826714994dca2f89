"""A validator that finds its files torn, altered, gone or older than it left them.

What can be made anew is, by the start itself. What cannot is said in one line with the way out, and
the way out is taken. Nobody ever votes against what its key signed before, whatever lies on disk.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.errors import EXIT_INTEGRITY
from ledger.store import BLOCKS_FOLDER, STORE_FOLDER
from node.config import load_config
from node.home import Home
from node.service import WAL_FOLDER
from node.stopped import inspect
from tests.chaos import homes, strace
from tests.chaos.checker import judge
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Found
from tests.chaos.load import Load
from tests.chaos.strace import Point

pytestmark = pytest.mark.chaos

RATE = 8.0


@pytest.fixture
def cluster(found: Found) -> Cluster:
    """Four validators with nothing between them, started and ready."""
    made = found(proxied=False)
    made.start()
    made.wait_ready()
    return made


@pytest.fixture
def victim(cluster: Cluster) -> str:
    primary = cluster.primary()
    return next(name for name in cluster.names if name != primary)


@pytest.fixture
def home(cluster: Cluster, victim: str) -> Path:
    return cluster.home(victim)


def load_on_others(cluster: Cluster, victim: str) -> Load:
    others = [name for name in cluster.names if name != victim]
    return Load(cluster, rate=RATE, in_flight=256, nodes=others)


def words_since(cluster: Cluster, name: str, offset: int) -> str:
    """Its log from `offset` on; there is no stack trace in it."""
    text = cluster.log(name)[offset:]
    assert "Traceback" not in text
    return text


# --- the tail of a log ---

CUTS = {
    "header CRC": lambda begin, end: begin + 2,
    "length": lambda begin, end: begin + 11,
    "previous hash": lambda begin, end: begin + 50,
    "header whole": lambda begin, end: begin + homes.RECORD_HEADER_BYTES,
    "payload": lambda begin, end: (begin + homes.RECORD_HEADER_BYTES + end) // 2,
    "one byte short": lambda begin, end: end - 1,
}


def tear(segment: Path, where: str) -> None:
    """Spoil the last record, which was written and not synced, as power loss may."""
    begin, end = homes.records_of(segment)[-1]
    data = segment.read_bytes()
    if where == "zeros instead":
        segment.write_bytes(data[:begin] + bytes(end - begin))
    elif where == "zeros behind":
        segment.write_bytes(data + bytes(4096))
    elif where == "garbage behind":
        segment.write_bytes(data + bytes(range(1, homes.RECORD_HEADER_BYTES)))
    else:
        segment.write_bytes(data[: CUTS[where](begin, end)])


TEARS = (*CUTS, "zeros instead", "zeros behind", "garbage behind")


@pytest.mark.system("strace")
@pytest.mark.timeout(900)
def test_row_26_a_torn_tail_is_cut(cluster: Cluster, victim: str, home: Path) -> None:
    """Of the log of votes: killed at the sync of a record, which is then torn at every place."""
    with load_on_others(cluster, victim) as load:
        for number, where in enumerate(TEARS):
            with strace.attached(cluster, victim, Point("wal", "fdatasync", 5 + number % 2)):
                assert strace.wait_end(cluster, victim) == -signal.SIGKILL
            told = len(cluster.log(victim))
            tear(homes.wal(home), where)
            cluster.start(victim)
            cluster.wait_voting(victim)
            assert "off the log of votes" in words_since(cluster, victim, told), where
            load.wait_commits(4)
    judge(cluster, load.history)


@pytest.mark.timeout(600)
def test_row_27_a_bit_flipped_inside_the_log(cluster: Cluster, victim: str, home: Path) -> None:
    wal = homes.wal(home)
    with load_on_others(cluster, victim) as load:
        load.wait_commits(16)
        cluster.kill(victim)
        whole = wal.read_bytes()
        first, *_, last = homes.records_of(wal)
        middle = homes.records_of(wal)[len(homes.records_of(wal)) // 2]
        for position in (first[0] + 5, middle[0] + 20, middle[1] - 9, last[0] + 40, last[1] - 9):
            told = len(cluster.log(victim))
            homes.flip(wal, position)
            cluster.start(victim, wait=False)
            assert strace.wait_end(cluster, victim) == EXIT_INTEGRITY
            words = words_since(cluster, victim, told)
            assert f"the write-ahead log of votes is damaged: {wal.name} at byte" in words
            assert "hint: move the folder `wal` away" in words
            wal.write_bytes(whole)
        load.wait_commit_after(time.monotonic())

        homes.flip(wal, first[0] + 5)
        wal.parent.rename(home / "wal.damaged")
        cluster.start(victim, wait=False)
        follows_in_silence(cluster, victim, load)
    judge(cluster, load.history)


# --- the database and the block files ---


def delete_database(home: Path) -> None:
    shutil.rmtree(home / STORE_FOLDER)


def delete_current(home: Path) -> None:
    (home / STORE_FOLDER / "CURRENT").unlink()


def delete_a_table(home: Path) -> None:
    min((home / STORE_FOLDER).glob("*.ldb")).unlink()


def cut_the_manifest(home: Path) -> None:
    [manifest] = (home / STORE_FOLDER).glob("MANIFEST-*")
    manifest.write_bytes(manifest.read_bytes()[:-7])


def flip_in_the_manifest(home: Path) -> None:
    [manifest] = (home / STORE_FOLDER).glob("MANIFEST-*")
    homes.flip(manifest, manifest.stat().st_size // 2)


def flip_in_the_log(home: Path) -> None:
    newest = max((home / STORE_FOLDER).glob("*.log"))
    homes.flip(newest, newest.stat().st_size // 2)


def zero_the_tables(home: Path) -> None:
    for table in (home / STORE_FOLDER).glob("*.ldb"):
        table.write_bytes(bytes(table.stat().st_size))


@pytest.mark.timeout(900)
def test_row_30_a_damaged_database_is_made_anew(cluster: Cluster, victim: str, home: Path) -> None:
    """The header hash in which it agrees with the others covers its state root."""
    with load_on_others(cluster, victim) as load:
        for damage in (
            delete_database,
            delete_current,
            delete_a_table,
            cut_the_manifest,
            flip_in_the_manifest,
            flip_in_the_log,
            zero_the_tables,
        ):
            load.wait_commits(8)
            cluster.terminate(victim)
            # Once more, so that LevelDB has made tables of what was in its log.
            cluster.start(victim)
            cluster.wait_voting(victim)
            load.wait_commits(4)
            cluster.kill(victim)
            damage(home)
            told = len(cluster.log(victim))
            cluster.start(victim)
            cluster.wait_voting(victim)
            assert "Traceback" not in words_since(cluster, victim, told), damage
    cluster.wait_agreed()
    judge(cluster, load.history)


def flip_in_an_old_block(home: Path) -> None:
    begin, end = homes.records_of(homes.blocks(home))[4]
    homes.flip(homes.blocks(home), (begin + end) // 2)


def delete_the_blocks(home: Path) -> None:
    shutil.rmtree(home / BLOCKS_FOLDER)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("damage", [flip_in_an_old_block, delete_the_blocks])
def test_row_30_damaged_blocks_are_taken_from_another(
    cluster: Cluster, victim: str, home: Path, damage: Callable[[Path], None]
) -> None:
    with load_on_others(cluster, victim) as load:
        load.wait_commits(16)
        cluster.kill(victim)
        damage(home)
        told = len(cluster.log(victim))
        cluster.start(victim, wait=False)
        assert strace.wait_end(cluster, victim) == EXIT_INTEGRITY
        words = words_since(cluster, victim, told)
        assert "block" in words
        assert "`blocks` of another validator" in words
        load.wait_commits(8)

        donor = next(name for name in cluster.names if name != victim)
        cluster.terminate(donor)
        shutil.rmtree(home / BLOCKS_FOLDER, ignore_errors=True)
        shutil.rmtree(home / STORE_FOLDER)
        shutil.copytree(cluster.home(donor) / BLOCKS_FOLDER, home / BLOCKS_FOLDER)
        cluster.start(donor, victim)
        cluster.wait_voting()
        load.wait_commits(8)
    judge(cluster, load.history)


@pytest.mark.system("strace")
@pytest.mark.timeout(900)
def test_row_30_a_torn_tail_of_the_blocks_is_cut(cluster: Cluster, victim: str, home: Path) -> None:
    """Killed at the sync of a decided block: it was decided by a quorum all the same."""
    with load_on_others(cluster, victim) as load:
        for where in ("length", "payload", "zeros instead", "garbage behind"):
            with strace.attached(cluster, victim, Point("blocks", "fdatasync", 3)):
                assert strace.wait_end(cluster, victim) == -signal.SIGKILL
            tear(homes.blocks(home), where)
            cluster.start(victim)
            cluster.wait_voting(victim)
            load.wait_commits(4)
    judge(cluster, load.history)


# --- the log of votes is gone, or an older one ---


def follows_in_silence(cluster: Cluster, name: str, load: Load) -> None:
    """It tells what is wrong and the way out, follows the chain, and its vote never counts."""
    status = cluster.until(
        lambda: (found := cluster.status(name)) and found["observer"] and found["halted"] and found,
        f"{name} knows that it must not vote",
    )
    assert "hint: `qiong node why`" in status["halted"]
    code, health = cluster.get(name, "/health")
    assert code == 503
    assert any(
        problem.startswith("voting has stopped: observer: ") for problem in health["problems"]
    )
    assert cluster.get(name, "/ready")[0] == 503
    code, why = cluster.get(name, "/v1/why")
    assert (code, why["state"]) == (200, "observer")
    assert "rotate the key" in why["reason"]
    assert "alarm observer" in words_since(cluster, name, 0)

    load.wait_commits(8)
    height = max(said["height"] for said in cluster.statuses().values())
    cluster.wait_height(height, name)

    # One of the three others less: were its vote counted, the chain would go on.
    other = next(found for found in cluster.names if found != name)
    cluster.kill(other)
    time.sleep(1)
    halted = time.monotonic()
    time.sleep(4)
    assert load.history.commit_after(halted) is None
    cluster.start(other)
    load.wait_commit_after(halted)

    # And it stays so, though its log has filled with what it saw meanwhile.
    cluster.kill(name)
    place = Home(cluster.home(name))
    with inspect(place, cluster.genesis, load_config(place.config)) as stopped:
        assert stopped.standing.state == "log_lost"
    cluster.start(name, wait=False)
    cluster.until(lambda: (cluster.status(name) or {}).get("halted"), f"{name} is silent again")
    load.wait_commits(4)


def start_all(cluster: Cluster, unhealthy: str) -> None:
    """Start those that are down; `unhealthy` will answer 503 to /health."""
    cluster.start(unhealthy, wait=False)
    down = [name for name in cluster.names if not cluster.alive(name)]
    if down:
        cluster.start(*down)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("power", ["others run on", "all lost power"])
def test_row_31_the_log_of_votes_is_deleted(
    cluster: Cluster, victim: str, home: Path, power: str
) -> None:
    with load_on_others(cluster, victim) as load:
        load.wait_commits(16)
        if power == "all lost power":
            cluster.kill_all()
        else:
            cluster.kill(victim)
            load.wait_commits(16)
        shutil.rmtree(home / WAL_FOLDER)
        start_all(cluster, victim)
        follows_in_silence(cluster, victim, load)
    judge(cluster, load.history)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("power", ["others run on", "all lost power"])
@pytest.mark.parametrize("parts", [(WAL_FOLDER,), strace.PARTS], ids=["log", "whole home"])
def test_row_31_an_older_copy_is_put_back(
    cluster: Cluster, victim: str, home: Path, parts: tuple[str, ...], power: str
) -> None:
    """As from a snapshot of the virtual machine, or a backup."""
    with load_on_others(cluster, victim) as load:
        load.wait_commits(16)
        cluster.terminate(victim)
        for part in parts:
            shutil.copytree(home / part, home / f"{part}.older")
        cluster.start(victim)
        cluster.wait_voting(victim)
        load.wait_commits(16)
        if power == "all lost power":
            cluster.kill_all()
        else:
            cluster.kill(victim)
        for part in parts:
            shutil.rmtree(home / part)
            (home / f"{part}.older").rename(home / part)
        start_all(cluster, victim)
        follows_in_silence(cluster, victim, load)
    judge(cluster, load.history)
