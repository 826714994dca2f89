"""Blocks: the body that consensus orders and the header that its execution yields.

A `Body` names its transactions by the SHA-256 of their wire bytes; the bytes travel beside it and
are never re-encoded. Its digest `d` is what PRE-PREPARE, PREPARE and COMMIT vote on and it does
not change when a later view proposes the body again, so `first_view` and `proposer` say who first
proposed it. A gap left by a view change is filled by NULL, which has no body and a digest of its
own kind.

A `BlockHeader` is the signed result. It holds no view and no certificate: replicas may commit the
same `d` in different views and must still agree on the header's hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from ledger import canonical, fields
from ledger.hashing import TAG_BODY, TAG_HEADER, TAG_NULL, tagged_hash
from ledger.transaction import SignedTransaction
from ledger.types import Digest, Epoch, Height, TimeMs, View

BODY_TRANSACTIONS_MAX: Final = 10_000
"""Bound on decoding a body; genesis parameters set the smaller bound that consensus enforces."""


@dataclass(frozen=True)
class Body:
    """What a primary proposes for height `n`; `proposer` is an organisation."""

    n: Height
    first_view: View
    proposer: str
    timestamp_ms: TimeMs
    transaction_digests: tuple[Digest, ...]

    def encode(self) -> bytes:
        """Canonical `[n, first_view, proposer, timestamp_ms, [digest...]]`."""
        return canonical.encode(
            [
                self.n,
                self.first_view,
                self.proposer,
                self.timestamp_ms,
                list(self.transaction_digests),
            ]
        )

    @cached_property
    def digest(self) -> Digest:
        """The body's digest `d`."""
        return tagged_hash(TAG_BODY, self.encode())

    @classmethod
    def decode(cls, data: bytes) -> Body:
        """Decode strictly. Raises `DecodingError` or `FieldError`."""
        row = fields.array(canonical.decode(data), "body", 5)
        digests = fields.bounded(row[4], "body.transactions", BODY_TRANSACTIONS_MAX)
        return cls(
            n=Height(fields.natural(row[0], "body.n")),
            first_view=View(fields.natural(row[1], "body.first_view")),
            proposer=fields.text(row[2], "body.proposer"),
            timestamp_ms=TimeMs(fields.natural(row[3], "body.timestamp_ms")),
            transaction_digests=tuple(
                fields.digest(item, f"body.transactions[{i}]") for i, item in enumerate(digests)
            ),
        )


def null_digest(n: Height) -> Digest:
    """The digest of NULL(n), which fills a gap after a view change and holds no transaction."""
    return tagged_hash(TAG_NULL, canonical.encode([n]))


@dataclass(frozen=True)
class DecidedBlock:
    """A decided height with everything needed to execute it; `body` is None for NULL."""

    n: Height
    d: Digest
    body: Body | None
    transactions: tuple[SignedTransaction, ...]


@dataclass(frozen=True)
class BlockHeader:
    """The result of executing height `n`, in the order that is hashed.

    `parent` is the hash of header n-1, `d` the digest that was decided, `time_ms` strictly greater
    than the parent's. `tx_root` and `receipts_root` cover what was executed, `history_root` is the
    RFC 9162 tree head over headers 0..n-1. `validators_hash` names the set that votes on n,
    `next_validators_hash` the set that votes on n+1.
    """

    chain_id: Digest
    epoch: Epoch
    n: Height
    parent: Digest
    d: Digest
    time_ms: TimeMs
    tx_count: int
    tx_root: Digest
    receipts_root: Digest
    state_root: Digest
    history_root: Digest
    validators_hash: Digest
    next_validators_hash: Digest
    params_hash: Digest

    def encode(self) -> bytes:
        """Canonical array of the fields in their order."""
        return canonical.encode(
            [
                self.chain_id,
                self.epoch,
                self.n,
                self.parent,
                self.d,
                self.time_ms,
                self.tx_count,
                self.tx_root,
                self.receipts_root,
                self.state_root,
                self.history_root,
                self.validators_hash,
                self.next_validators_hash,
                self.params_hash,
            ]
        )

    @cached_property
    def hash(self) -> Digest:
        """SHA-256(TAG_HEADER || canonical header): what a CHECKPOINT signs."""
        return tagged_hash(TAG_HEADER, self.encode())

    @classmethod
    def decode(cls, data: bytes) -> BlockHeader:
        """Decode strictly. Raises `DecodingError` or `FieldError`."""
        row = fields.array(canonical.decode(data), "header", 14)
        return cls(
            chain_id=fields.digest(row[0], "header.chain_id"),
            epoch=Epoch(fields.natural(row[1], "header.epoch")),
            n=Height(fields.natural(row[2], "header.n")),
            parent=fields.digest(row[3], "header.parent"),
            d=fields.digest(row[4], "header.d"),
            time_ms=TimeMs(fields.natural(row[5], "header.time_ms")),
            tx_count=fields.natural(row[6], "header.tx_count", BODY_TRANSACTIONS_MAX),
            tx_root=fields.digest(row[7], "header.tx_root"),
            receipts_root=fields.digest(row[8], "header.receipts_root"),
            state_root=fields.digest(row[9], "header.state_root"),
            history_root=fields.digest(row[10], "header.history_root"),
            validators_hash=fields.digest(row[11], "header.validators_hash"),
            next_validators_hash=fields.digest(row[12], "header.next_validators_hash"),
            params_hash=fields.digest(row[13], "header.params_hash"),
        )
