"""One validator as an operating-system process: start it detached, find it again, stop it safely.

A pid in a file may be stale and by now belong to a stranger. So a process counts as ours only if
its command line names our node's home, and every signal goes through a pidfd that was opened
before that check: what was checked is what is signalled, even if the pid is reused in between.

Left out: restarting by itself (that is systemd's work) and systems without /proc and pidfd.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final

from ledger.errors import InvalidInput

LOG_TAIL_LINES: Final = 12
"""Lines of a node's log shown when it did not start: a typed error and its hint fit."""


EXEC_POLL_SECONDS: Final = 0.001

PROBE: Final = 0
"""The signal that is not delivered, only checked (kill(2))."""


class PortTaken(InvalidInput):
    """A port of the devnet is in use by another program."""

    code: ClassVar[str] = "port_taken"

    def __init__(self, port: int) -> None:
        self.port = port
        self.hint = "choose another range with --base-port, or stop the program that listens there"
        super().__init__(f"port {port} on 127.0.0.1 is already in use")


def node_command(home: Path) -> list[str]:
    """The command that runs the validator of `home`.

    `-P` keeps a folder named `node` in the caller's working directory from shadowing ours.
    """
    return [sys.executable, "-P", "-m", "cli.main", "node", "run", "--home", str(home)]


def start(command: list[str], log: Path) -> int:
    """Start `command` in a session of its own, its output appended to `log`; return its pid.

    Nothing of the caller's stdin, stdout or stderr stays open in it, and none of the caller's own
    `QIONG_*` settings reach it: a node's settings are its home's.
    """
    environment = {name: text for name, text in os.environ.items() if not name.startswith("QIONG_")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env=environment,
            start_new_session=True,
        )
    # Linux lets the parent go on before the new command line can be read; `running` needs it.
    while not _arguments(process.pid) and process.poll() is None:
        time.sleep(EXEC_POLL_SECONDS)
    process.returncode = 0  # it outlives us on purpose; without this, Popen warns when collected
    return process.pid


def running(pid: int | None, home: Path) -> bool:
    """Whether `pid` is alive and is the node of `home`."""
    return send_signal(pid, home, PROBE)


def send_signal(pid: int | None, home: Path, signal_number: int) -> bool:
    """Signal the node of `home`; return False if it was not running."""
    with _opened(pid) as pidfd:
        if pid is None or pidfd is None or not _is_node_of(_arguments(pid), home):
            return False
        try:
            signal.pidfd_send_signal(pidfd, signal_number)
        except ProcessLookupError:
            return False
        return True


def wait_end(pid: int | None, home: Path, timeout_seconds: float) -> bool:
    """Wait for the end of the node of `home`; return False if it outlives `timeout_seconds`.

    A process that is ending has no command line any more but still holds its files and locks, so
    it is waited for, too.
    """
    with _opened(pid) as pidfd:
        if pid is None or pidfd is None:
            return True
        arguments = _arguments(pid)
        if arguments and not _is_node_of(arguments, home):
            return True
        # poll, not select: descriptors above 1,023 must do.
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        ended = bool(poll.poll(timeout_seconds * 1000))
    if ended:
        with contextlib.suppress(ChildProcessError):  # another process's child is not ours to reap
            os.waitpid(pid, os.WNOHANG)
    return ended


def log_tail(log: Path) -> str:
    """The last lines of `log`, or an empty string."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
    except FileNotFoundError:
        return ""


def check_port_free(port: int) -> None:
    """Raise `PortTaken` if another program listens on `port` of 127.0.0.1."""
    if not port_free(port):
        raise PortTaken(port)


def port_free(port: int) -> bool:
    """Whether `port` of 127.0.0.1 can be listened on."""
    with socket.socket() as probe:
        # As the node's own listener does: connections in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
        return True


@contextlib.contextmanager
def _opened(pid: int | None) -> Iterator[int | None]:
    """A pidfd of `pid`, None if there is no such process."""
    try:
        pidfd = None if pid is None or pid <= 0 else os.pidfd_open(pid)
    except ProcessLookupError:
        pidfd = None
    try:
        yield pidfd
    finally:
        if pidfd is not None:
            os.close(pidfd)


def _is_node_of(arguments: list[bytes], home: Path) -> bool:
    return b"--home" in arguments and os.fsencode(home) in arguments


def _arguments(pid: int) -> list[bytes]:
    """The command line of `pid`; empty for one that is ending or has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return []
