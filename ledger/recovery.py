"""Making the database follow the block files again.

Rolling forward executes the decided blocks that the database lacks, which after a crash are a few,
and after a loss or damage of the database all of them. The result is compared with the certificates
on the way, so a replica that would diverge from what a quorum signed stops before it writes that.

Left out: checking what is there without executing it (`ledger.verification`), taking blocks from
peers (`node`), and where progress is shown (`cli`).
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger.execution import CallRunner
from ledger.store import LedgerStore
from ledger.types import Height


def roll_forward(store: LedgerStore, calls: CallRunner) -> Iterator[Height]:
    """Execute and commit each decided block that the database lacks; yield its height.

    Raises `BlockDamaged`, `HeaderMismatch`, storage errors, and what `calls` raises.
    """
    while store.executed_height < store.decided_height:
        n = Height(store.executed_height + 1)
        store.commit(store.execute(store.decided_block(n).decode(), calls))
        yield n
