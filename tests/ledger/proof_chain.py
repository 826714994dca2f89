"""A chain in memory, with real keys, certificates and trees, for tests of proofs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ledger import canonical, merkle
from ledger.block import BlockHeader, null_digest
from ledger.certificate import Certificate, checkpoint_bytes
from ledger.hashing import ZERO_DIGEST, sha256
from ledger.history import HistoryTree
from ledger.keys import SigningKey
from ledger.proof_builders import build_state_proof
from ledger.proof_format import Anchor, CertificateAnchor, Handover
from ledger.receipt import CallOutcome, Receipt
from ledger.state_proof import state_key_hash, state_value_hash
from ledger.state_tree import StateTree, StateTreeView
from ledger.trust import TrustAnchor
from ledger.types import Digest, Epoch, Gas, Height, TimeMs
from ledger.validators import Validator, ValidatorSet

GENESIS_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


@dataclass
class Council:
    """The validators of one epoch with their private keys."""

    signers: dict[str, SigningKey]

    @classmethod
    def of(cls, count: int, first: int = 0) -> Council:
        """`count` organisations with codes of 18 characters and keys that never change."""
        return cls(
            {
                f"91460000MA5T{number:06d}": SigningKey.from_seed(sha256(b"key %d" % number))
                for number in range(first, first + count)
            }
        )

    @property
    def validators(self) -> ValidatorSet:
        return ValidatorSet.of(Validator(name, key.public) for name, key in self.signers.items())

    def certify(self, header: BlockHeader, names: Sequence[str] | None = None) -> Certificate:
        """Signatures of `names`, or of the first quorum."""
        chosen = sorted(self.signers)[: self.validators.quorum] if names is None else names
        message = checkpoint_bytes(header.chain_id, header.epoch, header.n, header.hash)
        return Certificate(
            header.epoch,
            header.n,
            header.hash,
            tuple((name, self.signers[name].sign(message)) for name in chosen),
        )


@dataclass
class Chain:
    """Blocks at one-second steps; index i of every list belongs to height i."""

    council: Council = field(default_factory=lambda: Council.of(4))
    chain_id: Digest = field(default_factory=lambda: sha256(b"a test chain"))
    headers: list[BlockHeader] = field(default_factory=list)
    councils: list[Council] = field(default_factory=list)
    views: list[StateTreeView] = field(default_factory=list)
    receipts: list[list[Receipt]] = field(default_factory=list)
    handovers: list[Handover] = field(default_factory=list)
    nodes: dict[tuple[int, int], Digest] = field(default_factory=dict)
    states: list[dict[tuple[str, str], bytes]] = field(default_factory=list)
    history: HistoryTree = field(default_factory=HistoryTree)
    tree: StateTree = field(default_factory=StateTree)

    def add(
        self,
        writes: Mapping[tuple[str, str], canonical.Value] | None = None,
        receipts: Sequence[Receipt] = (),
        next_council: Council | None = None,
        time_ms: int | None = None,
    ) -> BlockHeader:
        """Execute a block that leaves `writes` (None deletes); hand over if told so."""
        changes: dict[Digest, Digest | None] = {}
        state = dict(self.states[-1]) if self.states else {}
        for (contract, key), value in (writes or {}).items():
            data = None if value is None else canonical.encode(value)
            changes[state_key_hash(contract, key)] = (
                None if data is None else state_value_hash(data)
            )
            if data is None:
                state.pop((contract, key), None)
            else:
                state[contract, key] = data
        self.tree.apply(changes)
        height = len(self.headers)
        previous = self.headers[-1] if self.headers else None
        header = BlockHeader(
            chain_id=self.chain_id,
            epoch=Epoch(len(self.handovers)),
            n=Height(height),
            parent=previous.hash if previous else ZERO_DIGEST,
            d=null_digest(Height(height)),
            time_ms=TimeMs(GENESIS_MS + 1000 * height if time_ms is None else time_ms),
            tx_count=len(receipts),
            tx_root=merkle.root([receipt.tx_id for receipt in receipts]),
            receipts_root=merkle.root([receipt.encode() for receipt in receipts]),
            state_root=self.tree.root,
            history_root=self.history.root,
            validators_hash=self.council.validators.hash,
            next_validators_hash=(next_council or self.council).validators.hash,
            params_hash=sha256(b"parameters"),
        )
        for level, position, value in self.history.append(header.hash):
            self.nodes[level, position] = value
        self.headers.append(header)
        self.councils.append(self.council)
        self.views.append(self.tree.view())
        self.states.append(state)
        self.receipts.append(list(receipts))
        if next_council:
            signatures = self.council.certify(header).signatures
            self.handovers.append(Handover(header, signatures, next_council.validators))
            self.council = next_council
        return header

    def state_proof(
        self,
        height: int,
        contract: str,
        key: str,
        anchor: Anchor | None = None,
        handovers: Sequence[Handover] = (),
    ) -> bytes:
        """What a node would answer for (contract, key) at `height`."""
        return build_state_proof(
            contract,
            key,
            self.states[height].get((contract, key)),
            self.views[height].prove(state_key_hash(contract, key)),
            self.headers[height],
            anchor or self.certificate(height),
            handovers,
        )

    def certificate(self, height: int) -> CertificateAnchor:
        """A quorum's signatures on the header at `height`."""
        return CertificateAnchor.of(self.councils[height].certify(self.headers[height]))

    def read(self, level: int, position: int) -> Digest:
        """The stored history node."""
        return self.nodes[level, position]

    def trust(self, height: int = 0) -> TrustAnchor:
        """The anchor at the header of `height`."""
        return TrustAnchor.of_header(
            self.headers[height], self.councils[height].validators, ("credit", "licence")
        )


def make_receipts(count: int, calls: Sequence[CallOutcome] = ()) -> list[Receipt]:
    """Receipts of one block: even ones went well, odd ones reverted."""
    leaves = [outcome.leaf(i) for i, outcome in enumerate(calls)]
    good = Receipt(ZERO_DIGEST, 0, "ok", "", Gas(210), merkle.root(leaves), merkle.root([]))
    bad = replace(good, status="reverted", code="NOT_ISSUER")
    return [
        replace(bad if index % 2 else good, tx_id=sha256(b"tx %d" % index), index=index)
        for index in range(count)
    ]
