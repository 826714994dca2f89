"""What can go wrong on disk, one class per reason.

After any of these, except `StoreLocked` and `LogLocked`, the object that raised it is of no further
use: a failed sync says nothing about which bytes are safe, and asking again may answer "fine"
without having written them (fsyncgate, 2018). So nothing here is ever retried; the node stops
voting and exits, and the next start reads back what is really there.
"""

from __future__ import annotations

from pathlib import Path

from ledger.errors import StorageError


class StoreLocked(StorageError):
    """Another process has this folder open."""

    code = "store_locked"
    hint = "a node already runs on this folder; stop it, or give this one a folder of its own"

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        super().__init__(f"{path} is in use by another process")


class StoreFull(StorageError):
    """No space is left on the device."""

    code = "disk_full"
    hint = "free some space and start again; nothing acknowledged is lost"

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        super().__init__(f"no space left to write {path}")


class StoreCorrupt(StorageError):
    """The key-value store contradicts its own checksums or misses a part of itself."""

    code = "store_corrupt"
    hint = "start the node again: it makes this folder anew from the block files"

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = str(path)
        self.reason = reason
        super().__init__(f"{path} is damaged: {reason}")


class StoreFailed(StorageError):
    """The device or file system refused an operation (EIO and the like), or did so before."""

    code = "store_failed"
    hint = "check the disk and its logs, then start again"

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = str(path)
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class LogCorrupt(StorageError):
    """A segment holds bytes that no crash of ours leaves behind.

    `offset` is the position in `segment` of the record that does not hold, in bytes.
    """

    code = "log_corrupt"
    hint = "keep the folder for inspection; nothing in it is to be trusted from that byte on"

    def __init__(self, segment: str, offset: int, reason: str) -> None:
        self.segment = segment
        self.offset = offset
        self.reason = reason
        super().__init__(f"{segment} at byte {offset}: {reason}")
