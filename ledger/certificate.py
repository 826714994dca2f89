"""What consensus messages sign, and the certificate that a quorum of checkpoints makes.

A validator signs the header that execution gave: PBFT's CHECKPOINT with interval 1 (OSDI '99
§4.3). Exactly a quorum of such signatures is the block's certificate, and it is all that anyone
outside needs to trust a block: no view, no log, no peer.

Signed bytes are `TAG_CONSENSUS || canonical [chain_id, epoch, kind, fields...]` for every kind of
consensus message; this module knows the form and CHECKPOINT's kind, `consensus.messages` the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ledger import canonical, fields
from ledger.errors import IntegrityError
from ledger.hashing import TAG_CONSENSUS
from ledger.keys import verify
from ledger.types import Digest, Epoch, Height, PublicKey, Signature
from ledger.validators import VALIDATORS_MAX, ValidatorSet

KIND_CHECKPOINT: Final = 4


class CertificateInvalid(IntegrityError):
    """A certificate does not prove what it claims."""

    code = "certificate_invalid"
    hint = "the data was altered, or it comes from another network or epoch"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"certificate: {reason}")


def message_bytes(
    chain_id: Digest, epoch: Epoch, kind: int, message_fields: Sequence[canonical.Value]
) -> bytes:
    """The bytes a consensus message of `kind` signs."""
    return TAG_CONSENSUS + canonical.encode([chain_id, epoch, kind, *message_fields])


def checkpoint_bytes(chain_id: Digest, epoch: Epoch, n: Height, header_hash: Digest) -> bytes:
    """The bytes a CHECKPOINT for header `header_hash` at height `n` signs."""
    return message_bytes(chain_id, epoch, KIND_CHECKPOINT, [n, header_hash])


@dataclass(frozen=True)
class Certificate:
    """Exactly q CHECKPOINT signatures on one header, signers strictly ascending by organisation."""

    epoch: Epoch
    n: Height
    header_hash: Digest
    signatures: tuple[tuple[str, Signature], ...]

    def to_value(self) -> list[canonical.Value]:
        """Canonical `[epoch, n, header_hash, [[organisation, signature]...]]`."""
        pairs: list[canonical.Value] = [list(pair) for pair in self.signatures]
        return [self.epoch, self.n, self.header_hash, pairs]

    def encode(self) -> bytes:
        return canonical.encode(self.to_value())

    @classmethod
    def from_value(cls, value: object) -> Certificate:
        """Check the form only; `verify` checks the meaning. Raises `FieldError`."""
        row = fields.array(value, "certificate", 4)
        pairs = [
            fields.array(pair, f"certificate.signatures[{i}]", 2)
            for i, pair in enumerate(fields.bounded(row[3], "certificate", VALIDATORS_MAX))
        ]
        signatures = tuple(
            (
                fields.text(pair[0], "certificate.signer"),
                fields.signature(pair[1], "certificate.signature"),
            )
            for pair in pairs
        )
        fields.ascending([signer for signer, _ in signatures], "certificate.signers")
        return cls(
            epoch=Epoch(fields.natural(row[0], "certificate.epoch")),
            n=Height(fields.natural(row[1], "certificate.n")),
            header_hash=fields.digest(row[2], "certificate.header_hash"),
            signatures=signatures,
        )

    @classmethod
    def decode(cls, data: bytes) -> Certificate:
        """Decode strictly. Raises `DecodingError` or `FieldError`."""
        return cls.from_value(canonical.decode(data))

    def verify(
        self,
        chain_id: Digest,
        validators: ValidatorSet,
        check: Callable[[PublicKey, bytes, Signature], bool] = verify,
    ) -> None:
        """Raise `CertificateInvalid` unless exactly a quorum of `validators` signed this header.

        The caller still compares `epoch`, `n` and `header_hash` with the header it holds. `check`
        is the signature rule; consensus gives one that remembers what it verified.
        """
        if len(self.signatures) != validators.quorum:
            raise CertificateInvalid(
                f"expected exactly {validators.quorum} signatures, got {len(self.signatures)}"
            )
        signers = [signer for signer, _ in self.signatures]
        if any(not before < after for before, after in pairwise(signers)):
            raise CertificateInvalid("signers are not strictly ascending")
        message = checkpoint_bytes(chain_id, self.epoch, self.n, self.header_hash)
        for signer, signature in self.signatures:
            if signer not in validators:
                raise CertificateInvalid(f"{signer} is not a validator")
            if not check(validators.key(signer), message, signature):
                raise CertificateInvalid(f"the signature of {signer} is not valid")
