"""A node under strace(1), which kills or fails it at exactly one system call on one file.

The call is named by the part of the home it concerns, its name, and its number: the `when`th such
call on such a file, counted from the start of the process in each of its threads apart. The kill
comes as the call is entered, so of that call nothing happens and all before it has happened. What
was written then is in the page cache and outlives the process, as it does at `kill -9`; losing it
too is what `tests/simulation` does.

strace runs as the node's grandchild (`-D`), so the node's pid is its own; it ends with the node.
Path filters (`-P`) choose the calls: other files cost nothing but the filter.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devnet import process
from ledger.storage.folder import UNFINISHED_SUFFIX
from tests.chaos.cluster import Cluster, NotInTime

Command = Callable[[Path], list[str]]

PARTS: Final = ("wal", "blocks", "ledger")
"""The folders of a home that a commit writes to."""

CALLS: Final = ("openat", "write", "fdatasync", "fsync", "rename", "unlink", "ftruncate")
"""What changes a file or makes a change last."""

NEW_FILES_MAX: Final = 12
"""LevelDB numbers all its files in one row; so many come in one life of a test's node."""

KILL: Final = "signal=KILL"

OUTPUT: Final = "strace.txt"
"""In the home of the node."""

SEGMENT: Final = f"{1:020d}.log"
"""The first segment of a log, and in a test the only one."""


@dataclass(frozen=True, slots=True)
class Point:
    """One system call of a run. `main` is for those of the main thread, where the event loop runs:
    only its calls count then."""

    part: str
    call: str
    when: int
    main: bool = False

    def __str__(self) -> str:
        thread = " of the event loop" if self.main else ""
        return f"{self.part}: {self.call} {self.when}{thread}"


def kill(point: Point, *options: str) -> Command:
    """Runs the node until it enters the call of `point`. `options` are the node's."""
    return _command(point, KILL, options)


def fail(point: Point, error: str, *options: str) -> Command:
    """Runs the node with the call of `point`, and every later one like it, failing with `error`,
    as a broken or full disk does."""
    return _command(point, f"error={error}", options)


def observe(home: Path) -> list[str]:
    """The command that notes what the node of `home` does to its parts, for `calls`."""
    return [
        *("strace", "-D", "-f", "-qq", "-y", "-o", str(home / OUTPUT)),
        *_filters(home, PARTS),
        *("-e", "trace=" + ",".join(CALLS)),
        *process.node_command(home),
    ]


def calls(home: Path) -> list[Point]:
    """The calls of an observed run, in order, each with the number it has in its thread.

    An `openat` for reading changes nothing and is left out.
    """
    seen: Counter[tuple[str, str, str]] = Counter()
    found: list[Point] = []
    lines = (home / OUTPUT).read_text(errors="replace").splitlines()
    main = lines[0].split()[0]
    for line in lines:
        match = _LINE.match(line)
        part = match and _part(home, match["rest"])
        if not match or not part:
            continue
        thread, call = match["thread"], match["call"]
        seen[thread, part, call] += 1
        if call != "openat" or "O_WRONLY" in line or "O_CREAT" in line:
            in_loop = thread == main and part == "blocks" and call == "write"
            found.append(Point(part, call, seen[thread, part, call], in_loop))
    return found


def wait_end(cluster: Cluster, name: str, seconds: float = 60) -> int:
    """Wait for the end of a node that ends by itself: its exit code, or minus the signal."""
    pid = cluster.entry(name).pid
    assert pid is not None
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    raise NotInTime(
        f"{name} did not end in {seconds} s\n{process.log_tail(cluster.entry(name).log)}"
    )


def last_call(home: Path) -> str:
    """What the node was doing when it was killed, as strace wrote it."""
    lines = (home / OUTPUT).read_text(errors="replace").splitlines()
    return next((line for line in reversed(lines) if "= ?" in line or "<unfinished" in line), "")


@contextlib.contextmanager
def attached(cluster: Cluster, name: str, point: Point) -> Iterator[None]:
    """Kill the running node at `point`, counted from now; it may take as long as the block does."""
    pid, home = cluster.entry(name).pid, cluster.home(name)
    (home / OUTPUT).unlink(missing_ok=True)
    command = ["strace", "-p", str(pid), *_options(home, point, KILL)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracer:
        try:
            cluster.until(lambda: _traced(pid), f"{name} is traced")
            yield
        finally:
            tracer.terminate()


def _traced(pid: int | None) -> bool:
    """Whether every thread of `pid` has its tracer; one of a process that has ended counts."""
    try:
        statuses = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    except FileNotFoundError:
        return True
    return all("TracerPid:\t0\n" not in status for status in statuses)


def _command(point: Point, effect: str, options: Sequence[str]) -> Command:
    def command(home: Path) -> list[str]:
        (home / OUTPUT).unlink(missing_ok=True)
        node = [*process.node_command(home), *options]
        return ["strace", "-D", *_options(home, point, effect), *node]

    return command


def _options(home: Path, point: Point, effect: str) -> list[str]:
    when = f"{point.when}" if effect == KILL else f"{point.when}+"
    return [
        *("-qq", "-y", "-o", str(home / OUTPUT)),
        *(() if point.main else ("-f",)),
        *_filters(home, [point.part]),
        *("-e", f"trace={point.call}"),
        *("-e", f"inject={point.call}:{effect}:when={when}"),
    ]


def _filters(home: Path, parts: Iterable[str]) -> list[str]:
    return [item for part in parts for path in _files(home / part) for item in ("-P", str(path))]


def _files(folder: Path) -> list[Path]:
    """What is and may come to be in a part, as strace's filter takes no patterns."""
    if folder.name != "ledger":
        return [folder, folder / SEGMENT, folder / (SEGMENT + UNFINISHED_SUFFIX)]
    there = [path.name for path in folder.glob("*") if not path.name.startswith("LOG")]
    highest = max(
        (int(digits) for name in there for digits in re.findall(r"\d{6}", name)), default=0
    )
    coming = range(highest + 1, highest + NEW_FILES_MAX)
    names = [form.format(number) for number in coming for form in ("{:06d}.log", "{:06d}.ldb")]
    rare = [
        form.format(number) for number in coming for form in ("{:06d}.dbtmp", "MANIFEST-{:06d}")
    ]
    return [folder, *(folder / name for name in {*there, *names, *rare, "CURRENT"})]


def _part(home: Path, text: str) -> str | None:
    return next((part for part in PARTS if f"{home / part}" in text), None)


_LINE: Final = re.compile(r"(?P<thread>\d+) +(?P<call>\w+)\((?P<rest>.*)")
