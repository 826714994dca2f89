"""From the worker's answer to typed outcomes, believing nothing.

The bytes were decoded strictly already; here every field is checked for type and range before it
becomes part of a receipt. What cannot be checked is whether the contract's code really said so:
that takes executing it, and the quorum of header signatures compares who did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from contracts.deployment_layout import RESERVED
from contracts.worker import host
from ledger import canonical, fields
from ledger.errors import FieldError
from ledger.receipt import CallOutcome, Event, TransactionOutcome, check_code, check_status
from ledger.transaction import Transaction
from ledger.types import Gas


def transactions(value: canonical.Value, asked: Sequence[Transaction]) -> list[TransactionOutcome]:
    """Outcomes of the transactions `asked`, in order. Raises `FieldError`."""
    rows = fields.array(value, "outcomes", len(asked))
    return [_transaction(row, each) for row, each in zip(rows, asked, strict=True)]


def call(value: canonical.Value, gas_max: int) -> CallOutcome:
    """The outcome of one call. Raises `FieldError`."""
    status, code, gas, result = fields.array(value, "call", 4)
    return CallOutcome(
        status=check_status(status, "call.status"),
        code=check_code(code, "call.code"),
        gas=Gas(fields.natural(gas, "call.gas", gas_max)),
        result=cast(canonical.Value, result),
    )


def _transaction(value: object, asked: Transaction) -> TransactionOutcome:
    status, code, gas, calls, events, writes = fields.array(value, "outcome", 6)
    count = len(asked.calls)
    return TransactionOutcome(
        status=check_status(status, "outcome.status"),
        code=check_code(code, "outcome.code"),
        gas=Gas(fields.natural(gas, "outcome.gas", asked.gas_limit)),
        calls=tuple(
            call(cast(canonical.Value, row), asked.gas_limit)
            for row in fields.array(calls, "outcome.calls", count)
        ),
        events=tuple(_event(row, count) for row in fields.array(events, "outcome.events")),
        writes=dict(_write(row) for row in fields.array(writes, "outcome.writes")),
    )


def _event(value: object, call_count: int) -> Event:
    index, contract, name, data = fields.array(value, "event", 4)
    return Event(
        call_index=fields.natural(index, "event.call_index", call_count - 1),
        contract=fields.text(contract, "event.contract"),
        name=fields.text(name, "event.name", host.EVENT_NAME_BYTES_MAX),
        data=cast(canonical.Value, data),
    )


def _write(value: object) -> tuple[tuple[str, str], bytes | None]:
    contract, key, data = fields.array(value, "write", 3)
    contract = fields.text(contract, "write.contract")
    if contract in RESERVED:
        raise FieldError("write.contract", "a contract's own name space", contract)
    key = fields.text(key, "write.key", host.KEY_BYTES_MAX)
    if data is not None:
        data = fields.binary(data, "write.value", size_max=host.VALUE_BYTES_MAX)
    return (contract, key), data
