"""Whole `.qproof` files with the trust file they verify against and the verdict they get.

Authors of other verifiers can run these: every anchor, every claim, and files that must be refused.
`each` has the verdicts on a proof of many keys, in the file's order; the verdict beside it is the
worst. `text` is what a QR code holds. `follow` says which trust anchor hand-overs lead to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ledger.proof_builders import (
    build_consistency_proof,
    build_header_proof,
    build_states_proof,
    build_transaction_proof,
    history_anchor,
)
from ledger.proof_claims import ConsistencyClaim, Entry, StatesClaim
from ledger.proof_format import Anchor, Handover, ParentAnchor, Proof, TrustedAnchor
from ledger.proof_text import to_text
from ledger.proof_verdicts import worst
from ledger.proofs import follow, verify_each
from ledger.receipt import CallOutcome
from ledger.state_proof import state_key_hash
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


def many(chain: Chain, numbers: list[int], height: int, anchor: Anchor | None = None) -> bytes:
    """A proof of licences, in one file."""
    names = [("licence", f"licence/{number}") for number in numbers]
    proven = [
        (
            Entry(*name, chain.states[height].get(name)),
            chain.views[height].prove(state_key_hash(*name)),
        )
        for name in names
    ]
    return build_states_proof(proven, chain.headers[height], anchor or chain.certificate(height))


def grown(chain: Chain, first: int, second: int, handovers: Sequence[Handover] = ()) -> bytes:
    """A proof that the chain at one height goes on from another."""
    headers, signed = chain.headers, chain.certificate(second)
    return build_consistency_proof(headers[first], headers[second], chain.read, signed, handovers)


def make_samples(chain: Chain) -> list[Sample]:
    def licence(number: int, height: int = 1, **more: object) -> bytes:
        return chain.state_proof(height, "licence", f"licence/{number}", **more)  # type: ignore[arg-type]

    parent = ParentAnchor(chain.headers[3], chain.certificate(3))
    history = history_anchor(1, chain.headers[5], chain.read, chain.certificate(5))
    receipts, header, quorum = chain.receipts[2], chain.headers[2], chain.certificate(2)
    good = Proof.decode(licence(0))
    short = replace(quorum, signatures=quorum.signatures[:-1])
    at = GENESIS_MS + 2500
    some, growth = Proof.decode(many(chain, [0, 5, 19], 1)), Proof.decode(grown(chain, 1, 3))
    assert isinstance(some.claim, StatesClaim)
    assert isinstance(growth.claim, ConsistencyClaim)
    first, *rest = some.claim.entries
    other_value = replace(some.claim, entries=(replace(first, value=b"\x80"), *rest))
    one_less = replace(some.claim, entries=tuple(rest))
    reordered = replace(some.claim, entries=(*rest, first))
    other_header = replace(growth.claim, earlier=chain.headers[2])
    other_past = replace(growth.claim, consistency=growth.claim.consistency[:-1])
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
        Sample("many keys", many(chain, [0, 1, 2, 3, 99, 100], 1)),
        Sample("many keys, all in force", many(chain, [0, 5, 19], 1)),
        Sample("many keys, one of them", many(chain, [7], 1)),
        Sample("many keys at a time", many(chain, [0, 1, 99], 2, parent), at_ms=at),
        Sample("many keys, another value", replace(some, claim=other_value).encode()),
        Sample("many keys, one left out", replace(some, claim=one_less).encode()),
        Sample("many keys, in another order", replace(some, claim=reordered).encode()),
        Sample("consistency", grown(chain, 2, 5, chain.handovers)),
        Sample("consistency from genesis", grown(chain, 0, 3)),
        Sample("consistency of a header with itself", grown(chain, 3, 3)),
        Sample("consistency, another header", replace(growth, claim=other_header).encode()),
        Sample("consistency, another past", replace(growth, claim=other_past).encode()),
        Sample("text", to_text(licence(0)).encode()),
        Sample("text, cut off", to_text(licence(0)).encode()[:-1]),
    ]


def test_proof_files() -> None:
    chain = make_chain()
    now_ms = GENESIS_MS + 60_000
    rows = []
    samples = make_samples(chain)
    named = {sample.name: sample.data for sample in samples}
    for sample in samples:
        verdicts = verify_each(
            sample.data,
            chain.trust(sample.trusted_height),
            now_ms=now_ms,
            at_ms=sample.at_ms,
            max_age_ms=sample.max_age_ms,
        )
        verdict = worst(verdicts)
        each = [
            {"subject": one.subject, "claim": one.claim, "verdict": one.verdict} for one in verdicts
        ]
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
            | ({"each": each} if sample.name.startswith("many keys") else {})
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
            "text": {"proof": "state, active", "text": to_text(named["state, active"])},
            "follow": [
                {
                    "proof": name,
                    "trust": 0,
                    "fingerprint": follow(named[name], chain.trust(0)).fingerprint.hex(),
                }
                for name in ("consistency", "consistency from genesis")
            ],
        },
    )
