"""The key-value store and the log folder in memory, for tests, simulations and dry runs.

Both model power loss. `MemoryStore.after_power_loss` is the store with the unsynced batches gone;
`MemoryFolder.after_power_loss` the folder with, per file, all that was synced and any part of the
rest: a prefix, in which any 512-byte sectors may read as zero because the length or later sectors
reached the disk first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from random import Random
from typing import Final

from ledger.storage.errors import StoreFailed
from ledger.storage.interface import Batch, Snapshot

SECTOR_BYTES: Final = 512
"""The least a disk writes as a whole."""


class MemoryStore:
    """A `KeyValueStore` on a sorted list of keys."""

    def __init__(self) -> None:
        self._view = _MemoryView({}, [])
        self._synced = self._view

    def get(self, key: bytes) -> bytes | None:
        return self._view.get(key)

    def iterate(
        self,
        start: bytes = b"",
        stop: bytes | None = None,
        *,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._view.iterate(start, stop, reverse=reverse, limit=limit)

    def write(self, batch: Batch, *, sync: bool) -> None:
        # A new view each time, so that snapshots and iterations in other threads never change.
        values = dict(self._view.values)
        for key, value in batch.items():
            if value is None:
                values.pop(key, None)
            else:
                values[key] = value
        same_keys = values.keys() == self._view.values.keys()
        self._view = _MemoryView(values, self._view.keys if same_keys else sorted(values))
        if sync:
            self._synced = self._view

    def snapshot(self) -> Snapshot:
        return self._view

    def compact(self) -> None:
        pass

    def close(self) -> None:
        pass

    def after_power_loss(self) -> MemoryStore:
        """What a restart finds: every batch up to the last synced one."""
        store = MemoryStore()
        store._view = store._synced = self._synced
        return store


class _MemoryView:
    """Immutable content: the store's present one, or a snapshot."""

    def __init__(self, values: dict[bytes, bytes], keys: list[bytes]) -> None:
        self.values = values
        self.keys = keys

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def iterate(
        self,
        start: bytes = b"",
        stop: bytes | None = None,
        *,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        first = bisect_left(self.keys, start)
        last = len(self.keys) if stop is None else bisect_left(self.keys, stop)
        chosen = self.keys[first:last]
        if reverse:
            chosen.reverse()
        return ((key, self.values[key]) for key in chosen[:limit])

    def close(self) -> None:
        pass

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class MemoryFolder:
    """A `Folder` that can lose power and be told to fail."""

    def __init__(self) -> None:
        self._files: dict[str, bytearray] = {}
        self._synced_bytes: dict[str, int] = {}
        self.fail_next_sync = False

    def names(self) -> list[str]:
        return sorted(self._files)

    def create(self, name: str, content: bytes) -> None:
        self._files[name] = bytearray(content)
        self._synced_bytes[name] = len(content)

    def append(self, name: str, data: bytes) -> None:
        self._files[name] += data

    def sync(self, name: str) -> None:
        if self.fail_next_sync:
            self.fail_next_sync = False
            raise StoreFailed(name, "Input/output error")
        self._synced_bytes[name] = len(self._files[name])

    def settle(self, name: str) -> None:
        self.sync(name)

    def truncate(self, name: str, size: int) -> None:
        del self._files[name][size:]
        self._synced_bytes[name] = size

    def remove(self, name: str) -> None:
        del self._files[name], self._synced_bytes[name]

    def read(self, name: str, offset: int, size: int) -> bytes:
        if name not in self._files:
            raise StoreFailed(name, "No such file or directory")
        return bytes(self._files[name][offset : offset + size])

    def size(self, name: str) -> int:
        return len(self._files[name])

    def close(self) -> None:
        pass

    def after_power_loss(self, random: Random) -> MemoryFolder:
        """What a restart may find: `random` decides how much of the unsynced bytes arrived."""
        folder = MemoryFolder()
        for name, content in self._files.items():
            synced = self._synced_bytes[name]
            survived = content[: random.randint(synced, len(content))]
            lost_share = random.choice((0.0, 0.2, 1.0))
            start = synced
            while start < len(survived):
                end = min(start + SECTOR_BYTES - start % SECTOR_BYTES, len(survived))
                if random.random() < lost_share:
                    survived[start:end] = bytes(end - start)
                start = end
            folder.create(name, bytes(survived))
        return folder
