"""What code that broke out of the dialect would try, each as Python with everything imported.

An attempt says what it reached with `did(...)`; whatever it raises is how it was refused. At hand
are `libc`, `scratch` (a folder to write in), `port` (a listening socket on 127.0.0.1), `victim`
(another process), `secret_at` (where that one keeps eight bytes), `parent` (who started the
worker), and `syscall(name, ...)` for calls that the C library has no function for.

Where `kernel_may_refuse` is set, some machines allow nobody this: then the attempt without
lock-down may fail too. Left out: what would harm this machine if it succeeded (reboot, poisoned
memory). `tests/contracts/test_lockdown.py` asks the filter about every system call there is.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Attempt(NamedTuple):
    name: str
    code: str
    kernel_may_refuse: bool = False


FILES: Final = (
    Attempt("read a file", 'did(open("/etc/passwd").readline())'),
    Attempt("write a file", 'did(open(scratch + "/written", "w").write("x"))'),
    Attempt("list a folder", 'did(len(os.listdir("/")))'),
    Attempt("look at a file", 'did(os.stat("/").st_ino)'),
    Attempt("make a folder", 'did(os.mkdir(scratch + "/made"))'),
    Attempt("change the folder", 'did(os.chdir("/tmp"))'),
    Attempt("remove a file", 'did(os.unlink(scratch + "/to-remove"))'),
    Attempt("chroot", "did(os.chroot(scratch))", True),
    Attempt(
        "mount",
        'check(libc.mount(b"none", scratch.encode(), b"tmpfs", 0, None));'
        "did(libc.umount2(scratch.encode(), 2))",
        True,
    ),
    Attempt("openat2", 'did(syscall("openat2", -100, b"/etc/passwd", bytes(24), 24))', True),
)

DESCRIPTORS: Final = (
    Attempt("read another descriptor", "did(os.read(2, 1))"),
    Attempt("write another descriptor", 'did(os.write(2, b"x"))'),
    Attempt("duplicate a descriptor", "did(os.dup(0))"),
    Attempt("make a pipe", "did(os.pipe())"),
    Attempt("exhaust descriptors", "did(max(os.dup(0) for _ in range(100)))"),
    Attempt("memfd", 'did(os.memfd_create("x"))'),
    Attempt("eventfd", "did(os.eventfd(0))"),
    Attempt("fcntl", "did(fcntl.fcntl(0, fcntl.F_GETFL))"),
    Attempt("ioctl", 'did(fcntl.ioctl(0, 0x541B, b"\\0" * 4))'),
    Attempt("poll", "did(select.poll().poll(0))"),
    Attempt("scatter read", "did(libc.readv(0, None, 0))"),
    Attempt("gather write", "did(libc.writev(1, None, 0))"),
)

SOCKETS: Final = (
    Attempt("unix socket", "did(socket.socket(socket.AF_UNIX))"),
    Attempt("socket pair", "did(socket.socketpair())"),
    Attempt("internet socket", "did(socket.socket())"),
    Attempt("connect", 'did(socket.create_connection(("127.0.0.1", port), 5))'),
    Attempt("netlink socket", "did(socket.socket(16, socket.SOCK_RAW, 0))", True),
    Attempt("raw packets", "did(socket.socket(17, socket.SOCK_RAW, 0))", True),
    Attempt("the host's name", "did(socket.gethostname())"),
)

PROCESSES: Final = (
    Attempt("fork", "did(os.fork() or os._exit(0))"),
    Attempt("vfork and exec", 'did(os.posix_spawn("/bin/true", ["true"], {}))'),
    Attempt("clone", 'did(syscall("clone", signal.SIGCHLD, 0, 0, 0, 0) or os._exit(0))'),
    Attempt(
        "clone3",
        'did(syscall("clone3", struct.pack("8Q", 0, 0, 0, 0, 17, 0, 0, 0), 64) or os._exit(0))',
        True,
    ),
    Attempt(
        "start a thread",
        "thread = threading.Thread(target=did, args=(1,)); thread.start(); thread.join()",
    ),
    Attempt("exec", 'os.execv("/bin/echo", ["echo", "did it"])'),
    Attempt("run a command", 'did(subprocess.run(["/bin/true"]).returncode)'),
    Attempt("shell", 'did(os.system("true"))'),
    Attempt("signal another process", "did(os.kill(victim, signal.SIGCONT))"),
    Attempt("signal the parent", "did(os.kill(parent, 0))"),
    Attempt("signal a group", "did(os.kill(0, 0))"),
    Attempt("catch SIGSYS", "did(signal.signal(signal.SIGSYS, signal.SIG_IGN))"),
    Attempt("set an alarm", "did(signal.setitimer(signal.ITIMER_REAL, 60))"),
    Attempt("pidfd", "did(os.pidfd_open(victim))", True),
    Attempt("ptrace", "check(libc.ptrace(16, victim, 0, 0)); did(os.waitpid(victim, 0))", True),
    Attempt(
        "read another's memory",
        "here = ctypes.create_string_buffer(8);"
        "local = (ctypes.c_size_t * 2)(ctypes.addressof(here), 8);"
        "remote = (ctypes.c_size_t * 2)(secret_at, 8);"
        "check(libc.process_vm_readv(victim, local, 1, remote, 1, 0)); did(here.value)",
        True,
    ),
    Attempt(
        "write another's memory",
        'here = ctypes.create_string_buffer(b"changed!", 8);'
        "local = (ctypes.c_size_t * 2)(ctypes.addressof(here), 8);"
        "remote = (ctypes.c_size_t * 2)(secret_at, 8);"
        "did(check(libc.process_vm_writev(victim, local, 1, remote, 1, 0)))",
        True,
    ),
    Attempt("/proc/self/mem", 'did(os.open("/proc/self/mem", os.O_RDWR))'),
    Attempt(
        "another's /proc mem",
        'fd = os.open(f"/proc/{victim}/mem", os.O_RDONLY); did(os.pread(fd, 8, secret_at))',
        True,
    ),
    Attempt("the parent's environment", 'did(len(open(f"/proc/{parent}/environ").read()))', True),
    Attempt("priority", "did(os.nice(1))"),
    Attempt("who am I", "did(os.getuid())"),
    Attempt("another user", "did(os.setuid(os.getuid()))"),
)

MEMORY: Final = (
    Attempt("1 GB of memory", "did(len(bytes(1 << 30)))"),
    Attempt("map 1 GB", "did(len(mmap.mmap(-1, 1 << 30)))"),
    Attempt(
        "executable memory", "did(len(mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)))"
    ),
    Attempt(
        "make memory executable",
        "page = libc_mmap(None, 4096, 3, 0x22, -1, 0); did(check(libc.mprotect(page, 4096, 5)))",
    ),
    Attempt(
        "map over memory in use",
        "page = libc_mmap(None, 4096, 3, 0x22, -1, 0);"
        "did(libc_mmap(page, 4096, 3, 0x32, -1, 0) == page.value)",
    ),
    Attempt("shared memory", "did(len(mmap.mmap(-1, 4096)))"),
    Attempt("lock memory", "did(check(libc.mlock(ctypes.create_string_buffer(8), 8)))", True),
    Attempt(
        "other advice on memory",
        "page = libc_mmap(None, 4096, 3, 0x22, -1, 0); did(check(libc.madvise(page, 4096, 10)))",
    ),
    Attempt(
        "other futex operations",
        'word = ctypes.create_string_buffer(4); did(syscall("futex", word, 6, 0, None, None, 0))',
    ),
    Attempt("userfaultfd", 'did(syscall("userfaultfd", 1))', True),
)

KERNEL: Final = (
    Attempt("become dumpable", "did(check(libc.prctl(4, 1, 0, 0, 0)))"),
    Attempt("seccomp again", "did(check(libc.prctl(22, 1, 0, 0, 0)))"),
    Attempt("the filter, once more", 'did(syscall("seccomp", 2, 0, struct.pack("I", 0x7FFF0000)))'),
    Attempt("raise a limit", "did(resource.setrlimit(resource.RLIMIT_AS, (-1, -1)))"),
    Attempt("personality", "did(libc.personality(0x0040000))"),
    Attempt("unshare", "did(check(libc.unshare(0x10000000)))", True),
    Attempt(
        "io_uring", 'did(syscall("io_uring_setup", 1, ctypes.create_string_buffer(120)))', True
    ),
    Attempt("bpf", 'did(syscall("bpf", 0, struct.pack("5I60x", 2, 4, 8, 1, 0), 72))', True),
    Attempt("perf events", 'did(syscall("perf_event_open", bytes(128), 0, -1, -1, 0))', True),
    Attempt("keys", 'did(syscall("add_key", b"user", b"x", b"x", 1, -3))', True),
    Attempt("random numbers", "did(os.urandom(4))"),
    Attempt("sleep", "did(time.sleep(0.01))"),
    Attempt("processors", "did(os.sched_setaffinity(0, os.sched_getaffinity(0)))"),
    Attempt("x32 call", "did(check(libc.syscall(0x40000000 + 39)))", True),
)

ATTEMPTS: Final = (*FILES, *DESCRIPTORS, *SOCKETS, *PROCESSES, *MEMORY, *KERNEL)
