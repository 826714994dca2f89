"""What a transaction would do, and what it read to do it.

The outcome tells what would be written. What was read is seen from the other side, by the state
that was asked: a runner that simulates starts with nothing remembered and nothing sent ahead, so
each entry of the state is asked for once, when the transaction first reads it.

The platform's own look-ups are reads like others (who signs, what roles its key holds). Left out
are the entries by which a contract's code is found: those are looked up when no code is at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.deployment_layout import RESERVED
from ledger.execution import StateKey, StateView
from ledger.receipt import TransactionOutcome


@dataclass(frozen=True, slots=True)
class Listing:
    """A question for keys of `contract` and what the state before the transaction answered."""

    contract: str
    prefix: str
    limit: int
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Simulation:
    """`reads` are canonical value bytes of the state before the transaction, None for absence, in
    the order of first use."""

    outcome: TransactionOutcome
    reads: Mapping[StateKey, bytes | None]
    listings: tuple[Listing, ...]


class RecordedState:
    """A `StateView` that notes what it is asked."""

    def __init__(self, state: StateView) -> None:
        self._state = state
        self.begin()

    def begin(self) -> None:
        """Forget what was noted: the same is about to be run anew."""
        self._reads: dict[StateKey, bytes | None] = {}
        self._listings: list[Listing] = []

    def get(self, contract: str, key: str) -> bytes | None:
        data = self._state.get(contract, key)
        if contract not in RESERVED:
            self._reads[contract, key] = data
        return data

    def keys(self, contract: str, prefix: str, limit: int) -> list[str]:
        found = self._state.keys(contract, prefix, limit)
        self._listings.append(Listing(contract, prefix, limit, tuple(found)))
        return found

    def simulation(self, outcome: TransactionOutcome) -> Simulation:
        """`outcome` with what was noted."""
        return Simulation(outcome, self._reads, tuple(self._listings))
