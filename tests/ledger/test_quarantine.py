"""A quarantine: exactly a quorum, of this chain, epoch, block and transaction; and the promise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from ledger import canonical
from ledger.block_files import BlockFiles, StoredBlock
from ledger.certificate import Certificate
from ledger.errors import InvalidInput
from ledger.hashing import sha256
from ledger.keys import SigningKey
from ledger.quarantine import Quarantine, QuarantineAwaited, QuarantineInvalid, Removal, Vote
from ledger.storage.memory import MemoryFolder, MemoryStore
from ledger.store import HeaderMismatch, LedgerStore
from ledger.types import Digest, Epoch, Height, Signature
from ledger.validators import Validator, ValidatorSet
from tests.ledger.ledger_world import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def store(world: World) -> Iterator[LedgerStore]:
    opened = LedgerStore(world.genesis, MemoryStore(), BlockFiles(MemoryFolder()))
    yield opened
    opened.close()


CHAIN = sha256(b"chain")
KEYS = {f"org-{i}": SigningKey.from_seed(bytes([i + 1]) * 32) for i in range(5)}
VOTERS = ValidatorSet.of(Validator(name, KEYS[name].public) for name in list(KEYS)[:4])
REMOVAL = Removal(Epoch(0), Height(7), sha256(b"d"), sha256(b"t"))


def vote(name: str, removal: Removal = REMOVAL, chain_id: Digest = CHAIN) -> Vote:
    return Vote(removal, name, KEYS[name].sign(removal.signed_bytes(chain_id)))


def test_a_quorum_makes_one_and_it_survives_its_bytes() -> None:
    votes = [vote(f"org-{i}") for i in (2, 0, 3, 1, 0)]
    record = Quarantine.of(votes, CHAIN, VOTERS)
    assert [signer for signer, _ in record.signatures] == ["org-0", "org-1", "org-2"]
    again = Quarantine.decode(record.encode())
    assert again == record
    again.verify(CHAIN, VOTERS)


@pytest.mark.parametrize(
    ("votes", "reason"),
    [
        ([vote("org-0"), vote("org-1"), vote("org-1")], "a quorum is 3 validators, here are 2"),
        ([vote("org-0"), vote("org-1"), vote("org-4")], "org-4 is not a validator"),
        ([vote("org-0"), vote("org-1"), replace(vote("org-3"), signer="org-2")], "not valid"),
        ([vote("org-0"), vote("org-1"), vote("org-2", chain_id=sha256(b"other"))], "not valid"),
        (
            [
                vote("org-0"),
                vote("org-1"),
                vote("org-2", Removal(Epoch(0), Height(7), REMOVAL.d, sha256(b"another"))),
            ],
            "different transactions or blocks",
        ),
    ],
    ids=["q-1 and one twice", "stranger", "of another", "another chain", "another transaction"],
)
def test_less_than_a_quorum_makes_none(votes: list[Vote], reason: str) -> None:
    with pytest.raises(QuarantineInvalid, match=reason):
        Quarantine.of(votes, CHAIN, VOTERS)


@pytest.mark.parametrize("part", ["epoch", "n", "d", "tx_id"])
def test_every_part_is_signed(part: str) -> None:
    record = Quarantine.of([vote(f"org-{i}") for i in range(3)], CHAIN, VOTERS)
    other: Any = sha256(b"other") if part in ("d", "tx_id") else 1
    changed = replace(record, removal=replace(REMOVAL, **{part: other}))
    with pytest.raises(QuarantineInvalid, match="not valid"):
        changed.verify(CHAIN, VOTERS)


def test_a_record_has_exactly_q_signers_in_one_order() -> None:
    all_four = [vote(f"org-{i}") for i in range(4)]
    pairs = tuple((item.signer, item.signature) for item in all_four)
    for signatures in (pairs, pairs[:2], (pairs[0], pairs[1], pairs[1]), pairs[2::-1]):
        with pytest.raises(QuarantineInvalid):
            Quarantine(REMOVAL, signatures).verify(CHAIN, VOTERS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        canonical.encode([0, 7, b"d", REMOVAL.tx_id, []]),
        canonical.encode([0, 7, REMOVAL.d, REMOVAL.tx_id, [["org-0", b"short"]]]),
        canonical.encode([0, -1, REMOVAL.d, REMOVAL.tx_id, []]),
        bytes(1 << 16),
    ],
)
def test_bytes_out_of_form_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        Quarantine.decode(data)


def test_a_promise_holds_until_the_record_is_there(world: World, store: LedgerStore) -> None:
    poison = world.put("a", 1)
    block = world.block(1, [poison])
    store.append_decided(block)
    store.promise(block.n, poison.id)
    store.promise(block.n, poison.id)
    with pytest.raises(QuarantineAwaited) as awaited:
        store.execute(block, world.runner)
    assert awaited.value.transactions == (poison.id,)
    assert world.runner.ran == []
    store.quarantine(block.n, poison.id, b"by a quorum")
    assert store.execute(block, world.runner).transactions[0].receipt.code == "QUARANTINED"
    assert store.was_executed(poison.id) is False
    store.commit(store.execute(block, world.runner))
    # It counts as executed: the same id can never run later.
    assert store.was_executed(poison.id)
    again = store.execute(world.block(2, [poison]), world.runner)
    assert again.transactions == ()
    assert world.runner.ran == []


def test_a_certified_header_ends_a_promise(world: World, store: LedgerStore) -> None:
    other = world.put("a", 1)
    block = world.block(1, [other])
    store.append_decided(block)
    header = store.execute(block, world.runner).header
    store.promise(block.n, other.id)
    assert store.execute(block, world.runner, header.hash).header == header
    with pytest.raises(HeaderMismatch):
        store.execute(block, world.runner, sha256(b"another header"))


def test_a_certificate_in_the_block_files_ends_a_promise(world: World, store: LedgerStore) -> None:
    other = world.put("a", 1)
    block = world.block(1, [other])
    executed = world.apply(store, block)
    store.promise(block.n, other.id)
    fresh = LedgerStore(world.genesis, MemoryStore(), store._blocks)  # as a rebuild opens it
    assert fresh.execute(block, world.runner).header == executed.header


def test_what_is_said_of_a_block_outlives_pruning() -> None:
    folder = MemoryFolder()
    blocks = BlockFiles(folder, segment_bytes=300)
    tx_id, signature = Digest(b"q" * 32), Signature(b"\x01" + bytes(64))
    blocks.append_quarantine(Height(3), tx_id, b"told by a peer, before the block")
    blocks.append_promise(Height(4), tx_id)
    for n in range(1, 9):
        blocks.append_decided(StoredBlock(Height(n), sha256(b"%d" % n), b"body", (b"t" * 100,)))
    blocks.append_certificate(Certificate(Epoch(0), Height(2), tx_id, (("org0", signature),)))
    blocks.drop_before(Height(3))
    for current in (blocks, BlockFiles(folder, segment_bytes=300)):
        assert current.quarantined(Height(3)) == {tx_id: b"told by a peer, before the block"}
        assert current.promised(Height(4)) == {tx_id}
        assert current.read(Height(3)).d == sha256(b"3")
