"""A snapshot: the whole ledger at one certified height, in chunks that prove themselves.

What a node needs to go on from height n without the blocks below it, and nothing that can be
derived. The **manifest** is small and carries the proof: header n, its Certificate, and the SHA-256
of every chunk. The **chunks** are canonical arrays of records, in this order:

    [0, frontier]                              the history tree over headers 0..n-1
    [1, header, ids]                           blocks whose ids may be unexpired, oldest first, and
                                               before them one that shows that no more are needed
    [2, body or nil]  [3, transaction]         block n as it was decided
    [4, result]                                what became of each of its transactions
    [5, contract, key, written, value]         the state after n, in the order of its rows

All of it follows from the signed header: the frontier leads to its `history_root`, the headers to
its `parent` and their ids to their `tx_root`s, the block to `d`, the results to `receipts_root`,
the state to `state_root`. So a snapshot may come from anyone; `ledger.snapshot_install` checks all
of that. A chunk is as wrong as its hash, so a transfer that broke off goes on chunk by chunk. Two
honest nodes make the same chunks of one height (only the Certificates may differ in signers).

There is one set of validators until sets can change: the set of genesis, or of a trust file, signs
every header, and the manifest carries no hand-overs. Left out: superseded values, older blocks and
receipts. A node that begins from a snapshot answers for no height below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

from ledger import canonical, fields
from ledger.block import BlockHeader
from ledger.certificate import Certificate
from ledger.errors import IntegrityError, InvalidInput
from ledger.hashing import sha256
from ledger.storage.folder import Folder
from ledger.types import Digest, Height
from ledger.validators import ValidatorSet

FORM: Final = 1
"""Counts up when the format changes."""

CHUNK_BYTES: Final = 1 << 20
"""Where a chunk ends: some thousand licences, a tenth of a second to check, a fair unit to repeat
after a broken transfer."""

CHUNK_BYTES_MAX: Final = 8 << 20
"""Longest chunk read: a full one and the longest record, which no chunk divides."""

CHUNKS_MAX: Final = 1 << 16
"""Chunks of a snapshot: 64 GiB of state."""

MANIFEST_BYTES_MAX: Final = 4 << 20
"""Longest manifest read: `CHUNKS_MAX` digests of 34 bytes, and room."""

MANIFEST_NAME: Final = "manifest"

FRONTIER: Final = 0
HEADER: Final = 1
BODY: Final = 2
TRANSACTION: Final = 3
RESULT: Final = 4
STATE: Final = 5


class SnapshotWrong(IntegrityError):
    """A snapshot does not prove what it claims; nothing of it is taken."""

    code = "snapshot_wrong"
    hint = "take it from another node or folder; nothing of it was taken over"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"snapshot: {reason}")


class ChunkWrong(SnapshotWrong):
    """Chunk `index` is not the one that the manifest names."""

    code = "snapshot_chunk_wrong"

    def __init__(self, index: int, expected: Digest, got: str) -> None:
        self.index = index
        self.expected = expected
        self.got = got
        super().__init__(f"chunk {index}: expected SHA-256 {expected.hex()}, got {got}")


class SnapshotMissing(InvalidInput):
    """There is no snapshot where one was named."""

    code = "no_snapshot"
    hint = "name a folder that `qiong snapshot create` made"

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        super().__init__(f"{path} holds no snapshot")


@dataclass(frozen=True)
class Manifest:
    """What a snapshot is of, who signed that, and the hashes of its chunks in order."""

    header: BlockHeader
    certificate: Certificate
    chunks: tuple[Digest, ...]

    @property
    def height(self) -> Height:
        return self.header.n

    @cached_property
    def id(self) -> Digest:
        """SHA-256 of the manifest."""
        return sha256(self.encode())

    def encode(self) -> bytes:
        """Canonical `[form, header bytes, certificate bytes, [digest...]]`."""
        return canonical.encode(
            [FORM, self.header.encode(), self.certificate.encode(), list(self.chunks)]
        )

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Decode strictly; `verify` checks the meaning. Raises `SnapshotWrong`."""
        try:
            row = fields.array(canonical.decode(data), "manifest", 4)
            if row[0] != FORM:
                raise SnapshotWrong(f"expected format {FORM}, the manifest has {row[0]!r}")
            digests = fields.bounded(row[3], "manifest.chunks", CHUNKS_MAX)
            return cls(
                header=BlockHeader.decode(fields.binary(row[1], "manifest.header")),
                certificate=Certificate.decode(fields.binary(row[2], "manifest.certificate")),
                chunks=tuple(fields.digest(item, "manifest.chunk") for item in digests),
            )
        except InvalidInput as error:
            raise SnapshotWrong(f"the manifest: {error}") from None

    def verify(self, chain_id: Digest, validators: ValidatorSet) -> None:
        """Check that a quorum of `validators` signed the header. Raises `SnapshotWrong`,
        `CertificateInvalid`."""
        header, certificate = self.header, self.certificate
        if header.chain_id != chain_id:
            raise SnapshotWrong(
                f"expected chain {chain_id.hex()}, it is of chain {header.chain_id.hex()}"
            )
        if header.n < 1:
            raise SnapshotWrong("it is of block 0, which genesis gives")
        if header.validators_hash != validators.hash:
            raise SnapshotWrong("other validators than those we trust vote on its header")
        named = (certificate.epoch, certificate.n, certificate.header_hash)
        if named != (header.epoch, header.n, header.hash):
            raise SnapshotWrong("its certificate is of another header")
        certificate.verify(chain_id, validators)

    def check_chunk(self, index: int, data: bytes) -> bytes:
        """`data` if it is chunk `index`. Raises `ChunkWrong`."""
        digest = sha256(data)
        if digest != self.chunks[index]:
            raise ChunkWrong(index, self.chunks[index], digest.hex())
        return data


class SnapshotSource(Protocol):
    """Where a snapshot is read from. What it gives is checked by whoever asked."""

    def manifest(self) -> bytes: ...

    def chunk(self, index: int) -> bytes: ...


class FolderSource:
    """A snapshot in a folder: `manifest`, and a file for each chunk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def manifest(self) -> bytes:
        """Raises `SnapshotMissing`, OSError."""
        try:
            return _read(self.path / MANIFEST_NAME, MANIFEST_BYTES_MAX)
        except (FileNotFoundError, NotADirectoryError):
            raise SnapshotMissing(self.path) from None

    def chunk(self, index: int) -> bytes:
        """Raises `SnapshotWrong` if it is not there, OSError."""
        try:
            return _read(self.path / chunk_name(index), CHUNK_BYTES_MAX)
        except FileNotFoundError:
            raise SnapshotWrong(f"chunk {index} is missing in {self.path}") from None


def _read(path: Path, size_max: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size_max + 1)


CHUNK_NAME: Final = re.compile(r"[0-9]{6}\.chunk")
"""How chunks are called in a folder; see `chunk_name`."""


def chunk_name(index: int) -> str:
    """The file of chunk `index` in a folder."""
    return f"{index:06d}.chunk"


def chunks_of(manifest: Manifest, source: SnapshotSource) -> Iterator[bytes]:
    """Every chunk in order, each with its hash checked. Raises `ChunkWrong`."""
    for index in range(len(manifest.chunks)):
        yield manifest.check_chunk(index, source.chunk(index))


def records(chunks: Iterable[bytes]) -> Iterator[list[object]]:
    """The records of `chunks`: arrays that begin with their kind. Raises `SnapshotWrong`."""
    for index, chunk in enumerate(chunks):
        if len(chunk) > CHUNK_BYTES_MAX:
            raise SnapshotWrong(f"chunk {index} is longer than {CHUNK_BYTES_MAX} bytes")
        try:
            for item in fields.array(canonical.decode(chunk), "chunk"):
                yield fields.array(item, "record")
        except InvalidInput as error:
            raise SnapshotWrong(f"chunk {index}: {error}") from None


def write(
    folder: Folder, chunks: Iterable[bytes], header: BlockHeader, certificate: Certificate
) -> Iterator[int]:
    """Write a snapshot into `folder`, the manifest last; yield the number of chunks so far.

    Each file is there whole or not at all, and safe. Without a manifest it is no snapshot yet, and
    what an attempt that was broken off left of other chunks goes.
    """
    digests: list[Digest] = []
    for index, chunk in enumerate(chunks):
        folder.create(chunk_name(index), chunk)
        digests.append(sha256(chunk))
        yield len(digests)
    for name in set(folder.names()) - set(map(chunk_name, range(len(digests)))):
        folder.remove(name)
    folder.create(MANIFEST_NAME, Manifest(header, certificate, tuple(digests)).encode())
