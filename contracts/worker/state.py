"""What a call sees of the state: the committed entries under three layers of writes.

    call         writes of the running call, dropped if it fails
    transaction  writes of its earlier successful calls, dropped if an atomic one fails
    block        writes of earlier transactions of the block

Values are canonical bytes throughout, so no layer can share a mutable object with a contract.
Listing keys needs order: for a contract that lists, the keys written in this block are kept sorted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Protocol

Name = tuple[str, str]
"""(contract, key)."""

Writes = dict[Name, bytes | None]
"""Canonical value bytes by name; None deletes."""


class Committed(Protocol):
    """The state before the block."""

    def get(self, contract: str, key: str) -> bytes | None:
        """Canonical bytes of the value, None where there is none."""

    def keys(self, contract: str, prefix: str, limit: int) -> list[str]:
        """The first `limit` keys that begin with `prefix`, ascending by code point."""


class LayeredState:
    """Reads through the layers and collects writes. One transaction at a time."""

    def __init__(self, committed: Committed) -> None:
        self._committed = committed
        self.block: Writes = {}
        self._transaction: Writes = {}
        self._call: Writes = {}
        self._touched: dict[str, list[str]] = {}
        self.written: set[str] = set()
        """Contracts whose name space some call of the block wrote into, kept or not."""

    def get(self, contract: str, key: str) -> bytes | None:
        name = (contract, key)
        if name in self._call:
            return self._call[name]
        if name in self._transaction:
            return self._transaction[name]
        if name in self.block:
            return self.block[name]
        return self._committed.get(contract, key)

    def put(self, contract: str, key: str, data: bytes | None) -> None:
        name = (contract, key)
        self._call[name] = data
        self.written.add(contract)
        if contract in self._touched:
            touched = self._touched[contract]
            at = bisect_left(touched, key)
            if at == len(touched) or touched[at] != key:
                touched.insert(at, key)

    def keys(
        self, contract: str, prefix: str, limit: int, charge: Callable[[int], None]
    ) -> list[str]:
        """The first `limit` keys that begin with `prefix`, ascending.

        Calls `charge(looks)` as it goes: a key that this block deleted costs a look as well.
        """
        written = self._written_in_order(contract)
        start = bisect_left(written, prefix)
        asked = limit
        while True:
            committed = self._committed.keys(contract, prefix, asked)
            # Beyond a full answer's last key more committed keys may stand: look no further yet.
            last = committed[-1] if committed and len(committed) == asked else None
            found: list[str] = []
            looks = 0
            for key, is_committed in _ascending(committed, written, start, prefix, last):
                if len(found) == limit:
                    break
                looks += 1
                if self._present(contract, key, is_committed):
                    found.append(key)
            charge(looks)
            if len(found) == limit or last is None:
                return found
            asked *= 2

    def _present(self, contract: str, key: str, is_committed: bool) -> bool:
        name = (contract, key)
        for layer in (self._call, self._transaction, self.block):
            if name in layer:
                return layer[name] is not None
        return is_committed

    def _written_in_order(self, contract: str) -> list[str]:
        """Keys that this block wrote in `contract`, ascending; kept up from the first use on."""
        if contract not in self._touched:
            names = {**self.block, **self._transaction, **self._call}
            self._touched[contract] = sorted(key for owner, key in names if owner == contract)
        return self._touched[contract]

    def end_call(self, *, keep: bool) -> None:
        """Keep or drop what the call wrote."""
        if not self._call:
            return
        if keep and self._transaction:
            self._transaction.update(self._call)
        elif keep:
            self._transaction = self._call
        self._call = {}

    def end_single_call(self, *, keep: bool) -> Writes:
        """`end_call` and `end_transaction` of a transaction that is one call."""
        writes, self._call = self._call, {}
        if not keep:
            return {}
        self.block.update(writes)
        return writes

    def end_transaction(self, *, keep: bool) -> Writes:
        """Keep or drop what the transaction wrote, and return what was kept."""
        writes = self._transaction if keep else {}
        self.block.update(writes)
        self._transaction = {}
        return writes


def _ascending(
    committed: list[str], written: list[str], start: int, prefix: str, last: str | None
) -> Iterator[tuple[str, bool]]:
    """Both lists merged without duplicates, each key with whether it is committed; `written` from
    `start` on, and not beyond `last`."""
    at = start
    for key in committed:
        while at < len(written) and written[at] < key:
            yield written[at], False
            at += 1
        if at < len(written) and written[at] == key:
            at += 1
        yield key, True
    while last is None and at < len(written) and written[at].startswith(prefix):
        yield written[at], False
        at += 1
