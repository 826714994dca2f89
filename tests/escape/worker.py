"""A worker that was broken out of: started and locked as the product does it, but instead of
serving it runs the code it is sent.

`Sandbox` starts it, with its own descriptors, environment and flags; only the text that it hands to
the interpreter is another.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from unittest.mock import patch

from contracts import sandbox
from contracts.sandbox import Sandbox
from contracts.worker import wire
from tests.escape.attempts import Attempt

SECONDS_MAX: Final = 60.0
TOLD_MAX: Final = 400

BROKEN: Final = """
import ctypes, errno, fcntl, mmap, os, platform, resource, select, signal, socket, struct
import subprocess, threading, time
import encodings.idna
from contracts.worker import main as worker, wire

libc = ctypes.CDLL(None, use_errno=True)
libc_mmap = libc.mmap
libc_mmap.restype = ctypes.c_void_p
libc_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_page = libc_mmap
libc_mmap = lambda *args: ctypes.c_void_p(_page(*args))
NUMBERS = {
    "x86_64": {"openat2": 437, "clone": 56, "clone3": 435, "userfaultfd": 323, "seccomp": 317,
               "io_uring_setup": 425, "bpf": 321, "perf_event_open": 298, "add_key": 248,
               "futex": 202},
    "aarch64": {"openat2": 437, "clone": 220, "clone3": 435, "userfaultfd": 282, "seccomp": 277,
                "io_uring_setup": 425, "bpf": 280, "perf_event_open": 241, "add_key": 217,
                "futex": 98},
}[platform.machine()]

def check(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def syscall(name, *args):
    return check(libc.syscall(NUMBERS[name], *args))

def did(what):
    os.write(1, f"did {what}".encode())

def serve():
    code, given = wire.read_request(0)
    try:
        exec(code, {**globals(), **given})
    except BaseException as error:
        os.write(1, f"refused {type(error).__name__} {error}".encode())
    os._exit(0)

worker.serve = serve
"""

UNLOCKED: Final = "worker.lock_down = lambda *args, **options: None\n"


class Result(NamedTuple):
    """How an attempt ended: `killed`, `refused`, `did`, or `ended` if it said nothing."""

    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind} {self.detail}".strip()


class Surroundings(NamedTuple):
    """What attempts aim at."""

    scratch: Path
    port: int
    victim: int
    secret_at: int


@contextmanager
def surroundings(scratch: Path) -> Iterator[Surroundings]:
    """A folder, a listening socket and a process with a secret, for the time of the block."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = (
            "import ctypes, sys; secret = ctypes.create_string_buffer(b'a secret', 8);"
            "ctypes.CDLL(None).prctl(0x59616d61, ctypes.c_long(-1), 0, 0, 0);"  # any may trace it
            "print(ctypes.addressof(secret), flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-I", "-S", "-c", code]
        with subprocess.Popen(command, stdin=-1, stdout=-1) as victim:
            assert victim.stdout is not None
            secret_at = int(victim.stdout.readline())
            try:
                yield Surroundings(scratch, server.getsockname()[1], victim.pid, secret_at)
            finally:
                victim.kill()


def attempt(trial: Attempt, around: Surroundings, *, locked: bool) -> Result:
    """Run one attempt in a worker of its own."""
    broken = BROKEN + ("" if locked else UNLOCKED)
    head, _, tail = sandbox._BOOT.partition("from contracts")
    code = compile_safe(trial.code)
    (around.scratch / "to-remove").touch()
    with patch.object(sandbox, "_BOOT", f"{head}\n{broken}\nfrom contracts{tail}"):
        box = Broken()
        box.start()
    given = {
        "scratch": str(around.scratch),
        "port": around.port,
        "victim": around.victim,
        "secret_at": around.secret_at,
        "parent": os.getpid(),
    }
    told, status = box.last_words(wire.request_bytes((code, given)))
    for made in ("made", "written"):
        place = around.scratch / made
        if place.exists():
            place.rmdir() if place.is_dir() else place.unlink()
    if status == -signal.SIGSYS:
        return Result("killed", "")
    kind, _, detail = told.partition(" ")
    return Result(kind or "ended", detail if kind else f"exit {status}")


def compile_safe(code: str) -> str:
    """`code` unchanged, once it is known to be Python: a typing error must not pass for safety."""
    compile(code, "attempt", "exec")
    return code


class Broken(Sandbox):
    """A sandbox that sends one frame and takes whatever comes back until the end."""

    def last_words(self, frame: bytes) -> tuple[str, int]:
        """What the process wrote, and its exit status."""
        process, self._process = self._process, None
        assert process is not None
        try:
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                os.set_blocking(stream.fileno(), True)
            told, _ = process.communicate(frame, SECONDS_MAX)
        finally:
            process.kill()
            process.wait()
        return told[:TOLD_MAX].decode(errors="replace"), process.returncode
