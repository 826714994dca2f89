"""Recording costs a turn nothing but the handing over, and every file replays by itself."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from consensus import trace
from consensus.config import LedgerHead
from consensus.effects import Effect
from consensus.events import Event
from consensus.replica import Replica
from ledger.types import Height, TimeMs
from node import recorder
from node.recorder import Recorder
from tests.consensus.group import Group, Solo


class Recorded(Solo):
    """A hand-driven replica with a recorder."""

    recorder: Recorder

    def step(self, event: Event) -> list[Effect]:
        effects = super().step(event)
        if hasattr(self, "recorder"):
            self.recorder.stepped(self.replica, event, effects)
        return effects

    def record(self, folder: Path, **limits: int) -> Recorder:
        """Start again, recorded."""
        key = self.group.signer(self.name)
        self.recorder = Recorder(folder, self.config, key, **limits)
        self.replica = Replica(self.config, self.recorder.sign)
        head = LedgerHead(Height(0), None, Height(0), (), {}, self.headers.get)
        now = TimeMs(self.now)
        self._note(self.recorder.recover(self.replica, now, self.wal, head, self.group.verifier))
        self.begin()
        return self.recorder


@pytest.fixture
def solo() -> Recorded:
    return Recorded(Group(), begun=False)


def steps_in(solo: Recorded, folder: Path) -> list[int]:
    """How many steps each file replays; raises if one does not."""
    files = sorted(folder.glob("*"))
    return [sum(1 for _ in trace.replay(file.read_bytes(), solo.group.check)) for file in files]


def test_what_is_recorded_replays(solo: Recorded, tmp_path: Path) -> None:
    recording = solo.record(tmp_path)
    solo.run(5)
    recording.close()
    (count,) = steps_in(solo, tmp_path)
    assert count > 40


def test_a_full_file_is_followed_by_one_that_replays_by_itself(
    solo: Recorded, tmp_path: Path
) -> None:
    recording = solo.record(tmp_path, file_bytes=20_000, files_max=3)
    for height in range(1, 60):
        solo.run(height)
        # Between turns, as in a node, the thread has time to say that a file is full.
        drained(recording)
    recording.close()
    files = sorted(tmp_path.glob("*"))
    assert len(files) == 3
    assert int(files[0].stem.removeprefix("trace-")) > 1
    assert all(file.stat().st_size < 40_000 for file in files)
    assert all(count > 10 for count in steps_in(solo, tmp_path)[:2])
    assert recording.left_out == 0


def drained(recording: Recorder) -> None:
    while not recording._queue.empty():
        threading.Event().wait(0.001)


def test_a_later_run_keeps_earlier_files(solo: Recorded, tmp_path: Path) -> None:
    for _ in range(2):
        recording = Recorded(solo.group, begun=False).record(tmp_path)
        recording.close()
    assert [file.name for file in sorted(tmp_path.glob("*"))] == [
        "trace-00000001.qtrace",
        "trace-00000002.qtrace",
    ]


def test_a_slow_disk_leaves_steps_out_and_blocks_nobody(
    solo: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    write = recorder._Files.append

    def slow(files: recorder._Files, payload: bytes) -> None:
        gate.wait(60)
        write(files, payload)

    monkeypatch.setattr(recorder._Files, "append", slow)
    recording = solo.record(tmp_path, behind_max=20)
    solo.run(4)  # while nothing is written
    assert recording.left_out > 0
    gate.set()
    drained(recording)
    solo.run(8)
    recording.close()
    assert len(steps_in(solo, tmp_path)) >= 2
    # The last file begins at a snapshot and goes on to the end.
    last = sorted(tmp_path.glob("*"))[-1].read_bytes()
    assert list(trace.replay(last, solo.group.check))[-1].event is not None


def test_a_failing_disk_ends_the_recording_and_not_the_node(
    solo: Recorded, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    occupied = tmp_path / "occupied"
    occupied.write_bytes(b"")
    recording = solo.record(occupied)
    solo.run(3)
    recording.close()
    recording.close()
    assert solo.replica.status.certified == 3
    assert "recording ended" in caplog.text
