"""What a ledger holds, counted: heights, transactions, keys of each contract, bytes of each kind.

One pass over the rows and nothing computed, so this says what is there and not whether it is right
(`ledger.verification` does). Bytes are those of keys and values; on disk LevelDB compresses them
and keeps superseded ones until it compacts, so its files are another figure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ledger import schema
from ledger.store import LedgerStore
from ledger.types import Height

ROWS_A_STEP: Final = 1_000
"""Rows between two signs of life."""

KINDS: Final = {
    schema.HEADER: "headers",
    schema.RESULTS: "results",
    schema.EVENTFUL: "eventful blocks",
    schema.IDS: "unexpired ids",
    schema.LOCATION: "transactions",
    schema.HISTORY: "history tree",
    schema.STATE: "values",
    schema.TREE: "state tree",
    schema.VERSION: "superseded values",
    schema.DELETION: "deletions",
    schema.CHANGED: "changed keys",
    schema.UNDO: "undo data",
    schema.BUCKET_ROOTS: "crown hashes",
    b"M": "names of the whole",
}
"""Kinds of rows in words."""


@dataclass
class Size:
    """How many rows, and the bytes of their keys and values."""

    rows: int = 0
    bytes: int = 0


@dataclass
class Statistics:
    """The figures of one ledger; exhaust `count` first."""

    executed: Height
    decided: Height
    certified: Height
    first_kept: Height
    """The lowest block in the block files; 0 while there is none."""
    keys: Counter[str] = field(default_factory=Counter)
    """How many keys have a value, by contract."""
    rows: dict[str, Size] = field(default_factory=dict)

    @classmethod
    def of(cls, store: LedgerStore) -> Statistics:
        return cls(
            executed=store.executed_height,
            decided=store.decided_height,
            certified=store.certified_height,
            first_kept=store.first_kept_height,
        )

    @property
    def transactions(self) -> int:
        """Executed ones whose receipts are kept."""
        return self.rows.get(KINDS[schema.LOCATION], Size()).rows

    def count(self, store: LedgerStore) -> Iterator[int]:
        """Go through all rows; yield how many it were, now and then. Raises storage errors."""
        steps = 0
        for row, value in store.rows.iterate():
            size = self.rows.setdefault(KINDS.get(row[:1], "unknown"), Size())
            size.rows += 1
            size.bytes += len(row) + len(value)
            if row[:1] == schema.STATE:
                self.keys[schema.name_of(row)[0]] += 1
            steps += 1
            if steps == ROWS_A_STEP:
                yield steps
                steps = 0
        yield steps
