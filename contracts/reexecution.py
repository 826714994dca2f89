"""Executing a part of the chain again: the same block, or the same transactions under other code.

A block's outcome is a function of the state after its parent, its header's time and its
transactions in order. `reexecute` runs the first transactions of a block, or all, by the same path
as execution did (`ledger.execution`); its receipts are to be compared with the committed ones, and
are equal unless somebody's code or data is wrong, or was replaced on purpose.

To go on from one changed block to the next, what was written is laid over the state before the
first (`OverlaidState`).

Left out: where blocks and states come from (`Past`: a node over HTTP, or a ledger on disk), and
which transactions of a body were skipped: those have no receipt, and the code has no say in it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ledger import execution
from ledger.execution import (
    QUARANTINED,
    BlockContext,
    CallRunner,
    ExecutedTransaction,
    StateKey,
    StateView,
)
from ledger.receipt import Receipt
from ledger.transaction import SignedTransaction
from ledger.types import Digest, Height, TimeMs


@dataclass(frozen=True)
class PastBlock:
    """A committed block. `transactions` are those that have receipts, in order, from the first on;
    they may end early, and `receipts` with them."""

    chain_id: Digest
    height: Height
    time_ms: TimeMs
    transactions: tuple[SignedTransaction, ...]
    receipts: tuple[Receipt, ...]

    @property
    def quarantined(self) -> frozenset[Digest]:
        """Transactions that a quorum took out: no code of theirs ran. No contract can give such a
        receipt."""
        return frozenset(
            receipt.tx_id
            for receipt in self.receipts
            if (receipt.status, receipt.code) == ("rejected", QUARANTINED)
        )


def places_until(ids: Iterable[Digest], until: Digest | None) -> int:
    """How many of `ids` stand up to and with `until`; all if it is not there."""
    count = 0
    for tx_id in ids:
        count += 1
        if tx_id == until:
            break
    return count


class Past(Protocol):
    """The chain as it was. Raises what its source raises for what it does not have (any more)."""

    def block(self, height: Height, until: Digest | None = None) -> PastBlock:
        """Block `height`; if it holds transaction `until`, the part that ends with it."""
        ...

    def state(self, height: Height) -> StateView:
        """The state after block `height`."""
        ...


def reexecute(
    block: PastBlock, state: StateView, runner: CallRunner
) -> tuple[ExecutedTransaction, ...]:
    """Run the transactions of `block` on `state`, the state after its parent.

    Raises `RunnerFault`, and what `runner` and `state` raise.
    """
    context = BlockContext(block.chain_id, block.height, block.time_ms)
    transactions, quarantined = block.transactions, block.quarantined
    outcomes = execution.run_calls(context, transactions, state, runner, quarantined)
    return tuple(
        execution.with_receipt(index, index, signed, outcome)
        for index, (signed, outcome) in enumerate(zip(transactions, outcomes, strict=True))
    )


class OverlaidState:
    """A `StateView` with writes over another one."""

    def __init__(self, base: StateView) -> None:
        self._base = base
        self._entries: dict[StateKey, bytes | None] = {}
        self._written: dict[str, list[str]] = {}

    def put(self, writes: Mapping[StateKey, bytes | None]) -> None:
        """Lay `writes` over what is there: canonical value bytes, None deletes."""
        for name, data in writes.items():
            if name not in self._entries:
                insort(self._written.setdefault(name[0], []), name[1])
            self._entries[name] = data

    def get(self, contract: str, key: str) -> bytes | None:
        name = (contract, key)
        return self._entries[name] if name in self._entries else self._base.get(contract, key)

    def keys(self, contract: str, prefix: str, limit: int) -> list[str]:
        written = self._written.get(contract, [])
        at = bisect_left(written, prefix)
        over: list[str] = []
        while at < len(written) and written[at].startswith(prefix):
            over.append(written[at])
            at += 1
        # As many more as are written over: so many may be deleted.
        found = set(self._base.keys(contract, prefix, limit + len(over)))
        for key in over:
            present = self._entries[contract, key] is not None
            (found.add if present else found.discard)(key)
        return sorted(found)[:limit]
