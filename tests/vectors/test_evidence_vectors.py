"""Golden evidence files: one of every kind of contradiction, and files that prove nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from consensus.messages import (
    Checkpoint,
    Commit,
    Envelope,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    SignedMessage,
    ViewChange,
)
from ledger import canonical
from ledger.hashing import sha256
from ledger.keys import SigningKey
from ledger.trust import TrustAnchor
from ledger.types import Digest, Epoch, Height, Signature, View
from ledger.validators import Validator, ValidatorSet
from node.evidence import Case, EvidenceFile, EvidenceInvalid, EvidenceUntrusted, of_cases
from tests.vectors import golden

KEYS = [SigningKey.from_seed(bytes([i + 1]) * 32) for i in range(4)]
NAMES = [f"91460000MA5T00000{i}" for i in range(4)]
CHAIN = sha256(b"chain")
ONE, TWO = sha256(b"one"), sha256(b"two")
TRUST = TrustAnchor(
    chain_id=CHAIN,
    epoch=Epoch(0),
    height=Height(0),
    header_hash=sha256(b"header 0"),
    validators=ValidatorSet.of(
        Validator(name, key.public) for name, key in zip(NAMES, KEYS, strict=True)
    ),
    attestations=("licence",),
)


def signed(
    message: SignedMessage, chain: Digest = CHAIN, signer: int = 1, epoch: int = 0
) -> Envelope[SignedMessage]:
    claim = Envelope(Epoch(epoch), NAMES[1], message, Signature(bytes(65)))
    return replace(claim, signature=KEYS[signer].sign(claim.signed_bytes(chain)))


def pairs() -> dict[str, tuple[SignedMessage, SignedMessage]]:
    view, n = View(1), Height(7)
    prepared = PreparedCertificate(n, View(0), ONE, ((NAMES[0], KEYS[0].sign(b"vote")),))
    change = ViewChange(view, Height(0), sha256(b"header 0"), None, ())
    return {
        "PRE-PREPARE": (PrePrepare(view, n, ONE), PrePrepare(view, n, TWO)),
        "PREPARE": (Prepare(view, n, ONE), Prepare(view, n, TWO)),
        "COMMIT": (Commit(view, n, ONE), Commit(view, n, TWO)),
        "CHECKPOINT": (Checkpoint(n, ONE), Checkpoint(n, TWO)),
        "VIEW-CHANGE": (change, replace(change, prepared=(prepared,))),
        "NEW-VIEW": (
            NewView(view, (), ()),
            NewView(view, (), (Proposal(n, ONE, KEYS[1].sign(b"proposal")),)),
        ),
    }


def verdict(data: bytes) -> str:
    try:
        found = EvidenceFile.decode(data)
        if found.chain_id != TRUST.chain_id:
            return "untrusted"
        for case in found.cases:
            case.verify(found.chain_id, TRUST.epoch, TRUST.validators)
    except EvidenceUntrusted:
        return "untrusted"
    except EvidenceInvalid:
        return "invalid"
    return "proven"


def files() -> dict[str, bytes]:
    one, two = map(signed, pairs()["PREPARE"])
    found = {
        f"two different {kind}s": of_cases(CHAIN, [Case.of(*map(signed, pair))]).encode()
        for kind, pair in pairs().items()
    }
    cases = [Case.of(*map(signed, pair)) for pair in pairs().values()]
    found["all of them"] = of_cases(CHAIN, cases).encode()
    other = signed(pairs()["PREPARE"][1], signer=2)
    found["one signed by another key"] = of_cases(CHAIN, [Case.of(one, other)]).encode()
    found["the same vote twice"] = of_cases(CHAIN, [Case(one, one)]).encode()
    later = signed(Prepare(View(2), Height(7), TWO))
    found["votes of two views"] = of_cases(CHAIN, [Case(*sorted_pair(one, later))]).encode()
    found["the greater message first"] = canonical.encode(
        ["qiong/evidence", 1, CHAIN, [[item.encode() for item in reversed(sorted_pair(one, two))]]]
    )
    found["another version"] = canonical.encode(
        ["qiong/evidence", 2, CHAIN, [[item.encode() for item in sorted_pair(one, two)]]]
    )
    elsewhere = sha256(b"another chain")
    abroad = Case.of(*(signed(vote, elsewhere) for vote in pairs()["PREPARE"]))
    found["another chain"] = of_cases(elsewhere, [abroad]).encode()
    ahead = Case.of(*(signed(vote, epoch=1) for vote in pairs()["PREPARE"]))
    found["another epoch"] = of_cases(CHAIN, [ahead]).encode()
    return found


def sorted_pair(
    one: Envelope[SignedMessage], other: Envelope[SignedMessage]
) -> list[Envelope[SignedMessage]]:
    return sorted((one, other), key=Envelope.encode)


def test_evidence_files() -> None:
    produced: dict[str, Any] = {
        "trust": TRUST.to_json(),
        "files": [
            {"what": what, "verdict": verdict(data), "file": data.hex()}
            for what, data in files().items()
        ],
    }
    golden.check("evidence", produced)


def test_the_verdicts_are_what_their_names_say() -> None:
    verdicts = {what: verdict(data) for what, data in files().items()}
    assert [what for what, said in verdicts.items() if said == "proven"] == [
        *(f"two different {kind}s" for kind in pairs()),
        "all of them",
    ]
    assert [what for what, said in verdicts.items() if said == "untrusted"] == [
        "another chain",
        "another epoch",
    ]
