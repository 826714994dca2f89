"""Block files: what is kept, in which order, after pruning, and with many hands at work."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ledger.block_files import BlockDamaged, BlockFiles, BlockMissing, OutOfOrder, StoredBlock
from ledger.certificate import Certificate
from ledger.errors import InvalidInput
from ledger.storage.folder import DiskFolder
from ledger.storage.memory import MemoryFolder
from ledger.types import Digest, Epoch, Height, Signature
from tests.ledger.ledger_world import World

SIGNATURE = Signature(b"\x01" + bytes(64))


def h(n: int) -> Height:
    return Height(n)


def certificate(n: int) -> Certificate:
    return Certificate(Epoch(0), h(n), Digest(bytes([n]) * 32), (("org0", SIGNATURE),))


def stored(n: int, size: int = 100) -> StoredBlock:
    return StoredBlock(h(n), Digest(bytes([n % 256]) * 32), b"body %d" % n, (b"t" * size,))


def test_empty_files_know_no_height() -> None:
    blocks = BlockFiles(MemoryFolder())
    assert (blocks.first_height, blocks.last_height, blocks.certified_height) == (0, 0, 0)
    assert blocks.certificate(h(1)) is None
    assert blocks.certificate_from(h(0)) is None
    with pytest.raises(BlockMissing):
        blocks.read(h(1))


def test_blocks_certificates_and_quarantines_survive_reopening() -> None:
    folder = MemoryFolder()
    blocks = BlockFiles(folder, segment_bytes=300)
    for n in range(1, 6):
        blocks.append_decided(stored(n))
        if n in (2, 4):
            blocks.append_certificate(certificate(n))
    blocks.append_certificate(certificate(9))  # of a block that is not here: of no use
    blocks.append_quarantine(h(3), Digest(b"q" * 32), b"first")
    blocks.append_quarantine(h(3), Digest(b"r" * 32), b"second")
    for current in (blocks, BlockFiles(folder, segment_bytes=300)):
        assert (current.first_height, current.last_height, current.certified_height) == (1, 5, 4)
        assert [current.read(h(n)) for n in range(1, 6)] == [stored(n) for n in range(1, 6)]
        assert [current.certificate(h(n)) for n in (1, 2, 9)] == [None, certificate(2), None]
        found = [current.certificate_from(h(n)) for n in range(6)]
        assert [entry and entry.n for entry in found] == [2, 2, 2, 4, 4, None]
        assert current.quarantined(h(3)) == {b"q" * 32: b"first", b"r" * 32: b"second"}
        assert current.quarantined(h(2)) == {}


def test_a_height_keeps_its_first_certificate() -> None:
    blocks = BlockFiles(MemoryFolder())
    blocks.append_decided(stored(1))
    blocks.append_certificate(certificate(1))
    other = Certificate(Epoch(0), h(1), Digest(b"x" * 32), (("org1", SIGNATURE),))
    blocks.append_certificate(other)
    assert blocks.certificate(h(1)) == certificate(1)


def test_dropping_old_blocks_keeps_the_rest_readable() -> None:
    folder = MemoryFolder()
    blocks = BlockFiles(folder, segment_bytes=700)
    for n in range(1, 21):
        blocks.append_decided(stored(n))
        blocks.append_certificate(certificate(n))
    blocks.drop_before(h(50))
    assert blocks.first_height == 1
    blocks.drop_before(h(12))
    first = blocks.first_height
    assert 1 < first <= 12
    for current in (blocks, BlockFiles(folder, segment_bytes=700)):
        assert (current.first_height, current.last_height) == (first, 20)
        for n in range(first, 21):
            assert current.read(h(n)) == stored(n)
            assert current.certificate(h(n)) == certificate(n)
        with pytest.raises(BlockMissing):
            current.read(h(first - 1))


def test_the_first_block_of_a_restored_node_may_have_any_height() -> None:
    blocks = BlockFiles(MemoryFolder())
    blocks.append_decided(stored(100))
    with pytest.raises(OutOfOrder):
        blocks.append_decided(stored(99))
    blocks.append_decided(stored(101))
    assert (blocks.first_height, blocks.last_height) == (100, 101)


@pytest.mark.parametrize("change", ["d", "body", "transaction", "null", "extra", "garbage"])
def test_a_block_is_checked_against_what_was_decided(change: str) -> None:
    world = World()
    block = world.block(1, [world.put("a", 1), world.put("b", 2)])
    assert block.body is not None
    raws = tuple(signed.raw for signed in block.transactions)
    body = block.body.encode()
    changed = {
        "d": StoredBlock(block.n, Digest(bytes(32)), body, raws),
        "body": StoredBlock(block.n, block.d, body[:-1] + bytes([body[-1] ^ 1]), raws),
        "transaction": StoredBlock(block.n, block.d, body, raws[::-1]),
        "null": StoredBlock(block.n, block.d, None, ()),
        "extra": StoredBlock(block.n, block.d, body, (*raws, raws[0])),
        "garbage": StoredBlock(block.n, block.d, body, (raws[0], b"\xc1")),
    }[change]
    with pytest.raises(BlockDamaged):
        changed.decode()
    assert StoredBlock(block.n, block.d, body, raws).decode() == block
    null = world.null(4)
    assert StoredBlock(null.n, null.d, None, ()).decode() == null
    with pytest.raises(BlockDamaged):
        StoredBlock(h(5), null.d, None, ()).decode()


def test_many_threads_append_and_read(tmp_path: Path) -> None:
    blocks = BlockFiles(DiskFolder(tmp_path), segment_bytes=5_000)
    done = threading.Event()
    faults: list[BaseException] = []

    def certify() -> None:
        try:
            n = 1
            while n <= 150:
                if n <= blocks.last_height:
                    blocks.append_certificate(certificate(n))
                    n += 1
        except BaseException as error:  # a thread has no other way to say it
            faults.append(error)

    def read() -> None:
        try:
            while not done.is_set():
                last = blocks.last_height
                if last:
                    assert blocks.read(last) == stored(last)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=certify), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for n in range(1, 151):
        blocks.append_decided(stored(n))
    threads[0].join()
    done.set()
    threads[1].join()
    blocks.close()
    assert faults == []
    again = BlockFiles(DiskFolder(tmp_path))
    assert (again.last_height, again.certified_height) == (150, 150)
    again.close()


def test_bytes_that_are_no_block_are_an_error_of_their_own() -> None:
    folder = MemoryFolder()
    BlockFiles(folder)._log.append([b"\x01" + (1).to_bytes(8, "big") + b"\x90"])
    with pytest.raises(InvalidInput):
        BlockFiles(folder).read(h(1))
    folder = MemoryFolder()
    BlockFiles(folder)._log.append([b"\x07" + bytes(8)])
    with pytest.raises(BlockDamaged, match="unknown kind 7"):
        BlockFiles(folder)
