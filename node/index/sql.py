"""The tables, and the statements that both databases understand.

    qiong_index     one row: form, chain id, height
    qiong_fields    contract -> its indexed fields, canonical bytes
    qiong_entries   (contract, key, field) -> encoded value (`node.index.values`)

An entry has a row for each indexed field that has a value, and one for the block that wrote it
last, so every question is of one kind: which keys have, for each of these fields, a row with a
value in these intervals. `(contract, field, value, key)` is indexed: a question for equal values
finds its keys in order already, and stops at the end of a page.

Texts are bytes here, too, so that a zero byte in a key is as good as any other. Arguments are
written `$1`, `$2`, ... in the order in which they stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, cast

from ledger import canonical
from ledger.errors import InvalidInput
from ledger.types import Height
from node.index.interface import Change, Found, IndexBehind, IndexDamaged, Standing
from node.index.values import CHANGED, Condition

CHUNK: Final = 500
"""Entries written at once: some 3,000 rows, less than a megabyte."""

COUNTED_MAX: Final = 10_000
"""Entries counted to find the condition that fewest meet: some milliseconds. As many are sorted for
a page at no great cost."""

FENCE: Final = f"LIMIT {2**63 - 1} OFFSET 0"
"""All rows of a part of a statement, which no planner then mixes with the rest. Theirs guess how
many rows lie in an interval, and where the guess is wrong a search takes seconds; we counted."""

ANY_VALUE: Final = (b"", b"\xff")

TABLES: Final = ("qiong_index", "qiong_fields", "qiong_entries")

_BYTES: Final = {"sqlite": "BLOB", "postgresql": "BYTEA"}
_CLUSTERED: Final = {"sqlite": " WITHOUT ROWID", "postgresql": ""}

SELECT_STANDING: Final = "SELECT form, chain, height FROM qiong_index"
SELECT_FIELDS: Final = "SELECT contract, fields FROM qiong_fields"
INSERT_STANDING: Final = "INSERT INTO qiong_index (form, chain, height) VALUES ($1, $2, NULL)"
UPDATE_HEIGHT: Final = "UPDATE qiong_index SET height = $1"
DELETE_FIELDS: Final = "DELETE FROM qiong_fields"
INSERT_FIELDS: Final = "INSERT INTO qiong_fields (contract, fields) VALUES ($1, $2)"
DELETE_CONTRACT: Final = "DELETE FROM qiong_entries WHERE contract = $1"
DELETE_ENTRY: Final = "DELETE FROM qiong_entries WHERE contract = $1 AND key = $2"
INSERT_VALUE: Final = (
    "INSERT INTO qiong_entries (contract, key, field, value) VALUES ($1, $2, $3, $4)"
)
COLUMNS: Final = ("contract", "key", "field", "value")


def create(database: str) -> list[str]:
    """The statements that make the tables."""
    kind, clustered = _BYTES[database], _CLUSTERED[database]
    return [
        f"CREATE TABLE qiong_index (form INTEGER NOT NULL, chain {kind} NOT NULL, height BIGINT)",
        f"CREATE TABLE qiong_fields (contract {kind} PRIMARY KEY, fields {kind} NOT NULL)",
        f"""CREATE TABLE qiong_entries (
            contract {kind} NOT NULL, key {kind} NOT NULL, field {kind} NOT NULL,
            value {kind} NOT NULL, PRIMARY KEY (contract, key, field)){clustered}""",
        "CREATE INDEX qiong_values ON qiong_entries (contract, field, value, key)",
    ]


def drop() -> list[str]:
    """The statements that remove the tables."""
    return [f"DROP TABLE IF EXISTS {table}" for table in TABLES]


class _Arguments:
    """The arguments of a statement, in the order in which they are written into it."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def __call__(self, value: object) -> str:
        self.values.append(value.encode() if isinstance(value, str) else value)
        return f"${len(self.values)}"


@dataclass(frozen=True)
class Question:
    """What is searched for. `few`: so few entries meet the first condition that they are collected
    and sorted; else entries are walked in the order of their keys until a page is full."""

    contract: str
    conditions: Sequence[Condition]
    after: str | None
    limit: int
    few: bool = False

    @property
    def worth_counting(self) -> bool:
        """Whether there is a choice: those that equal one value are in order by themselves."""
        if len(self.conditions) != 1:
            return bool(self.conditions)
        intervals = self.conditions[0].intervals
        return len(intervals) != 1 or intervals[0][0] != intervals[0][1]

    def counted(self, counts: Sequence[int]) -> Question:
        """The same, planned: the condition that fewest entries meet comes first."""
        pairs = sorted(zip(counts, self.conditions, strict=True), key=lambda pair: pair[0])
        few = pairs[0][0] < COUNTED_MAX
        return replace(self, conditions=[condition for _, condition in pairs], few=few)


def counts(question: Question) -> tuple[str, list[object]]:
    """A statement whose one row says how many entries meet each condition, up to COUNTED_MAX."""
    argument = _Arguments()
    columns = [
        "(SELECT count(*) FROM (SELECT 1 FROM qiong_entries e WHERE "
        f"{_meets(question.contract, condition, argument)} LIMIT {COUNTED_MAX}) counted)"
        for condition in question.conditions
    ]
    return f"SELECT {', '.join(columns)}", argument.values


def search(question: Question) -> tuple[str, list[object]]:
    """One statement, so that height, fields and keys are of one moment, and its arguments.

    Its rows are (height, fields, key); there is one without a key where nothing was found.
    """
    contract, conditions = question.contract, question.conditions
    argument = _Arguments()
    fields_of = argument(contract)
    # Where nothing is asked for, the field that every entry has.
    first = conditions[0] if conditions else Condition(CHANGED, (ANY_VALUE,))
    entries = f"qiong_entries e WHERE {_meets(contract, first, argument)}"
    if question.few:
        entries = f"(SELECT e.key FROM {entries} {FENCE}) e WHERE 1 = 1"
    where = [entries]
    if question.after is not None:
        where.append(f"e.key > {argument(question.after)}")
    where += [_also_meets(contract, condition, argument) for condition in conditions[1:]]
    statement = (
        "SELECT i.height, f.fields, k.key FROM qiong_index i "
        f"LEFT JOIN qiong_fields f ON f.contract = {fields_of} "
        f"LEFT JOIN (SELECT e.key AS key FROM {' AND '.join(where)} "
        f"ORDER BY e.key LIMIT {argument(question.limit)}) k ON 1 = 1 ORDER BY k.key"
    )
    return statement, argument.values


def found(rows: Sequence[Sequence[object]], fields: tuple[str, ...]) -> Found:
    """What the rows of `search` say. Raises `IndexBehind`, `IndexDamaged`."""
    if not rows or rows[0][0] is None:
        raise IndexBehind("the query index is being built")
    height, known, _ = rows[0]
    if known is None or decode_fields(_data(known)) != fields:
        raise IndexBehind(f"the query index is at block {height}, before the contract was changed")
    keys = tuple(_text(row[2]) for row in rows if row[2] is not None)
    return Found(Height(cast(int, height)), keys)


def standing(height: int | None, fields: Iterable[Sequence[object]]) -> Standing:
    """What the rows of `SELECT_FIELDS` say, at `height`. Raises `IndexDamaged`."""
    return Standing(
        None if height is None else Height(height),
        {_text(contract): decode_fields(_data(data)) for contract, data in fields},
    )


def fields_rows(fields: Mapping[str, tuple[str, ...]]) -> list[tuple[bytes, bytes]]:
    """Rows for `INSERT_FIELDS`."""
    return [(name.encode(), canonical.encode(list(names))) for name, names in fields.items()]


def decode_fields(data: bytes) -> tuple[str, ...]:
    """The fields of a contract as they are stored. Raises `IndexDamaged`."""
    try:
        return tuple(cast("list[str]", canonical.decode(data)))
    except (InvalidInput, TypeError) as error:
        raise IndexDamaged(f"a list of fields: {error}") from None


def chunks(
    changes: Iterable[Change],
) -> Iterator[tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes, bytes, bytes]]]]:
    """Rows for `DELETE_ENTRY` and `INSERT_VALUE`, some at a time."""
    source = iter(changes)
    while part := list(islice(source, CHUNK)):
        names = [(change.contract.encode(), change.key.encode()) for change in part]
        values = [
            (contract, key, field.encode(), value)
            for (contract, key), change in zip(names, part, strict=True)
            for field, value in (change.row or {}).items()
        ]
        yield names, values


def _meets(contract: str, condition: Condition, argument: _Arguments) -> str:
    """That the row `e` of qiong_entries is of the condition's field and in its intervals."""
    row = f"e.contract = {argument(contract)} AND e.field = {argument(condition.field)}"
    return f"{row} AND {_lies_in('e', condition, argument)}"


def _also_meets(contract: str, condition: Condition, argument: _Arguments) -> str:
    """That the entry of the row `e` meets a further condition; looked up by its key."""
    row = (
        f"SELECT value FROM qiong_entries WHERE contract = {argument(contract)} "
        f"AND key = e.key AND field = {argument(condition.field)} {FENCE}"
    )
    return f"EXISTS (SELECT 1 FROM ({row}) o WHERE {_lies_in('o', condition, argument)})"


def _lies_in(name: str, condition: Condition, argument: _Arguments) -> str:
    parts = [
        f"{name}.value = {argument(low)}"
        if low == high
        else f"{name}.value BETWEEN {argument(low)} AND {argument(high)}"
        for low, high in condition.intervals
    ]
    return f"({' OR '.join(parts)})" if parts else "1 = 0"


def _data(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise IndexDamaged(f"expected bytes, got {type(value).__name__}")
    return value


def _text(value: object) -> str:
    try:
        return _data(value).decode()
    except UnicodeDecodeError:
        raise IndexDamaged("a name is not UTF-8") from None
