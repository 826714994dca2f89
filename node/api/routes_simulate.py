"""Trying a transaction: what it would do on the newest certified state. Nothing is kept.

It is posted as its wire bytes, or unsigned: calls, and the public keys that would sign. Signatures
are not looked at, so anybody may ask what anybody could do; the state is no secret. The answer is
of the state as it is now: what comes before the transaction in its block may change it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web
from pydantic import Field, RootModel

from ledger.execution import StateKey
from ledger.receipt import Status
from ledger.transaction import (
    CALLS_MAX,
    SIGNERS_MAX,
    TRANSACTION_GAS_MAX,
    Call,
    SignedTransaction,
    Transaction,
)
from ledger.types import Digest, PublicKey
from node.answers import SimulationAnswer
from node.api import models
from node.api.context import API, Route, both
from node.api.guard import address_of
from node.api.models import Answer, HexInput, Plain, Request
from node.api.problems import Problem
from node.api.wire import answer, query, read_value, validate
from node.views import unsigned


class CallInput(Request):
    """One call; `args` by position or by name."""

    contract: str
    method: str
    args: list[Any] | dict[str, Any] = Field(default_factory=list)


class UnsignedInput(Request):
    """A transaction that nobody signed: `signers` are the public keys that would, with their
    algorithm byte. The gas limit is the greatest there is unless it is given."""

    calls: list[CallInput] = Field(min_length=1, max_length=CALLS_MAX)
    signers: list[HexInput] = Field(min_length=1, max_length=SIGNERS_MAX)
    atomic: bool = False
    gas_limit: int = Field(default=TRANSACTION_GAS_MAX, ge=0, le=TRANSACTION_GAS_MAX)


class SimulationInput(RootModel[models.TransactionInput | UnsignedInput]):
    """A transaction's wire bytes, or its calls and signers."""


class StateEntry(Answer):
    """An entry of the state; without `present` there is none, or it is deleted."""

    contract: str
    key: str
    present: bool
    value: Plain


class ListedKeys(Answer):
    """What the state answered to a contract's question for keys."""

    contract: str
    prefix: str
    limit: int
    keys: list[str]


class Simulated(Answer):
    """What the transaction would do as the only one of a block at `time` on the state after
    `height`: its outcome, the entries it reads there and those it would write."""

    height: int
    time: str
    status: Status
    code: str
    gas: int
    calls: list[models.Call]
    events: list[models.EventAnswer]
    reads: list[StateEntry]
    listings: list[ListedKeys]
    writes: list[StateEntry]


async def simulate(request: web.Request) -> web.Response:
    """What a transaction would do on the newest certified state."""
    query(request)
    api, address = request.app[API], address_of(request)
    transaction = _transaction(await read_value(request), api.engine.genesis.chain_id)
    pause = api.transactions.take(address, len(transaction.calls), time.monotonic())
    if pause:
        detail = "this address simulates faster than it may"
        raise Problem(429, "too_many_requests", detail, retry_after=pause)
    with api.turns.turn(address):
        done = await api.engine.views.simulate(transaction)
    return answer(request, _simulated(done))


def _transaction(value: object, chain_id: Digest) -> Transaction:
    """What was posted, in either form. Raises `Problem`, `DecodingError`, `FieldError`."""
    if isinstance(value, dict) and "transaction" not in value:
        posted = validate(value, UnsignedInput)
        calls = tuple(Call(call.contract, call.method, call.args) for call in posted.calls)
        signers = tuple(map(PublicKey, posted.signers))
        return unsigned(calls, signers, atomic=posted.atomic, gas_limit=posted.gas_limit)
    raw = (
        value if isinstance(value, bytes) else validate(value, models.TransactionInput).transaction
    )
    transaction = SignedTransaction.decode(raw).transaction
    if transaction.chain_id != chain_id:
        detail = f"it is for chain {transaction.chain_id.hex()}, this is {chain_id.hex()}"
        raise Problem(409, "wrong_chain", detail)
    return transaction


def _simulated(done: SimulationAnswer) -> Simulated:
    outcome = done.simulation.outcome
    return Simulated(
        height=done.height,
        time=models.iso_time(done.time_ms),
        status=outcome.status,
        code=outcome.code,
        gas=outcome.gas,
        calls=[models.Call.of(call) for call in outcome.calls],
        events=[models.EventAnswer.of(event) for event in outcome.events],
        reads=_entries(done.simulation.reads),
        listings=[
            ListedKeys(
                contract=item.contract, prefix=item.prefix, limit=item.limit, keys=list(item.keys)
            )
            for item in done.simulation.listings
        ],
        writes=_entries(outcome.writes),
    )


def _entries(entries: Mapping[StateKey, bytes | None]) -> list[StateEntry]:
    return [
        StateEntry(contract=contract, key=key, present=data is not None, value=models.decoded(data))
        for (contract, key), data in entries.items()
    ]


ROUTES: Final = (
    Route(
        "POST",
        "/v1/simulate",
        simulate,
        "transactions",
        "Try a transaction, signed or not, and keep nothing; signatures are not checked",
        both(Simulated),
        body=SimulationInput,
        problems=(400, 409, 413, 415, 429, 503),
    ),
)
