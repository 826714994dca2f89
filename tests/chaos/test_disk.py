"""A validator whose process or disk fails it at exact system calls, while the others go on.

What was killed or failed where is `tests.chaos.strace`'s. Afterwards the validator is opened,
started and votes, without one contradiction, and the checker judges the chain.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from cli.errors import EXIT_REFUSED
from consensus.messages import Commit, PrePrepare, Vote
from consensus.records import Prepared, PrePrepared, Record
from devnet import process
from node.main import EXIT_FAILED
from node.metrics import free_bytes
from tests.chaos import homes, strace
from tests.chaos import witness as witness_module
from tests.chaos.checker import Violation, judge, read_chain
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Figure, Found
from tests.chaos.figures import rounds
from tests.chaos.load import Load
from tests.chaos.strace import Point

pytestmark = pytest.mark.chaos

RATE = 4.0
"""Transactions a second, each a block of its own: system calls come in the order of one commit."""

IN_CI = bool(os.environ.get("QIONG_CI"))
T = TypeVar("T")


@pytest.fixture
def cluster(found: Found) -> Cluster:
    """Four validators with nothing between them, started and ready."""
    made = found(proxied=False)
    made.start()
    made.wait_ready()
    return made


def backup(cluster: Cluster) -> str:
    primary = cluster.primary()
    return next(name for name in cluster.names if name != primary)


def load_on_others(cluster: Cluster, victim: str) -> Load:
    others = [name for name in cluster.names if name != victim]
    return Load(cluster, rate=RATE, in_flight=128, nodes=others)


def last_words(cluster: Cluster, name: str) -> str:
    """How its log ends; there is no stack trace in it."""
    assert "Traceback" not in cluster.log(name)
    return process.log_tail(cluster.entry(name).log)


# --- killed at exact system calls ---


TRIES_MAX = 12


@pytest.mark.system("strace")
@pytest.mark.timeout(900)
def test_row_23_killed_between_the_log_and_the_message(found: Found, figure: Figure) -> None:
    """A primary dies while it syncs the log: the vote in it is written and was never sent.

    The others die before they leave the view, and all come back. A backup that notes what it is
    sent sees that very vote then, and never another in its place. One validator is down all the
    time: so the others cannot decide without the vote that was not sent.
    """
    cluster = found(proxied=False)
    down, *others, witness = cluster.names
    cluster.start(*others)
    cluster.start(witness, command=witness_module.command)
    cluster.wait_ready(*others, witness)
    sent_again = {PrePrepare: 0, Commit: 0}
    with Load(cluster, rate=RATE, in_flight=128, nodes=others) as load:
        tries = 0
        while not all(sent_again.values()) and tries < TRIES_MAX:
            load.wait_commits(4)
            victim = cluster.primary()
            if victim not in others:
                continue
            tries += 1
            point = Point("wal", "fdatasync", random.randrange(3, 8))
            with strace.attached(cluster, victim, point):
                assert strace.wait_end(cluster, victim) == -signal.SIGKILL
            cluster.kill_all()
            owed = vote_of(homes.votes(cluster.home(victim))[-1], cluster, victim)
            signer = cluster.entry(victim).organisation
            before = witness_module.seen(cluster.home(witness), signer)
            if owed is not None:
                assert owed not in before, "it was sent already"
            cluster.start(victim)  # first, so that nobody misses it and leaves the view
            cluster.start(witness, command=witness_module.command)
            cluster.start(*[name for name in others if not cluster.alive(name)])
            cluster.wait_voting()
            if owed is not None:
                after = witness_module.seen(cluster.home(witness), signer)[len(before) :]
                place = [vote for vote in after if same_place(vote, owed)]
                assert all(vote == owed for vote in place)
                sent_again[type(owed)] += bool(place)
    figure(
        "unsent votes sent again",
        tries=tries,
        pre_prepares=sent_again[PrePrepare],
        commits=sent_again[Commit],
    )
    cluster.start(down)
    judge(cluster, load.history)
    assert all(sent_again.values())


def vote_of(record: Record, cluster: Cluster, name: str) -> PrePrepare | Commit | None:
    """The vote of `name` that waited for this record: it as primary, or any COMMIT."""
    if isinstance(record, Prepared):
        proof = record.certificate
        return Commit(proof.view, proof.n, proof.digest)
    if isinstance(record, PrePrepared):
        leader = cluster.genesis.validator_set.primary(record.view)
        if leader == cluster.entry(name).organisation:
            return PrePrepare(record.view, record.n, record.digest)
    return None


def same_place(one: Vote, other: Vote) -> bool:
    return (one.kind, one.view, one.n) == (other.kind, other.view, other.n)


@pytest.mark.system("strace")
@pytest.mark.timeout(600)
def test_row_24_decided_and_killed_before_it_is_executed(cluster: Cluster) -> None:
    """At the write of LevelDB's batch: COMMIT is sent, the block stored and not yet executed."""
    victim = backup(cluster)
    with load_on_others(cluster, victim) as load:
        for _ in range(3):
            load.wait_commits(4)
            with strace.attached(cluster, victim, Point("ledger", "write", 3)):
                assert strace.wait_end(cluster, victim) == -signal.SIGKILL
            executed, decided = homes.heights(cluster.home(victim), cluster.genesis)
            assert executed < decided
            cluster.start(victim)
            cluster.wait_voting(victim)
            cluster.wait_height(decided, victim)
    judge(cluster, load.history)


@pytest.mark.system("strace")
@pytest.mark.timeout(3600)
def test_row_25_killed_at_every_system_call_of_a_commit(cluster: Cluster, figure: Figure) -> None:
    """Every call of one commit, and of the opening before it as many as QIONG_CHAOS_CALLS says."""
    victim = backup(cluster)
    home, genesis = cluster.home(victim), cluster.genesis
    found: dict[Point, Sequence[bytes]] = {}
    with load_on_others(cluster, victim) as load:
        load.wait_commits(4)
        cluster.terminate(victim)
        cluster.start(victim, command=strace.observe)
        cluster.wait_voting(victim)
        load.wait_commits(8)
        cluster.terminate(victim)
        opening, commit = _opening_and_commit(strace.calls(home))
        for point in (*spread(opening, rounds("CALLS", 8)), *commit):
            cluster.start(victim, command=strace.kill(point), wait=False)
            assert strace.wait_end(cluster, victim) == -signal.SIGKILL, point
            assert point.call in strace.last_call(home), point
            found[point] = homes.headers(home, genesis)
            assert homes.votes(home), point
            cluster.start(victim)
            cluster.wait_voting(victim)
            cluster.terminate(victim)
        cluster.start(victim)
        cluster.wait_voting(victim)
    figure(
        "killed at system calls",
        points=len(found),
        of_a_commit=len(commit),
        opening=len(opening),
        calls=", ".join(map(str, commit)),
    )
    judge(cluster, load.history)
    chain = read_chain(victim, home, genesis)
    for point, hashes in found.items():
        if list(hashes) != list(chain.hashes[: len(hashes)]):
            raise Violation(f"killed at {point}, the ledger was at no block of the chain")


def _opening_and_commit(calls: list[Point]) -> tuple[list[Point], list[Point]]:
    """The calls before the first vote, and those from one stored certificate to the next."""
    first_vote = next(
        i for i, point in enumerate(calls) if (point.part, point.call) == ("wal", "write")
    )
    certificates = [i for i, point in enumerate(calls) if point.main]
    commit = calls[certificates[-3] + 1 : certificates[-2] + 1]
    assert {point.part for point in commit} == set(strace.PARTS), commit
    assert commit[-1].main
    opening = [point for point in calls[:first_vote] if not point.main]
    return opening, commit


def spread(items: Sequence[T], count: int) -> list[T]:
    """`count` of `items`, evenly, the first and the last among them."""
    if count >= len(items):
        return list(items)
    return [items[i * (len(items) - 1) // max(1, count - 1)] for i in range(count)]


@pytest.mark.system("strace")
@pytest.mark.timeout(3600)
def test_row_25_killed_at_system_calls_of_a_first_start(found: Found, figure: Figure) -> None:
    """Nothing is there yet, and nobody else runs, so the key stays unused whatever is deleted."""
    cluster = found(proxied=False)
    victim = cluster.names[0]
    home = cluster.home(victim)
    cluster.start(victim, command=strace.observe)
    cluster.terminate(victim)
    calls = strace.calls(home)
    points = spread(calls, rounds("CALLS", 8) + 2)
    for point in points:
        for part in strace.PARTS:
            shutil.rmtree(home / part, ignore_errors=True)
        cluster.start(victim, command=strace.kill(point), wait=False)
        assert strace.wait_end(cluster, victim) == -signal.SIGKILL, point
        cluster.start(victim)
        cluster.terminate(victim)
        assert len(homes.headers(home, cluster.genesis)) == 1
    figure("killed at system calls of a first start", points=len(points), of=len(calls))
    cluster.start()
    cluster.wait_voting()
    with Load(cluster, rate=RATE) as load:
        load.wait_commits(8)
    judge(cluster, load.history)


# --- the disk fails ---


@pytest.mark.system("strace")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", strace.PARTS)
def test_row_28_a_sync_fails(cluster: Cluster, part: str) -> None:
    """The node exits; the others go on; and where its vote is needed, nothing is acknowledged."""
    victim = backup(cluster)
    broken = strace.fail(Point(part, "fdatasync", 5), "EIO")
    with load_on_others(cluster, victim) as load:
        load.wait_commits(4)
        cluster.terminate(victim)
        cluster.start(victim, command=broken, wait=False)
        assert strace.wait_end(cluster, victim) == EXIT_FAILED
        words = last_words(cluster, victim)
        assert "store_failed" in words
        assert "Input/output error" in words
        assert "hint: check the disk" in words
        load.wait_commit_after(time.monotonic())
        cluster.start(victim)
        cluster.wait_voting(victim)

        other = backup(cluster) if cluster.primary() == victim else cluster.primary()
        cluster.terminate(victim)
        cluster.start(victim, command=broken, wait=False)
        cluster.kill(other)
        assert strace.wait_end(cluster, victim) == EXIT_FAILED
        ended = time.monotonic()
        time.sleep(3)
        assert load.history.commit_after(ended) is None, "two of four are no quorum"
        cluster.start(victim)
        load.wait_commit_after(ended)
        cluster.start(other)
        cluster.wait_voting()
    judge(cluster, load.history)


@pytest.mark.system("strace")
@pytest.mark.timeout(300)
def test_row_28_a_sync_fails_while_it_opens(cluster: Cluster) -> None:
    """Opening syncs what an earlier life left; a disk that cannot is found before any vote."""
    victim = backup(cluster)
    with load_on_others(cluster, victim) as load:
        load.wait_commits(4)
        cluster.terminate(victim)
        for part, call in (("wal", "fsync"), ("blocks", "fsync"), ("ledger", "fdatasync")):
            broken = strace.fail(Point(part, call, 1), "EIO")
            cluster.start(victim, command=broken, wait=False)
            assert strace.wait_end(cluster, victim) == EXIT_REFUSED, part
            words = last_words(cluster, victim)
            assert "Input/output error" in words
            assert f"/{part}" in words
            assert "hint: check the disk" in words
        cluster.start(victim)
        cluster.wait_voting(victim)
    judge(cluster, load.history)


DISK_BYTES = 48 << 20
FLOOR_BYTES = 16 << 20


@pytest.mark.timeout(600)
def test_row_29_the_floor_stops_a_node_before_its_disk_is_full(found: Found) -> None:
    cluster = found(proxied=False)
    victim = cluster.names[0]
    command = with_floor(FLOOR_BYTES)
    with small_disk(cluster, victim) as ballast, load_on_others(cluster, victim) as load:
        cluster.start(*[name for name in cluster.names if name != victim])
        cluster.start(victim, command=command)
        cluster.wait_voting()
        load.wait_commits(8)
        leave_free(ballast, FLOOR_BYTES // 2)
        assert strace.wait_end(cluster, victim) == EXIT_FAILED
        assert f"and {FLOOR_BYTES} are the least" in last_words(cluster, victim)
        assert "hint: free some space" in last_words(cluster, victim)
        load.wait_commit_after(time.monotonic())

        cluster.start(victim, command=command, wait=False)
        assert strace.wait_end(cluster, victim) == EXIT_REFUSED
        assert "hint: free some space" in last_words(cluster, victim)

        ballast.unlink()
        cluster.start(victim, command=command)
        cluster.wait_voting(victim)
        load.stop()
        judge(cluster, load.history)


@pytest.mark.timeout(600)
def test_row_29_the_disk_is_full(found: Found, figure: Figure) -> None:
    """No floor, so that a write meets the end of the disk: half a record may be left."""
    cluster = found(proxied=False)
    victim = cluster.names[0]
    command = with_floor(0)
    met = []
    with small_disk(cluster, victim) as ballast, load_on_others(cluster, victim) as load:
        cluster.start(*[name for name in cluster.names if name != victim])
        for left in (4_096, 8_192, 32_768):
            cluster.start(victim, command=command)
            cluster.wait_voting()
            load.wait_commits(8)
            leave_free(ballast, left)
            assert strace.wait_end(cluster, victim) == EXIT_FAILED
            words = last_words(cluster, victim)
            assert "disk_full: no space left to write" in words
            assert "hint: free some space" in words
            written = words.rpartition(f"to write {cluster.home(victim)}/")[2]
            met.append(written.replace("/", " ").split()[0])
            cluster.start(victim, command=command, wait=False)
            assert strace.wait_end(cluster, victim) in (EXIT_REFUSED, EXIT_FAILED)
            assert "no space left" in last_words(cluster, victim)
            ballast.unlink()
        cluster.start(victim, command=command)
        cluster.wait_voting()
        load.stop()
        figure("disk full met by", parts=",".join(met))
        judge(cluster, load.history)


@pytest.mark.system("strace")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", strace.PARTS)
def test_row_29_no_space_at_the_write_of(cluster: Cluster, part: str) -> None:
    """The same at one chosen write: the kernel takes nothing of it."""
    victim = backup(cluster)
    with load_on_others(cluster, victim) as load:
        load.wait_commits(4)
        cluster.terminate(victim)
        full = strace.fail(Point(part, "write", 30 if part == "ledger" else 5), "ENOSPC")
        cluster.start(victim, command=full, wait=False)
        assert strace.wait_end(cluster, victim) in (EXIT_REFUSED, EXIT_FAILED)
        assert "no space left" in last_words(cluster, victim)
        assert "hint: free some space" in last_words(cluster, victim)
        cluster.start(victim)
        cluster.wait_voting(victim)
    judge(cluster, load.history)


def with_floor(floor_bytes: int) -> strace.Command:
    """Runs a node that stops when less than `floor_bytes` are free."""
    options = ("--set", f"disk.free_bytes_min={floor_bytes}")
    return lambda home: [*process.node_command(home), *options]


@contextlib.contextmanager
def small_disk(cluster: Cluster, name: str) -> Iterator[Path]:
    """Put the home of `name`, which does not run, on a disk of its own of DISK_BYTES.

    Yields the path of a file there that may take up space.
    """
    home = cluster.home(name)
    aside = home.with_suffix(".aside")
    home.rename(aside)
    home.mkdir()
    try:
        mount_tmpfs(home)
        shutil.copytree(aside, home, dirs_exist_ok=True)
        yield home / "ballast"
    finally:
        cluster.kill_all()
        subprocess.run(["umount", str(home)], check=False, stderr=subprocess.DEVNULL)


def mount_tmpfs(folder: Path) -> None:
    """Skips the test where mounting is not permitted; fails it in CI."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "qiong-test", str(folder)]
    mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    if mounted.returncode == 0:
        return
    reason = f"needs to mount a small tmpfs: {mounted.stderr.strip()}"
    if IN_CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def leave_free(ballast: Path, free: int) -> None:
    """Let `ballast` take all of its disk but `free` bytes."""
    size = free_bytes(ballast.parent) - free
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
