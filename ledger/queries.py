"""Reading the ledger: blocks, results, state and events, at or below the certified height only.

A height is certified once a quorum has signed its header or a later one. What stands at or below
it never changes again, so every method here may run in any thread, beside the one that executes and
commits, and needs no lock: a reader takes `certified_height` once and reads rows that are final.
Whoever asks for more gets `NotYet`.

Left out: proofs (`ledger.proving`), and searching by fields of values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ledger import schema
from ledger.block import BlockHeader, DecidedBlock
from ledger.block_files import BlockFiles, StoredBlock
from ledger.certificate import Certificate
from ledger.errors import IntegrityError, InvalidInput
from ledger.execution import StateKey
from ledger.genesis import Genesis
from ledger.receipt import CallOutcome, Event, Receipt
from ledger.schema import StoredResult, Version
from ledger.state_rows import Entry, StateEntry
from ledger.state_store import StateStore
from ledger.storage.interface import KeyValueStore
from ledger.types import Digest, Height, TimeMs

RESULTS_CACHED: Final = 4
"""Blocks whose results are kept split into entries, about 1 MB for a thousand transactions: a
client that follows its batch asks for all of one."""

VERSIONS_MAX: Final = 1_000
"""Longest history of one key in one answer."""


class NotYet(InvalidInput):
    """A height above the certified one."""

    code = "not_yet"
    hint = "ask again once that block is certified"

    def __init__(self, n: int, certified: int) -> None:
        self.n = n
        self.certified = certified
        super().__init__(f"block {n} is not certified yet; block {certified} is")


class Pruned(InvalidInput):
    """A height whose data this node no longer keeps."""

    code = "pruned"

    def __init__(self, n: int, first: int) -> None:
        self.n = n
        self.first = first
        self.hint = f"ask for {first} or above, or ask a node that keeps all"
        super().__init__(f"block {n} is not kept on this node; the first it keeps is {first}")


class RowMissing(IntegrityError):
    """A row that must be there is not."""

    code = "row_missing"
    hint = "delete the `ledger` folder: it is made anew from the block files at the next start"

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"the database lacks {what}")


@dataclass(frozen=True, slots=True)
class TransactionResult:
    """A transaction's place in the chain and what became of it."""

    height: Height
    time_ms: TimeMs
    index: int
    body_index: int
    receipt: Receipt
    calls: tuple[CallOutcome, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event and its cursor (height, index); `index` counts the block's events from 0."""

    height: Height
    index: int
    tx_id: Digest
    event: Event


class CertifiedState:
    """The `StateView` after one certified block, for queries and simulation; any thread."""

    def __init__(self, state: StateStore, height: Height) -> None:
        self._state = state
        self.height = height

    def get(self, contract: str, key: str) -> bytes | None:
        return self._state.get_at(contract, key, self.height)

    def keys(self, contract: str, prefix: str, limit: int) -> list[str]:
        return self._state.keys_at(contract, prefix, limit, self.height)


class ChainReader:
    """The ledger for readers. Every method raises `NotYet` for a height above the certified one,
    and storage errors."""

    def __init__(
        self, genesis: Genesis, kv: KeyValueStore, blocks: BlockFiles, state: StateStore
    ) -> None:
        self.genesis = genesis
        self._kv = kv
        self._blocks = blocks
        self._state = state
        self._executed = Height(0)
        base = kv.get(schema.META_BASE)
        self._first = Height(0 if base is None else int.from_bytes(base, "big"))
        # Only certified blocks are asked for, and those never change.
        self._results = lru_cache(RESULTS_CACHED)(self._read_results)

    @property
    def first_height(self) -> Height:
        """The lowest height that readers are answered for; above 0 once older ones were given up.

        Beside it only header 0 is kept, which genesis gives.
        """
        return self._first

    @property
    def executed_height(self) -> Height:
        """The highest executed and committed block; not final until certified."""
        return self._executed

    @property
    def certified_height(self) -> Height:
        """The highest block that a certificate covers and that this node executed."""
        return min(self._executed, self._blocks.certified_height)

    def header(self, n: Height) -> BlockHeader:
        """The header of block `n`."""
        if n:
            self._check(n)
        return self.executed_header(n)

    def executed_header(self, n: Height) -> BlockHeader:
        """The header of an executed block, certified or not: for consensus, not for clients."""
        data = self._kv.get(schema.by_height(schema.HEADER, n))
        if data is None:
            raise RowMissing(f"header {n}")
        return BlockHeader.decode(data)

    def result_entries(self, n: Height) -> list[bytes]:
        """The results of block `n` as they are stored, an entry each."""
        self._check(n)
        return self._results(n)

    def state_entries(self, n: Height) -> Iterator[StateEntry]:
        """Every value after block `n`, in the order of the rows."""
        self._check(n)
        return self._state.all_entries_at(n)

    def executed_results(self, n: Height) -> list[StoredResult]:
        """The leaves of an executed block, certified or not: not for clients, either."""
        return [schema.decode_result(entry) for entry in self._read_results(n)]

    def block(self, n: Height) -> DecidedBlock:
        """The decided block with its hashes checked. Raises `Pruned`, `BlockDamaged`."""
        return self.stored_block(n).decode()

    def stored_block(self, n: Height) -> StoredBlock:
        """The decided block as bytes. Raises `Pruned`; there is no block 0."""
        self._check(n)
        if n < self._blocks.first_height:
            raise Pruned(n, self._blocks.first_height)
        return self._blocks.read(n)

    def certificate(self, n: Height) -> Certificate | None:
        """The certificate of exactly `n`; None if a later one covers it."""
        self._check(n)
        return self._blocks.certificate(n)

    def certificate_from(self, n: Height) -> Certificate | None:
        """The certificate of the lowest height >= n that has one; None before the first block."""
        self._check(n)
        found = self._blocks.certificate_from(n)
        return found if found is not None and found.n <= self.certified_height else None

    def state_view(self, n: Height) -> CertifiedState:
        """The contracts' state after block `n`."""
        self._check(n)
        return CertifiedState(self._state, n)

    def state_at(self, contract: str, key: str, n: Height) -> bytes | None:
        """The canonical value bytes at (contract, key) after block `n`, or None."""
        self._check(n)
        return self._state.get_at(contract, key, n)

    def keys_at(
        self, contract: str, prefix: str, limit: int, n: Height, after: str | None = None
    ) -> list[str]:
        """At most `limit` keys with `prefix` after block `n`, in order, beyond `after` if given."""
        self._check(n)
        return self._state.keys_at(contract, prefix, limit, n, after)

    def entry_at(self, contract: str, key: str, n: Height) -> Entry | None:
        """The entry (contract, key) after block `n`, if there is one."""
        self._check(n)
        return self._state.entry_at(contract, key, n)

    def entries_at(
        self, contract: str, limit: int, n: Height, after: str | None = None
    ) -> list[Entry]:
        """At most `limit` entries after block `n`, in the order of their keys, beyond `after`."""
        self._check(n)
        return self._state.entries_at(contract, limit, n, after)

    def changed(self, n: Height) -> list[StateKey]:
        """The (contract, key) that block `n` wrote or deleted."""
        self._check(n)
        return self._state.changed(n)

    @property
    def first_kept_height(self) -> Height:
        """The lowest block in the block files; lower ones were pruned."""
        return self._blocks.first_height

    def versions(self, contract: str, key: str, limit: int = VERSIONS_MAX) -> list[Version]:
        """The certified writes to (contract, key) as (height, value or None), newest first."""
        return self._state.versions(contract, key, self.certified_height, limit)

    def locate(self, tx_id: Digest) -> tuple[Height, int] | None:
        """Height and index of a certified transaction, or None if there is none (yet)."""
        data = self._kv.get(schema.LOCATION + tx_id)
        if data is None:
            return None
        n, index = schema.decode_location(data)
        if n < self._first:
            raise Pruned(n, self._first)
        return (n, index) if n <= self.certified_height else None

    def transaction(self, tx_id: Digest) -> TransactionResult | None:
        """What became of a certified transaction, or None if there is none (yet)."""
        place = self.locate(tx_id)
        if place is None:
            return None
        n, index = place
        result = schema.decode_result(self._results(n)[index])
        return _result(n, self.header(n).time_ms, result)

    def transaction_bytes(self, tx_id: Digest) -> bytes | None:
        """The wire bytes of a certified transaction. Raises `Pruned`."""
        place = self.locate(tx_id)
        if place is None:
            return None
        n, index = place
        result = schema.decode_result(self._results(n)[index])
        return self.stored_block(n).transactions[result.body_index]

    def receipt(self, tx_id: Digest) -> Receipt | None:
        """The receipt of a certified transaction, or None if there is none (yet)."""
        found = self.transaction(tx_id)
        return None if found is None else found.receipt

    def results(self, n: Height) -> list[TransactionResult]:
        """What became of every transaction of block `n` that has a leaf, in order."""
        time_ms = self.header(n).time_ms
        entries = map(schema.decode_result, self._results(n))
        return [_result(n, time_ms, entry) for entry in entries]

    def stored_results(self, n: Height) -> list[StoredResult]:
        """The leaves of block `n`, from which its roots are made."""
        self._check(n)
        return [schema.decode_result(entry) for entry in self._results(n)]

    def events(
        self, height: Height, index: int = 0, contract: str | None = None
    ) -> Iterator[StoredEvent]:
        """Certified events from the cursor (height, index) on, of one contract if given."""
        if height < self._first:
            raise Pruned(height, self._first)
        start = schema.by_height(schema.EVENTFUL, height)
        stop = schema.by_height(schema.EVENTFUL, self.certified_height + 1)
        for row, _ in self._kv.iterate(start, stop):
            n = schema.height_of(row)
            for event in self._events_of(n):
                skipped = n == height and event.index < index
                if not skipped and contract in (None, event.event.contract):
                    yield event

    def height_at(self, time_ms: int) -> Height | None:
        """The last certified block whose time is <= `time_ms`; None before genesis.

        Raises `Pruned` for one that is not kept.
        """
        if self.header(Height(0)).time_ms > time_ms:
            return None
        low, high = int(self._first), int(self.certified_height)
        if self.header(Height(low)).time_ms > time_ms:
            raise Pruned(low - 1, low)
        while low < high:
            middle = (low + high + 1) // 2
            if self.header(Height(middle)).time_ms <= time_ms:
                low = middle
            else:
                high = middle - 1
        return Height(low)

    def history_node(self, level: int, index: int) -> Digest:
        """A node of the history tree, for `ledger.history`'s proofs."""
        data = self._kv.get(schema.by_history(level, index))
        if data is None:
            raise RowMissing(f"history node {level}/{index}")
        return Digest(data)

    def _check(self, n: int) -> None:
        certified = self.certified_height
        if n > certified:
            raise NotYet(n, certified)
        if n < self._first:
            raise Pruned(n, self._first)

    def _read_results(self, n: Height) -> list[bytes]:
        data = self._kv.get(schema.by_height(schema.RESULTS, n))
        if data is None:
            raise RowMissing(f"the results of block {n}")
        return schema.decode_results(data)

    def _events_of(self, n: Height) -> Iterator[StoredEvent]:
        index = 0
        for entry in self._results(n):
            result = schema.decode_result(entry)
            if not result.event_leaves:
                continue
            tx_id = result.receipt.tx_id
            for event in result.events:
                yield StoredEvent(n, index, tx_id, event)
                index += 1


def _result(n: Height, time_ms: TimeMs, stored: StoredResult) -> TransactionResult:
    receipt = stored.receipt
    return TransactionResult(
        height=n,
        time_ms=time_ms,
        index=receipt.index,
        body_index=stored.body_index,
        receipt=receipt,
        calls=stored.calls,
        events=stored.events,
    )
