"""What a `.qproof` can claim of a header, and the bytes of each claim.

    claim     [1, contract, key, value or nil, state proof]           state; nil = absent
              [2, receipt, transaction path, receipt path, call]      transaction
              [3]                                                     the header itself
              [4, [[contract, key, value or nil]...], state proof]    many entries of the state
              [5, earlier header, path, consistency path]             the history since a header
    call      nil, or [outcome, sides, path]

Only the form is read here: types, sizes, one byte form for one claim. What makes a claim true is
`ledger.proofs`' matter. Headers, receipts, outcomes and values are byte strings holding their own
canonical form, for that is what is hashed. A path is its hashes in one byte string, from the leaf
upwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from ledger import canonical, fields
from ledger.block import BlockHeader
from ledger.errors import FieldError
from ledger.hashing import DIGEST_SIZE
from ledger.merkle import PATH_MAX
from ledger.receipt import CallOutcome, Receipt, check_code, check_status
from ledger.state_multiproof import KEYS_MAX, Asked, StateMultiProof
from ledger.state_proof import StateProof, state_key_hash, state_value_hash
from ledger.types import Digest, Gas

CONTRACT_SIZE_MAX: Final = 128
KEY_SIZE_MAX: Final = 4096
"""Longest names that fit in a file; contracts keep to far shorter ones."""

VALUE_SIZE_MAX: Final = 4 << 20
"""Largest value read; a file has the same bound."""

CLAIM_STATE: Final = 1
CLAIM_TRANSACTION: Final = 2
CLAIM_HEADER: Final = 3
CLAIM_STATES: Final = 4
CLAIM_CONSISTENCY: Final = 5

Path: TypeAlias = tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class StateClaim:
    """What the state after the block holds at (contract, key): canonical bytes, or nothing."""

    contract: str
    key: str
    value: bytes | None
    path: StateProof

    def to_value(self) -> list[canonical.Value]:
        return [CLAIM_STATE, self.contract, self.key, self.value, self.path.to_value()]


@dataclass(frozen=True, slots=True)
class CallClaim:
    """One call of the transaction, by its leaf in `calls_root`.

    The number of calls stands in no header, so the path names its sides itself: bit i of `sides`
    is set when hash i stands on the left.
    """

    index: int
    outcome: CallOutcome
    sides: int
    path: Path

    def to_value(self) -> list[canonical.Value]:
        return [self.outcome.leaf(self.index), self.sides, b"".join(self.path)]


@dataclass(frozen=True, slots=True)
class TransactionClaim:
    """That a transaction was executed in the block, and with which receipt."""

    receipt: Receipt
    transaction_path: Path
    receipt_path: Path
    call: CallClaim | None = None

    def to_value(self) -> list[canonical.Value]:
        return [
            CLAIM_TRANSACTION,
            self.receipt.encode(),
            b"".join(self.transaction_path),
            b"".join(self.receipt_path),
            self.call.to_value() if self.call else None,
        ]


@dataclass(frozen=True, slots=True)
class Entry:
    """What the state holds at (contract, key): canonical bytes, or nothing."""

    contract: str
    key: str
    value: bytes | None

    def asked(self) -> Asked:
        """Its place and leaf in the state tree. Raises `EncodingError` for lone surrogates."""
        value_hash = None if self.value is None else state_value_hash(self.value)
        return Asked(state_key_hash(self.contract, self.key), value_hash)


@dataclass(frozen=True, slots=True)
class StatesClaim:
    """What the state after the block holds at many places, ascending by key hash."""

    entries: tuple[Entry, ...]
    proof: StateMultiProof

    def to_value(self) -> list[canonical.Value]:
        rows: list[canonical.Value] = [[e.contract, e.key, e.value] for e in self.entries]
        return [CLAIM_STATES, rows, self.proof.to_value()]


@dataclass(frozen=True, slots=True)
class ConsistencyClaim:
    """That the chain at the header has the `earlier` header in it, and all of that one's past.

    `path` leads from the earlier header to the header's history; `consistency` shows that the
    earlier one's history is the beginning of it (RFC 9162 §2.1.4). Both are empty between a header
    and itself, and the latter from block 0 on, whose history is empty.
    """

    earlier: BlockHeader
    path: Path
    consistency: Path

    def to_value(self) -> list[canonical.Value]:
        return [
            CLAIM_CONSISTENCY,
            self.earlier.encode(),
            b"".join(self.path),
            b"".join(self.consistency),
        ]


@dataclass(frozen=True, slots=True)
class HeaderClaim:
    """That the header is the chain's, and nothing more."""

    def to_value(self) -> list[canonical.Value]:
        return [CLAIM_HEADER]


Claim: TypeAlias = StateClaim | TransactionClaim | HeaderClaim | StatesClaim | ConsistencyClaim


def read_kind(value: object, field: str) -> tuple[int, list[object]]:
    """`value` as an array that begins with its kind. Raises `FieldError`."""
    row = fields.array(value, field)
    if not row:
        raise FieldError(field, "a kind", row)
    return fields.natural(row[0], f"{field}.kind"), row


def read_claim(value: object) -> Claim:
    """A claim from its array. Raises an `InvalidInput` that names what is wrong."""
    kind, row = read_kind(value, "claim")
    if kind == CLAIM_STATE:
        fields.array(row, "claim", 5)
        return StateClaim(
            contract=fields.text(row[1], "claim.contract", CONTRACT_SIZE_MAX),
            key=fields.text(row[2], "claim.key", KEY_SIZE_MAX),
            value=_value(row[3]),
            path=StateProof.from_value(row[4]),
        )
    if kind == CLAIM_TRANSACTION:
        fields.array(row, "claim", 5)
        return TransactionClaim(
            receipt=Receipt.decode(fields.binary(row[1], "claim.receipt")),
            transaction_path=read_path(row[2], "claim.transaction_path"),
            receipt_path=read_path(row[3], "claim.receipt_path"),
            call=None if row[4] is None else _call(row[4]),
        )
    if kind == CLAIM_HEADER:
        fields.array(row, "claim", 1)
        return HeaderClaim()
    if kind == CLAIM_STATES:
        fields.array(row, "claim", 3)
        return _states(row[1], row[2])
    if kind == CLAIM_CONSISTENCY:
        fields.array(row, "claim", 4)
        return ConsistencyClaim(
            earlier=read_header(row[1], "claim.earlier"),
            path=read_path(row[2], "claim.path"),
            consistency=read_path(row[3], "claim.consistency"),
        )
    raise FieldError("claim.kind", "an integer from 1 to 5", kind)


def _value(value: object) -> bytes | None:
    if value is None:
        return None
    return fields.binary(value, "claim.value", size_max=VALUE_SIZE_MAX)


def _states(entries: object, proof: object) -> StatesClaim:
    rows = [
        fields.array(row, "claim.entries", 3)
        for row in fields.bounded(entries, "claim.entries", KEYS_MAX)
    ]
    if not rows:
        raise FieldError("claim.entries", "at least one", 0)
    return StatesClaim(
        tuple(
            Entry(
                contract=fields.text(row[0], "claim.contract", CONTRACT_SIZE_MAX),
                key=fields.text(row[1], "claim.key", KEY_SIZE_MAX),
                value=_value(row[2]),
            )
            for row in rows
        ),
        StateMultiProof.from_value(proof),
    )


def _call(value: object) -> CallClaim:
    row = fields.array(value, "call", 3)
    data = fields.binary(row[0], "call.outcome", size_max=VALUE_SIZE_MAX)
    leaf = fields.array(canonical.decode(data), "call.outcome", 5)
    path = read_path(row[2], "call.path")
    return CallClaim(
        index=fields.natural(leaf[0], "call.index"),
        outcome=CallOutcome(
            status=check_status(leaf[1], "call.status"),
            code=check_code(leaf[2], "call.code"),
            gas=Gas(fields.natural(leaf[3], "call.gas")),
            result=leaf[4],  # type: ignore[arg-type]  # canonical.decode gives nothing else
        ),
        sides=fields.natural(row[1], "call.sides", (1 << len(path)) - 1),
        path=path,
    )


def read_header(value: object, field: str) -> BlockHeader:
    """A header from its bytes. Raises an `InvalidInput`."""
    return BlockHeader.decode(fields.binary(value, field))


def read_path(value: object, field: str) -> Path:
    """A path from its bytes. Raises `FieldError`."""
    data = fields.binary(value, field, size_max=PATH_MAX * DIGEST_SIZE)
    if len(data) % DIGEST_SIZE:
        raise FieldError(field, "whole hashes", len(data))
    return tuple(
        Digest(data[offset : offset + DIGEST_SIZE]) for offset in range(0, len(data), DIGEST_SIZE)
    )
