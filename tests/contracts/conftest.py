"""A small world for contract tests: the library deployed, the sample's departments registered."""

from collections.abc import Sequence

import pytest

from contracts import deployment_layout, registry_layout, shipped
from contracts.inline import InlineRunner
from contracts.local import MemoryState
from contracts.registry_layout import Member, Organisation
from devnet import sample
from ledger import canonical
from ledger.execution import BlockContext
from ledger.hashing import sha256
from ledger.keys import SigningKey
from ledger.receipt import CallOutcome, TransactionOutcome
from ledger.transaction import Call, Transaction
from ledger.types import Digest, Gas, Height, PublicKey, TimeMs

CHAIN_ID = Digest(bytes(32))
TIME_MS = TimeMs(1_767_225_600_000)  # 2026-01-01 UTC


class World:
    """State in memory, the registry and contracts seeded, and an inline runner over it."""

    def __init__(self, contracts: dict[str, str] | None = None) -> None:
        self.entries: dict[tuple[str, str], bytes] = {}
        self.state = MemoryState(self.entries)
        self.runner = InlineRunner()
        self.height = Height(1)
        self.keys: dict[str, PublicKey] = {}
        self.seed(shipped.seed_entries())
        self.seed(deployment_layout.seed_entries((contracts or {}).items()))
        accreditations = sample.accreditations()
        for department in sample.departments():
            self.register(department.id, department.uscc, accreditations[department.uscc])
        self.register("enterprise", sample.enterprises()[0].uscc, ())

    def seed(self, entries: Sequence[tuple[str, str, object]]) -> None:
        for contract, key, value in entries:
            self.entries[contract, key] = canonical.encode(value)  # type: ignore[arg-type]

    def register(
        self, name: str, uscc: str, issuer_roles: Sequence[str], submitter: bool = True
    ) -> None:
        """An organisation with one key that holds all of its accreditations."""
        key = SigningKey.from_seed(sha256(name.encode())).public
        self.keys[name] = key
        roles = (*issuer_roles, *((registry_layout.SUBMITTER,) if submitter else ()))
        member = Member(key.hex(), roles)
        organisation = Organisation(uscc, name, "government", tuple(issuer_roles), (member,))
        self.seed(registry_layout.seed_entries([organisation]))

    def transaction(
        self, calls: Sequence[Call], *signers: str, gas: int = 300_000, atomic: bool = False
    ) -> Transaction:
        keys = tuple(self.keys[name] for name in signers)
        return Transaction(CHAIN_ID, bytes(16), TIME_MS, Gas(gas), tuple(calls), atomic, keys)

    @property
    def context(self) -> BlockContext:
        return BlockContext(CHAIN_ID, self.height, TIME_MS)

    def run(self, *transactions: Transaction) -> list[TransactionOutcome]:
        """Execute a block and take up its writes."""
        outcomes = self.runner.run(self.context, transactions, self.state)
        for outcome in outcomes:
            self.apply(outcome)
        self.height = Height(self.height + 1)
        return outcomes

    def apply(self, outcome: TransactionOutcome) -> None:
        for name, data in outcome.writes.items():
            if data is None:
                self.entries.pop(name, None)
            else:
                self.entries[name] = data

    def call(self, signer: str, contract: str, method: str, *args: canonical.Value) -> CallOutcome:
        """One transaction of one call, in a block of its own."""
        return self.run(self.transaction([Call(contract, method, list(args))], signer))[0].calls[0]

    def view(self, contract: str, method: str, *args: canonical.Value) -> CallOutcome:
        return self.runner.query(self.context, Call(contract, method, list(args)), self.state)

    def value(self, contract: str, key: str) -> canonical.Value:
        data = self.entries.get((contract, key))
        return None if data is None else canonical.decode(data)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def make_world() -> type[World]:
    return World
