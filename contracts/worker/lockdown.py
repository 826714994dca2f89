"""Locking the worker's process: limits, flags and a seccomp filter, in that order, for good.

The dialect is the first wall. This is the second: whoever breaks out of the first finds a process
that can read one pipe, write another, and use memory. Every other system call kills it, and so do
arguments that ordinary use of memory never has: one advice takes physical memory from the whole
machine (MADV_HWPOISON, for root), and the rarer futex operations have a history of kernel bugs.

The filter is classic BPF over `struct seccomp_data` (Linux `seccomp(2)`), assembled here for
x86-64 and aarch64 and installed through `prctl`; no library is needed. `filter_program` is pure, so
tests evaluate it for both machines wherever they run. `python -m tests.escape` tries to get out.

Left out: user and mount name spaces, Landlock. They need rights or kernel settings that differ
between hosts, and with no way to open, connect or execute nothing is left for them to hide.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import signal
from typing import Final, NamedTuple

ADDRESS_SPACE_MAX: Final = 256 << 20
"""Gas bounds what a contract allocates to a few megabytes; the rest is the interpreter and room for
one block's frames."""

DESCRIPTORS_MAX: Final = 65_536
"""`subprocess` has closed what it knew of; this closes stderr and whatever slipped through."""

# Values of the kernel's interface: linux/audit.h, capability.h, filter.h, prctl.h and seccomp.h.
_CAPABILITY_VERSION_3: Final = 0x2008_0522
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2

KILL: Final = 0x8000_0000  # SECCOMP_RET_KILL_PROCESS
ALLOW: Final = 0x7FFF_0000  # SECCOMP_RET_ALLOW

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_GREATER_EQUAL: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K

_NUMBER: Final = 0  # offsets in struct seccomp_data
_ARCHITECTURE: Final = 4
_ARGUMENTS: Final = 16

_X32_BIT: Final = 0x4000_0000

_PROT_NONE_TO_WRITE: Final = (0, 1, 2, 3)
"""Whatever reads and writes; PROT_EXEC and the flags of special machines are none of them."""

_MAP_PRIVATE_ANONYMOUS: Final = (0x22,)
"""What malloc asks for. Not at a fixed place, not shared, not locked, no huge pages."""

_MADV_DONTNEED_AND_FREE: Final = (4, 8)

_FUTEX_WAIT_AND_WAKE: Final = (128, 129, 137, 138, 393)
"""FUTEX_WAIT, WAKE, WAIT_BITSET, WAKE_BITSET of one process (FUTEX_PRIVATE_FLAG), and a wait until
a time of day: all that locks of CPython and of the C library make."""

Instruction = tuple[int, int, int, int]
"""code, jump if true, jump if false, constant: `struct sock_filter`."""


class Machine(NamedTuple):
    """One architecture: its audit name and its numbers of the calls that the filter speaks of."""

    audit: int
    read: int
    write: int
    mmap: int
    madvise: int
    futex: int
    plain: dict[str, int]


MACHINES: Final = {
    "x86_64": Machine(
        audit=0xC000_003E,
        read=0,
        write=1,
        mmap=9,
        madvise=28,
        futex=202,
        plain={
            "munmap": 11,
            "brk": 12,
            "rt_sigreturn": 15,
            "mremap": 25,
            "exit": 60,
            "clock_gettime": 228,
            "exit_group": 231,
        },
    ),
    "aarch64": Machine(
        audit=0xC000_00B7,
        read=63,
        write=64,
        mmap=222,
        madvise=233,
        futex=98,
        plain={
            "munmap": 215,
            "brk": 214,
            "rt_sigreturn": 139,
            "mremap": 216,
            "exit": 93,
            "clock_gettime": 113,
            "exit_group": 94,
        },
    ),
}


class LockdownFailed(Exception):
    """The kernel refused one `step` of the lock-down with `number`, an errno."""

    def __init__(self, step: str, number: int) -> None:
        self.step = step
        self.number = number
        self.reason = os.strerror(number)
        super().__init__(f"{step}: {self.reason}")


def filter_program(
    machine: Machine, read_descriptor: int, write_descriptor: int
) -> list[Instruction]:
    """The filter as instructions: `read` and `write` on one descriptor each, private memory that
    cannot be executed, and the few calls of `machine.plain`; all else kills the process.

    The arguments looked at are 32-bit for the kernel, or their upper halves mean nothing to it.
    """
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, machine.audit),
        (_RETURN, 0, 0, KILL),
        (_LOAD, 0, 0, _NUMBER),
        # x32 calls carry x86-64's audit name and differ by this bit; no other number is as great.
        (_JUMP_GREATER_EQUAL, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, KILL),
    ]
    for number in machine.plain.values():
        program += _if_equal(number, [(_RETURN, 0, 0, ALLOW)])
    program += _if_equal(machine.read, _only({0: (read_descriptor,)}))
    program += _if_equal(machine.write, _only({0: (write_descriptor,)}))
    program += _if_equal(machine.mmap, _only({2: _PROT_NONE_TO_WRITE, 3: _MAP_PRIVATE_ANONYMOUS}))
    program += _if_equal(machine.madvise, _only({2: _MADV_DONTNEED_AND_FREE}))
    program += _if_equal(machine.futex, _only({1: _FUTEX_WAIT_AND_WAKE}))
    program.append((_RETURN, 0, 0, KILL))
    return program


def _if_equal(value: int, then: list[Instruction]) -> list[Instruction]:
    """Run `then` if `value` is loaded, else go on behind it."""
    return [(_JUMP_EQUAL, 0, len(then), value), *then]


def _only(accepted: dict[int, tuple[int, ...]]) -> list[Instruction]:
    """Allow the call if each argument, by its index, has one of the values accepted, else kill."""
    program: list[Instruction] = []
    for index, values in accepted.items():
        # Both machines are little-endian: the low word stands first.
        program.append((_LOAD, 0, 0, _ARGUMENTS + 8 * index))
        for left, value in zip(range(len(values) - 1, -1, -1), values, strict=True):
            program.append((_JUMP_EQUAL, left + 1, 0, value))
        program.append((_RETURN, 0, 0, KILL))
    return [*program, (_RETURN, 0, 0, ALLOW)]


class _SockFilter(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _SockProgram(ctypes.Structure):
    _fields_ = (("size", ctypes.c_uint16), ("filter", ctypes.POINTER(_SockFilter)))


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def lock_down(read_descriptor: int, write_descriptor: int, parent: int, *, insecure: bool) -> None:
    """Lock this process for good, leaving it the two descriptors.

    `parent` is the process id that started it: should that process be gone already, nobody would
    end this one. With `insecure` a kernel without seccomp filters is accepted.
    Raises `LockdownFailed`.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _control(libc, "PR_SET_PDEATHSIG", _PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    os.closerange(max(read_descriptor, write_descriptor) + 1, DESCRIPTORS_MAX)
    _control(libc, "PR_SET_DUMPABLE", _PR_SET_DUMPABLE, 0)
    _control(libc, "PR_SET_NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)
    for limit, value in (
        (resource.RLIMIT_AS, ADDRESS_SPACE_MAX),
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    _give_up_capabilities(libc)
    try:
        _install(libc, read_descriptor, write_descriptor)
    except LockdownFailed:
        if not insecure:
            raise


def _give_up_capabilities(libc: ctypes.CDLL) -> None:
    """Empty the effective, permitted and inheritable sets, which count if the node runs as root."""
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if libc.capset(ctypes.byref(header), ctypes.byref(nothing)) != 0:
        raise LockdownFailed("capset", ctypes.get_errno())


def _install(libc: ctypes.CDLL, read_descriptor: int, write_descriptor: int) -> None:
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise LockdownFailed(f"seccomp filter for {platform.machine()}", errno.ENOSYS)
    program = filter_program(machine, read_descriptor, write_descriptor)
    instructions = (_SockFilter * len(program))(*(_SockFilter(*each) for each in program))
    pointer = ctypes.byref(_SockProgram(len(program), instructions))
    _control(libc, "PR_SET_SECCOMP", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, pointer)


def _control(
    libc: ctypes.CDLL, step: str, option: int, argument: int, pointer: object = None
) -> None:
    # prctl reads unsigned longs; a plain integer goes as a C int, whose upper half may be stale.
    zero = ctypes.c_ulong(0)
    third = zero if pointer is None else pointer
    if libc.prctl(option, ctypes.c_ulong(argument), third, zero, zero) != 0:
        raise LockdownFailed(step, ctypes.get_errno())
