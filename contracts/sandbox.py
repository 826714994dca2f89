"""The validator's end of the worker: start it, talk to it, watch it, end it.

A worker that dies, hangs or answers nonsense says nothing about a contract, only about this machine
or our code: it is killed and reported as `WorkerLost`, and what to do next is the runner's choice.
The watchdog measures wall time here and never becomes a verdict.

The kernel ends a worker when the thread that started it ends (PR_SET_PDEATHSIG), so a thread that
runs contracts should live as long as the validator. One thread at a time may use a sandbox.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from contracts.worker import wire
from ledger import canonical
from ledger.errors import QiongError

SECONDS_MAX: Final = 30.0
"""A block's gas is worth 0.7 s at worst; slower machines and busy ones get forty times that."""

START_SECONDS_MAX: Final = 20.0
"""Starting takes 0.15 s; a machine that boots everything at once may need far longer."""

PIPE_BYTES: Final = 1 << 20
"""A block's frame fits the pipe as a whole, so neither side waits for the other to drain it."""

_F_SETPIPE_SZ: Final = 1031  # linux/fcntl.h

_BOOT: Final = (
    "import sys; sys.path += sys.argv[3:]; from contracts.worker.main import main; "
    "main(int(sys.argv[1]), insecure=sys.argv[2] == 'insecure')"
)

_OPTIONS: Final = ("-I", "-S", "-B")

_ROOT: Final = str(Path(__file__).resolve().parents[1])


def _folders() -> list[str]:
    """Where the worker finds our packages and msgpack. They stand last on its path, since their
    neighbours may be named like modules of the standard library."""
    found = find_spec("msgpack")
    assert found is not None
    assert found.origin is not None
    return [_ROOT, str(Path(found.origin).parents[1])]


class SandboxUnavailable(QiongError):
    """This machine cannot lock a worker down; `reason` names the step and the kernel's answer."""

    code = "sandbox_unavailable"
    hint = "use a kernel with seccomp filters, or --insecure-contracts on a machine you can lose"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"cannot lock the contract worker down: {reason}")


class WorkerLost(QiongError):
    """The worker died, hung or broke the protocol; it is gone."""

    code = "worker_lost"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"contract worker lost: {reason}")


Answer = list[object]
"""A message of the worker: its kind and what belongs to it, unpacked and not looked at yet."""


class Sandbox:
    """One locked-down worker process; starts with the first request."""

    def __init__(
        self,
        *,
        insecure: bool = False,
        seconds_max: float = SECONDS_MAX,
        niceness: int = 0,
        executable: str = sys.executable,
    ) -> None:
        """`niceness` is added to the process's own: more gives way to others."""
        self._insecure = insecure
        self._seconds_max = seconds_max
        self._niceness = niceness
        self._executable = executable
        self._process: subprocess.Popen[bytes] | None = None
        self._came_up = False

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        """Process id of the running worker."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the worker and wait until it is locked down.

        Raises `SandboxUnavailable` if this machine cannot, and `WorkerLost` if it did not come up.
        """
        self.close()
        mode = "insecure" if self._insecure else "secure"
        try:
            process = subprocess.Popen(
                [self._executable, *_OPTIONS, "-c", _BOOT, str(os.getpid()), mode, *_folders()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
                bufsize=0,
                start_new_session=True,  # an interrupt from the terminal is for the validator alone
            )
        except OSError as error:  # no memory, processes or descriptors are left
            raise WorkerLost(f"cannot be started: {error.strerror}") from error
        self._process = process
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            with contextlib.suppress(OSError):  # above the user's quota: smaller pipes work too
                fcntl.fcntl(stream.fileno(), _F_SETPIPE_SZ, PIPE_BYTES)
        answer = self._receive(time.monotonic() + START_SECONDS_MAX)
        if answer[0] == wire.FAILED:
            self.close()
            reason = ": ".join(str(item) for item in answer[1:])
            # What this machine could do before is no reason to refuse it.
            raise WorkerLost(reason) if self._came_up else SandboxUnavailable(reason)
        if answer != [wire.READY]:
            raise self._lost("not ready")
        self._came_up = True
        if self._niceness:
            own = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, process.pid, own + self._niceness)

    def request(
        self, message: tuple[object, ...], reply: Callable[[Answer], tuple[object, ...]]
    ) -> object:
        """Send `message` and return what the worker made of it.

        `reply` answers each question the worker asks meanwhile; what it raises passes through, with
        the worker ended. Raises `WorkerLost`.
        """
        if self._process is None:
            self.start()
        deadline = time.monotonic() + self._seconds_max
        self._send(wire.request_bytes(message), deadline)
        while True:
            answer = self._receive(deadline)
            if answer[0] == wire.DONE and len(answer) == 2:
                return answer[1]
            if answer[0] not in (wire.GET, wire.KEYS):
                raise self._lost("an answer of unknown kind")
            try:
                message = reply(answer)
            except BaseException:
                self.close()
                raise
            self._send(wire.request_bytes(message), deadline)

    def close(self) -> None:
        """End the worker, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        with process:  # closes the pipes and reaps
            pass

    def _lost(self, reason: str) -> WorkerLost:
        process = self._process
        self.close()
        code = process.returncode if process is not None else None
        return WorkerLost(f"{reason} (exit {code})")

    def _send(self, frame: bytes, deadline: float) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        descriptor = self._process.stdin.fileno()
        rest = memoryview(frame)
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:
                self._wait(descriptor, select.POLLOUT, deadline)
            except BrokenPipeError:
                raise self._lost("died before reading") from None

    def _receive(self, deadline: float) -> Answer:
        size = int.from_bytes(self._read(wire.HEADER_BYTES, deadline), "big")
        if size > wire.FRAME_BYTES_MAX:
            raise self._lost("a frame too large")
        try:
            # Only outcomes know what has to be canonical in it (`contracts.outcomes`).
            answer = canonical.unpack(self._read(size, deadline))
        except canonical.DecodingError as error:
            raise self._lost(error.reason) from None
        if type(answer) is not list or not answer:
            raise self._lost("an answer that is no list")
        return answer

    def _read(self, size: int, deadline: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        parts: list[bytes] = []
        while size:
            try:
                part = os.read(descriptor, min(size, PIPE_BYTES))
            except BlockingIOError:
                self._wait(descriptor, select.POLLIN, deadline)
                continue
            if not part:
                raise self._lost("died")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise self._lost(f"no answer within {self._seconds_max:g} s")
