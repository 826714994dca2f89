"""Rows of the key-value store: their keys and values, in one place.

    H n                     header bytes
    R n                     results: canonical [entry bytes...], an entry a transaction with a leaf
    E n                     empty; the block has events
    I n                     ids of the transactions with a leaf, while any may still be unexpired
    T id                    n 8 | index 4: where a transaction was executed
    h level 1, index 8      a node of the history tree
    s contract 00 01 key    the value of a key that has one, and when it was written: n 8 | value
    t key hash              a key's newest version for the state tree: n 8 | value hash, or n 8
    v key hash, n           a superseded version, written at n: 01 value; or the key's deletion: 00
    d contract 00 01 n key  empty; block n deleted the key
    c n                     names changed by block n: canonical [[contract, key]...]
    u n                     undo data of block n, kept for the newest blocks only
    p n                     the state tree's bucket roots before block n, now and then
    M name                  executed height, chain id, form of the rows; once older blocks were
                            given up, the lowest height kept (base) and how far rows are gone

The bucket roots of a base that came with a snapshot are those after its block.

Numbers are big-endian, so rows stand in the order of heights. A deleted key has no row among the
values, so that a contract's listing never walks over what is gone; its other rows stay, which is
what lets older heights be listed and proven. In names a zero byte is written 00 FF, which keeps
their order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from ledger import canonical, fields
from ledger.errors import FieldError
from ledger.execution import ExecutedTransaction
from ledger.hashing import DIGEST_SIZE
from ledger.receipt import CallOutcome, Event, Receipt, check_code, check_status
from ledger.types import Digest, Gas, Height

FORM: Final = 3
"""Counts up when rows change; another form is rebuilt from the block files."""

HEADER: Final = b"H"
RESULTS: Final = b"R"
EVENTFUL: Final = b"E"
IDS: Final = b"I"
LOCATION: Final = b"T"
HISTORY: Final = b"h"
STATE: Final = b"s"
TREE: Final = b"t"
VERSION: Final = b"v"
DELETION: Final = b"d"
CHANGED: Final = b"c"
UNDO: Final = b"u"
BUCKET_ROOTS: Final = b"p"

META_EXECUTED: Final = b"Mexecuted"
META_CHAIN: Final = b"Mchain"
META_FORM: Final = b"Mform"
META_BASE: Final = b"Mbase"
META_PRUNED: Final = b"Mpruned"

Value: TypeAlias = tuple[Height, bytes]
"""When a value was written, and its canonical bytes."""

Version: TypeAlias = "tuple[Height, bytes | None]"
"""The same, or None if that write deleted the key."""


def by_height(kind: bytes, n: int) -> bytes:
    """Key of a row that a height has."""
    return kind + n.to_bytes(8, "big")


def height_of(row: bytes) -> Height:
    """The height at the end of a row's key."""
    return Height(int.from_bytes(row[-8:], "big"))


def by_name(contract: str, key: str) -> bytes:
    """Key of a state row; for a prefix of keys, the prefix of their rows."""
    return b"%b%b\x00\x01%b" % (STATE, _escaped(contract), _escaped(key))


def key_of(row: bytes, contract: str) -> str:
    """The key in a state row of `contract`."""
    return _plain(row[len(by_name(contract, "")) :])


def name_of(row: bytes) -> tuple[str, str]:
    """Contract and key of a state row."""
    contract, _, key = row[len(STATE) :].partition(b"\x00\x01")
    return _plain(contract), _plain(key)


def by_version(key_hash: bytes, n: int) -> bytes:
    """Key of the superseded version of `key_hash` that was written at `n`."""
    return VERSION + key_hash + n.to_bytes(8, "big")


def deletions(contract: str) -> bytes:
    """How the keys of all deletion rows of `contract` begin."""
    return b"%b%b\x00\x01" % (DELETION, _escaped(contract))


def by_deletion(contract: str, n: int, key: str = "") -> bytes:
    """Key of the row of a key that block `n` deleted; without `key`, where those of `n` begin."""
    return deletions(contract) + n.to_bytes(8, "big") + _escaped(key)


def deleted_name_of(row: bytes) -> tuple[str, Height, str]:
    """Contract, height of the deletion and key in a deletion row."""
    contract, _, rest = row[len(DELETION) :].partition(b"\x00\x01")
    return _plain(contract), Height(int.from_bytes(rest[:8], "big")), _plain(rest[8:])


def deleted_key_of(row: bytes, contract: str) -> str:
    """The key in a deletion row of `contract`."""
    return _plain(row[len(by_deletion(contract, 0)) :])


def by_history(level: int, index: int) -> bytes:
    """Key of a node of the history tree."""
    return HISTORY + bytes([level]) + index.to_bytes(8, "big")


def encode_value(value: bytes | None) -> bytes:
    return b"\x00" if value is None else b"\x01" + value


def decode_value(data: bytes) -> bytes | None:
    return data[1:] if data[0] else None


def encode_state(n: int, value: bytes) -> bytes:
    return n.to_bytes(8, "big") + value


def decode_state(data: bytes) -> Value:
    return Height(int.from_bytes(data[:8], "big")), data[8:]


def encode_location(n: int, index: int) -> bytes:
    return n.to_bytes(8, "big") + index.to_bytes(4, "big")


def decode_location(data: bytes) -> tuple[Height, int]:
    return Height(int.from_bytes(data[:8], "big")), int.from_bytes(data[8:], "big")


def decode_ids(data: bytes) -> list[Digest]:
    return [Digest(data[i : i + DIGEST_SIZE]) for i in range(0, len(data), DIGEST_SIZE)]


def encode_results(transactions: tuple[ExecutedTransaction, ...]) -> bytes:
    """All entries of a block; each is bytes of its own, so that one is read without the others."""
    return join_results(
        canonical.encode(
            [entry.body_index, entry.leaf, list(entry.call_leaves), list(entry.event_leaves)]
        )
        for entry in transactions
    )


def join_results(entries: Iterable[bytes]) -> bytes:
    """The row of a block whose entries are `entries`; `decode_results` takes it apart."""
    return canonical.encode(list(entries))


@dataclass(frozen=True, slots=True)
class StoredResult:
    """What a block keeps of one executed transaction: the very leaves its roots are over."""

    body_index: int
    leaf: bytes
    call_leaves: tuple[bytes, ...]
    event_leaves: tuple[bytes, ...]

    @property
    def receipt(self) -> Receipt:
        return Receipt.decode(self.leaf)

    @property
    def calls(self) -> tuple[CallOutcome, ...]:
        return tuple(_call(leaf) for leaf in self.call_leaves)

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(_event(leaf) for leaf in self.event_leaves)


def decode_results(data: bytes) -> list[bytes]:
    """The entries of a block, for `decode_result`."""
    items = fields.array(canonical.decode(data), "results")
    return [fields.binary(item, "result", size_max=len(data)) for item in items]


def decode_result(entry: bytes) -> StoredResult:
    row = fields.array(canonical.decode(entry), "result", 4)
    size_max = len(entry)
    return StoredResult(
        body_index=fields.natural(row[0], "result.body_index"),
        leaf=fields.binary(row[1], "result.leaf", size_max=size_max),
        call_leaves=_leaves(row[2], size_max),
        event_leaves=_leaves(row[3], size_max),
    )


def encode_names(names: Iterable[tuple[str, str]]) -> bytes:
    return canonical.encode([list(name) for name in names])


def decode_names(data: bytes) -> list[tuple[str, str]]:
    return [_name(item) for item in fields.array(canonical.decode(data), "names")]


def _name(item: object) -> tuple[str, str]:
    contract, key = fields.array(item, "name", 2)
    if type(contract) is not str or type(key) is not str:
        raise FieldError("name", "contract and key", item)
    return contract, key


def _leaves(value: object, size_max: int) -> tuple[bytes, ...]:
    items = fields.array(value, "result.leaves")
    return tuple(fields.binary(item, "result.leaf", size_max=size_max) for item in items)


def _call(leaf: bytes) -> CallOutcome:
    row = fields.array(canonical.decode(leaf), "call", 5)
    return CallOutcome(
        status=check_status(row[1], "call.status"),
        code=check_code(row[2], "call.code"),
        gas=Gas(fields.natural(row[3], "call.gas")),
        result=cast(canonical.Value, row[4]),
    )


def _event(leaf: bytes) -> Event:
    row = fields.array(canonical.decode(leaf), "event", 4)
    return Event(
        call_index=fields.natural(row[0], "event.call_index"),
        contract=fields.text(row[1], "event.contract"),
        name=fields.text(row[2], "event.name"),
        data=cast(canonical.Value, row[3]),
    )


def _escaped(name: str) -> bytes:
    return name.encode().replace(b"\x00", b"\x00\xff")


def _plain(escaped: bytes) -> str:
    return escaped.replace(b"\x00\xff", b"\x00").decode()
