"""What a worker remembers of the state, as the validator knows it.

The validator decides what a worker may remember, so it has to know: the state it belongs to (chain
and height), the names in it, and roughly their bytes. Remembered state is used only for the state
it belongs to; it moves on to the next block when `committed` reports the block that was run last,
with writes that this run made, or a block that wrote nothing. Any other turn forgets everything,
which costs reading a few dozen keys again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from contracts.worker import wire
from ledger.execution import StateKey
from ledger.types import Digest

BYTES_MAX: Final = 32 << 20
"""Of the worker's address space, what remembered state may take; then it starts afresh."""

ENTRY_BYTES: Final = 200
"""What an entry costs beside its key and value: three objects and a place in a dict."""

_NOT_WRITTEN: Final = object()


class Remembered:
    """Knowledge of one worker's memory."""

    def __init__(self) -> None:
        self._chain_id: Digest | None = None
        self._height = 0
        self._names: set[StateKey] = set()
        self._bytes = 0
        self._ran: tuple[int, Mapping[StateKey, bytes | None]] | None = None
        self._advancing = False

    def __contains__(self, name: StateKey) -> bool:
        return name in self._names

    def forget(self) -> None:
        """The worker is gone, or what it remembers is in doubt."""
        self._chain_id = None
        self._ran = None
        self._advancing = False
        self._names.clear()
        self._bytes = 0

    def base(self, chain_id: Digest, height: int) -> int:
        """What the worker is to do with its memory before it sees the state after block `height`:
        `wire.RESET`, `KEEP` or `ADVANCE`."""
        if (chain_id, height) != (self._chain_id, self._height) or self._bytes > BYTES_MAX:
            self.forget()
            self._chain_id, self._height = chain_id, height
            return wire.RESET
        base = wire.ADVANCE if self._advancing else wire.KEEP
        self._advancing = False
        self._ran = None
        return base

    def add(self, name: StateKey, data: bytes | None) -> None:
        """This entry was sent to the worker."""
        self._names.add(name)
        self._bytes += ENTRY_BYTES + len(name[1]) + (len(data) if data is not None else 0)

    def ran(self, height: int, writes: Mapping[StateKey, bytes | None]) -> None:
        """The worker ran block `height` and holds its `writes`, which are not remembered yet."""
        self._ran = (height, writes)

    def committed(self, height: int, writes: Mapping[StateKey, bytes | None]) -> None:
        """Block `height` with its net `writes` is in the chain."""
        if self._chain_id is None or height != self._height + 1:
            self.forget()
            return
        ran_height, ran = self._ran or (None, {})
        if any(ran.get(name, _NOT_WRITTEN) != data for name, data in writes.items()):
            self.forget()
            return
        self._height = height
        if ran_height == height:
            for name, data in ran.items():
                self.add(name, data)
            self._advancing = True
            self._ran = None
