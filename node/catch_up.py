"""Blocks for a validator that fell behind: serving them, and checking what a peer serves.

A lagging replica asks one peer at a time. What comes back proves itself: headers form a chain, the
last one has a Certificate, bodies and transactions have the hashes that were decided, and what a
quorum took out of a block has the quorum's signatures. Client signatures are not checked again, f+1
honest validators did that before they prepared the body. The replica executes the blocks and
compares its own headers with these.

That a peer keeps a quarantine back cannot be seen in its answer; it shows when the block cannot be
executed, or not with the certified result, and others are asked (`node.block_execution`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from consensus.events import FetchedBlock
from consensus.messages import BLOCKS_MAX, BlockData, Blocks
from ledger.block import BlockHeader, DecidedBlock
from ledger.block_files import StoredBlock
from ledger.certificate import Certificate
from ledger.errors import IntegrityError, QiongError
from ledger.quarantine import Quarantine
from ledger.types import Digest, Height
from ledger.validators import ValidatorSet
from node.bodies import HeldBody

ANSWER_BYTES: Final = 4 << 20
"""Where an answer ends: one full body more still fits into a frame."""


class BlockSource(Protocol):
    """The reads that serving takes, of certified heights; from any thread."""

    @property
    def first_height(self) -> Height: ...

    @property
    def certified_height(self) -> Height: ...

    def header(self, n: Height) -> BlockHeader: ...

    def stored_block(self, n: Height) -> StoredBlock: ...

    def certificate(self, n: Height) -> Certificate | None: ...

    def quarantined(self, n: Height) -> dict[Digest, bytes]: ...


class PeerLied(IntegrityError):
    """Blocks that don't prove themselves."""

    code = "peer_lied"

    def __init__(self, n: int, reason: str) -> None:
        self.n = n
        self.reason = reason
        super().__init__(f"fetched block {n}: {reason}")


@dataclass(frozen=True, slots=True)
class CheckedBlock:
    """A fetched block that holds together; `held` is None for NULL."""

    fetched: FetchedBlock
    held: HeldBody | None
    quarantines: tuple[Quarantine, ...] = ()


def serve(source: BlockSource, first: Height) -> Blocks:
    """Blocks from `first` on: as many as one answer takes, the last one with its Certificate.

    Empty if there is none, or if blocks from there on are not kept: then the lagging node needs a
    snapshot. Reads the disk: not for the event loop's thread.
    """
    blocks: list[BlockData] = []
    if first < source.first_height:
        return Blocks(first, ())
    complete = 0
    size = 0
    for number in range(first, source.certified_height + 1):
        # Not every height has a Certificate of its own; an answer goes on until one that has.
        if len(blocks) == BLOCKS_MAX or (size >= ANSWER_BYTES and complete):
            break
        block = _block_data(source, Height(number))
        size += sum(map(len, block.transactions))
        blocks.append(block)
        if block.certificate is not None:
            complete = len(blocks)
    return Blocks(first, tuple(blocks[:complete]))


def _block_data(source: BlockSource, n: Height) -> BlockData:
    stored = source.stored_block(n)
    certificate = source.certificate(n)
    return BlockData(
        header=source.header(n).encode(),
        body=stored.body,
        transactions=stored.transactions,
        certificate=None if certificate is None else certificate.encode(),
        quarantines=tuple(source.quarantined(n).values()),
    )


def check(
    blocks: Blocks,
    parent: Digest | None,
    chain_id: Digest,
    validators: ValidatorSet,
) -> list[CheckedBlock]:
    """Check an answer; `parent` is the hash of our header before its first block, if we have it.

    Raises `PeerLied`. Pure and slow (signatures, hashes): not for the event loop's thread.
    """
    checked: list[CheckedBlock] = []
    for number, data in enumerate(blocks.blocks, blocks.first):
        n = Height(number)
        try:
            item = _checked(data, n, parent, chain_id, validators)
        except PeerLied:
            raise
        except QiongError as error:
            raise PeerLied(n, str(error)) from error
        checked.append(item)
        parent = item.fetched.header_hash
    if checked and checked[-1].fetched.certificate is None:
        raise PeerLied(checked[-1].fetched.n, "the last one has no certificate")
    return checked


def _checked(
    data: BlockData, n: Height, parent: Digest | None, chain_id: Digest, validators: ValidatorSet
) -> CheckedBlock:
    header = BlockHeader.decode(data.header)
    if (header.n, header.chain_id) != (n, chain_id):
        raise PeerLied(n, "a header of another height or chain")
    if parent is not None and header.parent != parent:
        raise PeerLied(n, "does not follow the block before it")
    certificate = None if data.certificate is None else Certificate.decode(data.certificate)
    if certificate is not None:
        named = (certificate.epoch, certificate.n, certificate.header_hash)
        if named != (header.epoch, n, header.hash):
            raise PeerLied(n, "a certificate of another header")
        certificate.verify(chain_id, validators)
    decided = StoredBlock(n, header.d, data.body, data.transactions).decode()
    held = None
    if decided.body is not None and data.body is not None:
        held = HeldBody(decided.body, data.body, decided.transactions)
    fetched = FetchedBlock(n, header.d, header.hash, certificate)
    quarantines = tuple(
        _quarantine(record, header, decided, validators) for record in data.quarantines
    )
    return CheckedBlock(fetched, held, quarantines)


def _quarantine(
    data: bytes, header: BlockHeader, block: DecidedBlock, validators: ValidatorSet
) -> Quarantine:
    record = Quarantine.decode(data)
    removal = record.removal
    if (removal.epoch, removal.n, removal.d) != (header.epoch, header.n, header.d):
        raise PeerLied(header.n, "a quarantine of another block")
    if all(signed.id != removal.tx_id for signed in block.transactions):
        raise PeerLied(header.n, "a quarantine of a transaction that is not in it")
    record.verify(header.chain_id, validators)
    return record
