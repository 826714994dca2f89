"""Is this the certified chain? Headers and records of block files, in step, nothing executed.

Each header names its parent and the digest of its block, the last has a quorum's certificate: so
every block is the one that was agreed on, down to genesis. What a block *did* is in the headers'
roots and shows when the blocks are executed again.
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger.block import BlockHeader
from ledger.block_files import (
    KIND_CERTIFICATE,
    KIND_DECIDED,
    KIND_PROMISE,
    KIND_QUARANTINE,
    StoredBlock,
    parse_quarantine,
    split_record,
)
from ledger.certificate import Certificate
from ledger.errors import IntegrityError, InvalidInput
from ledger.genesis import Genesis
from ledger.hashing import DIGEST_SIZE
from ledger.quarantine import Quarantine
from ledger.types import Digest, Height
from node.backup.manifest import BLOCKS, HEADERS, BackupDamaged


class ChainCheck:
    """Takes the records of block files in order; `headers` are those above `n`, likewise.

    `n` and `header_hash` are where the chain was checked to. `certificate` is the highest met.
    """

    def __init__(
        self, genesis: Genesis, headers: Iterator[BlockHeader], n: Height, header_hash: Digest
    ) -> None:
        self._genesis = genesis
        self._headers = headers
        self._first = n
        self._hashes = bytearray(header_hash)
        self.time_ms = -1
        """Of the newest header taken."""
        self.certificate: Certificate | None = None

    @property
    def height(self) -> Height:
        """The highest block taken."""
        return Height(self._first + len(self._hashes) // DIGEST_SIZE - 1)

    @property
    def header_hash(self) -> Digest:
        """Of that block."""
        return Digest(bytes(self._hashes[-DIGEST_SIZE:]))

    def take(self, payload: bytes, where: str) -> int:
        """Check the record at `where`; its kind. Raises `BackupDamaged`."""
        kind, n, content = split_record(payload)
        try:
            if kind == KIND_DECIDED:
                self._decided(n, StoredBlock.parse(n, content))
            elif kind == KIND_CERTIFICATE:
                self._certified(n, Certificate.decode(content))
            elif kind == KIND_QUARANTINE:
                self._quarantined(n, *parse_quarantine(content))
            elif kind != KIND_PROMISE:
                raise InvalidInput(f"a record of unknown kind {kind}")
        except BackupDamaged:
            raise
        except (IntegrityError, InvalidInput) as damage:
            raise BackupDamaged(f"{BLOCKS}/{where}", str(damage), n) from damage
        return kind

    def end(self) -> None:
        """Raise `BackupDamaged` if there are more headers than blocks."""
        header = next(self._headers, None)
        if header is not None:
            raise BackupDamaged(HEADERS, f"there is a header {header.n}, and no such block")

    def _decided(self, n: Height, block: StoredBlock) -> None:
        if n != self.height + 1:
            raise InvalidInput(f"expected block {self.height + 1}")
        header = next(self._headers, None)
        if header is None:
            raise BackupDamaged(HEADERS, "there is no header of this block", n)
        if header.n != n or header.parent != self.header_hash:
            raise BackupDamaged(HEADERS, f"header {header.n} does not follow the one before it", n)
        if header.chain_id != self._genesis.chain_id or header.time_ms <= self.time_ms:
            raise BackupDamaged(HEADERS, "the header has another chain or an earlier time", n)
        block.decode()
        if header.d != block.d:
            raise InvalidInput("the header names another block")
        self.time_ms = header.time_ms
        self._hashes += header.hash

    def _certified(self, n: Height, certificate: Certificate) -> None:
        if not self._first <= n <= self.height:
            raise InvalidInput(f"a certificate of block {n}, after block {self.height}")
        offset = (n - self._first) * DIGEST_SIZE
        known = bytes(self._hashes[offset : offset + DIGEST_SIZE])
        if certificate.n != n or certificate.header_hash != known:
            raise InvalidInput("the certificate is of another header")
        certificate.verify(self._genesis.chain_id, self._genesis.validator_set)
        if self.certificate is None or n > self.certificate.n:
            self.certificate = certificate

    def _quarantined(self, n: Height, tx_id: Digest, authorisation: bytes) -> None:
        quarantine = Quarantine.decode(authorisation)
        removal = quarantine.removal
        if (removal.n, removal.tx_id) != (n, tx_id):
            raise InvalidInput("the quarantine is of another transaction")
        quarantine.verify(self._genesis.chain_id, self._genesis.validator_set)
