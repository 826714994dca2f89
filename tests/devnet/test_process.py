"""A validator's process is found, signalled and waited for; a stranger's never is."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devnet import process

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)", "--home"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def pid(home: Path) -> Iterator[int]:
    """A process that looks like the node of `home`."""
    started = process.start([*SLEEPER, str(home)], home / "node.log")
    yield started
    process.send_signal(started, home, signal.SIGKILL)
    process.wait_end(started, home, 10)


def test_a_running_node_is_known_by_its_home(pid: int, home: Path) -> None:
    assert process.running(pid, home)
    assert not process.running(pid, home / "other")
    assert not process.running(None, home)


def test_a_stranger_with_the_recorded_pid_is_not_signalled(home: Path) -> None:
    assert not process.send_signal(os.getpid(), home, signal.SIGKILL)
    assert not process.send_signal(1, home, signal.SIGKILL)


def test_a_killed_node_is_gone_and_leaves_no_zombie(pid: int, home: Path) -> None:
    assert process.send_signal(pid, home, signal.SIGKILL)
    assert process.wait_end(pid, home, 10)
    assert not process.running(pid, home)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_waiting_gives_up_on_a_node_that_lives_on(pid: int, home: Path) -> None:
    assert not process.wait_end(pid, home, 0.01)
    assert process.running(pid, home)


def test_it_keeps_none_of_the_callers_descriptors(home: Path) -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    pid = process.start([*SLEEPER, str(home)], home / "node.log")
    try:
        links = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        assert not any(link.startswith("pipe:") for link in links)
        assert os.getsid(pid) == pid
    finally:
        process.send_signal(pid, home, signal.SIGKILL)
        process.wait_end(pid, home, 10)
        os.close(read_end)
        os.close(write_end)


def test_the_callers_own_settings_do_not_reach_a_node(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QIONG_PASSPHRASE_FILE", "/elsewhere")
    script = "import os; print(sorted(name for name in os.environ if name.startswith('QIONG_')))"
    pid = process.start([sys.executable, "-c", script, "--home", str(home)], home / "node.log")
    process.wait_end(pid, home, 10)
    assert process.log_tail(home / "node.log") == "[]"


def test_a_taken_port_is_named(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(process.PortTaken, match=str(port)) as caught:
            process.check_port_free(port)
    assert "--base-port" in caught.value.hint
    process.check_port_free(port)


def test_a_folder_named_node_in_the_working_directory_shadows_nothing(home: Path) -> None:
    (home / "node").mkdir()
    (home / "node" / "__init__.py").write_text("raise SystemExit('shadowed')")
    command = process.node_command(home)
    python = [*command[: command.index("-m")], "-c", "import node; print(node.__doc__[:11])"]
    ended = subprocess.run(python, cwd=home, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("The running")
