"""Whole `.qproof` files with the trust file they verify against and the verdict they get.

Authors of other verifiers can run these: every anchor, every claim, and files that must be refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ledger.proof_builders import build_header_proof, build_transaction_proof, history_anchor
from ledger.proof_format import ParentAnchor, Proof, TrustedAnchor
from ledger.proofs import verify
from ledger.receipt import CallOutcome
from ledger.types import Gas
from tests.ledger.proof_chain import GENESIS_MS, Chain, Council, make_receipts
from tests.vectors.golden import check

ACTIVE = {"status": "active", "expires": "2027-01-01"}
CALLS = [CallOutcome("ok", "", Gas(200)), CallOutcome("reverted", "CHECK_DIGIT", Gas(80))]


@dataclass
class Sample:
    """A file, the height of the trust anchor, and how `verify` is asked."""

    name: str
    data: bytes
    trusted_height: int = 0
    at_ms: int | None = None
    max_age_ms: int | None = None


def make_chain() -> Chain:
    chain = Chain()
    chain.add({("licence", f"licence/{number}"): ACTIVE for number in range(20)})
    chain.add(
        {
            ("licence", "licence/1"): {**ACTIVE, "status": "revoked"},
            ("licence", "licence/2"): {**ACTIVE, "status": "suspended"},
            ("licence", "licence/3"): {**ACTIVE, "expires": "2025-12-31"},
        }
    )
    chain.add(receipts=make_receipts(3, CALLS))
    chain.add(next_council=Council.of(5, first=2))
    chain.add()
    chain.add()
    return chain


def make_samples(chain: Chain) -> list[Sample]:
    def licence(number: int, height: int = 1, **more: object) -> bytes:
        return chain.state_proof(height, "licence", f"licence/{number}", **more)  # type: ignore[arg-type]

    parent = ParentAnchor(chain.headers[3], chain.certificate(3))
    history = history_anchor(1, chain.headers[5], chain.read, chain.certificate(5))
    receipts, header, quorum = chain.receipts[2], chain.headers[2], chain.certificate(2)
    good = Proof.decode(licence(0))
    short = replace(quorum, signatures=quorum.signatures[:-1])
    at = GENESIS_MS + 2500
    return [
        Sample("state, active", licence(0)),
        Sample("state, revoked", licence(1)),
        Sample("state, suspended", licence(2)),
        Sample("state, expired", licence(3)),
        Sample("state, stale", licence(0), max_age_ms=1000),
        Sample("absence", licence(99)),
        Sample("genesis, trusted header", licence(0, 0, anchor=TrustedAnchor())),
        Sample("at a time, parent of a certified header", licence(0, 2, anchor=parent), at_ms=at),
        Sample("at another time", licence(0, 2, anchor=parent), at_ms=at + 1000),
        Sample(
            "history of a later header, over a hand-over",
            licence(0, 1, anchor=history, handovers=chain.handovers),
        ),
        Sample(
            "the same, trusted from the later epoch",
            licence(0, 1, anchor=history),
            trusted_height=4,
        ),
        Sample("no hand-over", licence(0, 5)),
        Sample("an epoch gone by", licence(0, 1), trusted_height=4),
        Sample("transaction", build_transaction_proof(receipts, 0, header, quorum)),
        Sample("transaction, failed", build_transaction_proof(receipts, 1, header, quorum)),
        Sample(
            "call", build_transaction_proof(receipts, 2, header, quorum, calls=CALLS, call_index=0)
        ),
        Sample(
            "call, failed",
            build_transaction_proof(receipts, 2, header, quorum, calls=CALLS, call_index=1),
        ),
        Sample("header", build_header_proof(header, quorum)),
        Sample("one signature short", build_header_proof(header, short)),
        Sample("another value", replace(good, claim=replace(good.claim, value=b"\x80")).encode()),  # type: ignore[arg-type]
        Sample("one byte more", licence(0) + b"\x00"),
    ]


def test_proof_files() -> None:
    chain = make_chain()
    now_ms = GENESIS_MS + 60_000
    rows = []
    for sample in make_samples(chain):
        verdict = verify(
            sample.data,
            chain.trust(sample.trusted_height),
            now_ms=now_ms,
            at_ms=sample.at_ms,
            max_age_ms=sample.max_age_ms,
        )
        rows.append(
            {
                "name": sample.name,
                "proof": sample.data.hex(),
                "trust": sample.trusted_height,
                "at_ms": sample.at_ms,
                "max_age_ms": sample.max_age_ms,
                "verdict": verdict.verdict,
                "exit_code": verdict.exit_code,
                "subject": verdict.subject,
                "claim": verdict.claim,
                "height": verdict.height,
                "time_ms": verdict.time_ms,
            }
        )
    anchors = {height: chain.trust(height) for height in (0, 4)}
    check(
        "proofs",
        {
            "now_ms": now_ms,
            "trust": {
                str(height): {**anchor.to_json(), "fingerprint": anchor.fingerprint.hex()}
                for height, anchor in anchors.items()
            },
            "proofs": rows,
        },
    )
