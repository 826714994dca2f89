"""Transactions: one or many calls, signed by one or many keys.

The wire form is an envelope, canonical `[content, [signature...]]`, where `content` is a byte
string holding canonical

    [chain_id, nonce, valid_until_ms, gas_limit, [[contract, method, args]...], atomic, [signer...]]

Signatures cover `TAG_TRANSACTION || content` and so does the id. The signatures stand outside what
is hashed, so nobody can change a transaction's id by changing how it is signed, and a receiver
verifies the very bytes it got, without encoding anything again.

There are no account sequence numbers: a random nonce makes a transaction unique and
`valid_until_ms` bounds how long its id must be remembered. Parallel clients need no coordination,
and "expired" is a definite answer. What is left out: whether the signers may do what the calls ask
(contracts decide), and whether the keys are registered (the registry knows).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, cast

from ledger import canonical, fields
from ledger.errors import FieldError, InvalidInput
from ledger.hashing import TAG_TRANSACTION, sha256, tagged_hash
from ledger.keys import ALGORITHM_ED25519, SigningKey, signature_canonical, small_order, verify
from ledger.types import Digest, Gas, PublicKey, Signature, TimeMs

CALLS_MAX: Final = 1_000
"""Calls under one signature: a department's daily batch, and still a fraction of a block."""

CALL_GAS_MIN: Final = 50
"""What any call takes of a block, be its transaction's gas limit as low as it may: finding the
contract, an outcome, and a row of the receipt are work and memory for every validator."""

SIGNERS_MAX: Final = 16
"""Signers of one transaction; each costs every validator one verification."""

TRANSACTION_GAS_MAX: Final = Gas(2_000_000)
"""About 0.5 s of contract time at worst, so a single transaction cannot outlast the timers."""

TRANSACTION_BYTES_MAX: Final = 1 << 20
"""Largest wire form; equals the largest HTTP body, so what can be posted can be relayed."""

NONCE_SIZE: Final = 16


class BadSignature(InvalidInput):
    """A signature has the right form but is not its signer's over this content."""

    code = "bad_signature"
    hint = "sign the content bytes exactly as sent, with the key listed at the same position"

    def __init__(self, position: int) -> None:
        self.position = position
        super().__init__(f"signature {position} is not valid for signer {position}")


@dataclass(frozen=True, slots=True)
class Call:
    """One method call; `args` is a list (by position) or a map (by name)."""

    contract: str
    method: str
    args: list[canonical.Value] | dict[str, canonical.Value]


@dataclass(frozen=True)
class Transaction:
    """What is signed. `valid_until_ms` is UTC in milliseconds; `atomic` means all calls or none."""

    chain_id: Digest
    nonce: bytes
    valid_until_ms: TimeMs
    gas_limit: Gas
    calls: tuple[Call, ...]
    atomic: bool
    signers: tuple[PublicKey, ...]

    @cached_property
    def content(self) -> bytes:
        """The canonical bytes that are hashed and signed."""
        return canonical.encode(
            [
                self.chain_id,
                self.nonce,
                self.valid_until_ms,
                self.gas_limit,
                [[call.contract, call.method, call.args] for call in self.calls],
                self.atomic,
                list(self.signers),
            ]
        )

    @property
    def block_gas(self) -> int:
        """What counts towards the gas of a block."""
        return max(self.gas_limit, CALL_GAS_MIN * len(self.calls))

    @cached_property
    def id(self) -> Digest:
        """SHA-256(TAG_TRANSACTION || content): known to the client before anything is sent."""
        return tagged_hash(TAG_TRANSACTION, self.content)

    @classmethod
    def from_content(cls, content: bytes) -> Transaction:
        """Decode `content` strictly. Raises `DecodingError` or `FieldError`."""
        row = fields.array(canonical.decode(content), "transaction", 7)
        transaction = cls(
            chain_id=fields.digest(row[0], "chain_id"),
            nonce=fields.binary(row[1], "nonce", NONCE_SIZE),
            valid_until_ms=TimeMs(fields.natural(row[2], "valid_until_ms")),
            gas_limit=Gas(fields.natural(row[3], "gas_limit", TRANSACTION_GAS_MAX)),
            calls=_calls(row[4]),
            atomic=fields.boolean(row[5], "atomic"),
            signers=_signers(row[6]),
        )
        transaction.__dict__["content"] = content
        return transaction


@dataclass(frozen=True)
class SignedTransaction:
    """A transaction with one signature per signer, in the signers' order, and its wire bytes."""

    transaction: Transaction
    signatures: tuple[Signature, ...]
    raw: bytes

    @property
    def id(self) -> Digest:
        return self.transaction.id

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 of the wire bytes: what a block body lists (signatures included)."""
        return sha256(self.raw)

    @classmethod
    def decode(cls, raw: bytes) -> SignedTransaction:
        """Decode wire bytes strictly; signatures are checked in form only.

        Raises `DecodingError` or `FieldError`.
        """
        if len(raw) > TRANSACTION_BYTES_MAX:
            raise FieldError("transaction", f"at most {TRANSACTION_BYTES_MAX} bytes", len(raw))
        envelope = fields.array(canonical.decode(raw), "transaction", 2)
        content = fields.binary(envelope[0], "content", size_max=TRANSACTION_BYTES_MAX)
        transaction = Transaction.from_content(content)
        rows = fields.array(envelope[1], "signatures", len(transaction.signers))
        signatures = tuple(fields.signature(row, f"signatures[{i}]") for i, row in enumerate(rows))
        for i, signature in enumerate(signatures):
            if not signature_canonical(signature):
                raise FieldError(f"signatures[{i}]", "a canonical Ed25519 signature", "S >= L")
        return cls(transaction, signatures, raw)

    def check_signatures(self) -> None:
        """Raise `BadSignature` at the first signature that is not its signer's."""
        message = TAG_TRANSACTION + self.transaction.content
        pairs = zip(self.transaction.signers, self.signatures, strict=True)
        for position, (signer, signature) in enumerate(pairs):
            if not verify(signer, message, signature):
                raise BadSignature(position)

    def signatures_valid(self) -> bool:
        """Whether every signature is its signer's."""
        try:
            self.check_signatures()
        except BadSignature:
            return False
        return True


def sign_transaction(transaction: Transaction, keys: Sequence[SigningKey]) -> SignedTransaction:
    """Sign with `keys`, which must be the transaction's signers in order."""
    if tuple(key.public for key in keys) != transaction.signers:
        raise FieldError("signers", "the public halves of the signing keys, in order", "others")
    message = TAG_TRANSACTION + transaction.content
    signatures = tuple(key.sign(message) for key in keys)
    raw = canonical.encode([transaction.content, list(signatures)])
    return SignedTransaction(transaction, signatures, raw)


def _calls(value: object) -> tuple[Call, ...]:
    rows = fields.bounded(value, "calls", CALLS_MAX)
    if not rows:
        raise FieldError("calls", "at least one call", rows)
    return tuple(_call(row, f"calls[{i}]") for i, row in enumerate(rows))


def _call(value: object, field: str) -> Call:
    row = fields.array(value, field, 3)
    args = row[2]
    if type(args) is not list and type(args) is not dict:
        raise FieldError(f"{field}.args", "a list or a map", args)
    return Call(
        fields.text(row[0], f"{field}.contract"),
        fields.text(row[1], f"{field}.method"),
        cast("list[canonical.Value] | dict[str, canonical.Value]", args),
    )


def _signers(value: object) -> tuple[PublicKey, ...]:
    rows = fields.bounded(value, "signers", SIGNERS_MAX)
    if not rows:
        raise FieldError("signers", "at least one key", rows)
    signers = tuple(fields.public_key(row, f"signers[{i}]") for i, row in enumerate(rows))
    if len(set(signers)) != len(signers):
        raise FieldError("signers", "keys without duplicates", "a key twice")
    for i, signer in enumerate(signers):
        if signer[0] != ALGORITHM_ED25519 or small_order(signer):
            raise FieldError(f"signers[{i}]", "an Ed25519 key of large order", signer.hex())
    return signers
