"""One validator, assembled: the only door through which the API reaches the engine.

Reads go straight to `store` (it answers at or below the certified height); everything else goes
through here. Left out: HTTP, configuration, unlocking keys, process signals.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ledger import canonical
from ledger.execution import CallRunner
from ledger.genesis import Genesis
from ledger.keys import SigningKey
from ledger.store import LedgerStore
from ledger.transaction import Transaction
from ledger.types import Digest
from node.answers import (
    Admission,
    CallAnswer,
    NodeStatus,
    Readiness,
    SimulationAnswer,
    TransactionStatus,
)


@dataclass(frozen=True)
class ServiceOptions:
    """Where this validator lives and how it reaches the others.

    `home` holds `blocks/`, `ledger/` and `wal/`. `listen` is the (host, port) of the peer listener.
    `peers` overrides addresses of genesis: organisation -> ``host:port``. `observer` follows
    without voting. `record` names a file that takes every event of the replica.
    """

    home: Path
    listen: tuple[str, int]
    peers: Mapping[str, str] = field(default_factory=dict)
    observer: bool = False
    record: Path | None = None


@dataclass(frozen=True)
class PeerSecurity:
    """TLS 1.3 contexts of this validator's own certificate, as `node.tls` makes them."""

    server: ssl.SSLContext
    client: ssl.SSLContext


class NodeService:
    """A validator. `start`, use, `stop`; all methods belong to the event loop's thread."""

    def __init__(
        self,
        genesis: Genesis,
        organisation: str,
        key: SigningKey,
        security: PeerSecurity,
        store: LedgerStore,
        runner: CallRunner,
        options: ServiceOptions,
    ) -> None:
        self.genesis = genesis
        self.organisation = organisation
        self.store = store

    async def start(self) -> None:
        """Recover, listen, connect and begin to vote.

        Raises `StorageError` (disk), `IntegrityError` (damaged data), `OSError` (address in use).
        """
        raise NotImplementedError

    async def stop(self) -> None:
        """Stop voting, let the disk come to rest and close every link. A second call does nothing."""
        raise NotImplementedError

    async def stopped(self) -> str | None:
        """Wait until the engine ends; the reason if it ended by itself (full disk, damage)."""
        raise NotImplementedError

    def ready(self) -> Readiness:
        """Whether this node is in step with a quorum and takes transactions."""
        raise NotImplementedError

    def status(self) -> NodeStatus:
        raise NotImplementedError

    async def submit(self, raw_transactions: Sequence[bytes]) -> list[Admission]:
        """Check and admit transactions, one answer each in order. Never raises for bad bytes."""
        raise NotImplementedError

    def transaction_status(self, tx_id: Digest) -> TransactionStatus:
        """Where the transaction stands, from the store and the mempool."""
        raise NotImplementedError

    async def wait_committed(self, tx_id: Digest, timeout: float) -> TransactionStatus:
        """Wait until the transaction is final (committed, failed or expired), `timeout` seconds at
        most, then return its status as it is."""
        raise NotImplementedError

    async def query(
        self, contract: str, method: str, args: list[canonical.Value] | dict[str, canonical.Value]
    ) -> CallAnswer:
        """Run one method on the last certified state and keep nothing."""
        raise NotImplementedError

    async def simulate(self, transaction: Transaction) -> SimulationAnswer:
        """Run a transaction on the last certified state and keep nothing."""
        raise NotImplementedError
