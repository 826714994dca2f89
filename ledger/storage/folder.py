"""The few things a segment log asks of a folder, and the real one.

Kept this small so that `ledger.storage.memory.MemoryFolder` can model power loss exactly: bytes
not synced may vanish or arrive in part, and a name exists after power loss only once the folder
itself was synced (man 2 fsync). Whole files appear by rename, so a segment never lacks its header.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Final, NoReturn, Protocol

from ledger.storage.errors import StoreFailed, StoreFull, StoreLocked

LOCK_NAME: Final = "IN_USE"
"""Not LOCK: LevelDB has a file of that name in its own folder."""
UNFINISHED_SUFFIX: Final = ".unfinished"


class ReadableFolder(Protocol):
    """A folder that is read. Every method may raise `StoreFailed`."""

    def names(self) -> list[str]:
        """The files in it, in ascending order, lock and unfinished files left out."""
        ...

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes of `name` from `offset`; fewer at its end. From any thread."""
        ...

    def size(self, name: str) -> int:
        """The length of `name` in bytes."""
        ...


class Folder(ReadableFolder, Protocol):
    """A folder opened for this process alone. Every method may raise `StoreFull`, `StoreFailed`."""

    def create(self, name: str, content: bytes) -> None:
        """Make `name` hold `content`: all of it or no such file, also after power loss."""
        ...

    def append(self, name: str, data: bytes) -> None:
        """Write `data` behind what `name` holds; safe only after `sync`."""
        ...

    def sync(self, name: str) -> None:
        """Return once everything appended to `name` survives power loss."""
        ...

    def settle(self, name: str) -> None:
        """Sync what an earlier process left of `name`, so that `read` finds what the disk holds."""
        ...

    def truncate(self, name: str, size: int) -> None:
        """Cut `name` to `size` bytes and sync it."""
        ...

    def remove(self, name: str) -> None:
        """Delete `name` and sync the folder."""
        ...

    def close(self) -> None:
        """Give up the lock. A second call does nothing."""
        ...


class DiskReader:
    """A folder of the file system without a lock: another process may write in it meanwhile.

    What is appended by write(2) is seen from its beginning on, so a reader finds a prefix of it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        try:
            return sorted(
                entry.name
                for entry in self._path.iterdir()
                if entry.name != LOCK_NAME and not entry.name.endswith(UNFINISHED_SUFFIX)
            )
        except OSError as error:
            _raise_typed(self._path, error)

    def read(self, name: str, offset: int, size: int) -> bytes:
        # Opened anew each time: no shared position, nothing to close when a segment is dropped.
        try:
            descriptor = os.open(self._path / name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return _read_all(descriptor, offset, size)
            finally:
                os.close(descriptor)
        except OSError as error:
            _raise_typed(self._path / name, error)

    def size(self, name: str) -> int:
        try:
            return (self._path / name).stat().st_size
        except OSError as error:
            _raise_typed(self._path / name, error)


class DiskFolder(DiskReader):
    """A folder of the file system, locked with flock(2) against a second opener.

    The lock belongs to the open file: a second `DiskFolder` is refused in this process too, and
    the kernel drops it when the process dies in whatever way.
    """

    def __init__(self, path: Path) -> None:
        """Open or create `path`. Raises `StoreLocked`, `StoreFull`, `StoreFailed`."""
        super().__init__(path)
        self._appending: tuple[str, int] | None = None
        self._lock = -1
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = lock_folder(path)
            for leftover in path.glob("*" + UNFINISHED_SUFFIX):
                leftover.unlink()
            sync_folder(path)
            sync_folder(path.parent)
        except OSError as error:
            self.close()
            _raise_typed(path, error)

    def create(self, name: str, content: bytes) -> None:
        unfinished = self._path / (name + UNFINISHED_SUFFIX)
        try:
            descriptor = os.open(
                unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
            )
            try:
                _write_all(descriptor, content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            unfinished.rename(self._path / name)
            sync_folder(self._path)
        except OSError as error:
            _raise_typed(unfinished, error)

    def append(self, name: str, data: bytes) -> None:
        try:
            _write_all(self._descriptor(name), data)
        except OSError as error:
            _raise_typed(self._path / name, error)

    def sync(self, name: str) -> None:
        try:
            os.fdatasync(self._descriptor(name))
        except OSError as error:
            _raise_typed(self._path / name, error)

    def settle(self, name: str) -> None:
        try:
            descriptor = self._descriptor(name)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            _raise_typed(self._path / name, error)

    def truncate(self, name: str, size: int) -> None:
        try:
            descriptor = self._descriptor(name)
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)
        except OSError as error:
            _raise_typed(self._path / name, error)

    def remove(self, name: str) -> None:
        try:
            self._release_if(name)
            (self._path / name).unlink()
            sync_folder(self._path)
        except OSError as error:
            _raise_typed(self._path / name, error)

    def close(self) -> None:
        if self._appending is not None:
            os.close(self._appending[1])
            self._appending = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _descriptor(self, name: str) -> int:
        """The descriptor that appends to `name`: one file is written at a time."""
        if self._appending is not None and self._appending[0] == name:
            return self._appending[1]
        descriptor = os.open(self._path / name, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        if self._appending is not None:
            os.close(self._appending[1])
        self._appending = (name, descriptor)
        return descriptor

    def _release_if(self, name: str) -> None:
        if self._appending is not None and self._appending[0] == name:
            os.close(self._appending[1])
            self._appending = None


def lock_folder(path: Path) -> int:
    """Take the lock of `path` and return the descriptor that holds it until closed.

    flock(2) and not fcntl(2): it conflicts within one process too, and closing another descriptor
    of the file does not drop it. Raises `StoreLocked` and OSError.
    """
    descriptor = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreLocked(path) from None
    return descriptor


def sync_folder(path: Path) -> None:
    """Make the names in `path` survive power loss. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _read_all(descriptor: int, offset: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0:
        part = os.pread(descriptor, size, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _raise_typed(path: Path, error: OSError) -> NoReturn:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise StoreFull(path) from error
    raise StoreFailed(path, error.strerror or str(error)) from error
