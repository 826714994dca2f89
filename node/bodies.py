"""Bodies in hand: what this validator can persist, execute and serve.

A held body has all its transactions. It is held from the moment it is complete until its height is
certified and a while longer, so that a peer one view or a few blocks behind can still have it by
digest; later it is served from the block.

Bodies that peers sent unasked (the BODY frame beside a PRE-PREPARE) are candidates: a few per peer,
newest kept, because a liar may send any number.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from consensus.messages import BodyData
from consensus.records import BodyRecord
from ledger.block import Body, DecidedBlock
from ledger.genesis import Parameters
from ledger.hashing import TAG_BODY, tagged_hash
from ledger.transaction import SignedTransaction
from ledger.types import Digest, Height

CANDIDATES_PER_PEER: Final = 8
"""Twice the window: a primary's proposals in flight, and those just beyond."""

SERVED_AFTER_CERTIFIED: Final = 8
"""Heights a body stays in memory after its certificate; a slower peer fetches blocks."""


@dataclass(frozen=True)
class HeldBody:
    """A complete body: `encoded` is its canonical form, `transactions` stand in its order."""

    body: Body
    encoded: bytes
    transactions: tuple[SignedTransaction, ...]

    @property
    def digest(self) -> Digest:
        return self.body.digest

    @cached_property
    def raw_transactions(self) -> tuple[bytes, ...]:
        return tuple(signed.raw for signed in self.transactions)

    def record(self) -> BodyRecord:
        return BodyRecord(self.encoded, self.raw_transactions)

    def message(self) -> BodyData:
        return BodyData(self.encoded, self.raw_transactions)

    def decided(self, n: Height) -> DecidedBlock:
        return DecidedBlock(n, self.digest, self.body, self.transactions)


class Bodies:
    """Held bodies by digest, and candidates by peer and digest."""

    def __init__(self) -> None:
        self._held: dict[Digest, HeldBody] = {}
        self._candidates: dict[str, OrderedDict[Digest, BodyData]] = {}

    def __contains__(self, digest: Digest) -> bool:
        return digest in self._held

    def __iter__(self) -> Iterator[HeldBody]:
        return iter(self._held.values())

    def get(self, digest: Digest) -> HeldBody | None:
        return self._held.get(digest)

    def hold(self, held: HeldBody) -> None:
        self._held[held.digest] = held

    def transactions(self, digests: Collection[Digest]) -> dict[Digest, SignedTransaction]:
        """Which of these transactions stand in held bodies, by the SHA-256 of their bytes."""
        wanted = frozenset(digests)
        return {
            digest: signed
            for held in self._held.values()
            for digest, signed in zip(held.body.transaction_digests, held.transactions, strict=True)
            if digest in wanted
        }

    def between(self, above: Height, height: Height) -> list[HeldBody]:
        """The held bodies of heights in (above, height]."""
        return [held for held in self._held.values() if above < held.body.n <= height]

    def drop_certified(self, height: Height) -> None:
        """Blocks up to `height` are certified: drop what nobody asks for by digest any more."""
        for digest, held in list(self._held.items()):
            if held.body.n + SERVED_AFTER_CERTIFIED <= height:
                del self._held[digest]

    def propose(self, peer: str, message: BodyData) -> Digest:
        """Keep a body that `peer` sent, complete or not; its digest."""
        digest = tagged_hash(TAG_BODY, message.body)
        candidates = self._candidates.setdefault(peer, OrderedDict())
        candidates[digest] = message
        candidates.move_to_end(digest)
        while len(candidates) > CANDIDATES_PER_PEER:
            candidates.popitem(last=False)
        return digest

    def take_candidate(self, digest: Digest) -> BodyData | None:
        """Remove and return a candidate with this digest, whoever sent it."""
        found: BodyData | None = None
        for candidates in self._candidates.values():
            found = candidates.pop(digest, None) or found
        return found


def within_limits(held: HeldBody, parameters: Parameters) -> bool:
    """Whether a fresh body respects the genesis limits and names no transaction twice."""
    transactions = held.transactions
    if len(transactions) > parameters.body_transactions_max:
        return False
    if sum(len(signed.raw) for signed in transactions) > parameters.body_bytes_max:
        return False
    if sum(signed.transaction.block_gas for signed in transactions) > parameters.body_gas_max:
        return False
    return len({signed.id for signed in transactions}) == len(transactions)
