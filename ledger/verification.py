"""Is this ledger what its own hashes say? Every byte of it, without executing a contract.

From genesis upwards, block by block: the decided block against the digest that was decided, its
certificate's and quarantines' signatures, every field of its header, receipts and transactions
against their roots, the history tree's nodes, and the rows that lead to all of this. Then every row
of the database once more, so that none is there which no block accounts for (`ledger.verified_rows`
does both for the state: it rebuilds the tree of every height and compares the root).

What holds here holds for everyone: headers are chained by hash and a quorum signed one of the last.
The first thing that does not hold is named by file and byte, or by row, with its height and the way
out, and the check ends there.

Left out: whether executing the blocks gives these results (`qiong db rebuild` does that), damage
that a start mends by itself (an unfinished record at a log's end is cut, as at a start), and what a
later block would need of blocks that were pruned: where the block files begin later, so does this.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from ledger import merkle, schema
from ledger.block import BlockHeader, DecidedBlock
from ledger.block_files import BlockFiles
from ledger.certificate import CertificateInvalid
from ledger.errors import IntegrityError, InvalidInput
from ledger.execution import block_time, genesis_header, genesis_writes
from ledger.genesis import Genesis
from ledger.history import HistoryTree, frontier_at
from ledger.quarantine import Quarantine, QuarantineInvalid, Removal
from ledger.receipt import Receipt
from ledger.schema import StoredResult
from ledger.state_proof import state_key_hash, state_value_hash
from ledger.state_tree import StateTree
from ledger.storage.errors import LogCorrupt, StoreCorrupt
from ledger.storage.folder import DiskFolder
from ledger.storage.interface import KeyValueStore
from ledger.storage.leveldb import LevelDBStore
from ledger.store import BLOCKS_FOLDER, STORE_FOLDER, LedgerStore
from ledger.types import Digest, Height
from ledger.verified_rows import RowDamaged, Rows, in_words

_Results: TypeAlias = list[tuple[StoredResult, Receipt]]

MEND_ROWS: Final = (
    "stop the node and run `qiong db rebuild --home DIR`: it makes the database anew from the "
    "block files and compares it with their certificates"
)
MEND_BLOCKS: Final = (
    "put the folder `blocks` of another validator, while that one is stopped, in the place of this "
    "one's, delete `ledger`, keep `wal`, and start: all is executed and compared"
)


class LedgerDamaged(IntegrityError):
    """Something stored is not what the chain's hashes say.

    `where` names a file and byte, or a row; `n` is the height it belongs to, if one is known.
    """

    code = "ledger_damaged"

    def __init__(self, n: int | None, where: str, reason: str, hint: str = MEND_ROWS) -> None:
        self.n = n
        self.where = where
        self.reason = reason
        self.hint = hint
        height = "" if n is None else f"block {n}: "
        super().__init__(f"{where}: {height}{reason}")


@contextmanager
def opened(home: Path, genesis: Genesis) -> Iterator[LedgerStore]:
    """The ledger under `home` as it lies there; unlike a start this makes nothing anew.

    Raises `LedgerDamaged` if it cannot even be opened, `StoreLocked` and other storage errors.
    """
    with contextlib.ExitStack() as stack:
        with _blamed(BLOCKS_FOLDER, MEND_BLOCKS):
            blocks = BlockFiles(DiskFolder(home / BLOCKS_FOLDER))
            stack.enter_context(contextlib.closing(blocks))
        with _blamed(STORE_FOLDER, MEND_ROWS):
            kv = stack.enter_context(contextlib.closing(LevelDBStore(home / STORE_FOLDER)))
        yield as_it_lies(genesis, kv, blocks)


def as_it_lies(genesis: Genesis, kv: KeyValueStore, blocks: BlockFiles) -> LedgerStore:
    """The ledger of these two. Raises `LedgerDamaged` if they do not even open."""
    with _blamed(STORE_FOLDER, MEND_ROWS):
        return LedgerStore(genesis, kv, blocks)


def header_of(genesis: Genesis) -> BlockHeader:
    """Header 0, computed from genesis alone."""
    writes = genesis_writes(genesis)
    leaves = {state_key_hash(*name): state_value_hash(value) for name, value in writes.items()}
    return genesis_header(genesis, StateTree().apply(leaves))


def verify_ledger(store: LedgerStore) -> Iterator[Height]:
    """Check all of `store`; yield each executed height when it holds. Raises `LedgerDamaged`."""
    verification = Verification(store)
    for n in verification.blocks():
        if n <= store.executed_height:
            yield n
    for _ in verification.rows():
        pass


class Verification:
    """One check of one ledger: exhaust `blocks`, then `rows`. Nobody may write meanwhile."""

    def __init__(self, store: LedgerStore) -> None:
        self._store = store
        self._files = store.block_files
        self._rows = Rows(store.rows)
        self.first = store.first_height
        """Where the check begins: genesis, or the base that older blocks were given up for."""
        self.last = store.decided_height
        self.transactions = 0
        self.certificates = 0
        self.rows_checked = 0

    @property
    def rows_expected(self) -> int:
        """About how many rows `rows` will go through; known after `blocks`."""
        return self._rows.seen

    def blocks(self) -> Iterator[Height]:
        """Check block after block, from `first` to `last`; yield each height when it holds.

        Of those that are not executed yet, block and certificate. Raises `LedgerDamaged`.
        """
        parent, history = self._base()
        yield self.first
        for height in range(self.first + 1, self._store.executed_height + 1):
            n = Height(height)
            with _blamed(_row(schema.HEADER, n), MEND_ROWS, n):
                header = self._store.executed_header(n)
            block = self._decided(n)
            results = self._results(n)
            self._check_header(header, parent, block, results, history)
            self._check_results(header, block, results)
            self._check_certificate(n, header)
            self._check_history(history, header)
            with _blamed_row(n):
                self._rows.check_block(header, *_summary(results))
            self.transactions += header.tx_count
            parent = header
            yield n
        for height in range(self._store.executed_height + 1, self._store.decided_height + 1):
            n = Height(height)
            self._decided(n)
            self._check_certificate(n, None)
            yield n

    def rows(self) -> Iterator[int]:
        """Look at every row once; yield how many it was, now and then. Raises `LedgerDamaged`."""
        with _blamed(STORE_FOLDER, MEND_ROWS), _blamed_row(None):
            for count in self._rows.check_all(self._store.executed_height):
                self.rows_checked += count
                yield count

    def _base(self) -> tuple[BlockHeader, HistoryTree]:
        """The header everything is chained to, and the history with it."""
        n = self.first
        with _blamed(_row(schema.HEADER, n), MEND_ROWS, n), _blamed_row(n):
            header = self._store.executed_header(n)
            if n == 0:
                if header != header_of(self._store.genesis):
                    raise LedgerDamaged(n, _row(schema.HEADER, n), "is not what genesis gives")
                results = self._results(n)
                self._rows.check_block(header, *_summary(results))
                history = HistoryTree()
                self._check_history(history, header)
            else:
                if frontier_at(n, self._store.history_node).root != header.history_root:
                    what = "the history tree does not lead to it"
                    raise LedgerDamaged(n, _row(schema.HEADER, n), what)
                history = frontier_at(n + 1, self._store.history_node)
                self._rows.begin_at(header)
        return header, history

    def _decided(self, n: Height) -> DecidedBlock:
        where = self._files.place(n)
        with _blamed(where, MEND_BLOCKS, n):
            block = self._store.decided_block(n).decode()
            for tx_id, data in self._store.quarantined(n).items():
                quarantine = Quarantine.decode(data)
                removal = Removal(self._store.rules.epoch, n, block.d, tx_id)
                if quarantine.removal != removal:
                    raise QuarantineInvalid("it is of another block or transaction")
                quarantine.verify(self._store.rules.chain_id, self._store.genesis.validator_set)
        return block

    def _results(self, n: Height) -> _Results:
        with _blamed(_row(schema.RESULTS, n), MEND_ROWS, n):
            return [(result, result.receipt) for result in self._store.executed_results(n)]

    def _check_header(
        self,
        header: BlockHeader,
        parent: BlockHeader,
        block: DecidedBlock,
        results: _Results,
        history: HistoryTree,
    ) -> None:
        """Compare with the header that everything else stored gives; the state root stands alone
        here and is compared with the rebuilt tree."""
        rules = self._store.rules
        expected = BlockHeader(
            chain_id=rules.chain_id,
            epoch=rules.epoch,
            n=Height(parent.n + 1),
            parent=parent.hash,
            d=block.d,
            time_ms=block_time(parent, block),
            tx_count=len(results),
            tx_root=merkle.root(receipt.tx_id for _, receipt in results),
            receipts_root=merkle.root(result.leaf for result, _ in results),
            state_root=header.state_root,
            history_root=history.root,
            validators_hash=rules.validators_hash,
            next_validators_hash=rules.next_validators_hash,
            params_hash=rules.params_hash,
        )
        if header == expected:
            return
        differ = [
            name
            for name in BlockHeader.__dataclass_fields__
            if getattr(header, name) != getattr(expected, name)
        ]
        rows = f"{_row(schema.HEADER, parent.n + 1)} or {_row(schema.RESULTS, parent.n + 1)}"
        raise LedgerDamaged(parent.n + 1, rows, f"the header does not hold: {', '.join(differ)}")

    def _check_results(self, header: BlockHeader, block: DecidedBlock, results: _Results) -> None:
        where = _row(schema.RESULTS, header.n)
        last = -1
        for index, (result, receipt) in enumerate(results):
            if receipt.index != index:
                raise LedgerDamaged(header.n, where, "its receipts are not in order")
            place = result.body_index
            if not last < place < len(block.transactions) or (
                block.transactions[place].id != receipt.tx_id
            ):
                raise LedgerDamaged(header.n, where, f"receipt {index} is of no transaction there")
            last = place
            if (
                merkle.root(result.call_leaves) != receipt.calls_root
                or merkle.root(result.event_leaves) != receipt.events_root
            ):
                what = f"calls or events of {receipt.tx_id.hex()} are altered"
                raise LedgerDamaged(header.n, where, what)

    def _check_certificate(self, n: Height, header: BlockHeader | None) -> None:
        """`header` is None for a block that is not executed yet."""
        where = self._files.certificate_place(n)
        if where is None:
            return
        rules = self._store.rules
        with _blamed(where, MEND_BLOCKS, n):
            certificate = self._store.own_certificate(n)
            assert certificate is not None
            if (certificate.epoch, certificate.n) != (rules.epoch, n):
                raise CertificateInvalid("it is of another epoch or block")
            certificate.verify(rules.chain_id, self._store.genesis.validator_set)
        if header is not None and certificate.header_hash != header.hash:
            what = f"a quorum signed the header {certificate.header_hash.hex()}, this is another"
            raise LedgerDamaged(n, _row(schema.HEADER, n), what)
        self.certificates += 1

    def _check_history(self, history: HistoryTree, header: BlockHeader) -> None:
        for level, position, node in history.append(header.hash):
            row = schema.by_history(level, position)
            with _blamed(in_words(row), MEND_ROWS, header.n), _blamed_row(header.n):
                self._rows.expect(row, node)


def _summary(results: _Results) -> tuple[list[Digest], bool]:
    """The ids of a block's transactions, and whether it has events."""
    ids = [receipt.tx_id for _, receipt in results]
    return ids, any(result.event_leaves for result, _ in results)


def _row(kind: bytes, n: int) -> str:
    return in_words(schema.by_height(kind, n))


@contextmanager
def _blamed(where: str, hint: str, n: Height | None = None) -> Iterator[None]:
    """Turn what damaged bytes raise into `LedgerDamaged` at `where`."""
    try:
        yield
    except LedgerDamaged:
        raise
    except (IntegrityError, InvalidInput, StoreCorrupt, LogCorrupt) as damage:
        raise LedgerDamaged(n, where, str(damage), hint) from damage


@contextmanager
def _blamed_row(n: Height | None) -> Iterator[None]:
    try:
        yield
    except RowDamaged as damage:
        where = in_words(damage.row)
        raise LedgerDamaged(damage.n if n is None else n, where, damage.reason) from damage
