"""Checking a backup with nothing but the backup: every byte, every hash, every signature.

First that the files are those of the manifest; then that they are the chain of their genesis, which
is what counts: whoever altered a block would have to alter its digest, the header that names it,
every later header, and the signatures of a quorum. What is left is whether genesis is the right
one: compare the chain id with what you know.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ledger.block_files import KIND_DECIDED
from ledger.errors import InvalidInput
from ledger.genesis import Genesis
from ledger.storage.errors import LogCorrupt
from ledger.storage.folder import DiskReader
from ledger.storage.segments import read_records
from ledger.types import Digest, Height
from ledger.verification import header_of
from node.backup import manifest
from node.backup.chain import ChainCheck
from node.backup.create import headers_from
from node.backup.manifest import BackupDamaged, File, Manifest


class BackupCheck:
    """A check of the backup in `folder`: exhaust `files`, then `chain`."""

    def __init__(self, folder: Path) -> None:
        """Raises `NoBackup`, `BackupDamaged`."""
        self.folder = folder
        self.manifest: Manifest = manifest.load(folder)

    def files(self, *, strict: bool = True) -> Iterator[int]:
        """Compare each file with the manifest; yield its bytes. With `strict`, there may be none
        that the manifest does not name. Raises `BackupDamaged`, OSError."""
        for file in self.manifest.files:
            self._check_file(file)
            yield file.size
        extra = manifest.unlisted(self.folder, self.manifest.files)
        if strict and extra:
            raise ExtraFile(extra[0])

    def chain(self) -> Iterator[Height]:
        """Check headers, blocks and signatures from genesis on; yield the heights.

        Raises `BackupDamaged`.
        """
        genesis = self.genesis()
        headers = headers_from(self._listed(manifest.HEADERS), Height(0))
        base = next(headers, None)
        if base is None or base != header_of(genesis):
            raise BackupDamaged(manifest.HEADERS, "header 0 is not what genesis gives", 0)
        check = ChainCheck(genesis, headers, Height(0), base.hash)
        try:
            for where, record in read_records(self._listed(manifest.BLOCKS)):
                if check.take(record.payload, where) == KIND_DECIDED:
                    yield check.height
        except LogCorrupt as damage:
            where = f"{manifest.BLOCKS}/{damage.segment}"
            raise BackupDamaged(where, f"at byte {damage.offset}: {damage.reason}") from damage
        check.end()
        stated = self.manifest
        if check.height != stated.height or check.header_hash.hex() != stated.header_hash:
            reason = f"the blocks end at {check.height} with header {check.header_hash.hex()}"
            raise BackupDamaged(manifest.MANIFEST, reason, stated.height)
        if check.time_ms != stated.time_ms:
            raise BackupDamaged(manifest.MANIFEST, "its time is not that of the newest block")
        found = check.certificate
        if found is None or found.encode().hex() != stated.certificate:
            reason = "its certificate is not that of the newest block"
            raise BackupDamaged(manifest.MANIFEST, reason, stated.height)

    def genesis(self) -> Genesis:
        """Raises `BackupDamaged` if it is not that of the manifest's chain and organisation."""
        try:
            genesis = Genesis.decode((self.folder / manifest.GENESIS).read_bytes())
        except (InvalidInput, OSError) as error:
            raise BackupDamaged(manifest.GENESIS, str(error)) from error
        stated = self.manifest
        if genesis.chain_id.hex() != stated.chain_id or genesis.name != stated.network:
            raise BackupDamaged(manifest.MANIFEST, "it is of another chain than genesis")
        names = {entry.organisation: entry.name for entry in genesis.validators}
        if names.get(stated.organisation) != stated.validator:
            reason = f"genesis has no validator {stated.validator} of {stated.organisation}"
            raise BackupDamaged(manifest.MANIFEST, reason)
        return genesis

    def expect(self, chain_id: Digest) -> None:
        """Raise `BackupDamaged` if it is of another chain."""
        if self.manifest.chain_id != chain_id.hex():
            reason = f"it is of chain {self.manifest.chain_id}, expected was {chain_id.hex()}"
            raise BackupDamaged(manifest.MANIFEST, reason)

    def _listed(self, folder: str) -> _Listed:
        paths = (Path(file.path) for file in self.manifest.files)
        names = [path.name for path in paths if path.parent.name == folder]
        return _Listed(self.folder / folder, names)

    def _check_file(self, stated: File) -> None:
        try:
            found = manifest.measured(self.folder, stated.path)
        except FileNotFoundError:
            raise BackupDamaged(stated.path, "is missing") from None
        if found.size != stated.size:
            raise BackupDamaged(stated.path, f"has {found.size} bytes, {stated.size} were written")
        if found != stated:
            raise BackupDamaged(stated.path, f"was altered{self._where(stated.path)}")

    def _where(self, path: str) -> str:
        """At which byte a log contradicts itself, as far as it tells."""
        folder = Path(path).parent.name
        if folder not in (manifest.BLOCKS, manifest.HEADERS):
            return ""
        try:
            for _ in read_records(self._listed(folder)):
                pass
        except LogCorrupt as damage:
            return f", near {damage}"
        return ""


class _Listed(DiskReader):
    """Those files of a folder that belong to the backup."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        super().__init__(folder)
        self._names = sorted(names)

    def names(self) -> list[str]:
        return self._names


class ExtraFile(BackupDamaged):
    """A file that the manifest does not name."""

    code = "extra_file"
    hint = (
        "the backup itself may hold; the file is nobody's, or of a `qiong backup create` that runs "
        "or was broken off: delete it, or run that again"
    )

    def __init__(self, path: str) -> None:
        super().__init__(path, "belongs to no backup")
