"""Making a backup, or adding to one, beside the node that writes (see `node.backup`).

Everything is read twice: once to find the highest block that the node has certified, once to copy
what lies below it. What is copied is checked on the way, so that damage is found while the node can
still be mended, and not when the backup is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

from ledger.block import BlockHeader
from ledger.block_files import (
    KIND_CERTIFICATE,
    KIND_DECIDED,
    KIND_QUARANTINE,
    BlockFilesDamaged,
    split_record,
)
from ledger.certificate import Certificate
from ledger.errors import InvalidInput
from ledger.genesis import Genesis
from ledger.storage.errors import LogCorrupt
from ledger.storage.folder import DiskFolder, DiskReader, ReadableFolder, lock_folder
from ledger.storage.segments import SegmentLog, read_records
from ledger.store import LedgerStore
from ledger.types import Height
from ledger.verification import header_of
from node.backup import manifest
from node.backup.chain import ChainCheck
from node.backup.manifest import BackupDamaged, File, Manifest, NoBackup
from node.errors import Refused
from node.evidence_store import SUFFIX
from node.home import Home
from node.keyfile import read_private

BATCH_BYTES: Final = 4 << 20
"""Copied between two writes."""

COPIED: Final = (KIND_DECIDED, KIND_CERTIFICATE, KIND_QUARANTINE)
"""Kinds of records. A promise binds a key that signs nothing after a restore."""


class HeaderSource(Protocol):
    """Who has the headers of this chain. What it says is checked, so it may be any node."""

    def certified_height(self) -> Height: ...

    def headers(self, first: Height, last: Height) -> Iterator[bytes]:
        """The canonical bytes of headers `first` to `last`."""
        ...


class StoredHeaders:
    """Of a node that is stopped: from its database."""

    def __init__(self, store: LedgerStore) -> None:
        self._store = store

    def certified_height(self) -> Height:
        return self._store.certified_height

    def headers(self, first: Height, last: Height) -> Iterator[bytes]:
        for n in range(first, last + 1):
            yield self._store.header(Height(n)).encode()


class CannotAdd(Refused):
    """The folder is not one that this node's chain can be added to."""

    code = "cannot_add"
    hint = "name an empty folder, or one with an earlier backup of this node"

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder = folder
        super().__init__(f"{folder}: {reason}")


class NothingCertified(Refused):
    """There is nothing that a backup could prove."""

    code = "nothing_certified"
    hint = "wait for the first certified block"

    def __init__(self) -> None:
        super().__init__("no block of this node is certified yet")


class BlocksPruned(Refused):
    """The node does not keep the blocks that the backup needs next."""

    code = "blocks_pruned"
    hint = (
        "back up a node that keeps all blocks; a pruned one is restored from a snapshot "
        "(`qiong snapshot create`)"
    )

    def __init__(self, first: Height, needed: int) -> None:
        self.first = first
        self.needed = needed
        super().__init__(f"block {needed} is needed next, and blocks are kept from {first} on")


class Creation:
    """One `create`. A context manager: exhaust `scan`, `copy_headers` and `copy_blocks` in this
    order, then `finish`. Until then the former backup, if there is one, is what the folder holds.
    """

    def __init__(
        self,
        place: Home,
        genesis: Genesis,
        organisation: str,
        target: Path,
        source: HeaderSource,
    ) -> None:
        self._place = place
        self._genesis = genesis
        self._organisation = organisation
        self._target = target
        self._source = source
        self._lock = -1
        self.former: Manifest | None = None
        """The backup that is added to."""
        self.height = Height(0)
        """The height it will reach; known after `scan`."""
        self._certificate: Certificate | None = None
        self._header: BlockHeader | None = None

    def __enter__(self) -> Creation:
        """Raises `CannotAdd`, `BackupDamaged`, `StoreLocked`, OSError."""
        self._target.mkdir(mode=0o700, parents=True, exist_ok=True)
        foreign = [n for n in manifest.unlisted(self._target, ()) if not manifest.is_ours(n)]
        if foreign:
            raise CannotAdd(self._target, f"{foreign[0]} is no part of a backup")
        self._lock = lock_folder(self._target)
        try:
            self.former = self._load_former()
            for folder in manifest.FOLDERS:
                (self._target / folder).mkdir(mode=0o700, exist_ok=True)
            kept = () if self.former is None else self.former.files
            for name in manifest.unlisted(self._target, kept):
                (self._target / name).unlink()  # of a `create` that was broken off
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._lock)

    @property
    def since(self) -> Height:
        """The height that the backup reaches already."""
        return Height(0 if self.former is None else self.former.height)

    def scan(self) -> Iterator[None]:
        """Find the height to reach; yields at every record.

        Raises `NothingCertified`, `BlocksPruned`, `CannotAdd`, `BlockFilesDamaged`, storage errors,
        and what the source raises.
        """
        certified = self._source.certified_height()
        first: Height | None = None
        found = Height(0)
        for _, payload in self._records():
            kind, n, _ = split_record(payload)
            if kind == KIND_DECIDED and first is None:
                first = n
            if kind == KIND_CERTIFICATE and found < n <= certified:
                found = n
            yield
        if first is None or found == 0:
            raise NothingCertified
        if first > self.since + 1:
            raise BlocksPruned(first, self.since + 1)
        if found < self.since:
            reason = f"it reaches block {self.since}, and this node has certified block {found}"
            raise CannotAdd(self._target, reason)
        self.height = found

    def copy_headers(self) -> Iterator[Height]:
        """Write the headers that are new and yield their heights.

        Raises `CannotAdd` if the chain is not that of the former backup, and as `scan`.
        """
        source = self._source.headers(self.since, self.height)
        heights = range(self.since, self.height + 1)
        headers = (_decoded(data, Height(n)) for n, data in zip(heights, source, strict=True))
        if self.former is not None:
            shared = next(headers)
            if shared.hash.hex() != self.former.header_hash:
                reason = f"block {self.since} there is another than this node's"
                raise CannotAdd(self._target, reason)
        if self.height == self.since:
            return
        with _Segments(self._target / manifest.HEADERS) as log:
            for header in headers:
                log.append(header.encode())
                self._header = header
                yield header.n

    def copy_blocks(self) -> Iterator[Height]:
        """Write the blocks that are new, checked against the headers, and yield their heights.

        Raises `BackupDamaged` if what the node has does not hold, and as `scan`.
        """
        if self.height == self.since:
            return
        headers = headers_from(DiskReader(self._target / manifest.HEADERS), self.since)
        base = next(headers, None)
        if base is None or (self.since == 0 and base != header_of(self._genesis)):
            raise BackupDamaged(manifest.HEADERS, "header 0 is not what genesis gives", 0)
        check = ChainCheck(self._genesis, headers, self.since, base.hash)
        with _Segments(self._target / manifest.BLOCKS) as log:
            for where, payload in self._records():
                kind, n, _ = split_record(payload)
                if kind in COPIED and self.since < n <= self.height:
                    check.take(payload, where)
                    log.append(payload)
                    if kind == KIND_DECIDED:
                        yield n
        check.end()
        if check.certificate is None or check.certificate.n != self.height:
            raise BackupDamaged(manifest.BLOCKS, "the certificate is missing", self.height)
        self._certificate = check.certificate

    def finish(self, *, keys: bool, version: str, made_ms: int) -> Manifest:
        """Name what is there in a new manifest, which makes it the backup; with the encrypted
        `keys` if they are asked for. Raises `KeyMissing`, storage errors, OSError."""
        settings = _settings(self._place, keys)
        if self.former is None:
            manifest.put(self._target / manifest.GENESIS, self._genesis.encode())
        self._copy_evidence()
        if self._certificate is None:
            assert self.former is not None
            made = self.former
        else:
            assert self._header is not None
            names = {entry.organisation: entry.name for entry in self._genesis.validators}
            made = Manifest(
                chain_id=self._genesis.chain_id.hex(),
                network=self._genesis.name,
                organisation=self._organisation,
                validator=names.get(self._organisation, self._organisation),
                height=self.height,
                header_hash=self._header.hash.hex(),
                time_ms=self._header.time_ms,
                certificate=self._certificate.encode().hex(),
                made_ms=made_ms,
                version=version,
                settings=settings,
                files=(),
            )
        made = replace(
            made, settings=settings, made_ms=made_ms, version=version, files=tuple(self._files())
        )
        manifest.put(self._target / manifest.MANIFEST, made.encode().encode())
        return made

    def _load_former(self) -> Manifest | None:
        try:
            former = manifest.load(self._target)
        except NoBackup:
            return None
        for name, theirs, ours in (
            ("chain", former.chain_id, self._genesis.chain_id.hex()),
            ("organisation", former.organisation, self._organisation),
        ):
            if theirs != ours:
                raise CannotAdd(self._target, f"it is of {name} {theirs}, this node of {ours}")
        return former

    def _records(self) -> Iterator[tuple[str, bytes]]:
        """Of the node's block files, each with its place, to the last whole one."""
        last = Height(0)
        try:
            for where, record in read_records(DiskReader(self._place.blocks)):
                kind, n, _ = split_record(record.payload)
                last = n if kind == KIND_DECIDED else last
                yield where, record.payload
        except LogCorrupt as damage:
            raise BlockFilesDamaged(last, str(damage)) from damage

    def _copy_evidence(self) -> None:
        source = self._place.root / manifest.EVIDENCE
        for path in sorted(source.glob("*" + SUFFIX)) if source.is_dir() else ():
            target = self._target / manifest.EVIDENCE / path.name
            if not target.exists():
                manifest.put(target, path.read_bytes())

    def _files(self) -> Iterator[File]:
        """Those of before as they were named, and the new ones."""
        known = {file.path: file for file in (() if self.former is None else self.former.files)}
        for name in manifest.unlisted(self._target, ()):
            yield known.get(name) or manifest.measured(self._target, name)


class _Segments:
    """Appends records to a log in a segment of their own, and syncs them at the end."""

    def __init__(self, folder: Path) -> None:
        try:
            self._log = SegmentLog(DiskFolder(folder))
        except LogCorrupt as damage:
            raise BackupDamaged(f"{folder.name}/{damage.segment}", damage.reason) from damage
        self._batch: list[bytes] = []
        self._bytes = 0

    def __enter__(self) -> _Segments:
        self._log.roll()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._write()
                self._log.sync()
        finally:
            self._log.close()

    def append(self, payload: bytes) -> None:
        self._batch.append(payload)
        self._bytes += len(payload)
        if self._bytes >= BATCH_BYTES:
            self._write()

    def _write(self) -> None:
        if self._batch:
            self._log.append(self._batch)
        self._batch, self._bytes = [], 0


def headers_from(folder: ReadableFolder, first: Height) -> Iterator[BlockHeader]:
    """The headers in a backup's `folder` from height `first` on. Raises `BackupDamaged`."""
    try:
        for where, record in read_records(folder):
            n = Height(record.sequence - 1)
            if n >= first:
                yield _decoded(record.payload, n, f"{manifest.HEADERS}/{where}")
    except LogCorrupt as damage:
        where = f"{manifest.HEADERS}/{damage.segment}"
        raise BackupDamaged(where, f"at byte {damage.offset}: {damage.reason}") from damage


def _decoded(data: bytes, n: Height, where: str = manifest.HEADERS) -> BlockHeader:
    try:
        header = BlockHeader.decode(data)
    except InvalidInput as error:
        raise BackupDamaged(where, f"is no header: {error}", n) from error
    if header.n != n:
        raise BackupDamaged(where, f"expected header {n}, got header {header.n}", n)
    return header


def _settings(place: Home, keys: bool) -> dict[str, str]:
    settings = {
        name: (place.root / name).read_text(encoding="utf-8")
        for name in manifest.PUBLIC_SETTINGS
        if (place.root / name).exists()
    }
    if keys:
        for name in manifest.SECRET_SETTINGS:
            settings[name] = read_private(place.root / name).decode("ascii")
    return settings
