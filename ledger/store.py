"""The ledger of one validator: what it decided, what follows from that, what is certified.

Two folders, two truths. `blocks/` holds the block files, the only source of decided blocks and
certificates. `ledger/` is a key-value store with all that follows from them; each block goes there
in one synced batch, so after any crash it stands at some block exactly, never between two. If it is
behind, missing or damaged it is made again by executing the block files (`ledger.recovery`).

A ledger need not go back to genesis. `base/` may hold snapshots, the newest one the **base**: block
files then begin at its height or before, and a lost database is made again from the base and the
blocks above it. Pruning (`prune_to`) and restoring a snapshot both end in this.

The order of a block's life, each step done before the next:

    append_decided(block)        synced
    executed = execute(...)      a value; nothing is written
    commit(executed)             one synced batch; now CHECKPOINT may be sent
    save_certificate(cert)       readers may see the block

**Threads.** One thread, the execution thread, calls `execute`, `commit` and `rollback_to` and reads
the newest state. Everything else, the methods of `ChainReader` among it, may be called from any
thread meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from ledger import execution, pruning, schema, snapshot_install
from ledger.block import BlockHeader, DecidedBlock
from ledger.block_files import BlockFiles, StoredBlock
from ledger.certificate import Certificate
from ledger.errors import IntegrityError, InvalidInput
from ledger.execution import CallRunner, Executed, Rules, Writes
from ledger.genesis import Genesis
from ledger.history import FrontierCorrupt, HistoryTree, frontier_at
from ledger.proving import Prover
from ledger.quarantine import QuarantineAwaited
from ledger.queries import RowMissing
from ledger.recent_ids import BlockIds, RecentIds
from ledger.snapshot import MANIFEST_NAME, FolderSource, SnapshotSource
from ledger.state_store import Change, StateStore
from ledger.state_tree import CACHED_ENTRIES_MAX, RecordsWrong
from ledger.storage.errors import StoreCorrupt
from ledger.storage.folder import DiskFolder, Folder
from ledger.storage.interface import KeyValueStore, Reader
from ledger.storage.leveldb import LevelDBStore, destroy, noted_damage
from ledger.types import Digest, Height

BASE_FOLDER: Final = "base"
BLOCKS_FOLDER: Final = "blocks"
STORE_FOLDER: Final = "ledger"

_UNUSABLE: Final = (StoreCorrupt, RowMissing, FrontierCorrupt, RecordsWrong, InvalidInput)
"""What damaged rows may raise while the database is opened; `InvalidInput` is from decoding."""


class WrongChain(IntegrityError):
    """The folder belongs to another chain."""

    code = "wrong_chain"
    hint = "use the folder and the genesis file that belong together"

    def __init__(self, expected: Digest, found: bytes) -> None:
        self.expected = expected
        self.found = found
        super().__init__(f"expected chain {expected.hex()}, the folder holds {found.hex()}")


class HeaderMismatch(IntegrityError):
    """Our execution of block `n` gave another header than the certified one."""

    code = "header_mismatch"
    hint = (
        "this node diverged: `qiong db rebuild --home DIR` executes its blocks again into a new "
        "database, and says so if that does not help"
    )

    def __init__(self, n: Height, certified: Digest, computed: Digest) -> None:
        self.n = n
        self.certified = certified
        self.computed = computed
        super().__init__(f"block {n}: certified {certified.hex()}, computed {computed.hex()}")


class BlocksLost(IntegrityError):
    """The database is ahead of the block files: decided blocks have vanished from disk."""

    code = "blocks_lost"
    hint = "put the missing files back, or the folder `blocks` of another validator that is stopped"

    def __init__(self, executed: Height, last: Height) -> None:
        self.executed = executed
        self.last = last
        super().__init__(f"block {executed} was executed, but the block files end at {last}")


class BaseMissing(IntegrityError):
    """The block files do not begin at genesis, and there is no snapshot to begin from."""

    code = "base_missing"
    hint = "restore a snapshot of this chain: `qiong snapshot restore`"

    def __init__(self, first: Height) -> None:
        self.first = first
        super().__init__(f"the block files begin at {first}, and no snapshot of a block from there")


class CannotRollBack(IntegrityError):
    """A rollback below what is certified, or to a height that was not reached."""

    code = "cannot_roll_back"

    def __init__(self, n: int, certified: Height, executed: Height) -> None:
        self.n = n
        self.certified = certified
        self.executed = executed
        super().__init__(f"cannot go back to {n}: certified {certified}, executed {executed}")


class LedgerStore(Prover):
    """An open ledger. `open` for a validator's home folder; the constructor takes any storage."""

    def __init__(
        self,
        genesis: Genesis,
        kv: KeyValueStore,
        blocks: BlockFiles,
        base: SnapshotSource | None = None,
        tree_entries_max: int = CACHED_ENTRIES_MAX,
    ) -> None:
        """Open; an empty `kv` begins from `base` if there is one, else with header 0 and the
        initial state. Empty block files begin from `base` too.

        `tree_entries_max` is how many of the state tree's entries stay in memory. `kv` may be
        behind the block files (see `ledger.recovery.roll_forward`) but not ahead of them. Raises
        `WrongChain`, `BlocksLost`, `BaseMissing`, `SnapshotWrong`, `StoreCorrupt` and other storage
        errors.
        """
        self.rules = Rules.of(genesis)
        self.rebuilt: str | None = None
        """Why the database was found unusable and begun anew, if it was."""
        if base is not None and not blocks.last_height:
            snapshot_install.begin_blocks(blocks, genesis, base)
        executed = _executed_height(kv, self.rules.chain_id)
        if executed < 0:
            executed = _begin(kv, blocks, genesis, base)
        elif executed < blocks.first_height - 1:
            raise StoreCorrupt(
                STORE_FOLDER,
                f"it ends at {executed}, the block files begin at {blocks.first_height}",
            )
        window = genesis.parameters.window
        state = StateStore(kv, executed, window, tree_entries_max)
        super().__init__(genesis, kv, blocks, state)
        self._history = HistoryTree()
        if executed < 0:
            self._write_genesis()
        else:
            self._head = self._resume(executed)
        self._executed = self._head.n
        self._recent = self._load_recent()

    @classmethod
    def open(
        cls,
        home: Path,
        genesis: Genesis,
        *,
        open_store: Callable[[Path], KeyValueStore] = LevelDBStore,
        open_folder: Callable[[Path], Folder] = DiskFolder,
        tree_entries_max: int = CACHED_ENTRIES_MAX,
    ) -> LedgerStore:
        """Open or create the ledger under `home`; a database that is damaged, or was found so while
        it was used, is begun anew, from the base if there is one.

        Then run `ledger.recovery.roll_forward`. Raises `StoreLocked` if another process has it
        open, `BlockFilesDamaged`, and what the constructor raises.
        """
        blocks = BlockFiles(open_folder(home / BLOCKS_FOLDER))
        base = newest_base(home)
        path = home / STORE_FOLDER
        kv: KeyValueStore | None = None
        try:
            try:
                if (noted := noted_damage(path)) is not None:
                    raise StoreCorrupt(path, noted)
                kv = open_store(path)
                return cls(genesis, kv, blocks, base, tree_entries_max)
            except _UNUSABLE as damage:
                if kv is not None:
                    kv.close()
                destroy(path)
                kv = open_store(path)
                store = cls(genesis, kv, blocks, base, tree_entries_max)
                store.rebuilt = str(damage)
                return store
        except BaseException:
            blocks.close()
            if kv is not None:
                kv.close()
            raise

    def close(self) -> None:
        """Give up both folders."""
        self._kv.close()
        self._blocks.close()

    @property
    def rows(self) -> Reader:
        """The database row by row, for those who check it or count it (`ledger.verification`)."""
        return self._kv

    @property
    def block_files(self) -> BlockFiles:
        """The block files, likewise."""
        return self._blocks

    # The chain as execution sees it: `ledger.execution.Chain`.

    @property
    def head(self) -> BlockHeader:
        """The header of the newest executed block."""
        return self._head

    @property
    def history_root(self) -> Digest:
        """Root over all headers up to and with `head`."""
        return self._history.root

    @property
    def state(self) -> StateStore:
        """The state after `head`."""
        return self._state

    def was_executed(self, tx_id: Digest) -> bool:
        """Whether an unexpired transaction with this id is in the chain."""
        return tx_id in self._recent

    def change_state(self, writes: Writes) -> Change:
        """Work out the state tree with `writes` applied; applies nothing."""
        return self._state.change(writes)

    # The steps of a block.

    @property
    def decided_height(self) -> Height:
        """The highest block in the block files."""
        return self._blocks.last_height

    def append_decided(self, block: DecidedBlock, body: bytes | None = None) -> None:
        """Store a decided block, synced. `body` is the encoded body, if at hand.

        Raises `OutOfOrder`, `DecidedTwice`, storage errors.
        """
        if body is None and block.body is not None:
            body = block.body.encode()
        transactions = tuple(signed.raw for signed in block.transactions)
        self._blocks.append_decided(StoredBlock(block.n, block.d, body, transactions))

    def decided_block(self, n: Height) -> StoredBlock:
        """The decided block `n`, certified or not: for execution and for peers."""
        return self._blocks.read(n)

    @property
    def cut_bytes(self) -> int:
        """Bytes of an unfinished record that opening cut off the block files."""
        return self._blocks.cut_bytes

    def own_certificate(self, n: Height) -> Certificate | None:
        """The certificate stored for exactly `n`, whether `n` is executed or not."""
        return self._blocks.certificate(n)

    def quarantine(self, n: Height, tx_id: Digest, authorisation: bytes) -> None:
        """Record that a quorum took `tx_id` out of block `n`; the caller checked that it did.

        `authorisation` is the encoded `Quarantine`. From any thread.
        """
        self._blocks.append_quarantine(n, tx_id, authorisation)

    def quarantined(self, n: Height) -> dict[Digest, bytes]:
        """What was taken out of block `n`, each with the encoded `Quarantine` that proves it."""
        return self._blocks.quarantined(n)

    def promise(self, n: Height, tx_id: Digest) -> None:
        """Write down, before it is signed, that we sign no header of `n` in which `tx_id` ran."""
        self._blocks.append_promise(n, tx_id)

    def promised(self, n: Height) -> frozenset[Digest]:
        """Transactions that this validator signed should be taken out of block `n`."""
        return self._blocks.promised(n)

    def execute(
        self, block: DecidedBlock, calls: CallRunner, certified: Digest | None = None
    ) -> Executed:
        """Execute the block after `head`; commits nothing.

        `certified` is the hash of its certified header, where that is known from elsewhere than the
        block files: it ends our promises for the block. Raises `HeaderMismatch` if the result is
        another, `QuarantineAwaited`, and what `execution.execute` does.
        """
        quarantined = self._blocks.quarantined(block.n).keys()
        awaited = self._blocks.promised(block.n) - quarantined
        if awaited and certified is None and self._blocks.certificate_from(block.n) is None:
            raise QuarantineAwaited(block.n, awaited)
        executed = execution.execute(self.rules, self, block, calls, quarantined)
        if certified is not None and executed.header.hash != certified:
            raise HeaderMismatch(block.n, certified, executed.header.hash)
        return executed

    def commit(self, executed: Executed) -> None:
        """Write everything that follows from the block, in one synced batch.

        Raises `HeaderMismatch` if this height is certified already with another header; then
        nothing was written. Raises storage errors, after which nothing more goes.
        """
        header, change = executed.header, executed.change
        assert isinstance(change, Change)
        assert header.parent == self._head.hash
        self._check_against_certificate(header)
        n = header.n
        ids = [entry.receipt.tx_id for entry in executed.transactions]
        history = self._history.copy()
        batch = _rows_of(executed, ids)
        batch.update(_history_rows(history, header))
        for old in self._recent.expired_at(header.time_ms):
            # Those below the base have no results to be read from again after a rollback.
            if old >= self._first:
                batch[schema.by_height(schema.IDS, old)] = None
        self._state.stage(batch, n, executed.writes, change)
        self._state.adopt(batch, n, executed.writes, change)
        self._history = history
        self._head = header
        self._recent.add(BlockIds(n, header.time_ms, ids))
        # Last: from here on readers in other threads may find it.
        self._executed = n

    def save_certificate(self, certificate: Certificate) -> None:
        """Store the certificate of an executed block; the caller verified it.

        Safe with the next sync. Raises `HeaderMismatch` if our own header is another.
        """
        header = self.executed_header(certificate.n)
        if header.hash != certificate.header_hash:
            raise HeaderMismatch(certificate.n, certificate.header_hash, header.hash)
        self._blocks.append_certificate(certificate)

    def sync_blocks(self) -> None:
        """Return once every certificate stored so far survives power loss; from any thread."""
        self._blocks.sync()

    def rollback_to(self, n: Height) -> None:
        """Undo the blocks above `n`, newest first, one synced batch each; block files stay.

        Raises `CannotRollBack` below the certified height, `NoSuchUndo` beyond the window.
        """
        if not self.certified_height <= n <= self._executed:
            raise CannotRollBack(n, self.certified_height, self._executed)
        while self._executed > n:
            self._undo_head()

    def _undo_head(self) -> None:
        n = self._executed
        parent = self.executed_header(Height(n - 1))
        batch: dict[bytes, bytes | None] = {
            schema.by_height(kind, n): None
            for kind in (schema.HEADER, schema.RESULTS, schema.EVENTFUL, schema.IDS)
        }
        for tx_id in self.executed_ids(n):
            batch[schema.LOCATION + tx_id] = None
        batch[schema.META_EXECUTED] = parent.n.to_bytes(8, "big")
        leaves = self._state.stage_revert(batch, n)
        self._executed = parent.n
        self._state.adopt_revert(batch, n, leaves)
        self._head = parent
        # Nodes of the history tree stay: the block that comes instead writes the same places.
        self._history = frontier_at(n, self.history_node)
        self._recent = self._load_recent()

    def _check_against_certificate(self, header: BlockHeader) -> None:
        certificate = self._blocks.certificate(header.n)
        if certificate is not None and certificate.header_hash != header.hash:
            raise HeaderMismatch(header.n, certificate.header_hash, header.hash)

    def _write_genesis(self) -> None:
        writes = execution.genesis_writes(self.genesis)
        change = self._state.change(writes)
        header = execution.genesis_header(self.genesis, change.root)
        batch: dict[bytes, bytes | None] = {
            schema.META_CHAIN: self.rules.chain_id,
            schema.META_FORM: bytes([schema.FORM]),
            schema.META_EXECUTED: header.n.to_bytes(8, "big"),
            schema.by_height(schema.HEADER, 0): header.encode(),
            schema.by_height(schema.RESULTS, 0): schema.encode_results(()),
        }
        batch.update(_history_rows(self._history, header))
        self._state.stage(batch, header.n, writes, change)
        self._state.adopt(batch, header.n, writes, change)
        self._head = header

    def _resume(self, executed: Height) -> BlockHeader:
        """Read back where the database stands, and check that its parts agree."""
        if executed > self._blocks.last_height:
            raise BlocksLost(executed, self._blocks.last_height)
        head = self.executed_header(executed)
        if head.state_root != self._state.root:
            raise StoreCorrupt(
                STORE_FOLDER,
                f"the state's root is {self._state.root.hex()}, header {executed}"
                f" says {head.state_root.hex()}",
            )
        self._history = frontier_at(executed + 1, self.history_node)
        if frontier_at(executed, self.history_node).root != head.history_root:
            raise StoreCorrupt(STORE_FOLDER, f"the history does not lead to header {executed}")
        return head

    # What a snapshot is made of, and what is given up once there is one.

    def recent_headers(self, head: BlockHeader) -> list[BlockHeader]:
        """The headers before `head` whose ids may be unexpired at its time, oldest first, and the
        one before them, which shows that there are no more."""
        found: list[BlockHeader] = []
        for n in range(head.n - 1, 0, -1):
            found.append(self.executed_header(Height(n)))
            if found[-1].time_ms + self.rules.transaction_lifetime_ms < head.time_ms:
                break
        return found[::-1]

    def prune_to(self, n: Height) -> Iterator[Height]:
        """Give up what is below the certified block `n`; yield each height that is done.

        A snapshot of `n` must be in force as base. Safe to break off anywhere: `n` is the first
        height that is answered for before anything goes, and another call goes on where this one
        ended. Below `n` only header 0 stays, and the headers and ids of `recent_headers`. Block
        files go in whole segments. While nothing else is asked of this store.
        """
        if n > self._first:
            header = self.header(n)
            recent = [
                (old, b"".join(self.executed_ids(old.n))) for old in self.recent_headers(header)
            ]
            frontier = frontier_at(n, self.history_node)
            self._kv.write(snapshot_install.base_rows(header, frontier, recent), sync=True)
            self._first = n
        yield from pruning.prune(self._kv, self._first, self.recent_headers(self.header(n)))
        self._blocks.drop_before(self._first)

    def compact(self) -> None:
        """Give the disk back what pruning freed in the database."""
        self._kv.compact()

    def _load_recent(self) -> RecentIds:
        lifetime_ms = self.rules.transaction_lifetime_ms
        blocks = [
            BlockIds(header.n, header.time_ms, self.executed_ids(header.n))
            for header in [*self.recent_headers(self._head), self._head]
            if header.n and header.time_ms + lifetime_ms >= self._head.time_ms
        ]
        return RecentIds(lifetime_ms, blocks)

    def executed_ids(self, n: Height) -> list[Digest]:
        """The ids of the transactions of an executed block that have a leaf, in order."""
        data = self._kv.get(schema.by_height(schema.IDS, n))
        if data is not None:
            return schema.decode_ids(data)
        # Without transactions; or expired once, and wanted again after a rollback.
        entries = map(schema.decode_result, self._results(n))
        return [entry.receipt.tx_id for entry in entries]


def _rows_of(executed: Executed, ids: Iterable[Digest]) -> dict[bytes, bytes | None]:
    n = executed.header.n
    batch: dict[bytes, bytes | None] = {
        schema.META_EXECUTED: n.to_bytes(8, "big"),
        schema.by_height(schema.HEADER, n): executed.header.encode(),
        schema.by_height(schema.RESULTS, n): schema.encode_results(executed.transactions),
    }
    if any(entry.event_leaves for entry in executed.transactions):
        batch[schema.by_height(schema.EVENTFUL, n)] = b""
    if executed.transactions:
        batch[schema.by_height(schema.IDS, n)] = b"".join(ids)
    for index, entry in enumerate(executed.transactions):
        batch[schema.LOCATION + entry.receipt.tx_id] = schema.encode_location(n, index)
    return batch


def _history_rows(history: HistoryTree, header: BlockHeader) -> dict[bytes, bytes | None]:
    """Append `header` to `history` and return the rows of the nodes that completes."""
    completed = history.append(header.hash)
    return {schema.by_history(level, position): node for level, position, node in completed}


def newest_base(home: Path) -> FolderSource | None:
    """The snapshot under `home` that its ledger may begin from: the newest whole one."""
    found = [path.parent for path in (home / BASE_FOLDER).glob(f"*/{MANIFEST_NAME}")]
    return FolderSource(max(found)) if found else None


def base_folder(home: Path, n: Height) -> Path:
    """Where a snapshot of `n` stands that shall be the base; names are in the order of heights."""
    return home / BASE_FOLDER / f"{n:012d}"


def _begin(
    kv: KeyValueStore, blocks: BlockFiles, genesis: Genesis, base: SnapshotSource | None
) -> Height:
    """Fill the empty `kv` from the base; the height it then has, -1 if genesis is to be written."""
    if base is not None:
        n = snapshot_install.verified_manifest(base, genesis).height
        if blocks.first_height <= n <= blocks.last_height:
            for _ in snapshot_install.install(kv, genesis, base):
                pass
            return n
    if blocks.first_height > 1:
        raise BaseMissing(blocks.first_height)
    return Height(-1)


def _executed_height(kv: KeyValueStore, chain_id: Digest) -> Height:
    """Where `kv` stands; -1 if it is empty. Raises `WrongChain`, `StoreCorrupt`."""
    data = kv.get(schema.META_EXECUTED)
    if data is None:
        if next(kv.iterate(limit=1), None) is not None:
            raise StoreCorrupt(STORE_FOLDER, "rows without a head")
        return Height(-1)
    found = kv.get(schema.META_CHAIN)
    if found is None:
        # LevelDB without its CURRENT begins anew, and reads a log it finds there into that.
        raise StoreCorrupt(STORE_FOLDER, "rows without their genesis")
    if found != chain_id:
        raise WrongChain(chain_id, found)
    if kv.get(schema.META_FORM) != bytes([schema.FORM]):
        raise StoreCorrupt(STORE_FOLDER, "rows of another form")
    return Height(int.from_bytes(data, "big"))
