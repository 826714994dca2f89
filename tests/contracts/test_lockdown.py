"""The lock-down: what the filter says of each system call, on either machine.

The filter of this machine also runs here; that of the other is evaluated, as the kernel would do,
and has not been run. What a full escape can still do is told by `tests/escape`.
"""

import os
import platform
import random
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
    "munmap", "brk", "rt_sigreturn", "mremap", "exit", "clock_gettime", "exit_group",
}  # fmt: skip
FILTERED = {"read", "write", "mmap", "madvise", "futex"}

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
            case 0x06:
                return constant
            case _:
                raise AssertionError(f"instruction {code:#x}")


@pytest.fixture(params=sorted(MACHINES))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


PROGRAMS = {name: filter_program(machine, 0, 1) for name, machine in MACHINES.items()}


def ask(machine: str, number: int, *arguments: int) -> int:
    return verdict(PROGRAMS[machine], MACHINES[machine].audit, number, *arguments)


def test_plain_calls_are_allowed_and_the_dangerous_ones_kill(machine: str) -> None:
    for name, number in NUMBERS[machine].items():
        if name in FILTERED:
            continue
        assert ask(machine, number) == (ALLOW if name in HARMLESS else KILL), name


def test_every_number_kills_but_those(machine: str) -> None:
    """Whatever the arguments: none, all bits, and those that a call of ours may have."""
    allowed = {NUMBERS[machine][name] for name in HARMLESS | FILTERED}
    everywhere = [*range(4096), *range(2**30 - 64, 2**30 + 600), *range(2**32 - 600, 2**32)]
    rng = random.Random(1)
    everywhere += [rng.randrange(2**32) for _ in range(2000)]
    ordinary = ((0,), (1,), (0, 4096, 3, 0x22), (0, 4096, 4), (0, 128), (2**64 - 1,) * 6)
    for number in everywhere:
        if number not in allowed:
            assert {ask(machine, number, *arguments) for arguments in ordinary} == {KILL}, number


def test_the_kernel_would_take_the_program(machine: str) -> None:
    """What `seccomp_check_filter` and `bpf_check_classic` ask for: loads of whole words within
    `struct seccomp_data`, jumps forward to an instruction, a return at the end."""
    program = filter_program(MACHINES[machine], 0, 1)
    assert 0 < len(program) <= 4096
    for at, (code, if_true, if_false, constant) in enumerate(program):
        if code == 0x20:
            assert constant % 4 == 0
            assert 0 <= constant < 64
        elif code in (0x15, 0x35):
            assert at + 1 + max(if_true, if_false) < len(program)
        else:
            assert (code, if_true, if_false) == (0x06, 0, 0)
            assert constant in (ALLOW, KILL)
    assert program[-1][0] == 0x06


def test_read_and_write_have_one_descriptor_each(machine: str) -> None:
    read, write = NUMBERS[machine]["read"], NUMBERS[machine]["write"]
    assert ask(machine, read, 0) == ALLOW
    assert ask(machine, write, 1) == ALLOW
    for descriptor in (1, 2, 3, 255, 2**32 - 1):
        assert ask(machine, read, descriptor) == KILL
    for descriptor in (0, 2, 3, 255, 2**32 - 1):
        assert ask(machine, write, descriptor) == KILL


def test_memory_is_private_and_never_executable(machine: str) -> None:
    mmap = NUMBERS[machine]["mmap"]
    assert ask(machine, mmap, 0, 4096, PROT_READ_WRITE, PRIVATE_ANONYMOUS, 2**64 - 1) == ALLOW
    for protection in (PROT_READ_WRITE | PROT_EXEC, PROT_EXEC, 0x0100_0003, 2**64 - 1):
        assert ask(machine, mmap, 0, 4096, protection, PRIVATE_ANONYMOUS) == KILL
    for bit in range(64):
        flags = PRIVATE_ANONYMOUS ^ (1 << bit)
        # Upper halves are no flags: the kernel has none there.
        assert ask(machine, mmap, 0, 4096, PROT_READ_WRITE, flags) == (KILL if bit < 32 else ALLOW)


def test_advice_and_futexes_are_the_ordinary_ones(machine: str) -> None:
    madvise, futex = NUMBERS[machine]["madvise"], NUMBERS[machine]["futex"]
    everything = range(1024)
    assert [n for n in everything if ask(machine, madvise, 0, 4096, n) == ALLOW] == [4, 8]
    wait, wake, wait_bits, wake_bits, private, clock = 0, 1, 9, 10, 128, 256
    operations = [wait | private, wake | private, wait_bits | private, wake_bits | private]
    operations.append(wait_bits | private | clock)
    assert [n for n in everything if ask(machine, futex, 0, n) == ALLOW] == operations


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
