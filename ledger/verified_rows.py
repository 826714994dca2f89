"""The database's rows, each checked against the chain it follows from (see `ledger.verification`).

The state is rebuilt from genesis, block by block: the keys that a block changed are listed (`c`),
their values at that height are found among the superseded versions (`v`) or are still the newest
(`t`, and the value itself in `s`), and the tree over them must have the root of the block's header.
So every version of every value is bound to a certified header. The other rows of a height are
compared with what the block gives. At the end each row is looked at once: values against the tree's
rows, deletions against their versions, and nothing may be left that no block accounts for.

Two kinds of rows may be missing: a block's ids once any have expired, and undo data, since a
rollback leaves fewer of both; what there is must be right. Nodes of the history tree may stand
above the head after a rollback. The rebuilt tree is held in memory, some 300 bytes a key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from ledger import canonical, fields, schema
from ledger.block import BlockHeader
from ledger.errors import IntegrityError, InvalidInput
from ledger.hashing import DIGEST_SIZE
from ledger.state_proof import state_key_hash, state_value_hash
from ledger.state_rows import Records, superseded
from ledger.state_tree import StateTree
from ledger.storage.interface import Reader, prefix_stop
from ledger.types import Digest, Height

ROWS_A_STEP: Final = 1_000
"""Rows between two signs of life."""

_META: Final = frozenset(
    {
        schema.META_CHAIN,
        schema.META_EXECUTED,
        schema.META_FORM,
        schema.META_BASE,
        schema.META_PRUNED,
    }
)
_BY_HEIGHT: Final = frozenset(
    {
        schema.HEADER,
        schema.RESULTS,
        schema.EVENTFUL,
        schema.IDS,
        schema.CHANGED,
        schema.UNDO,
        schema.BUCKET_ROOTS,
    }
)
_HEIGHT_ROW_BYTES: Final = 9
_HISTORY_ROW_BYTES: Final = 10
_VERSION_ROW_BYTES: Final = 41
_LEFT_BY_ROLLBACKS: Final = 1 << 16
"""Heights above the head up to which nodes of the history tree may be left; windows are shorter."""


class RowDamaged(IntegrityError):
    """`row` (its key) does not hold; `n` is the height it speaks of, if it does."""

    code = "row_damaged"

    def __init__(self, row: bytes, n: int | None, reason: str) -> None:
        self.row = row
        self.n = n
        self.reason = reason
        super().__init__(f"{in_words(row)}: {reason}")


def in_words(row: bytes) -> str:
    """A row's key for people: `row H 12`, `row s licence/...`."""
    kind, rest = row[:1], row[1:]
    if kind in _BY_HEIGHT and len(row) == _HEIGHT_ROW_BYTES:
        return f"row {kind.decode()} {schema.height_of(row)}"
    if kind == schema.STATE:
        try:
            return "row s " + "/".join(schema.name_of(row))
        except UnicodeDecodeError:
            pass
    if kind == schema.VERSION and len(row) == _VERSION_ROW_BYTES:
        return f"row v {rest[:DIGEST_SIZE].hex()} {schema.height_of(row)}"
    if kind == schema.HISTORY and len(row) == _HISTORY_ROW_BYTES:
        return f"row h level {rest[0]}, {schema.height_of(row)}"
    if row in _META:
        return f"row {row.decode()}"
    shown = kind.decode("ascii", "backslashreplace")
    return f"row {shown} {rest.hex()}".rstrip()


class Rows:
    """The rows of one database, checked as the chain goes by: `check_block` in the order of the
    heights, then `check_all`."""

    def __init__(self, rows: Reader) -> None:
        self._rows = rows
        self._tree = StateTree()
        self._base = Height(0)
        self._transactions = 0
        self._versions = 0
        self._deletions = 0
        self._newest = 0
        self._live = 0
        self._found = 0
        self.seen = len(_META)
        """Rows that blocks have accounted for so far, about."""

    def begin_at(self, header: BlockHeader) -> None:
        """Begin with the state after `header` instead of with genesis. Raises `RowDamaged`."""
        self._base = header.n
        leaves: dict[Digest, Digest | None] = {}
        for _, records in Records(self._rows, header.n).load_all():
            for i in range(0, len(records), 2 * DIGEST_SIZE):
                key, value = records[i : i + DIGEST_SIZE], records[i + DIGEST_SIZE :][:DIGEST_SIZE]
                leaves[Digest(key)] = Digest(value)
        self._tree.apply(leaves)
        self._check_root(header, schema.by_height(schema.HEADER, header.n))

    def expect(self, row: bytes, value: bytes) -> None:
        """Raise `RowDamaged` unless `row` is there and holds `value`."""
        found = self._rows.get(row)
        if found is None:
            raise RowDamaged(row, None, "is missing")
        if found != value:
            raise RowDamaged(row, None, "does not hold what its block gives")
        self.seen += 1

    def check_block(self, header: BlockHeader, ids: list[Digest], eventful: bool) -> None:
        """Check every row that block `header.n` wrote; `ids` are those of its transactions.

        Raises `RowDamaged`. The header itself and the results were compared with the chain before.
        """
        n = header.n
        self.seen += 2
        for index, tx_id in enumerate(ids):
            self.expect(schema.LOCATION + tx_id, schema.encode_location(n, index))
        self._transactions += len(ids)
        self._expect_if(schema.by_height(schema.EVENTFUL, n), b"" if eventful else None)
        listed = schema.by_height(schema.IDS, n)
        if self._rows.get(listed) is not None:
            self._expect_if(listed, b"".join(ids) or None)
        roots = schema.by_height(schema.BUCKET_ROOTS, n)
        if (stored := self._rows.get(roots)) is not None:
            self.seen += 1
            if stored != self._tree.crown_hashes():
                raise RowDamaged(roots, n, "is not the state tree below this block")
        changed = self._changed(n)
        leaves = {key_hash: self._leaf(key_hash, n) for key_hash in changed}
        self._tree.apply(leaves)
        self._check_root(header, schema.by_height(schema.CHANGED, n))
        self._check_undo(n, changed)

    def check_all(self, head: Height) -> Iterator[int]:
        """Look at every row, and yield how many since the last time. Raises `RowDamaged`.

        Rows of a height, and of a transaction, were compared when their block went by.
        """
        checks: dict[bytes, Callable[[bytes, bytes], None]] = {
            schema.DELETION: self._deletion,
            schema.STATE: self._value,
            schema.TREE: self._tree_row,
            schema.VERSION: self._version,
        }
        counts: Counter[bytes] = Counter()
        steps = 0
        for row, value in self._rows.iterate():
            kind = row[:1]
            counts[kind] += 1
            if kind in checks:
                try:
                    checks[kind](row, value)
                except (InvalidInput, ValueError) as error:
                    raise RowDamaged(row, None, str(error)) from error
            elif kind in _BY_HEIGHT and len(row) == _HEIGHT_ROW_BYTES:
                if schema.height_of(row) > head:
                    raise RowDamaged(row, schema.height_of(row), f"is above the head, block {head}")
            elif kind == schema.HISTORY and len(row) == _HISTORY_ROW_BYTES:
                if (schema.height_of(row) + 1) << row[1] > head + 1 + _LEFT_BY_ROLLBACKS:
                    raise RowDamaged(row, None, "is of no header")
            elif kind != schema.LOCATION and row not in _META:
                raise RowDamaged(row, None, "is of no known kind")
            steps += 1
            if steps == ROWS_A_STEP:
                yield steps
                steps = 0
        self._compare_counts(counts)
        yield steps

    # One block.

    def _expect_if(self, row: bytes, value: bytes | None) -> None:
        if value is not None:
            self.expect(row, value)
        elif self._rows.get(row) is not None:
            raise RowDamaged(row, schema.height_of(row), "its block does not have such a row")

    def _changed(self, n: Height) -> list[Digest]:
        row = schema.by_height(schema.CHANGED, n)
        data = self._rows.get(row)
        if data is None:
            return []
        self.seen += 1
        try:
            found = [state_key_hash(*name) for name in schema.decode_names(data)]
        except InvalidInput as error:
            raise RowDamaged(row, n, str(error)) from error
        if len(set(found)) != len(found) or not found:
            raise RowDamaged(row, n, "is no list of keys, each once")
        return found

    def _leaf(self, key_hash: Digest, n: Height) -> Digest | None:
        """The hash of the value that block `n` gave a key; None for a deletion."""
        row = schema.by_version(key_hash, n)
        data = self._rows.get(row)
        if data is not None:
            self._versions += 1
            value = _value_of(row, data)
            if value is None:
                self._deletions += 1
            self.seen += 1 if value is not None else 2
            return None if value is None else state_value_hash(value)
        row = schema.TREE + key_hash
        newest = self._rows.get(row)
        if newest is None or len(newest) != 8 + DIGEST_SIZE or newest[:8] != n.to_bytes(8, "big"):
            raise RowDamaged(row, n, "the value that this block wrote is not stored")
        self._newest += 1
        self.seen += 2
        return Digest(newest[8:])

    def _check_root(self, header: BlockHeader, row: bytes) -> None:
        if self._tree.root != header.state_root:
            raise RowDamaged(
                row,
                header.n,
                "the keys it names and the values stored for them do not lead to the state root "
                f"{header.state_root.hex()} of the header",
            )

    def _check_undo(self, n: Height, changed: list[Digest]) -> None:
        row = schema.by_height(schema.UNDO, n)
        data = self._rows.get(row)
        if data is None:
            return
        self.seen += 1
        try:
            items = fields.array(canonical.decode(data), "undo", len(changed))
            undo = [fields.array(item, "undo", 4) for item in items]
        except InvalidInput as error:
            raise RowDamaged(row, n, str(error)) from error
        for key_hash, (contract, key, written, value) in zip(changed, undo, strict=True):
            if not isinstance(contract, str) or not isinstance(key, str):
                raise RowDamaged(row, n, "holds something else than names")
            version = superseded(self._rows, key_hash, Height(n - 1))
            before = (None, None) if version is None or version[1] is None else version
            if state_key_hash(contract, key) != key_hash or (written, value) != before:
                raise RowDamaged(row, n, f"does not hold what stood at {contract}/{key} before")

    # One row.

    def _deletion(self, row: bytes, value: bytes) -> None:
        contract, n, key = schema.deleted_name_of(row)
        version = self._rows.get(schema.by_version(state_key_hash(contract, key), n))
        if value or version != schema.encode_value(None):
            raise RowDamaged(row, n, "no such deletion is among the versions")

    def _value(self, row: bytes, value: bytes) -> None:
        n, content = schema.decode_state(value)
        newest = self._rows.get(schema.TREE + state_key_hash(*schema.name_of(row)))
        if newest != n.to_bytes(8, "big") + state_value_hash(content):
            raise RowDamaged(row, n, "the state tree has another value or height for this key")

    def _tree_row(self, row: bytes, value: bytes) -> None:
        if len(value) == 8 + DIGEST_SIZE:
            self._live += 1
            return
        version = schema.by_version(row[1:], int.from_bytes(value, "big"))
        if self._rows.get(version) != schema.encode_value(None):
            raise RowDamaged(row, None, "no deletion of this key is among the versions")

    def _version(self, row: bytes, value: bytes) -> None:
        if len(row) != _VERSION_ROW_BYTES:
            raise RowDamaged(row, None, "is of no known kind")
        _value_of(row, value)
        if schema.height_of(row) > self._base or self._base == 0:
            self._found += 1

    def _compare_counts(self, counts: Mapping[bytes, int]) -> None:
        """Every row that blocks account for was found; so one too many is one of nobody's."""
        if counts[schema.STATE] != self._live:
            raise RowDamaged(
                schema.STATE,
                None,
                f"there are {counts[schema.STATE]} values, and {self._live} in the state tree",
            )
        if self._found != self._versions:
            raise RowDamaged(
                self._foreign_version(), None, "no block accounts for this version of a value"
            )
        if self._base > 0:
            return
        if self._live != self._newest:
            raise RowDamaged(
                schema.TREE, None, f"there are {self._live} keys, and blocks made {self._newest}"
            )
        if counts[schema.DELETION] != self._deletions:
            raise RowDamaged(
                schema.DELETION,
                None,
                f"there are {counts[schema.DELETION]} deletions, and blocks made {self._deletions}",
            )
        if counts[schema.LOCATION] != self._transactions:
            raise RowDamaged(
                schema.LOCATION,
                None,
                f"{counts[schema.LOCATION]} transactions are listed, and blocks hold "
                f"{self._transactions}",
            )

    def _foreign_version(self) -> bytes:
        """The first superseded version that its block does not list."""
        for row, _ in self._rows.iterate(schema.VERSION, prefix_stop(schema.VERSION)):
            n = schema.height_of(row)
            if n > self._base or self._base == 0:
                changed = self._rows.get(schema.by_height(schema.CHANGED, n))
                names = [] if changed is None else schema.decode_names(changed)
                if row[1 : 1 + DIGEST_SIZE] not in {state_key_hash(*name) for name in names}:
                    return row
        return schema.VERSION


def _value_of(row: bytes, data: bytes) -> bytes | None:
    """The value in a version's row, None for a deletion. Raises `RowDamaged`."""
    if data[:1] not in (b"\x00", b"\x01") or data[:1] == b"\x00" != data:
        raise RowDamaged(row, schema.height_of(row), "is neither a value nor a deletion")
    return schema.decode_value(data)
