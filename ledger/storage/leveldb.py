"""`KeyValueStore` on LevelDB; the only importer of plyvel.

LevelDB releases the GIL in its own calls. Its own lock is not enough: a second open in one process
fails, but closes a descriptor of the lock file and so drops the fcntl lock of the first
(util/env_posix.cc, `LockFile`); `lock_folder` stands before it. Checksums are verified on each
block read from disk: a wrong byte becomes `StoreCorrupt`, never a value. Opening does not repair;
what cannot be opened is rebuilt from the block files by the caller. Opening reads little, so damage
may show much later: it is noted in the folder then (`noted_damage`), for the next opener.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import plyvel

from ledger.storage.errors import StoreCorrupt, StoreFailed, StoreFull, StoreLocked
from ledger.storage.folder import lock_folder, sync_folder
from ledger.storage.interface import Batch, Snapshot

WRITE_BUFFER_BYTES: Final = 32 * 1024 * 1024
"""Memory table before it is sorted to disk: fewer, larger files, so compaction costs less. Opening
after a crash replays at most this much."""

BLOCK_CACHE_BYTES: Final = 64 * 1024 * 1024
"""Uncompressed blocks kept for reading; four validators share one demonstration machine."""

BLOOM_BITS: Final = 10
"""Bits a key: 1 % of reads of absent keys touch the disk; most new keys are absent before."""

DAMAGED_NAME: Final = "DAMAGED"
"""A file in the store's folder that says what was found damaged; LevelDB leaves it alone."""

OPEN_FILES_MAX: Final = 512
"""Half of the usual limit of 1,024 descriptors a process; the rest is for sockets."""


_LOWEST: Final = b"\x00"
_HIGHEST: Final = b"\xff" * 16
"""Beyond every key of the ledger's: those begin with a letter."""


class LevelDBStore:
    """An open LevelDB folder. See `ledger.storage.interface.KeyValueStore`."""

    def __init__(self, path: Path) -> None:
        """Open or create the store at `path`.

        Raises `StoreLocked`, `StoreCorrupt`, `StoreFull`, `StoreFailed`.
        """
        self._path = path
        self._failed: str | None = None
        self._lock = -1
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = lock_folder(path)
            self._db: Any = plyvel.DB(
                str(path),
                create_if_missing=True,
                paranoid_checks=True,
                write_buffer_size=WRITE_BUFFER_BYTES,
                lru_cache_size=BLOCK_CACHE_BYTES,
                bloom_filter_bits=BLOOM_BITS,
                max_open_files=OPEN_FILES_MAX,
            )
            sync_folder(path.parent)
        except (plyvel.Error, OSError) as error:
            self._unlock()
            _raise_typed(path, error)

    def get(self, key: bytes) -> bytes | None:
        return _get(self._db, self._path, key)

    def iterate(
        self,
        start: bytes = b"",
        stop: bytes | None = None,
        *,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        return _iterate(self._db, self._path, start, stop, reverse, limit)

    def write(self, batch: Batch, *, sync: bool) -> None:
        if self._failed is not None:
            raise StoreFailed(self._path, f"an earlier write failed: {self._failed}")
        try:
            with self._db.write_batch(sync=sync) as target:
                put, delete = target.put, target.delete
                for key, value in batch.items():
                    if value is None:
                        delete(key)
                    else:
                        put(key, value)
        except (plyvel.Error, OSError) as error:
            self._failed = _text(error)
            _raise_typed(self._path, error)

    def snapshot(self) -> Snapshot:
        return _LevelDBSnapshot(self._db.snapshot(), self._path)

    def compact(self) -> None:
        try:
            # Twice: LevelDB 1.22 chooses the levels before it flushes the newest writes to one, and
            # these are the deletions. Without bounds plyvel 1.5.1 does nothing.
            for _ in range(2):
                self._db.compact_range(start=_LOWEST, stop=_HIGHEST)
        except (plyvel.Error, OSError) as error:
            _raise_typed(self._path, error)

    def close(self) -> None:
        self._db.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


class _LevelDBSnapshot:
    def __init__(self, source: Any, path: Path) -> None:
        self._source = source
        self._path = path

    def get(self, key: bytes) -> bytes | None:
        return _get(self._source, self._path, key)

    def iterate(
        self,
        start: bytes = b"",
        stop: bytes | None = None,
        *,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        return _iterate(self._source, self._path, start, stop, reverse, limit)

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def destroy(path: Path) -> None:
    """Delete the store at `path`, so that the next open starts empty. Raises `StoreFailed`."""
    try:
        if path.exists():
            shutil.rmtree(path)
            sync_folder(path.parent)
    except OSError as error:
        _raise_typed(path, error)


def noted_damage(path: Path) -> str | None:
    """What an earlier reader found damaged in the store at `path`, None if nothing."""
    try:
        return (path / DAMAGED_NAME).read_text("utf-8").strip()
    except OSError:
        return None


def _get(source: Any, path: Path, key: bytes) -> bytes | None:
    try:
        value: bytes | None = source.get(key, verify_checksums=True)
    except (plyvel.Error, OSError) as error:
        _raise_typed(path, error)
    return value


def _iterate(
    source: Any, path: Path, start: bytes, stop: bytes | None, reverse: bool, limit: int | None
) -> Iterator[tuple[bytes, bytes]]:
    # Made here and not at the first `next`, so that it sees the store as of the call. Backwards,
    # plyvel 1.5.1 loses the pair at `start` when given a stop too, so `_drain` ends it itself.
    first = None if reverse else start or None
    iterator = source.iterator(start=first, stop=stop, reverse=reverse, verify_checksums=True)
    return _drain(iterator, path, start, limit)


def _drain(
    iterator: Any, path: Path, start: bytes, limit: int | None
) -> Iterator[tuple[bytes, bytes]]:
    left = limit
    with iterator:
        while left is None or left > 0:
            try:
                pair: tuple[bytes, bytes] = next(iterator)
            except StopIteration:
                return
            except (plyvel.Error, OSError) as error:
                _raise_typed(path, error)
            if pair[0] < start:
                return
            yield pair
            left = None if left is None else left - 1


def _text(error: Exception) -> str:
    first = error.args[0] if error.args else ""
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(error)


def _raise_typed(path: Path, error: Exception) -> NoReturn:
    """Turn LevelDB's strings into types; plyvel keeps no error number of what LevelDB met."""
    text = _text(error)
    lowered = text.lower()
    if "lock" in lowered and ("already held" in lowered or "temporarily unavailable" in lowered):
        raise StoreLocked(path) from None
    if "no space left" in lowered or getattr(error, "errno", None) == errno.ENOSPC:
        raise StoreFull(path) from error
    if isinstance(error, plyvel.CorruptionError) or any(s in lowered for s in _DAMAGE):
        with contextlib.suppress(OSError):
            (path / DAMAGED_NAME).write_text(f"{text}\n", "utf-8")
        raise StoreCorrupt(path, text) from error
    raise StoreFailed(path, text) from error


_DAMAGE: Final = (
    "corruption",
    "missing files",
    "does not exist",
    "no such file",
    "not an sstable",
    ".ldb: invalid argument",
)
"""How LevelDB 1.22 words a folder that contradicts itself (table/format.cc, db/version_set.cc);
the last is a table that ends before a block it should hold (util/env_posix.cc)."""
