"""The host functions: all that a contract can reach.

One `Host` stands for one contract; what changes from call to call (context, signers, the index of
the call, who called) it reads from the `Scope` that all hosts of an executor share. Arguments
arrive checked and as fresh values (`contracts.dialect.host`), and what goes back is fresh too:
`get` decodes each time, so nothing a contract holds aliases the state.

The base price of each function is charged with the block that calls it. What is charged here grows
with the work: bytes read and written, keys looked at, and reads that may cost a trip to the parent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final, Protocol

from contracts.dialect import ContractError, LimitExceeded, Meter, OutOfGas
from contracts.dialect.gas import (
    CHECKED_SHIFT,
    HASHED_SHIFT,
    KEY_LISTED,
    STATE_BYTES_SHIFT,
    charge,
)
from contracts.dialect.guards.values import export
from contracts.registry_layout import Standing
from contracts.worker import checkdigits
from contracts.worker.state import LayeredState
from ledger import canonical

KEY_BYTES_MAX: Final = 256
"""A key travels in every proof of its value; the longest identifiers here have about 80."""

VALUE_BYTES_MAX: Final = 65_536 + 1_024
"""One longest string with its record around it."""

EVENT_BYTES_MAX: Final = 16_384
"""Events are announcements, read by everyone who follows; data belongs into the state."""

EVENT_NAME_BYTES_MAX: Final = 64

KEYS_MAX: Final = 1_000
"""Keys of one listing."""

READS_CHEAP: Final = 2
"""Reads of a call at the base price. Ordinary calls look at one or two keys, and those the parent
has usually sent along."""

READ_MISS_GAS: Final = 300
"""Each further read: what asking the parent costs, about 50 µs of both."""

KEYS_GAS: Final = 500
"""Listing always asks the parent."""

WRITE_GAS: Final = 40
"""A new leaf of the state tree and its place on disk, beyond the base price of `put`."""

WRITTEN_SHIFT: Final = 2
"""4 bytes written: every validator keeps them, and a block's gas bounds its writes to 12 MB."""


Event = tuple[int, str, str, object]
"""An emitted event: index of the call, contract, name, data as a plain value."""


class Scope:
    """What the running call is part of. The executor sets it; hosts read it."""

    __slots__ = ("events", "height", "index", "reads", "signers", "state", "time_ms", "viewing")

    def __init__(self, state: LayeredState, height: int, time_ms: int) -> None:
        self.state = state
        self.height = height
        self.time_ms = time_ms
        self.signers: list[str] = []
        self.viewing = False
        self.index = 0
        self.events: list[Event] = []
        self.reads = 0


class Calls(Protocol):
    """Reaches other contracts, and the registry, for a host."""

    scope: Scope

    def nested(
        self, caller: str, contract: str, method: str, args: list[object] | dict[str, object]
    ) -> object:
        """Invoke a method of another contract on behalf of `caller`."""

    def standing(self, key: str) -> Standing:
        """Organisation and roles of a signer's key (hex)."""


class Host:
    """The host functions of the contract `contract`."""

    __slots__ = ("_calls", "_cell", "_contract", "_meter", "sender_name")

    def __init__(self, contract: str, calls: Calls, meter: Meter) -> None:
        self._contract = contract
        self._calls = calls
        self._meter = meter
        self._cell = meter.cell
        self.sender_name = ""

    def table(self) -> dict[str, Callable[..., object]]:
        """The functions by the names that contracts use."""
        return {
            "get": self.get,
            "put": self.put,
            "delete": self.delete,
            "keys": self.keys,
            "emit": self.emit,
            "sender": self.sender,
            "signers": self.signers,
            "organisation": self.organisation,
            "has_role": self.has_role,
            "now": self.now,
            "height": self.height,
            "call": self.call,
            "sha256": self.sha256,
            "uscc_valid": checkdigits.uscc_valid,
            "mod_37_36_valid": self.mod_37_36_valid,
            "licence_id_valid": checkdigits.licence_id_valid,
            "date_valid": checkdigits.date_valid,
            "date": self.date,
        }

    def get(self, key: str) -> object:
        if not key.isascii() or not 0 < len(key) <= KEY_BYTES_MAX:
            _check_key(key)
        scope = self._calls.scope
        scope.reads += 1
        if scope.reads > READS_CHEAP:
            charge(self._cell, READ_MISS_GAS)
        data = scope.state.get(self._contract, key)
        if data is None:
            return None
        cell = self._cell
        cell[0] -= len(data) >> STATE_BYTES_SHIFT
        if cell[0] < 0:
            raise OutOfGas
        # As strict as `canonical.decode`, by the walk that pays for a value's nodes.
        value = export(cell, canonical.unpack(data))
        if canonical.pack(value) != data:
            raise canonical.DecodingError("another byte form of the same value")
        return value

    def put(self, key: str, value: object) -> None:
        if not key.isascii() or not 0 < len(key) <= KEY_BYTES_MAX:
            _check_key(key)
        data = packed(value)
        if len(data) > VALUE_BYTES_MAX:
            raise LimitExceeded("VALUE_SIZE")
        cell = self._cell
        cell[0] -= WRITE_GAS + ((len(key) + len(data)) >> WRITTEN_SHIFT)
        if cell[0] < 0:
            raise OutOfGas
        self._calls.scope.state.put(self._contract, key, data)

    def delete(self, key: str) -> None:
        _check_key(key)
        charge(self._cell, WRITE_GAS + (len(key) >> WRITTEN_SHIFT))
        self._calls.scope.state.put(self._contract, key, None)

    def keys(self, prefix: str, limit: int) -> list[str]:
        if not 0 <= limit <= KEYS_MAX:
            raise LimitExceeded("KEYS")
        self._meter.charge(KEYS_GAS)
        # No more is looked for than can be paid: then the answer does not matter, the call fails.
        payable = self._meter.left // KEY_LISTED + 1
        return self._calls.scope.state.keys(
            self._contract,
            prefix,
            min(limit, payable),
            lambda looks: self._meter.charge(looks * KEY_LISTED),
        )

    def emit(self, name: str, data: dict[str, object]) -> None:
        if not 0 < (len(name) if name.isascii() else len(_utf8(name))) <= EVENT_NAME_BYTES_MAX:
            raise LimitExceeded("EVENT_NAME")
        size = len(packed(data))
        if size > EVENT_BYTES_MAX:
            raise LimitExceeded("EVENT_SIZE")
        cell = self._cell
        cell[0] -= size >> WRITTEN_SHIFT
        if cell[0] < 0:
            raise OutOfGas
        scope = self._calls.scope
        scope.events.append((scope.index, self._contract, name, data))

    def sender(self) -> str:
        return self.sender_name

    def signers(self) -> list[str]:
        return list(self._calls.scope.signers)

    def organisation(self) -> str | None:
        signers = self._calls.scope.signers
        return self._calls.standing(signers[0]).organisation if signers else None

    def has_role(self, role: str) -> bool:
        calls = self._calls
        for key in calls.scope.signers:  # noqa: SIM110 (a generator costs as much as all the rest)
            if role in calls.standing(key).roles:
                return True
        return False

    def now(self) -> int:
        return self._calls.scope.time_ms

    def height(self) -> int:
        return self._calls.scope.height

    def call(self, contract: str, method: str, args: list[object] | dict[str, object]) -> object:
        return self._calls.nested(self._contract, contract, method, args)

    def sha256(self, data: str | bytes) -> str:
        raw = _utf8(data) if isinstance(data, str) else data
        self._meter.charge(len(raw) >> HASHED_SHIFT)
        return hashlib.sha256(raw).hexdigest()

    def mod_37_36_valid(self, text: str) -> bool:
        self._meter.charge(len(text) >> CHECKED_SHIFT)
        return checkdigits.mod_37_36_valid(text)

    def date(self, ms: int) -> str:
        try:
            return checkdigits.date(ms)
        except ValueError:
            raise ContractError("VALUE") from None


def _check_key(key: str) -> None:
    if not 0 < len(_utf8(key)) <= KEY_BYTES_MAX:
        raise LimitExceeded("KEY_SIZE")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ContractError("VALUE") from None


def packed(value: object) -> bytes:
    """Canonical bytes of an exported value, of which the dialect bounds size and depth."""
    try:
        return canonical.pack(value)
    except canonical.EncodingError:
        raise ContractError("VALUE") from None
