"""From a snapshot to the database it is of, with everything checked on the way.

The rows are written into an empty store as the chunks are read, so memory is bounded whatever the
size of the state; the row that makes them a ledger comes last, synced, once all has been found to
lead to the signed header. Whatever does not hold raises, and what was written until then is no
ledger: the store is to be thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias, cast

from ledger import execution, fields, merkle, schema, snapshot
from ledger.block import BlockHeader
from ledger.block_files import BODY_BYTES_MAX, BlockDamaged, BlockFiles, StoredBlock
from ledger.canonical import DecodingError
from ledger.errors import FieldError, InvalidInput
from ledger.genesis import Genesis
from ledger.history import FrontierCorrupt, HistoryTree
from ledger.schema import StoredResult
from ledger.snapshot import Manifest, SnapshotSource, SnapshotWrong
from ledger.state_proof import state_key_hash, state_value_hash
from ledger.state_rows import Records
from ledger.state_tree import StateTree
from ledger.storage.interface import KeyValueStore
from ledger.transaction import TRANSACTION_BYTES_MAX
from ledger.types import Digest

Rows: TypeAlias = "dict[bytes, bytes | None]"

BATCH_ROWS: Final = 8_192
"""Rows of one unsynced batch: a few chunks' worth."""


def genesis_header(genesis: Genesis) -> BlockHeader:
    """Header 0, with the state root computed from the initial state alone."""
    writes = execution.genesis_writes(genesis)
    leaves: dict[Digest, Digest | None] = {
        state_key_hash(*name): state_value_hash(value) for name, value in writes.items()
    }
    return execution.genesis_header(genesis, StateTree().apply(leaves))


def base_rows(
    header: BlockHeader, frontier: HistoryTree, recent: list[tuple[BlockHeader, bytes]]
) -> Rows:
    """The rows that a ledger without the blocks below `header` needs of them.

    `frontier` covers the headers before it, `recent` are the younger of those with their ids.
    """
    rows: Rows = {schema.META_BASE: header.n.to_bytes(8, "big")}
    for node in [*frontier.nodes(), *frontier.copy().append(header.hash)]:
        rows[schema.by_history(node.level, node.position)] = node.hash
    for old, ids in recent:
        rows[schema.by_height(schema.HEADER, old.n)] = old.encode()
        rows[schema.by_height(schema.IDS, old.n)] = ids
    return rows


def begin_blocks(blocks: BlockFiles, genesis: Genesis, source: SnapshotSource) -> None:
    """Let empty block files begin with the block of a snapshot and its Certificate, synced.

    Raises `SnapshotWrong`, storage errors.
    """
    manifest = verified_manifest(source, genesis)
    reading = _Reading(genesis, manifest)
    for record in snapshot.records(snapshot.chunks_of(manifest, source)):
        if record[:1] == [snapshot.RESULT] or record[:1] == [snapshot.STATE]:
            break
        reading.take(record)
    blocks.append_decided(reading.block())
    blocks.append_certificate(manifest.certificate)
    blocks.sync()


def verified_manifest(source: SnapshotSource, genesis: Genesis) -> Manifest:
    """The manifest, signed by a quorum of the validators of `genesis`. Raises `SnapshotWrong`."""
    manifest = Manifest.decode(source.manifest())
    manifest.verify(genesis.chain_id, genesis.validator_set)
    return manifest


def install(kv: KeyValueStore, genesis: Genesis, source: SnapshotSource) -> Iterator[int]:
    """Write the ledger of a snapshot into the empty `kv`; yield the number of chunks taken.

    Raises `SnapshotWrong` and `ChunkWrong` if anything does not lead to the signed header; then
    `kv` is of no use. Raises storage errors.
    """
    manifest = verified_manifest(source, genesis)
    reading = _Reading(genesis, manifest)
    for index, chunk in enumerate(snapshot.chunks_of(manifest, source), 1):
        for record in snapshot.records([chunk]):
            reading.take(record)
            if len(reading.rows) >= BATCH_ROWS:
                kv.write(reading.rows, sync=False)
                reading.rows = {}
        yield index
    rows, header = reading.finish(), manifest.header
    kv.write(reading.rows, sync=False)
    tree = StateTree(Records(kv, None))
    if tree.root != header.state_root:
        raise SnapshotWrong(
            f"its state has the root {tree.root.hex()}, header {header.n} says"
            f" {header.state_root.hex()}"
        )
    rows[schema.by_height(schema.BUCKET_ROOTS, header.n)] = tree.crown_hashes()
    rows[schema.META_CHAIN] = genesis.chain_id
    rows[schema.META_FORM] = bytes([schema.FORM])
    rows[schema.META_EXECUTED] = header.n.to_bytes(8, "big")
    kv.write(rows, sync=True)


class _Reading:
    """Takes the records of one snapshot in their order and checks each against the header."""

    def __init__(self, genesis: Genesis, manifest: Manifest) -> None:
        self._header = manifest.header
        self._genesis = genesis_header(genesis)
        self._lifetime_ms = genesis.parameters.transaction_lifetime_ms
        self._kind = -1
        self._frontier: HistoryTree | None = None
        self._recent: list[tuple[BlockHeader, bytes]] = []
        self._bodies: list[bytes | None] = []
        self._transactions: list[bytes] = []
        self._results: list[bytes] = []
        self._last_state = b""
        self.rows: Rows = {}
        """State rows, which whoever reads takes away from time to time."""

    def take(self, record: list[object]) -> None:
        """The next record. Raises `SnapshotWrong`."""
        try:
            kind = fields.natural(record[0] if record else None, "record.kind", snapshot.STATE)
            if kind < self._kind:
                raise SnapshotWrong(f"a record of kind {kind} behind one of kind {self._kind}")
            self._kind = kind
            _TAKE[kind](self, record)
        except (FieldError, DecodingError) as error:
            raise SnapshotWrong(str(error)) from None

    def block(self) -> StoredBlock:
        """The block, with its hashes checked. Raises `SnapshotWrong`."""
        if len(self._bodies) != 1:
            raise SnapshotWrong(f"{len(self._bodies)} bodies of one block")
        header = self._header
        stored = StoredBlock(header.n, header.d, self._bodies[0], tuple(self._transactions))
        try:
            stored.decode()
        except BlockDamaged as error:
            raise SnapshotWrong(str(error)) from None
        return stored

    def finish(self) -> Rows:
        """The rows beside those of the state. Raises `SnapshotWrong` if anything is missing."""
        header, frontier = self._header, self._frontier
        self.block()
        self._check_recent()
        if frontier is None or (frontier.size, frontier.root) != (header.n, header.history_root):
            raise SnapshotWrong("its history does not lead to its header")
        rows = base_rows(header, frontier, self._recent)
        rows[schema.by_height(schema.HEADER, 0)] = self._genesis.encode()
        rows[schema.by_height(schema.HEADER, header.n)] = header.encode()
        self._add_results(rows)
        return rows

    # One method a kind of record.

    def _take_frontier(self, record: list[object]) -> None:
        (data,) = fields.array(record[1:], "frontier", 1)
        if self._frontier is not None:
            raise SnapshotWrong("two frontiers")
        try:
            self._frontier = HistoryTree.decode(fields.binary(data, "frontier"))
        except FrontierCorrupt as error:
            raise SnapshotWrong(str(error)) from None

    def _take_header(self, record: list[object]) -> None:
        data, ids = fields.array(record[1:], "header", 2)
        header = BlockHeader.decode(fields.binary(data, "header"))
        leaves = schema.decode_ids(fields.binary(ids, "header.ids"))
        if len(leaves) != header.tx_count or merkle.root(leaves) != header.tx_root:
            raise SnapshotWrong(f"the ids of block {header.n} are not those its header commits to")
        if self._recent:
            self._check_link(self._recent[-1][0], header)
        self._recent.append((header, cast(bytes, ids)))

    def _take_body(self, record: list[object]) -> None:
        (body,) = fields.array(record[1:], "body", 1)
        self._bodies.append(
            None if body is None else fields.binary(body, "body", size_max=BODY_BYTES_MAX)
        )

    def _take_transaction(self, record: list[object]) -> None:
        (raw,) = fields.array(record[1:], "transaction", 1)
        size_max = TRANSACTION_BYTES_MAX
        self._transactions.append(fields.binary(raw, "transaction", size_max=size_max))

    def _take_result(self, record: list[object]) -> None:
        (entry,) = fields.array(record[1:], "result", 1)
        size_max = snapshot.CHUNK_BYTES_MAX
        self._results.append(fields.binary(entry, "result", size_max=size_max))

    def _take_state(self, record: list[object]) -> None:
        contract, key, written, value = fields.array(record[1:], "state", 4)
        if type(contract) is not str or type(key) is not str:
            raise SnapshotWrong("a value without names")
        n = fields.natural(written, "state.written", self._header.n)
        content = fields.binary(value, "state.value", size_max=snapshot.CHUNK_BYTES_MAX)
        row = schema.by_name(contract, key)
        if row <= self._last_state:
            raise SnapshotWrong(f"the value of {contract}/{key} is not in its place")
        self._last_state = row
        self.rows[row] = schema.encode_state(n, content)
        key_hash, value_hash = state_key_hash(contract, key), state_value_hash(content)
        self.rows[schema.TREE + key_hash] = n.to_bytes(8, "big") + value_hash

    # What they have to lead to.

    def _check_link(self, parent: BlockHeader, header: BlockHeader) -> None:
        if header.n != parent.n + 1 or header.parent != parent.hash:
            raise SnapshotWrong(f"header {header.n} does not follow the one before it")

    def _check_recent(self) -> None:
        """The headers lead from one that is old enough, or from genesis, to ours."""
        first = self._recent[0][0] if self._recent else self._header
        if first.n == 1:
            self._check_link(self._genesis, first)
        elif first is self._header or (first.time_ms + self._lifetime_ms >= self._header.time_ms):
            raise SnapshotWrong(f"the ids of blocks before {first.n} are missing")
        if self._recent:
            self._check_link(self._recent[-1][0], self._header)

    def _add_results(self, rows: Rows) -> None:
        header = self._header
        results = [_result(entry) for entry in self._results]
        receipts = [result.receipt for result in results]
        ids = [receipt.tx_id for receipt in receipts]
        if len(results) != header.tx_count or merkle.root(ids) != header.tx_root:
            raise SnapshotWrong(f"the results of block {header.n} are of other transactions")
        if merkle.root(result.leaf for result in results) != header.receipts_root or any(
            merkle.root(result.call_leaves) != receipt.calls_root
            or merkle.root(result.event_leaves) != receipt.events_root
            for result, receipt in zip(results, receipts, strict=True)
        ):
            raise SnapshotWrong(f"the results of block {header.n} do not lead to its header")
        rows[schema.by_height(schema.RESULTS, header.n)] = schema.join_results(self._results)
        rows[schema.by_height(schema.IDS, header.n)] = b"".join(ids)
        if any(result.event_leaves for result in results):
            rows[schema.by_height(schema.EVENTFUL, header.n)] = b""
        for index, tx_id in enumerate(ids):
            rows[schema.LOCATION + tx_id] = schema.encode_location(header.n, index)


_TAKE: Final = (
    _Reading._take_frontier,
    _Reading._take_header,
    _Reading._take_body,
    _Reading._take_transaction,
    _Reading._take_result,
    _Reading._take_state,
)


def _result(entry: bytes) -> StoredResult:
    try:
        result = schema.decode_result(entry)
        result.receipt  # noqa: B018  decodes it
    except InvalidInput as error:
        raise SnapshotWrong(f"a result: {error}") from None
    return result
