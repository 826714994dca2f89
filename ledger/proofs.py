"""Checking a `.qproof` offline: bytes and a trust anchor in, a verdict out.

A proof claims something of one header: an entry of the state or its absence, an executed
transaction, or the header alone. It is valid when

1. the claim's Merkle path leads to that header's root;
2. the header is anchored: it carries exactly a quorum of its validators' signatures, or stands in
   the history of an anchored later header, or is the parent of an anchored one, or is the very
   header the verifier trusts;
3. the validators who signed are those of the trust anchor, or follow from them by hand-overs, each
   signed by the set before it. Epochs before the anchor's are not taken from certificates: retired
   keys could forge them.

A licence proven to be in the state may still be revoked, suspended or over, so the verdict looks at
the value too, of contracts that the trust anchor names as attestation contracts. In force is judged
at the block's time, or at `at_ms`, which needs the parent anchor: the block's child shows that
nothing changed before its own time.

`verify` is pure (time is an argument) and total: any bytes give a verdict. What no offline proof
can exclude is a later revocation; `max_age_ms` bounds how late.

Left out: the file's form (`ledger.proof_format`), making proofs (`ledger.proof_builders`), and
words for people beyond one reason (`cli` has them).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal, TypeAlias, cast

from ledger import canonical, merkle
from ledger.block import BlockHeader
from ledger.certificate import Certificate
from ledger.errors import IntegrityError, InvalidInput, QiongError
from ledger.proof_format import (
    CertificateAnchor,
    Handover,
    HeaderClaim,
    HistoryAnchor,
    ParentAnchor,
    Proof,
    StateClaim,
    TransactionClaim,
    TrustedAnchor,
)
from ledger.state_proof import state_key_hash, state_value_hash
from ledger.trust import TrustAnchor
from ledger.types import Epoch, Height, Signature
from ledger.validators import ValidatorSet

VerdictName: TypeAlias = Literal[
    "valid",
    "invalid",
    "revoked",
    "suspended",
    "stale",
    "untrusted",
    "absent",
    "expired",
    "failed",
]
Expectation: TypeAlias = Literal["present", "absent"]

EXIT_CODES: Final[dict[VerdictName, int]] = {
    "valid": 0,
    "invalid": 1,
    "revoked": 3,
    "suspended": 3,
    "stale": 4,
    "untrusted": 5,
    "absent": 6,
    "expired": 7,
    "failed": 8,
}

LICENCE_CONTRACT: Final = "licence"
LICENCE_KEY_PREFIX: Final = "licence/"

UTC8_MS: Final = 8 * 3_600_000
DAY_MS: Final = 86_400_000
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


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


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a proof is worth.

    `subject` is ``contract/key``, a transaction id in hex, or ``header N``; `claim` is ``state``,
    ``absence``, ``transaction``, ``call`` or ``header``. Both are empty if the bytes are no proof.
    `height` and `time_ms` are the block's, `value` the decoded state value; they are None unless
    the proof was found right and anchored.
    """

    verdict: VerdictName
    exit_code: int
    subject: str
    claim: str
    height: int | None
    time_ms: int | None
    reason: str
    value: canonical.Value = None


def verify(
    data: bytes,
    trust: TrustAnchor,
    *,
    now_ms: int | None = None,
    at_ms: int | None = None,
    max_age_ms: int | None = None,
    expect: Expectation = "present",
    licence: str | None = None,
    key: str | None = None,
) -> Verdict:
    """Judge the bytes of a `.qproof`. Never raises for any `data`.

    `now_ms` is needed with `max_age_ms` alone. `at_ms` asks for the status at that time. `licence`,
    an identifier, and `key`, a state key (alone or as ``contract/key``) or a transaction id in hex,
    refuse another subject.
    Of several verdicts the first counts: invalid, untrusted, stale, failed, absent, revoked or
    suspended, expired, valid. With `expect="absent"` a proven absence exits 0 and a presence that
    would exit 0 is invalid.
    """
    if max_age_ms is not None and now_ms is None:
        raise ValueError("max_age_ms needs now_ms")
    subject = claim = ""
    try:
        proof = Proof.decode(data)
        subject, claim = _subject(proof), _claim_name(proof)
        _check_subject(proof, licence, key)
        value = _check_claim(proof)
        _check_time(proof, at_ms)
        _check_anchor(proof, trust)
    except ProofUntrusted as error:
        return Verdict("untrusted", EXIT_CODES["untrusted"], subject, claim, None, None, str(error))
    except QiongError as error:
        return Verdict("invalid", EXIT_CODES["invalid"], subject, claim, None, None, str(error))
    verdict, reason = _judge(proof, value, trust, now_ms, at_ms, max_age_ms)
    exit_code = EXIT_CODES[verdict]
    if expect == "absent":
        if verdict == "absent":
            exit_code = 0
        elif verdict == "valid":
            verdict, exit_code = "invalid", EXIT_CODES["invalid"]
            reason = "it is present, and absence was expected"
    return Verdict(
        verdict, exit_code, subject, claim, proof.header.n, proof.header.time_ms, reason, value
    )


def _subject(proof: Proof) -> str:
    match proof.claim:
        case StateClaim():
            return f"{proof.claim.contract}/{proof.claim.key}"
        case TransactionClaim():
            return proof.claim.receipt.tx_id.hex()
        case HeaderClaim():
            return f"header {proof.header.n}"


def _claim_name(proof: Proof) -> str:
    match proof.claim:
        case StateClaim():
            return "absence" if proof.claim.value is None else "state"
        case TransactionClaim():
            return "call" if proof.claim.call else "transaction"
        case HeaderClaim():
            return "header"


def _check_subject(proof: Proof, licence: str | None, key: str | None) -> None:
    claim = proof.claim
    if licence is not None and not (
        isinstance(claim, StateClaim)
        and claim.contract == LICENCE_CONTRACT
        and claim.key == LICENCE_KEY_PREFIX + licence
    ):
        raise ProofInvalid(f"it is about {_subject(proof)}, not licence {licence}")
    if key is not None:
        names = [_subject(proof)] + ([claim.key] if isinstance(claim, StateClaim) else [])
        if key not in names:
            raise ProofInvalid(f"it is about {names[-1]}, not {key}")


def _check_claim(proof: Proof) -> canonical.Value:
    """Step 1. Return the decoded state value, None for every other claim."""
    claim, header = proof.claim, proof.header
    if isinstance(claim, TransactionClaim):
        _check_transaction(claim, header)
        return None
    if isinstance(claim, HeaderClaim):
        return None
    value_hash = None if claim.value is None else state_value_hash(claim.value)
    if claim.path.root_from(state_key_hash(claim.contract, claim.key), value_hash) != (
        header.state_root
    ):
        raise ProofInvalid("the state path does not lead to the header's state root")
    return None if claim.value is None else canonical.decode(claim.value)


def _check_transaction(claim: TransactionClaim, header: BlockHeader) -> None:
    receipt, size = claim.receipt, header.tx_count
    transaction_root = merkle.root_from_inclusion(
        merkle.leaf_hash(receipt.tx_id), receipt.index, size, claim.transaction_path
    )
    if transaction_root != header.tx_root:
        raise ProofInvalid("the transaction path does not lead to the header's transaction root")
    receipts_root = merkle.root_from_inclusion(
        merkle.leaf_hash(receipt.encode()), receipt.index, size, claim.receipt_path
    )
    if receipts_root != header.receipts_root:
        raise ProofInvalid("the receipt path does not lead to the header's receipts root")
    call = claim.call
    if call is not None:
        leaf = merkle.leaf_hash(call.outcome.leaf(call.index))
        if merkle.root_from_sides(leaf, call.sides, call.path) != receipt.calls_root:
            raise ProofInvalid("the call path does not lead to the receipt's calls root")


def _check_time(proof: Proof, at_ms: int | None) -> None:
    if at_ms is None:
        return
    if not isinstance(proof.anchor, ParentAnchor):
        raise ProofInvalid("it does not hold the next header, so it cannot speak for a given time")
    if not proof.header.time_ms <= at_ms < proof.anchor.child.time_ms:
        raise ProofInvalid("the given time is not between this block and the next one")


def _check_anchor(proof: Proof, trust: TrustAnchor) -> None:
    """Steps 2 and 3: walk up to a header that is certified or trusted, then check who signed."""
    header, anchor = proof.header, proof.anchor
    while isinstance(anchor, HistoryAnchor | ParentAnchor):
        if isinstance(anchor, ParentAnchor):
            _check_child(header, anchor.child)
            header = anchor.child
        else:
            _check_history(header, anchor)
            header = anchor.later
        anchor = anchor.anchor
    if header.chain_id != trust.chain_id:
        raise ProofUntrusted("it is of another chain than the trust file")
    if isinstance(anchor, TrustedAnchor):
        if proof.handovers:
            raise ProofInvalid("it holds hand-overs that lead nowhere")
        if header.hash != trust.header_hash:
            raise ProofUntrusted("it has no certificate, and its header is not the trusted one")
        return
    _check_certified(header, anchor, proof.handovers, trust)


def _check_child(header: BlockHeader, child: BlockHeader) -> None:
    if child.parent != header.hash or child.n != header.n + 1 or child.time_ms <= header.time_ms:
        raise ProofInvalid("the two headers are not adjacent")
    if child.chain_id != header.chain_id:
        raise ProofInvalid("the two headers are of different chains")


def _check_history(header: BlockHeader, anchor: HistoryAnchor) -> None:
    later = anchor.later
    leaf = merkle.leaf_hash(header.hash)
    if merkle.root_from_inclusion(leaf, header.n, later.n, anchor.path) != later.history_root:
        raise ProofInvalid("the header is not in the history of the later one")
    if later.chain_id != header.chain_id:
        raise ProofInvalid("the two headers are of different chains")


def _check_certified(
    header: BlockHeader,
    anchor: CertificateAnchor,
    handovers: Sequence[Handover],
    trust: TrustAnchor,
) -> None:
    """Follow the hand-overs from the trust anchor to the header's epoch, then check its quorum."""
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
    if header.n == trust.height and header.hash != trust.header_hash:
        raise ProofInvalid("a quorum signed two headers at the trusted height: the chain forked")


def _judge(
    proof: Proof,
    value: canonical.Value,
    trust: TrustAnchor,
    now_ms: int | None,
    at_ms: int | None,
    max_age_ms: int | None,
) -> tuple[VerdictName, str]:
    """The verdict on a proof that is right and anchored."""
    claim, time_ms = proof.claim, proof.header.time_ms
    if max_age_ms is not None and cast(int, now_ms) - time_ms > max_age_ms:
        return "stale", "the block is older than the age allowed"
    if isinstance(claim, TransactionClaim):
        return _judge_transaction(claim)
    if isinstance(claim, HeaderClaim):
        return "valid", "the header is the chain's"
    if claim.value is None:
        return "absent", "proven not to be in the state at this height"
    if claim.contract not in trust.attestations:
        return "valid", "proven present at this height"
    return _judge_attestation(value, time_ms if at_ms is None else at_ms)


def _judge_transaction(claim: TransactionClaim) -> tuple[VerdictName, str]:
    receipt, call = claim.receipt, claim.call
    # A call that went well inside an atomic transaction that did not has left nothing behind.
    failing = receipt if receipt.status != "ok" or call is None else call.outcome
    if failing.status != "ok":
        code = f" ({failing.code})" if failing.code else ""
        return "failed", f"included, and failed: {failing.status}{code}"
    return "valid", "included and executed"


def _judge_attestation(value: canonical.Value, judged_ms: int) -> tuple[VerdictName, str]:
    status = value.get("status") if isinstance(value, dict) else None
    expires = value.get("expires") if isinstance(value, dict) else None
    if status == "revoked":
        return "revoked", "revoked at this height"
    if status == "suspended":
        return "suspended", "suspended at this height"
    if status != "active":
        return "valid", "proven present at this height; it states no status"
    if expires is None:
        return "valid", "active at this height; a later revocation cannot be excluded offline"
    end_ms = _end_of_day_ms(expires)
    if end_ms is None:
        return "valid", "active at this height; its date of expiry cannot be read"
    if judged_ms >= end_ms:
        return "expired", f"its term ended with {expires}"
    return "valid", "in force at this height; a later revocation cannot be excluded offline"


def _end_of_day_ms(day: object) -> int | None:
    """First millisecond after the day `YYYY-MM-DD` at UTC+8; None if it is no such day."""
    if not isinstance(day, str) or not _DATE.fullmatch(day):
        return None
    try:
        days = date.fromisoformat(day).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        return None
    return (days + 1) * DAY_MS - UTC8_MS
