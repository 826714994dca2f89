"""Checking a `.qproof` offline: bytes and a trust anchor in, a verdict out.

A proof claims something of one header: an entry of the state or its absence, or many of them, an
executed transaction, the header alone, or that the chain's history goes on from an earlier header.
It is valid when the claim's Merkle path leads to that header's root, and the header is anchored
(`ledger.proof_anchors`).

A licence proven to be in the state may still be revoked, suspended or over, so the verdict looks at
the value too, of contracts that the trust anchor names as attestation contracts
(`ledger.proof_verdicts`). In force is judged at the block's time, or at `at_ms`, which needs the
parent anchor: the block's child shows that nothing changed before its own time.

`verify` is pure (time is an argument) and total: any bytes give a verdict. What no offline proof
can exclude is a later revocation; `max_age_ms` bounds how late.

Left out: the file's form (`ledger.proof_format`), making proofs (`ledger.proof_builders`), and
words for people beyond one reason (`cli` has them).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from ledger import canonical, merkle
from ledger.block import BlockHeader
from ledger.errors import QiongError
from ledger.proof_anchors import (
    ProofInvalid,
    ProofUntrusted,
    check_anchor,
    check_inclusion,
    check_trusted_height,
)
from ledger.proof_claims import (
    ConsistencyClaim,
    Entry,
    HeaderClaim,
    StateClaim,
    StatesClaim,
    TransactionClaim,
)
from ledger.proof_format import ParentAnchor, Proof
from ledger.proof_text import read_proof
from ledger.proof_verdicts import (
    EXIT_CODES,
    Verdict,
    VerdictName,
    judge_attestation,
    judge_transaction,
    worst,
)
from ledger.state_proof import state_key_hash, state_value_hash
from ledger.trust import TrustAnchor

Expectation: TypeAlias = Literal["present", "absent"]

LICENCE_CONTRACT: Final = "licence"
LICENCE_KEY_PREFIX: Final = "licence/"


@dataclass(frozen=True, slots=True)
class _Part:
    """One thing that a proof speaks of: `subject` and `claim` as in `Verdict`."""

    subject: str
    claim: str
    entry: Entry | None = None

    def is_about(self, licence: str | None, key: str | None) -> bool:
        """Whether this is the licence and the key (or transaction) asked for, where given."""
        entry = self.entry
        if licence is not None and (
            entry is None
            or entry.contract != LICENCE_CONTRACT
            or entry.key != LICENCE_KEY_PREFIX + licence
        ):
            return False
        return key is None or key == self.subject or (entry is not None and key == entry.key)


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
    """Judge the bytes of a `.qproof`: the worst verdict of `verify_each`, which see."""
    return worst(
        verify_each(
            data,
            trust,
            now_ms=now_ms,
            at_ms=at_ms,
            max_age_ms=max_age_ms,
            expect=expect,
            licence=licence,
            key=key,
        )
    )


def verify_each(
    data: bytes,
    trust: TrustAnchor,
    *,
    now_ms: int | None = None,
    at_ms: int | None = None,
    max_age_ms: int | None = None,
    expect: Expectation = "present",
    licence: str | None = None,
    key: str | None = None,
) -> tuple[Verdict, ...]:
    """Judge the bytes of a `.qproof`, or their text: for each key of many, else one verdict.

    Never raises for any `data`. `now_ms` is needed with `max_age_ms` alone. `at_ms` asks for the
    status at that time. `licence`, an identifier, and `key`, a state key (alone or as
    ``contract/key``) or a transaction id in hex, refuse another subject; of many keys only those
    that they name are judged.
    Of several verdicts the first counts: invalid, untrusted, stale, failed, absent, revoked or
    suspended, expired, valid. With `expect="absent"` a proven absence exits 0 and a presence that
    would exit 0 is invalid. A fault of the file is the verdict of every key.
    """
    if max_age_ms is not None and now_ms is None:
        raise ValueError("max_age_ms needs now_ms")
    try:
        proof = read_proof(data)
    except QiongError as error:
        return (_refused("invalid", _Part("", ""), str(error)),)
    parts = _parts(proof)
    named = [part for part in parts if part.is_about(licence, key)]
    if not named:
        return (_other_subject(parts, key if licence is None else f"licence {licence}"),)
    try:
        _check_claim(proof, trust)
        values = [_value(part) for part in named]
        _check_time(proof, at_ms)
        check_anchor(proof, trust)
    except ProofUntrusted as error:
        return tuple(_refused("untrusted", part, str(error)) for part in named)
    except QiongError as error:
        return tuple(_refused("invalid", part, str(error)) for part in named)
    age_ms = None if max_age_ms is None else cast(int, now_ms) - proof.header.time_ms
    stale = age_ms is not None and age_ms > cast(int, max_age_ms)
    return tuple(
        _verdict(proof, part, value, trust, stale, at_ms, expect)
        for part, value in zip(named, values, strict=True)
    )


def follow(data: bytes, trust: TrustAnchor) -> TrustAnchor:
    """The trust anchor that a proof's hand-overs lead to: its certified header's.

    `trust` itself if the proof has none. Raises `ProofUntrusted` and other `InvalidInput`: then
    nothing follows.
    """
    proof = read_proof(data)
    _check_claim(proof, trust)
    header, validators = check_anchor(proof, trust)
    if not proof.handovers:
        return trust
    return TrustAnchor.of_header(header, validators, trust.attestations)


def _refused(verdict: VerdictName, part: _Part, reason: str) -> Verdict:
    return Verdict(verdict, EXIT_CODES[verdict], part.subject, part.claim, None, None, reason)


def _other_subject(parts: list[_Part], asked: str | None) -> Verdict:
    first = parts[0] if len(parts) == 1 else _Part(f"{len(parts)} keys", parts[0].claim)
    return _refused("invalid", first, f"it is about {first.subject}, not {asked}")


def _parts(proof: Proof) -> list[_Part]:
    match proof.claim:
        case StateClaim(contract, key, value, _):
            return [_entry_part(Entry(contract, key, value))]
        case StatesClaim(entries, _):
            return [_entry_part(entry) for entry in entries]
        case TransactionClaim(receipt, call=call):
            return [_Part(receipt.tx_id.hex(), "call" if call else "transaction")]
        case HeaderClaim():
            return [_Part(f"header {proof.header.n}", "header")]
        case ConsistencyClaim(earlier):
            return [_Part(f"headers {earlier.n} to {proof.header.n}", "consistency")]


def _entry_part(entry: Entry) -> _Part:
    claim = "absence" if entry.value is None else "state"
    return _Part(f"{entry.contract}/{entry.key}", claim, entry)


def _value(part: _Part) -> canonical.Value:
    """The decoded state value, None for every other claim. Raises `DecodingError`."""
    if part.entry is None or part.entry.value is None:
        return None
    return canonical.decode(part.entry.value)


def _check_claim(proof: Proof, trust: TrustAnchor) -> None:
    """That the claim's paths lead to the header's roots."""
    claim, header = proof.claim, proof.header
    match claim:
        case StateClaim():
            value_hash = None if claim.value is None else state_value_hash(claim.value)
            place = state_key_hash(claim.contract, claim.key)
            _check_state_root(claim.path.root_from(place, value_hash), header)
        case StatesClaim():
            root = claim.proof.root_from([entry.asked() for entry in claim.entries])
            _check_state_root(root, header)
        case TransactionClaim():
            _check_transaction(claim, header)
        case ConsistencyClaim():
            _check_consistency(claim, header, trust)
        case HeaderClaim():
            pass


def _check_state_root(root: bytes, header: BlockHeader) -> None:
    if root != header.state_root:
        raise ProofInvalid("the state path does not lead to the header's state root")


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


def _check_consistency(claim: ConsistencyClaim, header: BlockHeader, trust: TrustAnchor) -> None:
    earlier = claim.earlier
    if earlier.hash == header.hash:
        if claim.path or claim.consistency:
            raise ProofInvalid("it holds a path from a header to itself")
        return
    check_inclusion(earlier, claim.path, header)
    # RFC 9162 proves nothing of an empty tree, which is the beginning of every other.
    begins = (
        merkle.verify_consistency(
            earlier.n, header.n, earlier.history_root, header.history_root, claim.consistency
        )
        if earlier.n
        else earlier.history_root == merkle.EMPTY_ROOT and not claim.consistency
    )
    if not begins:
        raise ProofInvalid("the later header's history does not begin with the earlier one's")
    check_trusted_height(earlier, trust)


def _check_time(proof: Proof, at_ms: int | None) -> None:
    if at_ms is None:
        return
    if not isinstance(proof.anchor, ParentAnchor):
        raise ProofInvalid("it does not hold the next header, so it cannot speak for a given time")
    if not proof.header.time_ms <= at_ms < proof.anchor.child.time_ms:
        raise ProofInvalid("the given time is not between this block and the next one")


def _verdict(
    proof: Proof,
    part: _Part,
    value: canonical.Value,
    trust: TrustAnchor,
    stale: bool,
    at_ms: int | None,
    expect: Expectation,
) -> Verdict:
    """The verdict on a part of a proof that is right and anchored."""
    time_ms = proof.header.time_ms
    verdict: VerdictName
    if stale:
        verdict, reason = "stale", "the block is older than the age allowed"
    else:
        judged_ms = time_ms if at_ms is None else at_ms
        verdict, reason = _judge(proof, part.entry, value, trust, judged_ms)
    exit_code = EXIT_CODES[verdict]
    if expect == "absent":
        if verdict == "absent":
            exit_code = 0
        elif verdict == "valid":
            verdict, exit_code = "invalid", EXIT_CODES["invalid"]
            reason = "it is present, and absence was expected"
    return Verdict(
        verdict, exit_code, part.subject, part.claim, proof.header.n, time_ms, reason, value
    )


def _judge(
    proof: Proof,
    entry: Entry | None,
    value: canonical.Value,
    trust: TrustAnchor,
    judged_ms: int,
) -> tuple[VerdictName, str]:
    if isinstance(proof.claim, TransactionClaim):
        return judge_transaction(proof.claim)
    if isinstance(proof.claim, ConsistencyClaim):
        return "valid", "the later header's history begins with the earlier one's and holds it"
    if entry is None:
        return "valid", "the header is the chain's"
    if entry.value is None:
        return "absent", "proven not to be in the state at this height"
    if entry.contract not in trust.attestations:
        return "valid", "proven present at this height"
    return judge_attestation(value, judged_ms)
