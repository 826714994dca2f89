"""From the worker's answer to typed outcomes, believing nothing.

The bytes were only unpacked; here every field is checked for type and range before it becomes part
of a receipt. What a contract made, results and events' data, is put into the canonical form, and
refused if it has none; which bytes the rest came as changes nothing. A block's outcomes come as
tables by column (`contracts.worker.wire`), so most checks look at a column as a whole, and at its
items one by one only to name the wrong one.

The name spaces of the platform are closed to every contract. Only a call of the platform's own
contract writes there, and only what it was asked about: the entry and history of the contract it
names, and the source it brings.

What cannot be checked is whether the contract's code really said so: that takes executing it, and
the quorum of header signatures compares who did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, cast

from contracts import deployment_layout
from contracts.dialect.limits import VALUE_DEPTH_MAX
from contracts.worker import host
from ledger import canonical, fields
from ledger.errors import FieldError
from ledger.execution import StateKey
from ledger.receipt import CallOutcome, Event, TransactionOutcome, check_code, check_status
from ledger.transaction import Transaction
from ledger.types import Gas

Column = list[Any]

Row = TypeVar("Row", bound="tuple[Any, ...]")

_TEXT: Final = frozenset({str})
_NUMBER: Final = frozenset({int})
_BYTES: Final = frozenset({bytes, type(None)})


def transactions(value: object, asked: Sequence[Transaction]) -> list[TransactionOutcome]:
    """Outcomes of the transactions `asked`, in order. Raises `FieldError`."""
    tables = fields.array(value, "outcomes", 4)
    status, code, gas, event_counts, write_counts = _table(tables[0], "outcome", 5, len(asked))
    _check_ends(status, code, gas, "outcome")
    calls = _calls(tables[1], sum([len(each.calls) for each in asked]))
    events = _events(tables[2], _total(event_counts, "outcome.events"))
    deploying, writes = _writes(tables[3], _total(write_counts, "outcome.writes"))
    outcomes = []
    call = event = write = 0
    for number, each in enumerate(asked):
        first_call, call = call, call + len(each.calls)
        first_event, event = event, event + event_counts[number]
        first_write, write = write, write + write_counts[number]
        row = (
            status[number],
            code[number],
            gas[number],
            calls[first_call:call],
            events[first_event:event],
            dict(writes[first_write:write]),
        )
        outcome = tuple.__new__(TransactionOutcome, row)
        _check_bounds(outcome, each)
        if deploying:
            _check_deployments(outcome, each)
        outcomes.append(outcome)
    return outcomes


def call(value: object, gas_max: int) -> CallOutcome:
    """The outcome of one call. Raises `FieldError`."""
    status, code, gas, result = fields.array(value, "call", 4)
    return CallOutcome(
        status=check_status(status, "call.status"),
        code=check_code(code, "call.code"),
        gas=Gas(fields.natural(gas, "call.gas", gas_max)),
        result=_stored([result], "call.result")[0],
    )


def _check_bounds(outcome: TransactionOutcome, asked: Transaction) -> None:
    """What depends on the transaction: its gas limit, and how many calls it has."""
    if outcome.gas > asked.gas_limit:
        fields.natural(outcome.gas, "outcome.gas", asked.gas_limit)
    for call in outcome.calls:
        if call.gas > asked.gas_limit:
            fields.natural(call.gas, "call.gas", asked.gas_limit)
    count = len(asked.calls)
    for event in outcome.events:
        if event.call_index >= count:
            fields.natural(event.call_index, "event.call_index", len(asked.calls) - 1)


def _check_deployments(outcome: TransactionOutcome, asked: Transaction) -> None:
    """Writes to the platform's name space: what the transaction's calls of it may write."""
    keys = {deployment_layout.TOTAL_KEY}
    prefixes: tuple[str, ...] = ()
    sources: dict[str, bytes] = {}
    for call, done in zip(asked.calls, outcome.calls, strict=True):
        if call.contract == deployment_layout.CONTRACT and done.status == "ok":
            name, source = deployment_layout.subject(call.args)
            keys.add(name)
            prefixes += (deployment_layout.history_prefix(name),)
            if source is not None:
                key = deployment_layout.source_key(deployment_layout.source_hash(source))
                sources[key] = canonical.encode(source)
    for (contract, key), data in outcome.writes.items():
        if contract != deployment_layout.CONTRACT:
            continue
        fits = data == sources[key] if key in sources else key in keys or key.startswith(prefixes)
        if data is None or not fits or not prefixes:
            raise FieldError("write.key", "what the platform's contract was asked about", key)


def _calls(value: object, count: int) -> tuple[CallOutcome, ...]:
    status, code, gas, result = _table(value, "call", 4, count)
    _check_ends(status, code, gas, "call")
    return _made(CallOutcome, status, code, gas, _stored(result, "call.result"))


def _events(value: object, count: int) -> tuple[Event, ...]:
    index, contract, name, data = _table(value, "event", 4, count)
    _check_naturals(index, "event.call_index")
    _check_distinct(contract, "event.contract", fields.text)
    _check_distinct(name, "event.name", _event_name)
    return _made(Event, index, contract, name, _stored(data, "event.data"))


def _writes(value: object, count: int) -> tuple[bool, list[tuple[StateKey, bytes | None]]]:
    """Whether the platform's contract wrote something, and what was written."""
    contract, key, data = _table(value, "write", 3, count)
    contracts = _check_distinct(contract, "write.contract", fields.text)
    for reserved in deployment_layout.RESERVED:
        if reserved in contracts and reserved != deployment_layout.CONTRACT:
            raise FieldError("write.contract", "a contract's own name space", reserved)
    _check_texts(key, "write.key", host.KEY_BYTES_MAX)
    if not _kinds(data) <= _BYTES or max(map(len, filter(None, data)), default=0) > (
        host.VALUE_BYTES_MAX
    ):
        for item in data:
            if item is not None:
                fields.binary(item, "write.value", size_max=host.VALUE_BYTES_MAX)
    written = list(zip(zip(contract, key, strict=True), data, strict=True))
    return deployment_layout.CONTRACT in contracts, written


def _stored(column: Column, field: str) -> Column:
    """Values of contracts, as deep as the dialect lets them be, in the canonical form."""
    try:
        return cast(Column, canonical.normal(column, VALUE_DEPTH_MAX + 1))
    except canonical.EncodingError as error:
        raise FieldError(field, "values that can be stored", error.reason) from None


def _made(kind: type[Row], *columns: Column) -> tuple[Row, ...]:
    """The rows of a table, each a `kind`: what `kind(*row)` makes, without its Python code."""
    new = tuple.__new__
    return tuple([new(kind, row) for row in zip(*columns, strict=True)])


def _table(value: object, field: str, columns: int, rows: int) -> list[Column]:
    """A table of `columns` lists, each of `rows` items."""
    return [fields.array(column, field, rows) for column in fields.array(value, field, columns)]


def _kinds(column: Column) -> set[type]:
    return set(map(type, column))


def _total(counts: Column, field: str) -> int:
    _check_naturals(counts, field)
    return sum(counts)


def _check_ends(status: Column, code: Column, gas: Column, field: str) -> None:
    """How transactions or calls ended."""
    _check_distinct(status, field + ".status", check_status)
    _check_distinct(code, field + ".code", check_code)
    _check_naturals(gas, field + ".gas")


def _check_distinct(column: Column, field: str, check: Callable[[object, str], object]) -> set[str]:
    """Texts of which there are few: each is looked at once. Returns these."""
    for item in column if not _kinds(column) <= _TEXT else ():
        check(item, field)
    distinct = set(column)
    for item in distinct:
        check(item, field)
    return distinct


def _event_name(value: object, field: str) -> str:
    return fields.text(value, field, host.EVENT_NAME_BYTES_MAX)


def _check_naturals(column: Column, field: str) -> None:
    if not _kinds(column) <= _NUMBER or min(column, default=0) < 0:
        for item in column:
            fields.natural(item, field)


def _check_texts(column: Column, field: str, size_max: int) -> None:
    """As `fields.text`; bytes are counted only where there are other characters than ASCII."""
    short = _kinds(column) <= _TEXT and all(map(str.isascii, column))
    if not short or not all(column) or max(map(len, column), default=0) > size_max:
        for item in column:
            fields.text(item, field, size_max)
