"""The segment log: order, rotation, torn tails, damage, power loss; on disk and in memory."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.storage import folder as folder_module
from ledger.storage.errors import LogCorrupt, StoreFailed, StoreFull, StoreLocked
from ledger.storage.folder import DiskFolder, DiskReader, Folder
from ledger.storage.memory import MemoryFolder
from ledger.storage.segments import Record, SegmentLog, read_records

HEADER = 56  # of a segment
RECORD_HEADER = 64


def payloads(first: int, count: int, size: int = 20) -> list[bytes]:
    return [f"{i}:".encode().ljust(size, b"x") for i in range(first, first + count)]


def contents(log: SegmentLog) -> list[bytes]:
    return [record.payload for record in log.records()]


def segments(path: Path) -> list[Path]:
    return sorted(path.glob("*.log"))


def filled(path: Path, count: int = 10, *, segment_bytes: int = 300) -> list[bytes]:
    """Write `count` synced records over several segments and close."""
    log = SegmentLog(DiskFolder(path), segment_bytes=segment_bytes)
    written = payloads(1, count)
    for payload in written:
        log.append([payload])
    log.sync()
    log.close()
    return written


@pytest.mark.parametrize("make", [MemoryFolder, None], ids=["memory", "disk"])
def test_records_come_back_in_order(make: type[MemoryFolder] | None, tmp_path: Path) -> None:
    folder: Folder = make() if make else DiskFolder(tmp_path)
    log = SegmentLog(folder, segment_bytes=300)
    written = [*payloads(1, 7), b"\x00" * 2000, b"z"]
    assert log.append(written[:2]) == 1
    assert log.append(written[2:7]) == 3
    assert log.append(written[7:]) == 8
    log.sync()
    assert contents(log) == written
    assert [record.sequence for record in log.records(6)] == [6, 7, 8, 9]
    assert log.read(8) == b"\x00" * 2000
    log.close()
    seen: list[Record] = []
    again = SegmentLog(folder if make else DiskFolder(tmp_path), on_record=seen.append)
    assert [record.payload for record in seen] == written == contents(again)
    assert (again.first_sequence, again.next_sequence, again.cut_bytes) == (1, 10, 0)
    again.append([b"more"])
    assert again.read(10) == b"more"
    again.close()


def test_what_is_not_kept_is_a_key_error(tmp_path: Path) -> None:
    filled(tmp_path)
    log = SegmentLog(DiskFolder(tmp_path))
    for absent in (0, 11):
        with pytest.raises(KeyError):
            log.read(absent)
    log.close()


@pytest.mark.parametrize("payload", [b"", b"x" * (64 * 1024 * 1024 + 1)])
def test_a_record_has_a_size_limit(payload: bytes) -> None:
    with pytest.raises(ValueError, match="record of"):
        SegmentLog(MemoryFolder()).append([payload])


def test_dropping_keeps_later_segments_and_the_last(tmp_path: Path) -> None:
    written = filled(tmp_path)
    log = SegmentLog(DiskFolder(tmp_path), segment_bytes=300)
    starts = [int(path.stem) for path in segments(tmp_path)]
    assert len(starts) > 3
    log.drop_before(starts[2] + 1)
    assert log.first_sequence == starts[2]
    assert contents(log) == written[starts[2] - 1 :]
    log.drop_before(10**9)
    assert log.first_sequence == starts[-1]
    log.close()
    again = SegmentLog(DiskFolder(tmp_path), segment_bytes=300)
    assert again.append([b"next"]) == 11
    assert contents(again) == [*written[starts[-1] - 1 :], b"next"]
    again.close()


def test_a_second_opener_is_refused(tmp_path: Path) -> None:
    first = DiskFolder(tmp_path)
    with pytest.raises(StoreLocked):
        DiskFolder(tmp_path)
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from ledger.storage.errors import StoreLocked\n"
        "from ledger.storage.folder import DiskFolder\n"
        "try:\n    DiskFolder(Path(sys.argv[1]))\nexcept StoreLocked:\n    raise SystemExit(7)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == 7
    first.close()
    DiskFolder(tmp_path).close()


def test_every_cut_of_the_last_record_is_a_torn_tail(tmp_path: Path) -> None:
    written = filled(tmp_path, 3, segment_bytes=10_000)
    path = segments(tmp_path)[0]
    whole = path.read_bytes()
    record = (len(whole) - HEADER) // 3
    for cut in range(1, record):
        path.write_bytes(whole[:-cut])
        log = SegmentLog(DiskFolder(tmp_path))
        assert contents(log) == written[:2]
        assert log.cut_bytes == record - cut
        log.append([b"another"])
        log.sync()
        log.close()
        again = SegmentLog(DiskFolder(tmp_path))
        assert contents(again) == [*written[:2], b"another"]
        again.close()


def test_every_flipped_bit_is_found_and_named(tmp_path: Path) -> None:
    filled(tmp_path, 4, segment_bytes=150)
    paths = segments(tmp_path)
    for path in paths:
        whole = path.read_bytes()
        for position in range(len(whole)):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << position % 8
            path.write_bytes(damaged)
            with pytest.raises(LogCorrupt) as found:
                SegmentLog(DiskFolder(tmp_path))
            assert found.value.segment == path.name
            assert found.value.offset <= position
        path.write_bytes(whole)
    SegmentLog(DiskFolder(tmp_path)).close()


def test_a_flip_after_opening_is_found_at_the_read(tmp_path: Path) -> None:
    filled(tmp_path, 2, segment_bytes=10_000)
    log = SegmentLog(DiskFolder(tmp_path))
    path = segments(tmp_path)[0]
    damaged = bytearray(path.read_bytes())
    damaged[-10] ^= 1
    path.write_bytes(damaged)
    assert log.read(1) == payloads(1, 1)[0]
    with pytest.raises(LogCorrupt, match="record 2 fails its CRC"):
        log.read(2)
    log.close()


@pytest.mark.parametrize("change", ["swap", "remove_middle", "remove_first", "rename", "short"])
def test_moved_lost_and_shortened_segments_are_damage(tmp_path: Path, change: str) -> None:
    filled(tmp_path)
    paths = segments(tmp_path)
    if change == "swap":
        first, second = paths[1].read_bytes(), paths[2].read_bytes()
        paths[1].write_bytes(second)
        paths[2].write_bytes(first)
    elif change == "remove_middle":
        paths[1].unlink()
    elif change == "remove_first":
        # Pruned logs begin later; a first segment of another log does not fit the second.
        (tmp_path / "other").mkdir()
        filled(tmp_path / "other", 1, segment_bytes=10_000)
        paths[0].write_bytes(segments(tmp_path / "other")[0].read_bytes())
    elif change == "rename":
        paths[-1].rename(paths[-1].with_stem(f"{99:020d}"))
    else:
        paths[0].write_bytes(paths[0].read_bytes()[:-5])
    with pytest.raises(LogCorrupt):
        SegmentLog(DiskFolder(tmp_path))


def test_a_zeroed_sector_is_torn_at_the_end_and_damage_once_synced() -> None:
    folder = MemoryFolder()
    log = SegmentLog(folder)
    log.append([b"a" * 3000])
    name = folder.names()[0]
    start = folder.size(name)
    log.append([b"b" * 3000])
    log.append([b"c" * 10])
    assert folder.read(name, start + 1024, 512) == b"b" * 512
    hole = start + RECORD_HEADER - (start + RECORD_HEADER) % 512 + 1024

    def damaged(log_folder: MemoryFolder) -> MemoryFolder:
        content = log_folder.read(name, 0, log_folder.size(name))
        copy = MemoryFolder()
        copy.create(name, content[:hole] + bytes(512) + content[hole + 512 :])
        return copy

    reopened = SegmentLog(damaged(folder))
    assert contents(reopened) == [b"a" * 3000]
    log.sync()
    log.append([b"d"])
    with pytest.raises(LogCorrupt) as found:
        SegmentLog(damaged(folder))
    assert found.value.offset == start


def test_a_record_of_another_log_in_its_place_is_damage() -> None:
    """Number, length and CRCs fit; only the chain of hashes tells."""
    folder, other = MemoryFolder(), MemoryFolder()
    for log_folder, second in ((folder, b"mine"), (other, b"else")):
        log = SegmentLog(log_folder)
        log.append([b"first"] if log_folder is folder else [b"start"])
        log.append([second])
    name = folder.names()[0]
    place = HEADER + RECORD_HEADER + 8
    mine, strange = (item.read(name, 0, item.size(name)) for item in (folder, other))
    spliced = MemoryFolder()
    spliced.create(name, mine[:place] + strange[place:])
    with pytest.raises(LogCorrupt, match="does not follow") as found:
        SegmentLog(spliced)
    assert found.value.offset == place


@given(st.data())
def test_power_loss_keeps_all_synced_records_and_a_prefix_of_the_rest(data: st.DataObject) -> None:
    folder = MemoryFolder()
    log = SegmentLog(folder, segment_bytes=data.draw(st.integers(100, 4000)))
    written: list[bytes] = []
    synced = 0
    sizes = st.sampled_from([1, 7, 8, 40, 500, 1500])
    for _ in range(data.draw(st.integers(1, 3))):
        for size, sync in data.draw(st.lists(st.tuples(sizes, st.booleans()), max_size=12)):
            payload = bytes([len(written) % 255 + 1]) * size
            log.append([payload])
            written.append(payload)
            if sync:
                log.sync()
                synced = len(written)
        folder = folder.after_power_loss(Random(data.draw(st.integers(0, 2**32))))
        log = SegmentLog(folder, segment_bytes=1000)
        survived = contents(log)
        # Rotation syncs the segment it leaves, so more than asked for may be safe; never less.
        assert synced <= len(survived) <= len(written)
        assert survived == written[: len(survived)]
        written, synced = survived, len(survived)


def test_a_failed_sync_is_never_retried() -> None:
    folder = MemoryFolder()
    log = SegmentLog(folder)
    log.append([b"a"])
    folder.fail_next_sync = True
    with pytest.raises(StoreFailed):
        log.sync()
    for operation in (log.sync, lambda: log.append([b"b"]), lambda: log.drop_before(1)):
        with pytest.raises(StoreFailed, match="no longer usable"):
            operation()


def test_an_error_that_is_not_the_disks_ends_the_log_too(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = MemoryFolder()
    log = SegmentLog(folder)

    def fail(*_: object) -> None:
        raise MemoryError("no room for a copy")

    monkeypatch.setattr(folder, "append", fail)
    with pytest.raises(MemoryError):
        log.append([b"a"])
    with pytest.raises(StoreFailed, match="no room for a copy"):
        log.append([b"a"])


def test_a_refused_payload_does_not_break_the_chain() -> None:
    folder = MemoryFolder()
    log = SegmentLog(folder)
    with pytest.raises(ValueError, match="a record of 0 bytes"):
        log.append([b"a", b""])
    log.append([b"b"])
    log.sync()
    assert contents(SegmentLog(folder)) == [b"b"]


def test_opening_reads_the_last_segment_from_the_disk_and_not_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path)
    last = segments(tmp_path)[-1].name
    calls: list[str] = []
    folder = DiskFolder(tmp_path)
    fsync, drop, read = os.fsync, os.posix_fadvise, folder.read

    def path_of(descriptor: int) -> str:
        return Path(f"/proc/self/fd/{descriptor}").readlink().name

    def note_sync(descriptor: int) -> None:
        calls.append(f"sync {path_of(descriptor)}")
        fsync(descriptor)

    def note_drop(descriptor: int, *advice: int) -> None:
        assert advice == (0, 0, os.POSIX_FADV_DONTNEED)
        calls.append(f"drop {path_of(descriptor)}")
        drop(descriptor, *advice)

    def note_read(name: str, offset: int, size: int) -> bytes:
        calls.append(f"read {name}")
        return read(name, offset, size)

    monkeypatch.setattr(folder_module.os, "fsync", note_sync)
    monkeypatch.setattr(folder_module.os, "posix_fadvise", note_drop)
    monkeypatch.setattr(folder, "read", note_read)
    SegmentLog(folder).close()
    begin = calls.index(f"sync {last}")
    assert calls[begin : begin + 3] == [f"sync {last}", f"drop {last}", f"read {last}"]
    assert f"read {last}" not in calls[:begin]


@pytest.mark.parametrize(
    ("number", "expected"), [(28, StoreFull), (122, StoreFull), (5, StoreFailed)]
)
def test_write_errors_have_types(
    number: int, expected: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SegmentLog(DiskFolder(tmp_path))

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(folder_module.os, "write", refuse)
    with pytest.raises(expected):
        log.append([b"a"])
    monkeypatch.undo()
    with pytest.raises(StoreFailed, match="no longer usable"):
        log.append([b"a"])
    log.close()
    again = SegmentLog(DiskFolder(tmp_path))
    assert contents(again) == []
    again.close()


@pytest.mark.parametrize("step", ["rename", "fsync"])
def test_a_crash_while_a_segment_is_made_leaves_the_log_readable(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SegmentLog(DiskFolder(tmp_path), segment_bytes=100)
    log.append([b"a" * 100])

    def die(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    target: object = Path if step == "rename" else folder_module.os
    monkeypatch.setattr(target, step, die)
    with pytest.raises(StoreFailed):
        log.append([b"b"])
    monkeypatch.undo()
    log.close()
    again = SegmentLog(DiskFolder(tmp_path), segment_bytes=100)
    assert contents(again) == [b"a" * 100]
    assert not list(tmp_path.glob("*.unfinished"))
    again.append([b"c"])
    assert contents(again) == [b"a" * 100, b"c"]
    again.close()


def test_kill_loses_nothing_synced(tmp_path: Path) -> None:
    code = (
        "import sys, itertools\nfrom pathlib import Path\n"
        "from ledger.storage.folder import DiskFolder\n"
        "from ledger.storage.segments import SegmentLog\n"
        "log = SegmentLog(DiskFolder(Path(sys.argv[1])), segment_bytes=20_000)\n"
        "while True:\n"
        "    sequence = log.append([b'%d' % log.next_sequence * 300])\n"
        "    log.sync()\n"
        "    print(sequence, flush=True)\n"
    )
    for _ in range(4):
        command = [sys.executable, "-c", code, str(tmp_path)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for _ in range(40):
            acknowledged = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        acknowledged = max([acknowledged, *(int(line) for line in child.stdout if line.strip())])
        child.stdout.close()
        child.wait()
        log = SegmentLog(DiskFolder(tmp_path))
        assert log.next_sequence > acknowledged
        assert all(record.payload == b"%d" % record.sequence * 300 for record in log.records())
        log.close()


def test_readers_in_other_threads_are_not_disturbed_by_dropping(tmp_path: Path) -> None:
    written = filled(tmp_path)
    log = SegmentLog(DiskFolder(tmp_path), segment_bytes=300)
    reading = log.records()
    assert next(reading).payload == written[0]
    log.drop_before(9)
    with pytest.raises(KeyError):
        list(reading)
    log.close()


def test_a_log_is_read_beside_its_writer(tmp_path: Path) -> None:
    """A reader finds whole records from the first on, however the two meet, and changes nothing."""
    log = SegmentLog(DiskFolder(tmp_path), segment_bytes=40_000)
    done = threading.Event()

    def write() -> None:
        for n in range(1_500):
            log.append([n.to_bytes(4, "big") * (1 + n % 200)])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    found: list[int] = []
    while not (looked_at_the_end := done.is_set()) or not found:
        found = []
        for where, record in read_records(DiskReader(tmp_path)):
            n = len(found)
            assert record.sequence == n + 1
            assert record.payload == n.to_bytes(4, "big") * (1 + n % 200), where
            found.append(n)
    writer.join()
    assert looked_at_the_end
    log.close()
    again = [record.sequence for _, record in read_records(DiskReader(tmp_path))]
    assert again == list(range(1, 1_501))


def test_reading_beside_a_writer_ends_at_a_record_that_is_not_whole(tmp_path: Path) -> None:
    log = SegmentLog(DiskFolder(tmp_path), segment_bytes=300)
    log.append([b"x" * 100])
    log.append([b"y" * 100, b"z" * 100])
    log.append([b"w" * 100])
    log.close()
    first, last = sorted(tmp_path.glob("*.log"))
    whole = last.read_bytes()
    last.write_bytes(whole[:-9])
    assert [r.payload[:1] for _, r in read_records(DiskReader(tmp_path))] == [b"x", b"y", b"z"]
    assert last.read_bytes() == whole[:-9]
    last.write_bytes(whole)
    data = first.read_bytes()
    for damaged in (data[:-9], data[:150] + bytes([data[150] ^ 1]) + data[151:]):
        first.write_bytes(damaged)
        with pytest.raises(LogCorrupt) as found:
            list(read_records(DiskReader(tmp_path)))
        assert found.value.segment == first.name
    first.write_bytes(data)
    other = SegmentLog(DiskFolder(tmp_path / "other"), segment_bytes=300)
    other.append([b"v" * 100, b"y" * 100, b"z" * 100])
    other.close()
    shutil.copy(tmp_path / "other" / first.name, first)
    with pytest.raises(LogCorrupt, match="does not continue"):
        list(read_records(DiskReader(tmp_path)))
