"""Making the database follow the block files again, and checking that both are what they say.

Rolling forward executes the decided blocks that the database lacks, which after a crash are a few,
and after a loss or damage of the database all of them. The result is compared with the certificates
on the way, so a replica that would diverge from what a quorum signed stops before it writes that.

`verify_ledger` reads everything instead: blocks against the digests that were decided, receipts and
transactions against their roots, every header against its parent, the history and its certificate,
and at the end all state values against the newest header. It runs no contract code.

Left out: taking blocks from peers (`node`), and where progress is shown (`cli`).
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger import merkle
from ledger.block import BlockHeader, null_digest
from ledger.errors import IntegrityError
from ledger.execution import CallRunner, genesis_header
from ledger.history import HistoryTree, frontier_at
from ledger.schema import StoredResult
from ledger.store import LedgerStore
from ledger.types import Height


class LedgerDamaged(IntegrityError):
    """Block `n` is not what its hashes say; `part` names what does not hold."""

    code = "ledger_damaged"
    hint = "stop the node, delete the folder `ledger`, start again: it is made anew from the blocks"

    def __init__(self, n: int, part: str) -> None:
        self.n = n
        self.part = part
        super().__init__(f"block {n}: {part}")


def roll_forward(store: LedgerStore, calls: CallRunner) -> Iterator[Height]:
    """Execute and commit each decided block that the database lacks; yield its height.

    Raises `BlockDamaged`, `HeaderMismatch`, storage errors, and what `calls` raises.
    """
    while store.executed_height < store.decided_height:
        n = Height(store.executed_height + 1)
        store.commit(store.execute(store.decided_block(n).decode(), calls))
        yield n


def verify_ledger(store: LedgerStore) -> Iterator[Height]:
    """Check every block from genesis, or from the first height kept, to the newest executed one;
    yield its height when it holds.

    Raises `LedgerDamaged`, `BlockDamaged`, `CertificateInvalid`, `StoreCorrupt`.
    """
    origin = store.executed_header(Height(0))
    if origin != genesis_header(store.genesis, origin.state_root):
        raise LedgerDamaged(0, "its header is not what genesis gives")
    first = store.first_height
    parent = store.executed_header(first)
    history = frontier_at(first, store.history_node)
    if history.root != parent.history_root:
        raise LedgerDamaged(first, "its history root does not cover the headers before it")
    if first:
        _check_results(store.executed_results(first), parent)
        _check_certificate(store, parent)
    history.append(parent.hash)
    yield first
    for height in range(first + 1, store.executed_height + 1):
        n = Height(height)
        header = store.executed_header(n)
        _check_links(header, parent, history)
        if n >= store.first_kept_height:
            _check_block(store, header)
        _check_results(store.executed_results(n), header)
        _check_certificate(store, header)
        history.append(header.hash)
        parent = header
        yield n
    if store.state.recomputed_root() != parent.state_root:
        raise LedgerDamaged(parent.n, "the state's values do not lead to its state root")


def _check_links(header: BlockHeader, parent: BlockHeader, history: HistoryTree) -> None:
    if header.n != parent.n + 1 or header.parent != parent.hash:
        raise LedgerDamaged(parent.n + 1, "its header does not follow the one before it")
    if header.chain_id != parent.chain_id or header.time_ms <= parent.time_ms:
        raise LedgerDamaged(header.n, "its header has another chain or an earlier time")
    if header.history_root != history.root:
        raise LedgerDamaged(header.n, "its history root does not cover the headers before it")


def _check_block(store: LedgerStore, header: BlockHeader) -> None:
    block = store.decided_block(header.n).decode()
    if block.d != header.d or (block.body is None and block.d != null_digest(header.n)):
        raise LedgerDamaged(header.n, "the block files hold another block than its header names")


def _check_results(results: list[StoredResult], header: BlockHeader) -> None:
    receipts = [result.receipt for result in results]
    if len(results) != header.tx_count or any(
        receipt.index != index for index, receipt in enumerate(receipts)
    ):
        raise LedgerDamaged(header.n, "its receipts are not as many as its header says")
    if merkle.root(receipt.tx_id for receipt in receipts) != header.tx_root:
        raise LedgerDamaged(header.n, "its transactions do not lead to its transaction root")
    if merkle.root(result.leaf for result in results) != header.receipts_root:
        raise LedgerDamaged(header.n, "its receipts do not lead to its receipts root")
    for receipt, result in zip(receipts, results, strict=True):
        if (
            merkle.root(result.call_leaves) != receipt.calls_root
            or merkle.root(result.event_leaves) != receipt.events_root
        ):
            raise LedgerDamaged(header.n, f"calls or events of {receipt.tx_id.hex()} are altered")


def _check_certificate(store: LedgerStore, header: BlockHeader) -> None:
    certificate = store.own_certificate(header.n)
    if certificate is None:
        return
    if (certificate.epoch, certificate.header_hash) != (header.epoch, header.hash):
        raise LedgerDamaged(header.n, "its certificate is of another header")
    certificate.verify(header.chain_id, store.genesis.validator_set)
