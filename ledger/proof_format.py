"""The bytes of a `.qproof` file: what it claims, of which header, and what anchors that header.

A proof is one canonical array. `docs/proof-format.md` describes it for authors of other verifiers;
`ledger.proofs` says what makes it valid. Here only the form is checked: types, sizes, one byte form
for one proof. Everything that can be derived is left out of the file (the certified header's hash
is not repeated in its certificate, tree sizes come from headers), so that a licence's proof fits a
QR code and nothing in it can disagree with itself.

    proof     [1, claim, header, anchor, [handover...]]

    claim     what is claimed of the header (`ledger.proof_claims`)
    anchor    [0]                                the header that the verifier trusts already
              [1, signatures]                    its own certificate
              [2, later header, path, anchor]    in the history of a later, anchored header
              [3, next header, anchor]           the parent of the next, anchored header
    handover  [header, signatures, next validators]

Headers are byte strings holding their own canonical form, for that is what is hashed. A path is its
hashes in one byte string, from the leaf upwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from ledger import canonical, fields
from ledger.block import BlockHeader
from ledger.certificate import Certificate
from ledger.errors import FieldError, InvalidInput
from ledger.proof_claims import Claim, Path, read_claim, read_header, read_kind, read_path
from ledger.types import Signature
from ledger.validators import VALIDATORS_MAX, ValidatorSet

FORMAT_VERSION: Final = 1

PROOF_SIZE_MAX: Final = 4 << 20
"""Largest file read: a large value, and `HANDOVERS_MAX` hand-overs among 64 validators."""

HANDOVERS_MAX: Final = 512
"""Changes of the validator set in one file; whoever is farther behind updates the trust file."""

ANCHOR_DEPTH_MAX: Final = 3
"""Headers between the proven one and the certified one: its child, then a later one, and room."""

ANCHOR_TRUSTED: Final = 0
ANCHOR_CERTIFICATE: Final = 1
ANCHOR_HISTORY: Final = 2
ANCHOR_PARENT: Final = 3


class ProofTooLarge(InvalidInput):
    """More bytes than any proof has."""

    code = "proof_too_large"
    hint = "ask for fewer keys in one proof"

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"a proof of {size} bytes; it may have {PROOF_SIZE_MAX}")


@dataclass(frozen=True, slots=True)
class TrustedAnchor:
    """The header is the trust anchor's own."""

    def to_value(self) -> list[canonical.Value]:
        return [ANCHOR_TRUSTED]


@dataclass(frozen=True, slots=True)
class CertificateAnchor:
    """A quorum's signatures on the header, ascending by organisation."""

    signatures: tuple[tuple[str, Signature], ...]

    def to_value(self) -> list[canonical.Value]:
        return [ANCHOR_CERTIFICATE, _signatures_value(self.signatures)]

    @classmethod
    def of(cls, certificate: Certificate) -> CertificateAnchor:
        return cls(certificate.signatures)


@dataclass(frozen=True, slots=True)
class HistoryAnchor:
    """The header is in `history_root` of `later`, which `anchor` anchors."""

    later: BlockHeader
    path: Path
    anchor: Anchor

    def to_value(self) -> list[canonical.Value]:
        return [ANCHOR_HISTORY, self.later.encode(), b"".join(self.path), self.anchor.to_value()]


@dataclass(frozen=True, slots=True)
class ParentAnchor:
    """The header is the parent of `child`, which `anchor` anchors."""

    child: BlockHeader
    anchor: Anchor

    def to_value(self) -> list[canonical.Value]:
        return [ANCHOR_PARENT, self.child.encode(), self.anchor.to_value()]


Anchor: TypeAlias = TrustedAnchor | CertificateAnchor | HistoryAnchor | ParentAnchor


@dataclass(frozen=True, slots=True)
class Handover:
    """The last header of an epoch, its certificate, and the set that votes from then on."""

    header: BlockHeader
    signatures: tuple[tuple[str, Signature], ...]
    next_validators: ValidatorSet

    def to_value(self) -> list[canonical.Value]:
        return [
            self.header.encode(),
            _signatures_value(self.signatures),
            self.next_validators.to_value(),
        ]


@dataclass(frozen=True, slots=True)
class Proof:
    """A whole `.qproof` file."""

    claim: Claim
    header: BlockHeader
    anchor: Anchor
    handovers: tuple[Handover, ...] = ()

    def encode(self) -> bytes:
        return canonical.encode(
            [
                FORMAT_VERSION,
                self.claim.to_value(),
                self.header.encode(),
                self.anchor.to_value(),
                [handover.to_value() for handover in self.handovers],
            ]
        )

    @classmethod
    def decode(cls, data: bytes) -> Proof:
        """Decode strictly. Raises an `InvalidInput` that names what is wrong."""
        if len(data) > PROOF_SIZE_MAX:
            raise ProofTooLarge(len(data))
        row = fields.array(canonical.decode(data), "proof", 5)
        if row[0] != FORMAT_VERSION or type(row[0]) is not int:
            raise FieldError("proof.version", str(FORMAT_VERSION), row[0])
        return cls(
            claim=read_claim(row[1]),
            header=read_header(row[2], "header"),
            anchor=_anchor(row[3], ANCHOR_DEPTH_MAX),
            handovers=tuple(
                _handover(item) for item in fields.bounded(row[4], "handovers", HANDOVERS_MAX)
            ),
        )


def _anchor(value: object, depth: int) -> Anchor:
    kind, row = read_kind(value, "anchor")
    if kind == ANCHOR_TRUSTED:
        fields.array(row, "anchor", 1)
        return TrustedAnchor()
    if kind == ANCHOR_CERTIFICATE:
        fields.array(row, "anchor", 2)
        return CertificateAnchor(_signatures(row[1]))
    if depth == 1:
        raise FieldError("anchor", f"at most {ANCHOR_DEPTH_MAX} nested", value)
    if kind == ANCHOR_HISTORY:
        fields.array(row, "anchor", 4)
        later = read_header(row[1], "anchor.later")
        return HistoryAnchor(later, read_path(row[2], "anchor.path"), _anchor(row[3], depth - 1))
    if kind == ANCHOR_PARENT:
        fields.array(row, "anchor", 3)
        return ParentAnchor(read_header(row[1], "anchor.child"), _anchor(row[2], depth - 1))
    raise FieldError("anchor.kind", "0, 1, 2 or 3", kind)


def _handover(value: object) -> Handover:
    row = fields.array(value, "handover", 3)
    return Handover(
        read_header(row[0], "handover.header"),
        _signatures(row[1]),
        ValidatorSet.from_value(row[2]),
    )


def _signatures(value: object) -> tuple[tuple[str, Signature], ...]:
    pairs = [
        fields.array(pair, "signatures", 2)
        for pair in fields.bounded(value, "signatures", VALIDATORS_MAX)
    ]
    return tuple(
        (
            fields.text(pair[0], "signatures.organisation"),
            fields.signature(pair[1], "signatures.signature"),
        )
        for pair in pairs
    )


def _signatures_value(signatures: tuple[tuple[str, Signature], ...]) -> list[canonical.Value]:
    return [list(pair) for pair in signatures]
