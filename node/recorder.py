"""Recording what happens to the replica, so that an incident replays in a test.

Switched on by `[log] trace = true`. The event loop only hands over what is a value already (event,
signatures, effects); a thread of its own encodes and writes. As measured, a step costs the loop
1 us, the thread 25 us and the disk 230 bytes. Nobody waits for the disk: when the thread is too far
behind, steps are left out, and what follows goes into a new file that begins with a snapshot of the
replica, as each file does but the first. So every file replays by itself, and the oldest are
deleted when there are too many. A disk that fails ends the recording and nothing else.

Files are `logs/trace-NUMBER.qtrace`, in the form of `consensus.trace`; nothing is synced.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from queue import SimpleQueue
from typing import Final, TypeAlias

from consensus import trace
from consensus.config import Config, LedgerHead
from consensus.effects import Effect
from consensus.events import Event
from consensus.records import Record
from consensus.replica import Replica
from consensus.trace import Signatures
from consensus.verifier import Sign, Verifier
from ledger.types import Signature, TimeMs

log = logging.getLogger(__name__)

FILE_BYTES: Final = 32 << 20
FILES_MAX: Final = 16
"""Half a gibibyte: hours under full load (200 steps a second), a day of an idle network."""

BEHIND_MAX: Final = 20_000
"""Steps handed over and not written yet: a minute under full load, tens of megabytes."""


@dataclass(frozen=True, slots=True)
class _Begin:
    """A new file begins with this payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class _Step:
    event: Event
    signatures: tuple[Signature, ...]
    effects: Sequence[Effect]


_Item: TypeAlias = _Begin | _Step | None


class Recorder:
    """Records one replica. `sign` is the replica's key; all but the thread is the loop's."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        key: Sign,
        *,
        file_bytes: int = FILE_BYTES,
        files_max: int = FILES_MAX,
        behind_max: int = BEHIND_MAX,
    ) -> None:
        self._config = config
        self._behind_max = behind_max
        self.sign = Signatures(key)
        self.left_out = 0
        """Steps that are in no file, because the disk was too slow."""
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._too_slow = False
        self._files = _Files(folder, file_bytes, files_max)
        self._thread = threading.Thread(target=self._write, name="trace", daemon=True)
        self._thread.start()

    def recover(
        self,
        replica: Replica,
        now_ms: TimeMs,
        records: Sequence[Record],
        head: LedgerHead,
        gate: Verifier,
    ) -> list[Effect]:
        """`Replica.recover`, recorded."""
        effects, start = trace.recover(replica, now_ms, records, head, gate)
        payload = trace.start_payload(self._config, start, self.sign.take(), effects)
        self._queue.put(_Begin(payload))
        return effects

    def stepped(self, replica: Replica, event: Event, effects: Sequence[Effect]) -> None:
        """`event` was taken by `replica`, which answered `effects`."""
        signatures = self.sign.take()
        if self._files.failed:
            return
        behind = self._queue.qsize()
        if self._too_slow or behind >= self._behind_max:
            self.left_out += 1
            # Until half of it is written, so that one slow moment costs one new file.
            self._too_slow = behind > self._behind_max // 2
            if not self._too_slow:
                self._begin(replica)
            return
        self._queue.put(_Step(event, signatures, tuple(effects)))
        if self._files.full:
            self._files.full = False
            self._begin(replica)

    def _begin(self, replica: Replica) -> None:
        self._queue.put(_Begin(trace.snapshot_payload(self._config, replica)))

    def close(self) -> None:
        """Write what was handed over and end. A second call does nothing."""
        self._queue.put(None)
        self._thread.join()
        if self.left_out:
            log.warning("trace: %d steps were left out, the disk was too slow", self.left_out)

    def _write(self) -> None:
        """The thread."""
        item: _Item = None
        try:
            while (item := self._queue.get()) is not None:
                if isinstance(item, _Begin):
                    self._files.begin(item.payload)
                else:
                    self._files.append(
                        trace.step_payload(item.event, item.signatures, item.effects)
                    )
                if self._queue.empty():
                    self._files.flush()
            self._files.close()
        except Exception as error:
            # Whatever it is, it must not reach the node: this is a diagnosis, and the disk of
            # votes speaks for itself.
            self._files.failed = True
            log.warning("trace: recording ended: %s", error)
        while item is not None:
            item = self._queue.get()


class _Files:
    """The files of one recording; all but the flags belongs to the thread."""

    def __init__(self, folder: Path, file_bytes: int, files_max: int) -> None:
        self._folder = folder
        self._file_bytes = file_bytes
        self._files_max = files_max
        self._file: BufferedWriter | None = None
        self._size = 0
        self._check = trace.CHECK_START
        self.full = False
        """The file has its size; whoever notes that lets another one begin."""
        self.failed = False

    def begin(self, payload: bytes) -> None:
        self.close()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = sorted(self._folder.glob("trace-*.qtrace"))
        for old in known[: max(0, len(known) - self._files_max + 1)]:
            old.unlink()
        number = 1 + (int(known[-1].stem.removeprefix("trace-")) if known else 0)
        self._file = (self._folder / f"trace-{number:08d}.qtrace").open("xb")
        self._size = 0
        self._check = trace.CHECK_START
        self.append(payload)

    def append(self, payload: bytes) -> None:
        assert self._file is not None
        framed, self._check = trace.frame(payload, self._check)
        self._file.write(framed)
        before, self._size = self._size, self._size + len(framed)
        if before < self._file_bytes <= self._size:
            self.full = True

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
