"""Transactions that wait for a block: bounded, fair between organisations, never in the way.

Every transaction here had its signatures verified. Organisations take turns, oldest first within
each, so a flood by one delays its own transactions and frames no primary as a censor. Keys that no
organisation registered share one turn: making more of them gains nothing.

Room is shared by dynamic thresholds (Choudhury and Hahne, 1998, with factor 1): one organisation
may hold at most as much as is still free. A lone flooder fills half the pool and there is always
room for another. The oldest transaction of an organisation is admitted whatever the threshold says.

One id is held once. A second set of valid signatures over the same content is the same transaction.
Left out: verification (`node.verifier_pool`), the state (the API checks roles), relaying
(`node.relay`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final, Literal, TypeAlias

from ledger.genesis import Parameters
from ledger.transaction import SignedTransaction
from ledger.types import Digest, TimeMs

TRANSACTIONS_MAX: Final = 40_000
"""About ten seconds of the throughput aimed at; what waits longer had better wait at the client."""

BYTES_MAX: Final = 128 << 20
"""Four validators share one demonstration machine, and bulk transactions are large."""

LAPSED_MAX: Final = 100_000
"""Ids remembered after their `valid_until_ms`, so that "expired" can be answered for a while."""

FINISHED_MAX: Final = 50_000
"""Transactions of late blocks remembered: ten seconds of the throughput aimed at. Later ones are
found in the ledger before they are relayed again."""

Insertion: TypeAlias = Literal["added", "known", "full", "lapsed"]


@dataclass(slots=True)
class Pending:
    """A transaction that waits. `sender` is its organisation, empty for an unregistered key.

    `arrived_ms` and `relayed_ms` are this node's clock; `relayed_ms` is None until it was sent on.
    """

    signed: SignedTransaction
    sender: str
    arrived_ms: int
    relayed_ms: int | None = None

    @property
    def gas(self) -> int:
        return self.signed.transaction.block_gas

    @property
    def size(self) -> int:
        return len(self.signed.raw)


class Mempool:
    """See the module. All times are milliseconds of UTC, given by the caller."""

    def __init__(
        self,
        parameters: Parameters,
        transactions_max: int = TRANSACTIONS_MAX,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        self._parameters = parameters
        self._transactions_max = transactions_max
        self._bytes_max = bytes_max
        self._by_id: dict[Digest, Pending] = {}
        self._by_digest: dict[Digest, Pending] = {}
        # Per sender, by arrival. A dict is the queue: ordered, and removal anywhere is cheap.
        self._waiting: dict[str, dict[Digest, Pending]] = {}
        self._held: dict[Digest, Pending] = {}
        self._counts: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        self._bytes = 0
        self._expiry: list[tuple[TimeMs, Digest]] = []
        self._lapsed: OrderedDict[Digest, TimeMs] = OrderedDict()
        self._finished: OrderedDict[Digest, TimeMs] = OrderedDict()
        self._finished_digests: OrderedDict[Digest, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def bytes(self) -> int:
        """The wire bytes of everything held."""
        return self._bytes

    @property
    def waiting(self) -> int:
        """How many are in no proposed body."""
        return len(self._by_id) - len(self._held)

    def by_id(self, tx_id: Digest) -> Pending | None:
        return self._by_id.get(tx_id)

    def by_digest(self, digest: Digest) -> Pending | None:
        return self._by_digest.get(digest)

    def knows(self, digest: Digest) -> bool:
        """Whether the transaction with this digest of its bytes is held, or was in a late block."""
        return digest in self._by_digest or digest in self._finished_digests

    def left(self, tx_id: Digest) -> TimeMs | None:
        """The `valid_until_ms` of a transaction that left lately, in a block or for its age."""
        return self._lapsed.get(tx_id) or self._finished.get(tx_id)

    def room(self, sender: str, size: int) -> bool:
        """Whether a transaction of `size` bytes of `sender` would be taken."""
        count = self._counts.get(sender, 0)
        if count == 0:
            return True
        return (
            count < self._transactions_max - len(self._by_id)
            and self._sizes[sender] + size <= self._bytes_max - self._bytes
        )

    def add(self, signed: SignedTransaction, sender: str, now_ms: int) -> Insertion:
        """Take a verified transaction; what became of it. `known` covers the same id twice."""
        if signed.id in self._by_id or signed.id in self._finished:
            return "known"
        if signed.transaction.valid_until_ms < now_ms:
            return "lapsed"
        if not self.room(sender, len(signed.raw)):
            return "full"
        pending = Pending(signed, sender, now_ms)
        self._by_id[signed.id] = pending
        self._by_digest[signed.digest] = pending
        self._waiting.setdefault(sender, {})[signed.digest] = pending
        self._counts[sender] = self._counts.get(sender, 0) + 1
        self._sizes[sender] = self._sizes.get(sender, 0) + pending.size
        self._bytes += pending.size
        heappush(self._expiry, (signed.transaction.valid_until_ms, signed.id))
        return "added"

    def take(self, now_ms: int) -> list[Pending]:
        """Choose the next body's transactions in turn, within the genesis limits; holds them.

        Whatever can't fit ends its sender's turn, so that big transactions are not passed over
        forever by small ones.
        """
        limits = self._parameters
        gas, size = limits.body_gas_max, limits.body_bytes_max
        chosen: list[Pending] = []
        turns = [iter(queue.values()) for queue in self._waiting.values()]
        while turns and len(chosen) < limits.body_transactions_max:
            still: list[Iterator[Pending]] = []
            for turn in turns:
                pending = next(turn, None)
                if pending is None or pending.gas > gas or pending.size > size:
                    continue
                still.append(turn)
                if pending.signed.transaction.valid_until_ms < now_ms:
                    continue
                chosen.append(pending)
                gas -= pending.gas
                size -= pending.size
                if len(chosen) == limits.body_transactions_max:
                    break
            turns = still
        self.hold(pending.signed.digest for pending in chosen)
        self._rotate()
        return chosen

    def full_body_waits(self) -> bool:
        """Whether what waits fills a body by count; a cheap lower bound for the other limits."""
        return self.waiting >= self._parameters.body_transactions_max

    def hold(self, digests: Iterable[Digest]) -> None:
        """Keep these out of further bodies: a proposed body names them."""
        for digest in digests:
            pending = self._by_digest.get(digest)
            if pending is not None and digest not in self._held:
                self._leave_queue(pending)
                self._held[digest] = pending

    def release(self, digests: Iterable[Digest]) -> None:
        """Let these wait again, before those that arrived after them: their body was dropped."""
        again: dict[str, dict[Digest, Pending]] = {}
        for digest in digests:
            pending = self._held.pop(digest, None)
            if pending is not None:
                again.setdefault(pending.sender, {})[digest] = pending
        for sender, queue in again.items():
            merged = queue | self._waiting.get(sender, {})
            self._waiting[sender] = dict(
                sorted(merged.items(), key=lambda item: item[1].arrived_ms)
            )

    def release_all(self) -> None:
        self.release(list(self._held))

    def finish(self, transactions: Iterable[SignedTransaction]) -> None:
        """These were in a certified block, executed or skipped: drop them, and refuse them for a
        while, since a relay may bring them late."""
        for signed in transactions:
            pending = self._by_id.get(signed.id)
            if pending is not None:
                self._drop(pending)
            self._finished[signed.id] = signed.transaction.valid_until_ms
            self._finished_digests[signed.digest] = None
        while len(self._finished) > FINISHED_MAX:
            self._finished.popitem(last=False)
        while len(self._finished_digests) > FINISHED_MAX:
            self._finished_digests.popitem(last=False)

    def expire(self, now_ms: int) -> int:
        """Drop what no block can take any more; how many. A held one is left to its body."""
        dropped = 0
        kept: list[tuple[TimeMs, Digest]] = []
        while self._expiry and self._expiry[0][0] < now_ms:
            until, tx_id = heappop(self._expiry)
            pending = self._by_id.get(tx_id)
            if pending is None:
                continue
            if pending.signed.digest in self._held:
                kept.append((until, tx_id))
                continue
            self._drop(pending)
            self._lapsed[tx_id] = until
            dropped += 1
        for entry in kept:
            heappush(self._expiry, entry)
        while len(self._lapsed) > LAPSED_MAX:
            self._lapsed.popitem(last=False)
        return dropped

    def oldest_arrival_ms(self) -> int | None:
        """When the oldest waiting transaction arrived; None if nothing waits."""
        return min((pending.arrived_ms for pending in self.oldest()), default=None)

    def oldest(self) -> Iterator[Pending]:
        """The oldest waiting transaction of each organisation."""
        return (next(iter(queue.values())) for queue in self._waiting.values())

    def to_relay(self, before_ms: int, count_max: int, bytes_max: int) -> list[Pending]:
        """Waiting transactions neither received nor sent on since `before_ms`, in turn by age."""
        chosen: list[Pending] = []
        for queue in self._waiting.values():
            share = max(1, count_max // len(self._waiting))
            for pending in queue.values():
                if share == 0 or pending.arrived_ms > before_ms:
                    break
                if pending.relayed_ms is not None and pending.relayed_ms > before_ms:
                    continue
                if pending.size > bytes_max:
                    return chosen
                bytes_max -= pending.size
                share -= 1
                chosen.append(pending)
        return chosen

    def _rotate(self) -> None:
        """Let another sender begin the next body."""
        if len(self._waiting) > 1:
            first = next(iter(self._waiting))
            self._waiting[first] = self._waiting.pop(first)

    def _leave_queue(self, pending: Pending) -> None:
        queue = self._waiting[pending.sender]
        del queue[pending.signed.digest]
        if not queue:
            del self._waiting[pending.sender]

    def _drop(self, pending: Pending) -> None:
        digest = pending.signed.digest
        if self._held.pop(digest, None) is None:
            self._leave_queue(pending)
        del self._by_id[pending.signed.id], self._by_digest[digest]
        self._bytes -= pending.size
        self._sizes[pending.sender] -= pending.size
        self._counts[pending.sender] -= 1
        if self._counts[pending.sender] == 0:
            del self._counts[pending.sender], self._sizes[pending.sender]
