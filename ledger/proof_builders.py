"""Making `.qproof` files from what a node stores.

Nothing here decides what is proven: a node that builds a wrong proof makes a file that
`ledger.proofs` refuses. Verifiers do not need this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger import merkle
from ledger.block import BlockHeader
from ledger.history import NodeReader, consistency_proof, inclusion_proof
from ledger.proof_claims import (
    CallClaim,
    ConsistencyClaim,
    Entry,
    HeaderClaim,
    StateClaim,
    StatesClaim,
    TransactionClaim,
)
from ledger.proof_format import (
    PROOF_SIZE_MAX,
    Anchor,
    Handover,
    HistoryAnchor,
    Proof,
    ProofTooLarge,
)
from ledger.receipt import CallOutcome, Receipt
from ledger.state_multiproof import merge_proofs
from ledger.state_proof import StateProof


def build_state_proof(
    contract: str,
    key: str,
    value: bytes | None,
    path: StateProof,
    header: BlockHeader,
    anchor: Anchor,
    handovers: Sequence[Handover] = (),
) -> bytes:
    """A `.qproof` of the canonical `value` bytes at (contract, key), or of their absence."""
    return Proof(StateClaim(contract, key, value, path), header, anchor, tuple(handovers)).encode()


def build_states_proof(
    proven: Sequence[tuple[Entry, StateProof]],
    header: BlockHeader,
    anchor: Anchor,
    handovers: Sequence[Handover] = (),
) -> bytes:
    """A `.qproof` of many entries, different ones and at least one, each given with its own path.

    Raises `ProofTooLarge`.
    """
    asked = [(entry.asked(), entry, path) for entry, path in proven]
    asked.sort(key=lambda row: row[0].key_hash)
    claim = StatesClaim(
        tuple(entry for _, entry, _ in asked),
        merge_proofs([(each, path) for each, _, path in asked]),
    )
    data = Proof(claim, header, anchor, tuple(handovers)).encode()
    if len(data) > PROOF_SIZE_MAX:
        raise ProofTooLarge(len(data))
    return data


@dataclass(frozen=True)
class BlockTrees:
    """A block's receipts and the two trees over its transactions, for proofs of many of them."""

    receipts: Sequence[Receipt]
    transactions: list[list[bytes]]
    leaves: list[list[bytes]]

    @classmethod
    def of(cls, receipts: Sequence[Receipt]) -> BlockTrees:
        """The trees over `receipts`, all of a block's in order."""
        return cls(
            receipts,
            merkle.levels(receipt.tx_id for receipt in receipts),
            merkle.levels(receipt.encode() for receipt in receipts),
        )


def build_transaction_proof(
    block: BlockTrees | Sequence[Receipt],
    index: int,
    header: BlockHeader,
    anchor: Anchor,
    handovers: Sequence[Handover] = (),
    *,
    calls: Sequence[CallOutcome] = (),
    call_index: int | None = None,
) -> bytes:
    """A `.qproof` of transaction `index` of a block, and of one of its calls if asked for.

    `block` has all of the block's receipts, in order; `calls` all outcomes of that transaction.
    """
    trees = block if isinstance(block, BlockTrees) else BlockTrees.of(block)
    call = None
    if call_index is not None:
        leaves = [outcome.leaf(i) for i, outcome in enumerate(calls)]
        call = CallClaim(
            index=call_index,
            outcome=calls[call_index],
            sides=merkle.path_sides(call_index, len(leaves)),
            path=tuple(merkle.inclusion_path(leaves, call_index)),
        )
    claim = TransactionClaim(
        receipt=trees.receipts[index],
        transaction_path=tuple(merkle.path_in(trees.transactions, index)),
        receipt_path=tuple(merkle.path_in(trees.leaves, index)),
        call=call,
    )
    return Proof(claim, header, anchor, tuple(handovers)).encode()


def build_header_proof(
    header: BlockHeader, anchor: Anchor, handovers: Sequence[Handover] = ()
) -> bytes:
    """A `.qproof` that `header` is the chain's."""
    return Proof(HeaderClaim(), header, anchor, tuple(handovers)).encode()


def build_consistency_proof(
    earlier: BlockHeader,
    header: BlockHeader,
    read: NodeReader,
    anchor: Anchor,
    handovers: Sequence[Handover] = (),
) -> bytes:
    """A `.qproof` that the chain at `header` goes on from `earlier`, not a later one.

    `read` gives the stored nodes of the history.
    """
    path, consistency = [], []
    if earlier.n < header.n:
        path = inclusion_proof(earlier.n, header.n, read)
        consistency = consistency_proof(earlier.n, header.n, read) if earlier.n else []
    claim = ConsistencyClaim(earlier, tuple(path), tuple(consistency))
    return Proof(claim, header, anchor, tuple(handovers)).encode()


def history_anchor(
    height: int, later: BlockHeader, read: NodeReader, anchor: Anchor
) -> HistoryAnchor:
    """Anchor the header at `height` by the history of `later`; `read` gives the stored nodes."""
    return HistoryAnchor(later, tuple(inclusion_proof(height, later.n, read)), anchor)
