"""Taking a poison transaction out of a decided block, by the signatures of a quorum.

A transaction that no worker survives stops every validator at its block: no receipt can be the same
everywhere, so nobody guesses one. People look at it, and each validator whose operator agrees signs
"take this transaction out of that block". A quorum of such signatures is a `Quarantine`. It is kept
beside the block, and execution gives the transaction the receipt QUARANTINED, now and in replay.

**Why this cannot fork the chain.** A signature here is a vote on the result of block n: whoever
gives it promises to sign no header of n in which the transaction ran, and writes that down first
(`BlockFiles.append_promise`); whoever has executed n already gives none. With q promises, a header
in which it ran can collect at most f + (n - q) < q signatures. So a quarantine and a Certificate
that contradicts it never both exist while at most f validators lie; and whatever else happens,
a header needs its own Certificate. A Certificate of n that exists therefore ends the promise.

Signed bytes are `TAG_QUARANTINE || canonical [chain_id, epoch, n, d, transaction id]`: no other
chain, epoch, block or kind of message has them. Left out: storing (`ledger.block_files`), and who
asks whom (`node`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ledger import canonical, fields
from ledger.errors import IntegrityError, QiongError
from ledger.hashing import TAG_QUARANTINE
from ledger.keys import verify
from ledger.types import Digest, Epoch, Height, Signature
from ledger.validators import VALIDATORS_MAX, ValidatorSet

QUARANTINES_MAX: Final = 64
"""Transactions taken out of one block. People sign each; if there are more, the software must be
mended, not the block."""

QUARANTINE_BYTES_MAX: Final = 32 << 10
"""A quorum of 64 validators with names of 128 bytes takes 9 KB."""


class QuarantineInvalid(IntegrityError):
    """A quarantine, or one signature towards it, does not prove what it claims."""

    code = "quarantine_invalid"
    hint = "it was altered, or it belongs to another chain, block or epoch"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"quarantine: {reason}")


class QuarantineAwaited(QiongError):
    """This validator signed that `transactions` be taken out of block `n`; a quorum is not in."""

    code = "quarantine_awaited"
    hint = "when a quorum has signed: stop the node, `qiong node quarantine apply`, start it"

    def __init__(self, n: Height, transactions: Iterable[Digest]) -> None:
        self.n = n
        self.transactions = tuple(sorted(transactions))
        named = ", ".join(tx_id.hex() for tx_id in self.transactions)
        super().__init__(f"block {n} waits: this validator signed to take out {named}")


@dataclass(frozen=True, slots=True)
class Removal:
    """What is signed: transaction `tx_id` is taken out of block `n`, whose digest is `d`."""

    epoch: Epoch
    n: Height
    d: Digest
    tx_id: Digest

    def signed_bytes(self, chain_id: Digest) -> bytes:
        """The bytes that each validator signs."""
        row: list[canonical.Value] = [chain_id, self.epoch, self.n, self.d, self.tx_id]
        return TAG_QUARANTINE + canonical.encode(row)


@dataclass(frozen=True, slots=True)
class Vote:
    """One validator's signature towards a removal, unchecked."""

    removal: Removal
    signer: str
    signature: Signature

    def verify(self, chain_id: Digest, validators: ValidatorSet) -> None:
        """Raise `QuarantineInvalid` unless a validator of the set signed it for this chain."""
        if self.signer not in validators:
            raise QuarantineInvalid(f"{self.signer} is not a validator")
        key = validators.key(self.signer)
        if not verify(key, self.removal.signed_bytes(chain_id), self.signature):
            raise QuarantineInvalid(f"the signature of {self.signer} is not valid")


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Exactly q signatures on one removal, signers strictly ascending by organisation."""

    removal: Removal
    signatures: tuple[tuple[str, Signature], ...]

    @classmethod
    def of(cls, votes: Iterable[Vote], chain_id: Digest, validators: ValidatorSet) -> Quarantine:
        """Put votes on one removal together. Two of the same signer count once.

        Raises `QuarantineInvalid` if one does not verify, if they speak of different removals, or
        if they are fewer than a quorum.
        """
        found: dict[str, Vote] = {}
        for vote in votes:
            vote.verify(chain_id, validators)
            found[vote.signer] = vote
        if len({vote.removal for vote in found.values()}) > 1:
            raise QuarantineInvalid("the signatures speak of different transactions or blocks")
        if len(found) < validators.quorum:
            raise QuarantineInvalid(
                f"a quorum is {validators.quorum} validators, here are {len(found)}"
            )
        signers = sorted(found)[: validators.quorum]
        signatures = tuple((signer, found[signer].signature) for signer in signers)
        return cls(found[signers[0]].removal, signatures)

    def encode(self) -> bytes:
        """Canonical `[epoch, n, d, transaction id, [[organisation, signature]...]]`."""
        removal = self.removal
        pairs: list[canonical.Value] = [list(pair) for pair in self.signatures]
        return canonical.encode([removal.epoch, removal.n, removal.d, removal.tx_id, pairs])

    @classmethod
    def decode(cls, data: bytes) -> Quarantine:
        """Check the form only; `verify` the meaning. Raises `DecodingError`, `FieldError`."""
        fields.binary(data, "quarantine", size_max=QUARANTINE_BYTES_MAX)
        row = fields.array(canonical.decode(data), "quarantine", 5)
        pairs = [
            fields.array(pair, "quarantine.signatures", 2)
            for pair in fields.bounded(row[4], "quarantine.signatures", VALIDATORS_MAX)
        ]
        return cls(
            Removal(
                Epoch(fields.natural(row[0], "quarantine.epoch")),
                Height(fields.natural(row[1], "quarantine.n")),
                fields.digest(row[2], "quarantine.d"),
                fields.digest(row[3], "quarantine.transaction"),
            ),
            tuple(
                (
                    fields.text(pair[0], "quarantine.signer"),
                    fields.signature(pair[1], "quarantine.signature"),
                )
                for pair in pairs
            ),
        )

    def verify(self, chain_id: Digest, validators: ValidatorSet) -> None:
        """Raise `QuarantineInvalid` unless exactly a quorum of `validators` signed the removal.

        The caller still compares the removal with the block it holds.
        """
        if len(self.signatures) != validators.quorum:
            raise QuarantineInvalid(
                f"expected exactly {validators.quorum} signatures, got {len(self.signatures)}"
            )
        signers = [signer for signer, _ in self.signatures]
        if any(not before < after for before, after in pairwise(signers)):
            raise QuarantineInvalid("signers are not strictly ascending")
        for signer, signature in self.signatures:
            Vote(self.removal, signer, signature).verify(chain_id, validators)
