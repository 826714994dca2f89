"""A node's waiting transactions: oldest first, relayed to all, and watched for censorship.

The rules are those of `node.mempool`, `node.relay` and `node.proposer`, and the censorship rule is
`node.censorship` itself; what is left out are the limits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

from ledger.block import Body
from ledger.genesis import Parameters
from ledger.types import Digest
from node.bodies import HeldBody
from node.censorship import CensorshipWatch
from tests.simulation.chain import BATCH

RELAY_AFTER_MS: Final = 500
"""A transaction that waits longer is relayed again each tick."""

RELAY_MAX: Final = 32
"""Most transactions relayed again in a tick."""

_TRANSACTION: Final[Any] = SimpleNamespace(raw=b"1", transaction=SimpleNamespace(block_gas=1))
"""What the censorship rule looks at in a transaction of a block."""


@dataclass(slots=True)
class Waiting:
    """One transaction of `sender`; the names are those that the censorship rule reads."""

    sender: str
    arrived_ms: int
    gas: int = 1
    size: int = 1


class Pool:
    """Transactions that wait at one node. Times are that node's clock."""

    def __init__(self) -> None:
        self.waiting: dict[Digest, Waiting] = {}
        self._held: dict[Digest, None] = {}
        self.watch = CensorshipWatch(Parameters(body_transactions_max=BATCH))

    def add(self, transaction: Digest, sender: str, now_ms: int) -> bool:
        """Whether it was new."""
        if transaction in self.waiting:
            return False
        self.waiting[transaction] = Waiting(sender, now_ms)
        return True

    def executed(self, transactions: Iterable[Digest]) -> None:
        for transaction in transactions:
            self.waiting.pop(transaction, None)
            self._held.pop(transaction, None)

    def hold(self, transactions: Iterable[Digest]) -> None:
        """They stand in a proposal in force."""
        self._held.update(dict.fromkeys(transactions))

    def release(self, transactions: Iterable[Digest]) -> None:
        for transaction in transactions:
            self._held.pop(transaction, None)

    def release_all(self) -> None:
        self._held.clear()

    def batch(self) -> list[Digest]:
        """The oldest ones that stand in no proposal."""
        chosen: list[Digest] = []
        for transaction in self.waiting:
            if transaction not in self._held:
                chosen.append(transaction)
                if len(chosen) == BATCH:
                    break
        return chosen

    def late(self, now_ms: int) -> tuple[tuple[Digest, str], ...]:
        """What is due to be relayed again, oldest first."""
        chosen: list[tuple[Digest, str]] = []
        for transaction, item in self.waiting.items():
            if now_ms - item.arrived_ms < RELAY_AFTER_MS or len(chosen) == RELAY_MAX:
                break
            chosen.append((transaction, item.sender))
        return tuple(chosen)

    def decided(self, body: Body, now_ms: int) -> None:
        held = HeldBody(body, b"", (_TRANSACTION,) * len(body.transaction_digests))
        self.watch.decided(held, now_ms)

    def passed_over(self, now_ms: int) -> list[str]:
        """Organisations that the present primary censors."""
        oldest: dict[str, Any] = {}
        for item in self.waiting.values():
            oldest.setdefault(item.sender, item)
        return self.watch.passed_over(oldest.values(), now_ms)
