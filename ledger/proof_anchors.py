"""What anchors a header, checked: from the trust anchor over hand-overs to a quorum's signatures.

A header is anchored when it carries exactly a quorum of its validators' signatures, or stands in
the history of an anchored later header, or is the parent of an anchored one, or is the very header
that the verifier trusts. The validators who signed are those of the trust anchor, or follow from
them by hand-overs, each signed by the set before it. Epochs before the anchor's are not taken from
certificates: retired keys could forge them.

Left out: what is claimed of the header, and verdicts (`ledger.proofs`).
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger import merkle
from ledger.block import BlockHeader
from ledger.certificate import Certificate
from ledger.errors import IntegrityError, InvalidInput
from ledger.proof_format import (
    CertificateAnchor,
    Handover,
    HistoryAnchor,
    ParentAnchor,
    Proof,
    TrustedAnchor,
)
from ledger.trust import TrustAnchor
from ledger.types import Epoch, Height, Signature
from ledger.validators import ValidatorSet


class ProofInvalid(InvalidInput):
    """The proof does not show what it claims."""

    code = "proof_invalid"
    hint = "the file was altered, or made for another claim; fetch it again"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class ProofUntrusted(InvalidInput):
    """The proof may be right, but nothing leads from the trust anchor to it."""

    code = "proof_untrusted"
    hint = "compare the chain and height of the trust file; fetch the proof with since=HEIGHT of it"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def check_anchor(proof: Proof, trust: TrustAnchor) -> tuple[BlockHeader, ValidatorSet]:
    """Walk up to a header that is certified or trusted, then check who signed.

    Return that header and the validators of its epoch. Raises `ProofInvalid`, `ProofUntrusted`.
    """
    header, anchor = proof.header, proof.anchor
    passed = [header]
    while isinstance(anchor, HistoryAnchor | ParentAnchor):
        if isinstance(anchor, ParentAnchor):
            _check_child(header, anchor.child)
            header = anchor.child
        else:
            _check_history(header, anchor)
            header = anchor.later
        passed.append(header)
        anchor = anchor.anchor
    if header.chain_id != trust.chain_id:
        raise ProofUntrusted("it is of another chain than the trust file")
    if isinstance(anchor, TrustedAnchor):
        if proof.handovers:
            raise ProofInvalid("it holds hand-overs that lead nowhere")
        if header.hash != trust.header_hash:
            raise ProofUntrusted("it has no certificate, and its header is not the trusted one")
        validators = trust.validators
    else:
        validators = _check_certified(header, anchor, proof.handovers, trust)
    for each in passed:
        check_trusted_height(each, trust)
    return header, validators


def check_trusted_height(header: BlockHeader, trust: TrustAnchor) -> None:
    """Raise `ProofInvalid` if an anchored `header` contradicts the trusted one."""
    if header.n == trust.height and header.hash != trust.header_hash:
        raise ProofInvalid("another header stands at the trusted height: the chain forked")


def check_inclusion(header: BlockHeader, path: Sequence[bytes], later: BlockHeader) -> None:
    """Raise `ProofInvalid` unless `path` leads from `header` to the history of `later`."""
    leaf = merkle.leaf_hash(header.hash)
    if merkle.root_from_inclusion(leaf, header.n, later.n, path) != later.history_root:
        raise ProofInvalid("the header is not in the history of the later one")
    if later.chain_id != header.chain_id:
        raise ProofInvalid("the two headers are of different chains")


def _check_child(header: BlockHeader, child: BlockHeader) -> None:
    if child.parent != header.hash or child.n != header.n + 1 or child.time_ms <= header.time_ms:
        raise ProofInvalid("the two headers are not adjacent")
    if child.chain_id != header.chain_id:
        raise ProofInvalid("the two headers are of different chains")


def _check_history(header: BlockHeader, anchor: HistoryAnchor) -> None:
    check_inclusion(header, anchor.path, anchor.later)


def _check_certified(
    header: BlockHeader,
    anchor: CertificateAnchor,
    handovers: Sequence[Handover],
    trust: TrustAnchor,
) -> ValidatorSet:
    """Follow the hand-overs from the trust anchor to the header's epoch, then check its quorum.

    Return the validators of that epoch.
    """
    validators = trust.validators
    epoch, height = trust.epoch, trust.height
    for handover in handovers:
        last = handover.header
        if last.chain_id != trust.chain_id or last.epoch != epoch or last.n < height:
            raise ProofUntrusted("its hand-overs do not begin at the trust file's epoch")
        _check_quorum(last, handover.signatures, validators, trust)
        if handover.next_validators.hash != last.next_validators_hash:
            raise ProofInvalid("a hand-over names other validators than its header")
        if last.next_validators_hash == last.validators_hash:
            raise ProofInvalid("a hand-over changes nothing")
        validators = handover.next_validators
        epoch, height = Epoch(last.epoch + 1), Height(last.n + 1)
    if header.epoch != epoch:
        raise ProofUntrusted(
            f"no hand-over leads from epoch {epoch} to the certificate's epoch {header.epoch}"
        )
    if handovers and header.n < height:
        raise ProofInvalid("the certified header stands before the hand-over to its validators")
    _check_quorum(header, anchor.signatures, validators, trust)
    return validators


def _check_quorum(
    header: BlockHeader,
    signatures: tuple[tuple[str, Signature], ...],
    validators: ValidatorSet,
    trust: TrustAnchor,
) -> None:
    if validators.hash != header.validators_hash:
        raise ProofUntrusted("the header names other validators than the trust file leads to")
    try:
        Certificate(header.epoch, header.n, header.hash, signatures).verify(
            header.chain_id, validators
        )
    except IntegrityError as error:
        raise ProofInvalid(str(error)) from None
    check_trusted_height(header, trust)
