"""Who may do what: what the platform's entries say, decoded.

Nearly every transaction asks the same few questions, so answers are remembered for a block. They
are its first state's; from the first write into the registry's name space on, kept or not, they are
worked out afresh.
"""

from __future__ import annotations

from typing import Final

from contracts import deployment_layout, registry_layout
from contracts.registry_layout import Standing
from contracts.worker.state import LayeredState
from ledger import canonical

VALUES_CACHED: Final = 4_096
"""Decoded entries kept from block to block; all go when full."""


class Directory:
    """Answers for the state of one block; `begin` turns to another."""

    def __init__(self) -> None:
        self._values: dict[bytes, object] = {}
        self._standings: dict[str, Standing] = {}

    def begin(self, state: LayeredState) -> None:
        self._state = state
        self._standings.clear()

    def standing(self, key: str) -> Standing:
        """Organisation and roles of `key` (hex)."""
        if registry_layout.CONTRACT in self._state.written:
            return registry_layout.standing(self.registry, key)
        found = self._standings.get(key)
        if found is None:
            found = self._standings[key] = registry_layout.standing(self.registry, key)
        return found

    def registry(self, key: str) -> object:
        """Decoded value under `key` of the registry, not to be changed."""
        return self._value(registry_layout.CONTRACT, key)

    def deployment(self, key: str) -> object:
        """Decoded value under `key` of `contracts`, not to be changed."""
        return self._value(deployment_layout.CONTRACT, key)

    def _value(self, contract: str, key: str) -> object:
        """An entry's value, decoded once for each distinct bytes and never handed to contracts."""
        data = self._state.get(contract, key)
        if data is None:
            return None
        values = self._values
        if data not in values:
            if len(values) == VALUES_CACHED:
                values.clear()
            values[data] = canonical.decode(data)
        return values[data]
