"""Making the database anew from the block files, while the node is stopped.

Every decided block is executed again into a fresh database beside the old one, by the path that
executed it first (`ledger.recovery.roll_forward`), and compared with every certificate there is,
the one included that showed this node to be wrong. Where older blocks were given up it begins from
the base, the snapshot kept in their place. Only a result that holds takes the old one's place; that
one is kept, for whoever looks for the cause.

Safe to break off at any point. Until the swap only `ledger.new` grows, and the next attempt begins
it again. In the swap `ledger` may be missing for a moment: a node that starts then makes it itself.

A validator has signed the headers of its old database. Where no certificate says that those were
wrong, another header must not take their place: signing it too would be a contradiction under this
node's key. Left out: damaged block files, which nobody can make anew from anything here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from consensus.records import Diverged
from ledger import schema
from ledger.block import BlockHeader
from ledger.block_files import BlockFiles
from ledger.errors import IntegrityError, QiongError
from ledger.execution import CallRunner
from ledger.genesis import Genesis
from ledger.recovery import roll_forward
from ledger.storage.folder import DiskFolder, sync_folder
from ledger.storage.interface import prefix_stop
from ledger.storage.leveldb import LevelDBStore, destroy
from ledger.store import HeaderMismatch, LedgerStore, newest_base
from ledger.types import Digest, Height
from node.errors import Refused
from node.home import Home
from node.wal import VoteLog

NEW_FOLDER: Final = "ledger.new"
OLD_FOLDER: Final = "ledger.old"


class StillDiverged(IntegrityError):
    """Executing the block files gave, again, another header than the certified one."""

    code = "still_diverged"
    hint = (
        "the data was not the cause: run the version of the software that the others run "
        "(`qiong --version`), or test this machine's memory and disk; nothing was changed"
    )

    def __init__(self, n: Height, certified: Digest, computed: Digest) -> None:
        self.n = n
        self.certified = certified
        self.computed = computed
        super().__init__(
            f"block {n}: executed again and still not the certified header; "
            f"certified {certified.hex()}, computed {computed.hex()}"
        )


class WouldContradict(Refused):
    """The new header of a block that this node may have signed differently, none certified."""

    code = "would_contradict"
    hint = (
        "start the node and let it hear which header is certified; if `qiong node why` then says "
        "DIVERGED, rebuild again; nothing was changed"
    )

    def __init__(self, n: Height, old: Digest, new: Digest) -> None:
        self.n = n
        self.old = old
        self.new = new
        super().__init__(
            f"block {n} is not certified, and its header came out as {new.hex()}; this node may "
            f"have signed {old.hex()} already"
        )


class Rebuild:
    """A rebuild of one home, whose lock the caller holds. A context manager:

    `run` executes, `replace` puts the result in its place; left without that, nothing changed.
    """

    def __init__(self, place: Home, genesis: Genesis) -> None:
        """Open the block files and an empty database.

        Raises `BlockFilesDamaged`, `VoteDamaged` and storage errors.
        """
        self._place = place
        self._new = place.root / NEW_FOLDER
        destroy(self._new)
        blocks = BlockFiles(DiskFolder(place.blocks))
        try:
            self._diverged = recorded_divergence(place, blocks.certified_height)
            self._signed = _headers(place.ledger, blocks.certified_height)
            self._halted = self._is_halted()
            base = newest_base(place.root)
            self._store = LedgerStore(genesis, LevelDBStore(self._new), blocks, base)
        except BaseException:
            blocks.close()
            raise

    def __enter__(self) -> Rebuild:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._store.close()
        destroy(self._new)

    @property
    def total(self) -> int:
        """How many blocks there are to execute."""
        return self._store.decided_height - self._store.first_height

    def run(self, calls: CallRunner) -> Iterator[Height]:
        """Execute every block and yield its height.

        Raises `StillDiverged`, `WouldContradict`, `BlockDamaged`, `BlockMissing`, storage errors,
        and what `calls` raises.
        """
        try:
            for n in roll_forward(self._store, calls):
                self._compare(n, self._store.executed_header(n).hash)
                yield n
        except HeaderMismatch as error:
            raise StillDiverged(error.n, error.certified, error.computed) from error

    def replace(self) -> Path | None:
        """Put the new database in the old one's place; where the old one is kept, if there was one.

        Raises OSError and storage errors.
        """
        self._store.close()
        root, old = self._place.root, self._place.root / OLD_FOLDER
        destroy(old)
        kept = self._place.ledger.exists()
        if kept:
            self._place.ledger.rename(old)
        self._new.rename(self._place.ledger)
        sync_folder(root)
        return old if kept else None

    def _is_halted(self) -> bool:
        """Whether the old database is the one that halted: what it executed since was not signed,
        and what it had signed before is known."""
        diverged = self._diverged
        if diverged is None:
            return False
        return self._signed.get(diverged.n, diverged.certified) != diverged.certified

    def _compare(self, n: Height, computed: Digest) -> None:
        diverged = self._diverged
        if diverged is not None:
            if n == diverged.n and computed != diverged.certified:
                raise StillDiverged(n, diverged.certified, computed)
            if n <= diverged.signed_to or self._halted:
                return
        signed = self._signed.get(n, computed)
        if signed != computed:
            raise WouldContradict(n, signed, computed)


def recorded_divergence(place: Home, certified: Height) -> Diverged | None:
    """Why this node halted, if it did."""
    votes = VoteLog(DiskFolder(place.wal), certified)
    votes.close()
    found = (record for record in reversed(votes.recovered) if isinstance(record, Diverged))
    return next(found, None)


def _headers(ledger: Path, certified: Height) -> dict[Height, Digest]:
    """The uncertified headers of a database, as far as it can be read."""
    found: dict[Height, Digest] = {}
    if not (ledger / "CURRENT").exists():
        return found
    try:
        kv = LevelDBStore(ledger)
    except QiongError:
        return found
    try:
        start = schema.by_height(schema.HEADER, certified + 1)
        for _, data in kv.iterate(start, prefix_stop(schema.HEADER)):
            header = BlockHeader.decode(data)
            found[header.n] = header.hash
    except QiongError:
        pass  # damaged; what was read is what it said
    finally:
        kv.close()
    return found
