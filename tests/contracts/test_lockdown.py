"""The lock-down: what the filter says of each system call, and what a full escape can still do."""

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.worker import lockdown
from contracts.worker.lockdown import ALLOW, KILL, MACHINES, Instruction, filter_program

ROOT = Path(lockdown.__file__).parents[2]

# Numbers from asm/unistd_64.h and asm-generic/unistd.h.
X86_64 = {
    "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "poll": 7, "mmap": 9, "mprotect": 10,
    "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigreturn": 15, "ioctl": 16, "pread64": 17,
    "readv": 19, "writev": 20, "mremap": 25, "madvise": 28, "dup": 32, "socket": 41, "connect": 42,
    "sendto": 44, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "exit": 60, "kill": 62,
    "getdents": 78, "ptrace": 101, "setrlimit": 160, "prctl": 157, "mount": 165, "futex": 202,
    "clock_gettime": 228, "exit_group": 231, "openat": 257, "unshare": 272, "prlimit64": 302,
    "process_vm_readv": 310, "seccomp": 317, "memfd_create": 319, "execveat": 322,
    "io_uring_setup": 425, "pidfd_open": 434, "clone3": 435, "openat2": 437,
}  # fmt: skip
AARCH64 = {
    "read": 63, "write": 64, "openat": 56, "close": 57, "mmap": 222, "mprotect": 226, "munmap": 215,
    "brk": 214, "rt_sigaction": 134, "rt_sigreturn": 139, "ioctl": 29, "readv": 65, "writev": 66,
    "mremap": 216, "madvise": 233, "dup": 23, "socket": 198, "connect": 203, "sendto": 206,
    "clone": 220, "execve": 221, "exit": 93, "kill": 129, "getdents64": 61, "ptrace": 117,
    "prctl": 167, "mount": 40, "futex": 98, "clock_gettime": 113, "exit_group": 94, "unshare": 97,
    "prlimit64": 261, "process_vm_readv": 270, "seccomp": 277, "memfd_create": 279,
    "execveat": 281, "io_uring_setup": 425, "pidfd_open": 434, "clone3": 435, "openat2": 437,
}  # fmt: skip
NUMBERS = {"x86_64": X86_64, "aarch64": AARCH64}

HARMLESS = {
    "munmap", "brk", "rt_sigreturn", "mremap", "madvise", "exit", "futex", "clock_gettime",
    "exit_group",
}  # fmt: skip

PROT_READ_WRITE, PROT_EXEC = 3, 4
PRIVATE_ANONYMOUS, PRIVATE_FILE = 0x22, 0x02


def verdict(program: list[Instruction], audit: int, number: int, *arguments: int) -> int:
    """Evaluate classic BPF over one `struct seccomp_data`, as the kernel would."""
    words = [number, audit, 0xDEAD_BEEF, 0x7FFF]
    for argument in (*arguments, *(0,) * (6 - len(arguments))):
        words += [argument & 0xFFFF_FFFF, argument >> 32]
    at, accumulator = 0, 0
    while True:
        code, if_true, if_false, constant = program[at]
        at += 1
        match code:
            case 0x20:
                accumulator = words[constant // 4]
            case 0x15:
                at += if_true if accumulator == constant else if_false
            case 0x35:
                at += if_true if accumulator >= constant else if_false
            case 0x45:
                at += if_true if accumulator & constant else if_false
            case 0x06:
                return constant
            case _:
                raise AssertionError(f"instruction {code:#x}")


@pytest.fixture(params=sorted(MACHINES))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(machine: str, number: int, *arguments: int) -> int:
    program = filter_program(MACHINES[machine], 0, 1)
    return verdict(program, MACHINES[machine].audit, number, *arguments)


def test_plain_calls_are_allowed_and_the_dangerous_ones_kill(machine: str) -> None:
    for name, number in NUMBERS[machine].items():
        if name in {"read", "write", "mmap"}:
            continue
        assert ask(machine, number) == (ALLOW if name in HARMLESS else KILL), name


def test_every_other_number_kills(machine: str) -> None:
    allowed = {NUMBERS[machine][name] for name in HARMLESS}
    allowed |= {NUMBERS[machine]["read"]}  # of descriptor 0, which zero arguments name
    assert {number for number in range(1024) if ask(machine, number) == ALLOW} == allowed


def test_read_and_write_have_one_descriptor_each(machine: str) -> None:
    read, write = NUMBERS[machine]["read"], NUMBERS[machine]["write"]
    assert ask(machine, read, 0) == ALLOW
    assert ask(machine, write, 1) == ALLOW
    for descriptor in (1, 2, 3, 255, 2**32 - 1):
        assert ask(machine, read, descriptor) == KILL
    for descriptor in (0, 2, 3, 255, 2**32 - 1):
        assert ask(machine, write, descriptor) == KILL


def test_memory_is_anonymous_and_never_executable(machine: str) -> None:
    mmap = NUMBERS[machine]["mmap"]
    assert ask(machine, mmap, 0, 4096, PROT_READ_WRITE, PRIVATE_ANONYMOUS) == ALLOW
    assert ask(machine, mmap, 0, 4096, PROT_READ_WRITE | PROT_EXEC, PRIVATE_ANONYMOUS) == KILL
    assert ask(machine, mmap, 0, 4096, PROT_READ_WRITE, PRIVATE_FILE) == KILL


def test_other_architectures_and_x32_kill() -> None:
    program = filter_program(MACHINES["x86_64"], 0, 1)
    i386 = 0x4000_0003
    assert verdict(program, i386, X86_64["brk"]) == KILL
    assert verdict(program, MACHINES["aarch64"].audit, X86_64["brk"]) == KILL
    for name in ("brk", "read", "exit_group"):
        assert ask("x86_64", X86_64[name] | 0x4000_0000) == KILL


PREPARE = f"""
import sys
sys.path.append({str(ROOT)!r})
import ctypes, errno, mmap, os, signal, socket, subprocess, threading
from contracts.worker.lockdown import lock_down
libc = ctypes.CDLL(None, use_errno=True)
parent = os.getppid()
lock_down(0, 1, parent, insecure=False)
os.write(1, b"locked")
"""


def escape(attack: str) -> tuple[int, bytes]:
    """Run `attack` with everything imported in a locked process: exit status and output."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", PREPARE + attack],
        stdin=subprocess.PIPE,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.startswith(b"locked"), done.stderr
    return done.returncode, done.stdout.removeprefix(b"locked")


needs_filter = pytest.mark.skipif(
    platform.machine() not in MACHINES or not Path("/proc/sys/kernel/seccomp").exists(),
    reason="needs a kernel with seccomp filters",
)


@needs_filter
@pytest.mark.parametrize(
    "attack",
    [
        'open("/etc/passwd").read()',
        'os.listdir("/")',
        'os.open("/proc/self/mem", os.O_RDWR)',
        "os.open(f'/proc/{parent}/mem', os.O_RDONLY)",
        'os.stat("/")',
        "socket.socket()",
        "socket.socketpair()",
        "os.fork()",
        'os.execv("/bin/sh", ["sh"])',
        'subprocess.run(["/bin/true"])',
        "threading.Thread(target=print).start()",
        "os.kill(parent, signal.SIGKILL)",
        "os.kill(0, 0)",
        "libc.ptrace(16, parent, 0, 0)",
        "libc.process_vm_readv(parent, 0, 0, 0, 0, 0)",
        "os.getuid()",
        "os.read(2, 1)",
        'os.write(2, b"x")',
        'os.write(0, b"x")',
        "os.dup(0)",
        "os.pipe()",
        "libc.prctl(38, 0, 0, 0, 0)",
        "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
        "libc.mprotect(0, 4096, 7)",
        "libc.syscall(0x40000000 + 39)",
        "libc.syscall(425, 1, 0)",
        "os.nice(1)",
        'os.environ.clear(); os.chdir("/")',
        "os.system('true')",
    ],
)
def test_an_escape_is_killed(attack: str) -> None:
    status, output = escape(attack)
    assert (status, output) == (-signal.SIGSYS, b"")


@needs_filter
def test_memory_is_bounded() -> None:
    attack = """
try:
    b"x" * (1 << 30)
except MemoryError:
    os.write(1, b"refused")
os._exit(0)
"""
    assert escape(attack) == (0, b"refused")


@needs_filter
def test_working_memory_comes_and_goes() -> None:
    attack = """
for size in (1 << 10, 1 << 20, 1 << 24):
    for _ in range(20):
        parts = [bytes(size) for _ in range(4)]
        rows = [{"a": str(i)} for i in range(10_000)]
text = "ab"
while len(text) < 1 << 22:
    text += text
assert os.read(0, 1) == b""
os.write(1, b"done")
os._exit(0)
"""
    assert escape(attack) == (0, b"done")


@needs_filter
def test_nothing_but_the_pipes_is_left_open() -> None:
    inherited, given = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-c", PREPARE + "os.read(0, 1)"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(given,),
    )
    os.close(given)
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(6) == b"locked"
        # Still running, and yet the ends that it inherited are closed.
        assert os.read(inherited, 1) == b""
        assert process.stderr.read() == b""
        assert process.poll() is None
        process.stdin.close()
    os.close(inherited)


def test_a_process_whose_parent_is_gone_ends_itself() -> None:
    code = PREPARE.replace("parent = os.getppid()", "parent = 1 << 22")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", code], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, b"")
