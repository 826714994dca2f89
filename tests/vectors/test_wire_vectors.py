"""Golden bytes of transactions, bodies, headers, certificates, receipts, genesis and messages."""

from __future__ import annotations

from typing import Any

from consensus.messages import (
    BlockData,
    Blocks,
    Checkpoint,
    Commit,
    FetchBlocks,
    NewView,
    OwnVote,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    Status,
    Suspect,
    ViewChange,
    encode,
)
from consensus.records import Certified, Diverged, PrePrepared, Retired
from consensus.records import decode as decode_record
from consensus.records import encode as encode_record
from consensus.verifier import Domain, Signed, Verifier, sign
from ledger.block import BlockHeader, Body, null_digest
from ledger.certificate import Certificate, checkpoint_bytes
from ledger.genesis import Genesis, GenesisValidator
from ledger.hashing import sha256
from ledger.keys import SigningKey
from ledger.receipt import CallOutcome, Event, Receipt
from ledger.transaction import Call, Transaction, sign_transaction
from ledger.types import Digest, Epoch, Gas, Height, TimeMs, View
from tests.vectors import golden

KEYS = [SigningKey.from_seed(bytes([i + 1]) * 32) for i in range(4)]
NAMES = [f"91460000MA5T00000{i}" for i in range(4)]


def digest(name: str) -> Digest:
    return sha256(name.encode())


def genesis() -> Genesis:
    return Genesis.build(
        name="vectors",
        created_ms=1_767_225_600_000,
        validators=[
            GenesisValidator(name, "government", f"v{i}", key.public, b"der", f"127.0.0.1:{i + 1}")
            for i, (name, key) in enumerate(zip(NAMES, KEYS, strict=True))
        ],
        attestations=["licence"],
        state=[("registry", "a", {"n": 1, "b": b"\x00"})],
    )


def test_ledger_formats() -> None:
    chain = genesis().chain_id
    transaction = Transaction(
        chain_id=chain,
        nonce=bytes(range(16)),
        valid_until_ms=TimeMs(1_767_225_900_000),
        gas_limit=Gas(6_000),
        calls=(Call("licence", "issue", ["id", 1, None]), Call("credit", "attest", {"x": b"\x01"})),
        atomic=True,
        signers=(KEYS[0].public, KEYS[1].public),
    )
    signed = sign_transaction(transaction, KEYS[:2])
    body = Body(Height(7), View(2), NAMES[2], TimeMs(1_767_225_601_000), (signed.digest,))
    header = BlockHeader(
        chain,
        Epoch(0),
        Height(7),
        digest("parent"),
        body.digest,
        TimeMs(1_767_225_601_000),
        1,
        digest("tx"),
        digest("receipts"),
        digest("state"),
        digest("history"),
        genesis().validator_set.hash,
        genesis().validator_set.hash,
        genesis().parameters.hash,
    )
    message = checkpoint_bytes(chain, Epoch(0), Height(7), header.hash)
    certificate = Certificate(
        Epoch(0),
        Height(7),
        header.hash,
        tuple((NAMES[i], KEYS[i].sign(message)) for i in range(3)),
    )
    receipt = Receipt(signed.id, 0, "reverted", "NOT_ISSUER", Gas(210), digest("c"), digest("e"))
    produced: dict[str, Any] = {
        "genesis": genesis().encode().hex(),
        "chain_id": chain.hex(),
        "transaction": signed.raw.hex(),
        "transaction_id": signed.id.hex(),
        "body": body.encode().hex(),
        "body_digest": body.digest.hex(),
        "null_digest": null_digest(Height(7)).hex(),
        "header": header.encode().hex(),
        "header_hash": header.hash.hex(),
        "checkpoint_bytes": message.hex(),
        "certificate": certificate.encode().hex(),
        "receipt": receipt.encode().hex(),
        "call_leaf": CallOutcome("ok", "", Gas(1), {"a": [1]}).leaf(2).hex(),
        "event_leaf": Event(2, "licence", "issued", {"id": "1"}).leaf().hex(),
    }
    golden.check("ledger", produced)


def test_consensus_formats() -> None:
    domain = Domain(
        genesis().chain_id, Epoch(0), genesis().validator_set, 4, Height(0), digest("header 0")
    )
    produced: dict[str, Any] = {}
    for kind in (PrePrepare, Prepare, Commit):
        message = kind(View(1), Height(7), digest("d"))
        produced[kind.__name__] = sign(domain, NAMES[1], message, KEYS[1].sign).encode().hex()
    produced["FetchBlocks"] = encode(FetchBlocks(Height(7))).hex()
    block = BlockData(b"header", b"body", (b"one", b"two"), b"certificate", (b"quarantine",))
    null = BlockData(b"header", None, (), None)
    produced["Blocks"] = encode(Blocks(Height(7), (null, block))).hex()
    record = PrePrepared(Epoch(0), View(1), Height(7), digest("d"), KEYS[1].sign(b"x"))
    produced["record PrePrepared"] = encode_record(record).hex()
    message = checkpoint_bytes(domain.chain_id, Epoch(0), Height(7), digest("certified"))
    signatures = tuple((NAMES[i], KEYS[i].sign(message)) for i in range(3))
    certificate = Certificate(Epoch(0), Height(7), digest("certified"), signatures)
    produced |= _view_messages(domain, certificate)
    diverged = Diverged(
        Epoch(0), Height(7), digest("own"), digest("certified"), Height(9), certificate
    )
    assert decode_record(encode_record(diverged)) == diverged
    produced["record Diverged"] = encode_record(diverged).hex()
    retired = Retired(Epoch(0), Height(7), "our log lacks votes")
    assert decode_record(encode_record(retired)) == retired
    produced["record Retired"] = encode_record(retired).hex()
    certified = Certified(certificate)
    assert decode_record(encode_record(certified)) == certified
    produced["record Certified"] = encode_record(certified).hex()
    produced["OwnVote"] = encode(OwnVote((b"vote", b"checkpoint"))).hex()
    golden.check("consensus", produced)


def _view_messages(domain: Domain, certificate: Certificate) -> dict[str, str]:
    """The other signed messages, each verified as it would be on a link."""
    n, d = Height(8), digest("d")
    primary = NAMES.index(domain.validators.primary(View(0)))
    voters = [primary, *(i for i in range(4) if i != primary)][:3]
    votes = {
        i: sign(domain, NAMES[i], kind(View(0), n, d), KEYS[i].sign)
        for i, kind in zip(voters, (PrePrepare, Prepare, Prepare), strict=True)
    }
    signatures = tuple((NAMES[i], votes[i].signature) for i in sorted(votes))
    change = ViewChange(
        View(1),
        certificate.n,
        certificate.header_hash,
        certificate,
        (PreparedCertificate(n, View(0), d, signatures),),
    )
    changes = [sign(domain, NAMES[i], change, KEYS[i].sign) for i in range(3)]
    leader = NAMES.index(domain.validators.primary(View(1)))
    proposal = sign(domain, NAMES[leader], PrePrepare(View(1), n, d), KEYS[leader].sign)
    new_view = NewView(View(1), tuple(changes), (Proposal(n, d, proposal.signature),))
    messages = [
        sign(domain, NAMES[1], Checkpoint(n, digest("header")), KEYS[1].sign),
        sign(domain, NAMES[1], Suspect(View(1), n, 2), KEYS[1].sign),
        sign(domain, NAMES[1], Status(n, n, View(1), True, digest("missing")), KEYS[1].sign),
        changes[0],
        sign(domain, NAMES[leader], new_view, KEYS[leader].sign),
    ]
    verifier = Verifier(domain)
    for message in messages:
        verified = verifier.verify(message.encode())
        assert isinstance(verified, Signed)
        assert verified.encode() == message.encode()
    return {type(item.message).__name__: item.encode().hex() for item in messages}
