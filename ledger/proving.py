"""Making proofs: the paths from the stored trees, and what anchors the header they lead to.

Not every height has a certificate of its own, for a later one may have become stable first. A
header is anchored by its own certificate, else as the parent of the next header, else by the
history of the next certified one (see `ledger.proofs`, which checks all of this without us).

Nothing wrong leaves the node: a state path is computed back to its header's root before it is
handed out. Left out: hand-overs between validator sets. A chain has one epoch until membership can
change, so a proof since any height has none to carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from ledger import proof_builders
from ledger.block import BlockHeader
from ledger.block_files import BlockFiles
from ledger.errors import IntegrityError, InvalidInput
from ledger.genesis import Genesis
from ledger.proof_builders import BlockTrees
from ledger.proof_claims import Entry
from ledger.proof_format import Anchor, CertificateAnchor, ParentAnchor, TrustedAnchor
from ledger.queries import ChainReader, NotYet
from ledger.receipt import CallOutcome
from ledger.state_proof import StateProof
from ledger.state_store import StateStore
from ledger.storage.interface import KeyValueStore
from ledger.trust import TrustAnchor
from ledger.types import Digest, Height

BLOCKS_CACHED: Final = 8
"""Blocks whose receipts and trees are kept, some 700 bytes a transaction."""


class NotProvable(IntegrityError):
    """The stored trees do not lead to the header that they belong to."""

    code = "not_provable"
    hint = "delete the `ledger` folder: it is made anew from the block files at the next start"

    def __init__(self, n: int, what: str) -> None:
        self.n = n
        self.what = what
        super().__init__(f"block {n}: {what}")


class BeforeGenesis(InvalidInput):
    """A time at which the chain did not exist yet."""

    code = "before_genesis"
    hint = "ask for a time at which the chain existed; its first block tells when it began"

    def __init__(self, time_ms: int) -> None:
        self.time_ms = time_ms
        super().__init__(f"the chain had not begun at {time_ms}")


class NoNextBlock(NotYet):
    """A time that no later block bounds yet, so that nothing shows that nothing changed before."""

    hint = (
        "nothing bounds that time yet: ask again once that block is certified,"
        " or without a time for the newest state"
    )


class Prover(ChainReader):
    """`ChainReader` that also proves; any thread. Proofs are the bytes of a `.qproof`.

    Every method raises `NotYet` above the certified height, and `NotProvable` for damage.
    """

    def __init__(
        self, genesis: Genesis, kv: KeyValueStore, blocks: BlockFiles, state: StateStore
    ) -> None:
        super().__init__(genesis, kv, blocks, state)
        # Certified blocks never change, and a client that follows its batch asks for all of one.
        self._trees_of = lru_cache(BLOCKS_CACHED)(self._read_trees)

    def prove_state(self, contract: str, key: str, n: Height | None = None) -> bytes:
        """Prove the value at (contract, key) after block `n`, or its absence; None: the newest."""
        n = self.certified_height if n is None else n
        header = self.header(n)
        return self._prove_state(contract, key, header, self._anchor(header))

    def prove_state_at_time(self, contract: str, key: str, time_ms: int) -> bytes:
        """Prove the value at `time_ms`, or its absence: after the last block not later than that.

        The next header, which must be certified too, shows that nothing changed before.
        Raises `BeforeGenesis`, `NotYet`.
        """
        return self._prove_state(contract, key, *self._around(time_ms))

    def prove_states(self, names: Sequence[tuple[str, str]], n: Height | None = None) -> bytes:
        """As `prove_state` for many different (contract, key), in one proof with shared nodes.

        Raises `ProofTooLarge`.
        """
        header = self.header(self.certified_height if n is None else n)
        return self._prove_states(names, header, self._anchor(header))

    def prove_states_at_time(self, names: Sequence[tuple[str, str]], time_ms: int) -> bytes:
        """As `prove_state_at_time` for many different (contract, key), as `prove_states`."""
        return self._prove_states(names, *self._around(time_ms))

    def prove_transaction(self, tx_id: Digest, call_index: int | None = None) -> bytes | None:
        """Prove that a transaction, or one of its calls, was executed and how it ended.

        None if it is not certified (yet). Raises `IndexError` for a call that it does not have.
        """
        place = self.locate(tx_id)
        if place is None:
            return None
        n, index = place
        header = self.header(n)
        calls = () if call_index is None else self._calls_of(n, index)
        if call_index is not None and not 0 <= call_index < len(calls):
            raise IndexError(f"call {call_index} of {len(calls)}")
        return proof_builders.build_transaction_proof(
            self._trees_of(n),
            index,
            header,
            self._anchor(header),
            calls=calls,
            call_index=call_index,
        )

    def prove_header(self, n: Height) -> bytes:
        """Prove that header `n` is the chain's."""
        header = self.header(n)
        return proof_builders.build_header_proof(header, self._anchor(header))

    def prove_consistency(self, first: Height, second: Height) -> bytes:
        """Prove that the chain at header `second` goes on from header `first`, not a later one."""
        header = self.header(second)
        return proof_builders.build_consistency_proof(
            self.header(first), header, self.history_node, self._anchor(header)
        )

    def trust_anchor(self, n: Height | None = None) -> TrustAnchor:
        """What this node would have others trust; worth nothing without another channel."""
        header = self.header(self.certified_height if n is None else n)
        return TrustAnchor.of_header(header, self.genesis.validator_set, self.genesis.attestations)

    def _read_trees(self, n: Height) -> BlockTrees:
        return BlockTrees.of([result.receipt for result in self.stored_results(n)])

    def _calls_of(self, n: Height, index: int) -> tuple[CallOutcome, ...]:
        return self.stored_results(n)[index].calls

    def _around(self, time_ms: int) -> tuple[BlockHeader, Anchor]:
        """The last header not later than `time_ms`, anchored by the next one."""
        n = self.height_at(time_ms)
        if n is None:
            raise BeforeGenesis(time_ms)
        certified = self.certified_height
        if n >= certified:
            raise NoNextBlock(n + 1, certified)
        child = self.header(Height(n + 1))
        return self.header(n), ParentAnchor(child, self._anchor(child))

    def _prove_state(self, contract: str, key: str, header: BlockHeader, anchor: Anchor) -> bytes:
        entry, path = self._entry(contract, key, header)
        return proof_builders.build_state_proof(contract, key, entry.value, path, header, anchor)

    def _prove_states(
        self, names: Sequence[tuple[str, str]], header: BlockHeader, anchor: Anchor
    ) -> bytes:
        proven = [self._entry(contract, key, header) for contract, key in names]
        return proof_builders.build_states_proof(proven, header, anchor)

    def _entry(self, contract: str, key: str, header: BlockHeader) -> tuple[Entry, StateProof]:
        """What the state holds after `header`, and the path that leads there."""
        entry = Entry(contract, key, self._state.get_at(contract, key, header.n))
        path = self._state.prove_at(contract, key, header.n)
        asked = entry.asked()
        try:
            root = path.root_from(asked.key_hash, asked.value_hash)
        except InvalidInput as error:
            raise NotProvable(header.n, str(error)) from error
        if root != header.state_root:
            raise NotProvable(header.n, f"the state of {contract}/{key} leads to another root")
        return entry, path

    def _anchor(self, header: BlockHeader) -> Anchor:
        certificate = self.certificate_from(header.n)
        if certificate is None:
            if header.n == 0:
                return TrustedAnchor()
            raise NotYet(header.n, self.certified_height)
        anchor = CertificateAnchor.of(certificate)
        if certificate.n == header.n:
            return anchor
        later = self.header(certificate.n)
        if later.n == header.n + 1:
            return ParentAnchor(later, anchor)
        return proof_builders.history_anchor(header.n, later, self.history_node, anchor)
