"""The chain as it was, from the folder of a node that is stopped.

Opens what the next start would open, under the folder's lock, and makes nothing anew. What is read
is this node's own word: block files are checked against the digests that were decided, and whatever
else is wrong shows in receipts that differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.errors import Refused
from contracts.reexecution import PastBlock, places_until
from ledger.execution import StateView
from ledger.queries import TransactionResult
from ledger.store import LedgerStore
from ledger.types import Digest, Height
from node.config import load_config
from node.home import Home, load_genesis
from node.opened import open_ledger


@contextmanager
def open_home(home: Path) -> Iterator[HomePast]:
    """Open the ledger of `home`.

    Raises `HomeInUse` if its node runs, `NoDatabase`, and storage errors.
    """
    place = Home(home.resolve())
    genesis = load_genesis(place, load_config(place.config).expect_hash)
    with place.lock(), open_ledger(place, genesis) as store:
        yield HomePast(store, place.root)


class HomePast:
    """As `contracts.reexecution.Past`. Raises `NotYet`, `Pruned`, and storage errors."""

    def __init__(self, store: LedgerStore, root: Path) -> None:
        self._store = store
        self.assurance = f"from the ledger in {root}"

    @property
    def certified_height(self) -> Height:
        return self._store.certified_height

    def transaction(self, tx_id: Digest) -> TransactionResult:
        """What became of a transaction. Raises `Refused` if no certified block holds it."""
        found = self._store.transaction(tx_id)
        if found is None:
            raise Refused(f"no certified block of this ledger holds {tx_id.hex()}")
        return found

    def block(self, height: Height, until: Digest | None = None) -> PastBlock:
        header = self._store.header(height)
        results = self._store.stored_results(height)
        results = results[: places_until((each.receipt.tx_id for each in results), until)]
        signed = self._store.block(height).transactions if results else ()
        return PastBlock(
            header.chain_id,
            height,
            header.time_ms,
            tuple(signed[result.body_index] for result in results),
            tuple(result.receipt for result in results),
        )

    def state(self, height: Height) -> StateView:
        return self._store.state_view(height)
