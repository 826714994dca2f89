"""Restoring a snapshot into the folder of a node that is stopped.

Three steps, and a node that starts after any of them being broken off is as it was or restored:

1. `fetch`: the manifest is checked first (a quorum signed its header), then the chunks come into
   `snapshot.new`, each compared with the manifest. A later attempt keeps those that fit.
2. `check`: a database is made from them in `ledger.new`, and only if all of it leads to the signed
   header does anything go on. A snapshot that does not is thrown away whole.
3. `replace`: the snapshot becomes the base of this home, and database and block files begin there.
   What was there before is kept in `ledger.old` and `blocks.old`.

Between the moves of the third step the home lacks a part that the next start makes from the base
(`ledger.store`). The log of votes stays as it is. Its key may have voted above it, so the node
votes again by the rule for lost logs alone (`consensus.recovery`): a log that is empty beside the
restored ledger is a lost one, and the node follows without a vote until its key is rotated.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from ledger import snapshot
from ledger.block_files import BlockFiles
from ledger.genesis import Genesis
from ledger.snapshot import ChunkWrong, Manifest, SnapshotSource, SnapshotWrong
from ledger.snapshot_install import install, verified_manifest
from ledger.storage.folder import DiskFolder, sync_folder
from ledger.storage.leveldb import LevelDBStore, destroy
from ledger.store import LedgerStore, base_folder
from ledger.trust import TrustAnchor
from ledger.types import Height
from node.errors import Refused
from node.home import Home

FETCH_FOLDER: Final = "snapshot.new"
NEW_LEDGER: Final = "ledger.new"
OLD_LEDGER: Final = "ledger.old"
OLD_BLOCKS: Final = "blocks.old"


class NothingToGain(Refused):
    """The home has the blocks up to the snapshot's height, and more than that."""

    code = "nothing_to_gain"
    hint = "start the node: it fetches what it lacks; to begin anew, restore into a new home"

    def __init__(self, n: Height, decided: Height) -> None:
        self.n = n
        self.decided = decided
        super().__init__(
            f"the snapshot is of block {n}, and this home holds blocks up to {decided}"
        )


class Restore:
    """A restore into one home whose lock the caller holds. A context manager."""

    def __init__(
        self, place: Home, genesis: Genesis, source: SnapshotSource, trust: TrustAnchor | None
    ) -> None:
        """Read and check the manifest.

        Raises `SnapshotWrong`, `CertificateInvalid`, `NothingToGain`, storage errors, and what
        `source` raises.
        """
        self._place = place
        self._genesis = genesis
        self._source = source
        self._new = place.root / NEW_LEDGER
        self._store: LevelDBStore | None = None
        self.manifest: Manifest = verified_manifest(source, genesis)
        if trust is not None:
            _check_trust(self.manifest, trust)
        blocks = BlockFiles(DiskFolder(place.blocks))
        self._decided = blocks.last_height
        blocks.close()
        if self._decided >= self.manifest.height:
            raise NothingToGain(self.manifest.height, self._decided)
        self._folder = DiskFolder(place.root / FETCH_FOLDER)

    def __enter__(self) -> Restore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close_store()
        destroy(self._new)
        self._folder.close()
        if isinstance(error, SnapshotWrong) and not isinstance(error, ChunkWrong):
            # Its chunks fit its manifest, which lies: the next attempt must not keep them.
            destroy(self._place.root / FETCH_FOLDER)

    @property
    def total(self) -> int:
        """How many chunks there are."""
        return len(self.manifest.chunks)

    def fetch(self) -> Iterator[bool]:
        """Bring in every chunk that is not there yet; yield for each whether it had to come.

        Raises `ChunkWrong` naming the first wrong one, storage errors, and what the source raises.
        """
        names = [snapshot.chunk_name(index) for index in range(self.total)]
        found = set(self._folder.names())
        for name in found.difference(names):
            self._folder.remove(name)
        for index, name in enumerate(names):
            here = name in found and self._fits(index, name)
            if not here:
                chunk = self.manifest.check_chunk(index, self._source.chunk(index))
                self._folder.create(name, chunk)
            yield not here

    def check(self) -> Iterator[int]:
        """Make the database of the chunks; yield the number of those taken.

        Raises `SnapshotWrong` if they do not lead to the signed header, and storage errors.
        """
        self._folder.create(snapshot.MANIFEST_NAME, self.manifest.encode())
        destroy(self._new)
        self._store = LevelDBStore(self._new)
        local = snapshot.FolderSource(self._place.root / FETCH_FOLDER)
        yield from install(self._store, self._genesis, local)

    def replace(self) -> list[Path]:
        """Let the home begin from the snapshot; where its former parts are kept, if it had any.

        Raises OSError and storage errors.
        """
        self._close_store()
        self._folder.close()
        root = self._place.root
        base = base_folder(root, self.manifest.height)
        destroy(base)
        base.parent.mkdir(exist_ok=True)
        (root / FETCH_FOLDER).rename(base)
        sync_folder(base.parent)
        kept: list[Path] = []
        if self._decided:
            kept.append(_set_aside(self._place.blocks, root / OLD_BLOCKS))
        if (self._place.ledger / "CURRENT").exists():
            kept.append(_set_aside(self._place.ledger, root / OLD_LEDGER))
        else:
            destroy(self._place.ledger)
        self._new.rename(self._place.ledger)
        sync_folder(root)
        # The block of the base goes to the new block files.
        LedgerStore.open(root, self._genesis).close()
        drop_older_bases(root, self.manifest.height)
        return kept

    def _fits(self, index: int, name: str) -> bool:
        try:
            size = min(self._folder.size(name), snapshot.CHUNK_BYTES_MAX)
            self.manifest.check_chunk(index, self._folder.read(name, 0, size))
        except ChunkWrong:
            return False
        return True

    def _close_store(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None


def drop_older_bases(root: Path, n: Height) -> None:
    """Delete the bases below that of `n`. Raises storage errors."""
    newest = base_folder(root, n)
    for folder in newest.parent.iterdir():
        if folder.name < newest.name:
            destroy(folder)


def _check_trust(manifest: Manifest, trust: TrustAnchor) -> None:
    """The snapshot continues what the trust file names. Raises `SnapshotWrong`."""
    manifest.verify(trust.chain_id, trust.validators)
    header = manifest.header
    if header.n < trust.height:
        raise SnapshotWrong(f"it is of block {header.n}, the trust file names block {trust.height}")
    if header.n == trust.height and header.hash != trust.header_hash:
        raise SnapshotWrong("the trust file names another header of its height")


def _set_aside(path: Path, kept: Path) -> Path:
    destroy(kept)
    path.rename(kept)
    return kept
