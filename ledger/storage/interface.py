"""The key-value store that the ledger is written against.

Byte keys in byte order, atomic batches, and a sync where the caller asks for one. What a store
promises, and the one test suite holds every implementation to:

- A batch is all or nothing, also across a crash.
- A batch written with `sync=True` survives power loss, and so does every batch before it.
- A batch written with `sync=False` may be lost, but only together with all batches after it.
- Reads, snapshots and iterations may run in any thread beside the one thread that writes; an
  iteration sees the store as it was when the iteration began.
- After a failed write nothing more is accepted (see `ledger.storage.errors`).

Left out on purpose: transactions that read, column families, merges, and any control of compaction
but the one after much was deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, TypeAlias

Batch: TypeAlias = Mapping[bytes, bytes | None]
"""Keys and their new values; None deletes. A mapping, so no key is written twice in a batch."""


class Reader(Protocol):
    """A view of the store: the live one, or a snapshot."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value at `key`, or None. Raises `StoreCorrupt`, `StoreFailed`."""
        ...

    def iterate(
        self,
        start: bytes = b"",
        stop: bytes | None = None,
        *,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield at most `limit` pairs with start <= key < stop, ascending or descending.

        `stop=None` means to the end of the store. Raises `StoreCorrupt`, `StoreFailed`.
        """
        ...


class Snapshot(Reader, Protocol):
    """The store as it was at one moment; holds resources until closed."""

    def close(self) -> None:
        """Release it. Reading afterwards is an error of the caller."""
        ...

    def __enter__(self) -> Snapshot: ...

    def __exit__(self, *exc: object) -> None: ...


class KeyValueStore(Reader, Protocol):
    """An ordered key-value store with atomic, optionally synced batches."""

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Apply `batch` atomically; with `sync`, return only once it survives power loss.

        Raises `StoreFull`, `StoreFailed`.
        """
        ...

    def snapshot(self) -> Snapshot:
        """Freeze the present content for reading."""
        ...

    def compact(self) -> None:
        """Give the disk back what deletions freed; a second for some 100 MB. From the one thread
        that writes. Raises `StoreCorrupt`, `StoreFull`, `StoreFailed`."""
        ...

    def close(self) -> None:
        """Release the store and its lock. A second call does nothing."""
        ...


def prefix_stop(prefix: bytes) -> bytes | None:
    """Return the smallest key above every key that starts with `prefix`; None if there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None
