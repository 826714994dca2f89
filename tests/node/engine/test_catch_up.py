"""Blocks that a peer serves: they prove themselves or are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from consensus.messages import BlockData, Blocks, decode, encode
from ledger.block import BlockHeader, Body, null_digest
from ledger.block_files import StoredBlock
from ledger.certificate import Certificate, checkpoint_bytes
from ledger.errors import FieldError
from ledger.hashing import ZERO_DIGEST
from ledger.keys import SigningKey
from ledger.quarantine import QUARANTINES_MAX, Quarantine, Removal
from ledger.transaction import SignedTransaction
from ledger.types import Digest, Epoch, Height, TimeMs, View
from ledger.validators import Validator, ValidatorSet
from node import catch_up
from node.catch_up import PeerLied, check, serve

Make = Callable[..., SignedTransaction]
CHAIN = Digest(b"\x07" * 32)
KEYS = {f"org-{i}": SigningKey.from_seed(bytes([i + 1]) * 32) for i in range(4)}
VALIDATORS = ValidatorSet.of(Validator(name, key.public) for name, key in KEYS.items())


def certificate(header: BlockHeader, signers: int = 3) -> Certificate:
    message = checkpoint_bytes(CHAIN, header.epoch, header.n, header.hash)
    pairs = [(name, KEYS[name].sign(message)) for name in sorted(KEYS)[:signers]]
    return Certificate(header.epoch, header.n, header.hash, tuple(pairs))


def header(n: int, parent: Digest, d: Digest) -> BlockHeader:
    return BlockHeader(
        chain_id=CHAIN,
        epoch=Epoch(0),
        n=Height(n),
        parent=parent,
        d=d,
        time_ms=TimeMs(n),
        tx_count=0,
        tx_root=ZERO_DIGEST,
        receipts_root=ZERO_DIGEST,
        state_root=ZERO_DIGEST,
        history_root=ZERO_DIGEST,
        validators_hash=VALIDATORS.hash,
        next_validators_hash=VALIDATORS.hash,
        params_hash=ZERO_DIGEST,
    )


FIRST = Height(0)
LAST = Height(3)


@dataclass
class Source:
    """A served chain: block 2 has a body, the others are NULL; 1 and 3 have certificates."""

    transaction: SignedTransaction
    first_height: Height = FIRST
    certified_height: Height = LAST
    headers: dict[int, BlockHeader] = field(default_factory=dict)
    blocks: dict[int, StoredBlock] = field(default_factory=dict)
    quarantines: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        body = Body(Height(2), View(0), "org-0", TimeMs(2), (self.transaction.digest,))
        parent = ZERO_DIGEST
        for n in (1, 2, 3):
            d = body.digest if n == 2 else null_digest(Height(n))
            content = (body.encode(), (self.transaction.raw,)) if n == 2 else (None, ())
            self.blocks[n] = StoredBlock(Height(n), d, *content)
            self.headers[n] = header(n, parent, d)
            parent = self.headers[n].hash

    def header(self, n: Height) -> BlockHeader:
        return self.headers[n]

    def stored_block(self, n: Height) -> StoredBlock:
        return self.blocks[n]

    def certificate(self, n: Height) -> Certificate | None:
        return None if n == 2 else certificate(self.headers[n])

    def quarantined(self, n: Height) -> dict[Digest, bytes]:
        return {self.transaction.id: self.quarantines[n]} if n in self.quarantines else {}


@pytest.fixture
def source(make_transaction: Make) -> Source:
    return Source(make_transaction())


def altered(blocks: Blocks, position: int, **changes: object) -> Blocks:
    rows = list(blocks.blocks)
    rows[position] = replace(rows[position], **changes)  # type: ignore[arg-type]
    return Blocks(blocks.first, tuple(rows))


def test_what_is_served_passes_the_check(source: Source) -> None:
    checked = check(serve(source, Height(1)), ZERO_DIGEST, CHAIN, VALIDATORS)
    assert [item.fetched.n for item in checked] == [1, 2, 3]
    assert [item.fetched.header_hash for item in checked] == [
        source.headers[n].hash for n in (1, 2, 3)
    ]
    assert [item.held is None for item in checked] == [True, False, True]
    assert checked[1].held is not None
    assert checked[1].held.transactions == (source.transaction,)


def test_an_answer_ends_with_a_certificate(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    source.certified_height = Height(2)
    assert len(serve(source, Height(1)).blocks) == 1
    assert serve(source, Height(2)).blocks == ()
    source.certified_height = Height(3)
    monkeypatch.setattr(catch_up, "BLOCKS_MAX", 2)
    assert len(serve(source, Height(1)).blocks) == 1
    assert serve(source, Height(4)).blocks == ()


def forgeries(source: Source) -> dict[str, Blocks]:
    whole = serve(source, Height(1))
    header_3 = source.headers[3]
    other = replace(header_3, time_ms=TimeMs(99))
    weak = certificate(header_3, signers=2).encode()
    return {
        "no certificate": Blocks(Height(1), whole.blocks[:2]),
        "too few signers": altered(whole, 2, certificate=weak),
        "another header's": altered(whole, 2, certificate=certificate(source.headers[1]).encode()),
        "another header": altered(whole, 2, header=other.encode()),
        "a gap": Blocks(Height(1), (whole.blocks[0], whole.blocks[2])),
        "no transactions": altered(whole, 1, transactions=()),
        "no body": altered(whole, 1, body=None, transactions=()),
        "no canonical bytes": altered(whole, 1, header=b"\xc1"),
    }


@pytest.mark.parametrize(
    "name",
    [
        "no certificate",
        "too few signers",
        "another header's",
        "another header",
        "a gap",
        "no transactions",
        "no body",
        "no canonical bytes",
    ],
)
def test_a_lie_is_found(source: Source, name: str) -> None:
    with pytest.raises(PeerLied):
        check(forgeries(source)[name], ZERO_DIGEST, CHAIN, VALIDATORS)


def test_blocks_of_another_past_or_chain_are_refused(source: Source) -> None:
    blocks = serve(source, Height(1))
    with pytest.raises(PeerLied):
        check(blocks, Digest(b"\x01" * 32), CHAIN, VALIDATORS)
    with pytest.raises(PeerLied):
        check(blocks, ZERO_DIGEST, Digest(b"\x01" * 32), VALIDATORS)
    with pytest.raises(PeerLied):
        check(replace(blocks, first=Height(2)), None, CHAIN, VALIDATORS)


def test_block_data_keeps_the_bytes(source: Source) -> None:
    block = serve(source, Height(1)).blocks[1]
    assert block == BlockData(
        source.headers[2].encode(), source.blocks[2].body, (source.transaction.raw,), None
    )


def quarantine(source: Source, signers: int = 3, **changes: object) -> Quarantine:
    named = {"epoch": Epoch(0), "n": Height(2), "d": source.blocks[2].d, **changes}
    removal = Removal(**{"tx_id": source.transaction.id, **named})  # type: ignore[arg-type]
    message = removal.signed_bytes(CHAIN)
    signatures = [(name, KEYS[name].sign(message)) for name in sorted(KEYS)[:signers]]
    return Quarantine(removal, tuple(signatures))


def test_what_a_quorum_took_out_travels_with_its_block(source: Source) -> None:
    record = quarantine(source)
    source.quarantines[2] = record.encode()
    frame = decode(encode(serve(source, Height(1))))
    assert isinstance(frame, Blocks)
    checked = check(frame, ZERO_DIGEST, CHAIN, VALIDATORS)
    assert [item.quarantines for item in checked] == [(), (record,), ()]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"signers": 2}, "exactly 3 signatures"),
        ({"signers": 4}, "exactly 3 signatures"),
        ({"n": Height(3)}, "another block"),
        ({"d": ZERO_DIGEST}, "another block"),
        ({"epoch": Epoch(1)}, "another block"),
        ({"tx_id": ZERO_DIGEST}, "not in it"),
    ],
)
def test_a_false_quarantine_is_a_lie(
    source: Source, change: dict[str, object], reason: str
) -> None:
    record = quarantine(source, **change)  # type: ignore[arg-type]
    blocks = altered(serve(source, Height(1)), 1, quarantines=(record.encode(),))
    with pytest.raises(PeerLied, match=reason):
        check(blocks, ZERO_DIGEST, CHAIN, VALIDATORS)


def test_quarantines_of_one_block_are_bounded(source: Source) -> None:
    record = quarantine(source).encode()
    blocks = altered(serve(source, Height(1)), 1, quarantines=(record,) * (QUARANTINES_MAX + 1))
    with pytest.raises(FieldError):
        decode(encode(blocks))
