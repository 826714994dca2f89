"""Receipts: what became of each transaction and of each of its calls.

A receipt holds two Merkle roots, over its call outcomes and over its events, so one call out of a
thousand under one signature is provable alone. The outcomes and events themselves are stored
beside the receipt, outside the hash.

Receipts carry stable codes, never text from an interpreter: text differs between Python versions,
and a receipt that differs forks the chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from ledger import canonical, fields
from ledger.errors import FieldError
from ledger.types import Digest, Gas

Status: TypeAlias = Literal["ok", "rejected", "out_of_gas", "limit", "reverted", "error"]
"""`rejected`: refused before its code ran. `out_of_gas`, `limit`: a budget or a cap. `reverted`:
its `require` failed. `error`: the contract's own fault."""

STATUSES: Final[tuple[Status, ...]] = get_args(Status)

CODE_SIZE_MAX: Final = 64
"""Longest code in bytes; codes are words for programs (`NOT_ISSUER`), not sentences."""


class CallOutcome(NamedTuple):
    """One call: `code` is empty when `status` is ok; `result` is what the method returned."""

    status: Status
    code: str
    gas: Gas
    result: canonical.Value = None

    def leaf(self, call_index: int) -> bytes:
        """Canonical `[call_index, status, code, gas, result]`, a leaf of `calls_root`."""
        return canonical.encode([call_index, self.status, self.code, self.gas, self.result])


class Event(NamedTuple):
    """What a contract emitted during call number `call_index`."""

    call_index: int
    contract: str
    name: str
    data: canonical.Value

    def leaf(self) -> bytes:
        """Canonical `[call_index, contract, name, data]`, a leaf of `events_root`."""
        return canonical.encode([self.call_index, self.contract, self.name, self.data])


class TransactionOutcome(NamedTuple):
    """What a `CallRunner` says of one transaction.

    `writes` maps (contract, key) to canonical value bytes, or None to delete; it holds only what
    succeeded. An atomic transaction has all of its calls' writes or none.
    """

    status: Status
    code: str
    gas: Gas
    calls: tuple[CallOutcome, ...]
    events: tuple[Event, ...] = ()
    writes: Mapping[tuple[str, str], bytes | None] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Receipt:
    """The hashed summary of one executed transaction, at `index` of its block."""

    tx_id: Digest
    index: int
    status: Status
    code: str
    gas: Gas
    calls_root: Digest
    events_root: Digest

    def encode(self) -> bytes:
        """Canonical array of the fields in their order, the leaf of `receipts_root`."""
        return canonical.encode(
            [
                self.tx_id,
                self.index,
                self.status,
                self.code,
                self.gas,
                self.calls_root,
                self.events_root,
            ]
        )

    @classmethod
    def decode(cls, data: bytes) -> Receipt:
        """Decode strictly. Raises `DecodingError` or `FieldError`."""
        row = fields.array(canonical.decode(data), "receipt", 7)
        return cls(
            tx_id=fields.digest(row[0], "receipt.tx_id"),
            index=fields.natural(row[1], "receipt.index"),
            status=check_status(row[2], "receipt.status"),
            code=check_code(row[3], "receipt.code"),
            gas=Gas(fields.natural(row[4], "receipt.gas")),
            calls_root=fields.digest(row[5], "receipt.calls_root"),
            events_root=fields.digest(row[6], "receipt.events_root"),
        )


def check_status(value: object, name: str) -> Status:
    """`value` as one of `STATUSES`; raises `FieldError`."""
    if type(value) is not str or value not in STATUSES:
        raise FieldError(name, "one of " + ", ".join(STATUSES), value)
    return value


def check_code(value: object, name: str) -> str:
    """`value` as a code of at most `CODE_SIZE_MAX` bytes, possibly empty; raises `FieldError`."""
    if type(value) is not str or len(value.encode()) > CODE_SIZE_MAX:
        raise FieldError(name, f"a string of at most {CODE_SIZE_MAX} bytes", value)
    return value
