"""The chain in memory: blocks of one transaction each, as a test makes them.

Whatever changes the state is a block of its own, deployments and the registration of signers too,
so height and time go up as they do on a network. Time starts on 2026-01-01 and moves a second a
block, and further only when `advance` says so: a test gives the same answer on every day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any, Final, cast

from contracts import deployment_layout, registry_layout, shipped
from contracts.local import TIME_MS, MemoryState
from contracts.registry_layout import Member, Organisation
from contracts.testing import lab
from contracts.testing.contract import Contract, library
from contracts.testing.receipts import CallFailed, Expected, Receipt
from contracts.testing.signers import Signer, key_of, uscc
from contracts.worker.checkdigits import date as date_text
from contracts.worker.executor import CALL_GAS_MAX
from ledger import canonical
from ledger.execution import BlockContext, StateKey
from ledger.receipt import Status
from ledger.transaction import NONCE_SIZE, TRANSACTION_GAS_MAX, Call, Transaction
from ledger.types import Gas, Height, TimeMs

BLOCK_MS: Final = 1_000
"""From one block to the next, unless time is advanced."""

DAY_MS: Final = 86_400_000
_UNIX_DAY: Final = date(1970, 1, 1).toordinal()
_CHINA_MS: Final = 8 * 3_600_000

Signers = Signer | Sequence[Signer] | None


class Chain:
    """A network's state and clock, and the whole library deployed as genesis does it."""

    def __init__(self, laboratory: lab.Lab | None = None) -> None:
        self.lab = laboratory or lab.current()
        self._chain_id = self.lab.new_chain_id()
        self._entries: dict[StateKey, bytes] = dict(_genesis())
        self._state = MemoryState(self._entries)
        self._under_test: dict[str, Contract] = {}
        self._organisations: dict[str, Organisation] = {}
        self.height = Height(0)
        self.time_ms = TIME_MS
        self.author = self.signer("author", registry_layout.DEPLOYER)

    # What is on the chain

    def deploy(self, contract: Contract, name: str | None = None) -> Deployed:
        """Deploy `contract` as `name`, by default that of its file; the report will cover it.

        It stands there as if from genesis, but belongs to the organisation of `author`. (What a
        deployment costs: `chain.call("contracts", "deploy", name, source)`.)
        """
        name = name or contract.name
        (namespace, key, entry), *others = deployment_layout.seed_entries([(name, contract.source)])
        owned = cast(dict[str, object], entry) | {"owner": self.author.organisation}
        self._put([(namespace, key, owned), *others])
        self._under_test[name] = contract
        self.lab.record.deployed(contract)
        return Deployed(self, name, contract)

    def contract(self, name: str) -> Deployed:
        """The deployed contract `name`: one that the test deployed, or one of the library."""
        return Deployed(self, name, self._under_test.get(name) or library(name))

    def upgrade(self, name: str, contract: Contract, *, by: Signers = None) -> Receipt:
        """As `Deployed.upgrade`."""
        __tracebackhide__ = True
        before = self._under_test
        self._under_test = before | {name: contract}
        self.lab.record.deployed(contract)
        try:
            return self.call(
                deployment_layout.CONTRACT,
                "upgrade",
                name,
                contract.source,
                by=by,
                gas=TRANSACTION_GAS_MAX,
            )
        except CallFailed:
            self._under_test = before
            raise

    def signer(
        self,
        name: str,
        *roles: str,
        organisation: Signer | str | None = None,
        organisation_class: str = "enterprise",
    ) -> Signer:
        """The key `name`, registered to hold `roles` and to submit transactions.

        It belongs to the organisation of another signer, or to one of the given USCC, by default to
        one of its own; that organisation is accredited for the `issuer:` roles among `roles`.
        Asked again with other roles, the key holds those from now on.
        """
        if isinstance(organisation, Signer):
            organisation = organisation.organisation
        signer = Signer(name, key_of(name), organisation or uscc(name))
        known = self._organisations.get(signer.organisation) or Organisation(
            signer.organisation, name, organisation_class, (), ()
        )
        given = [role for role in roles if role.startswith(registry_layout.ISSUER_PREFIX)]
        entry = known._replace(
            accreditations=tuple(dict.fromkeys((*known.accreditations, *given))),
            members=(Member(signer.key, (registry_layout.SUBMITTER, *roles)),),
        )
        self._organisations[signer.organisation] = entry
        self._put(registry_layout.seed_entries([entry]))
        return signer

    def state(self, contract: str) -> dict[str, Any]:
        """Every key of `contract` and its value, decoded, in the order of the keys."""
        return {
            key: canonical.decode(data)
            for (name, key), data in sorted(self._entries.items())
            if name == contract
        }

    def put(self, contract: str, key: str, value: Any) -> None:
        """Write a value past all code, for a state that calls would take long to reach."""
        self._put([(contract, key, value)])

    # Time

    @property
    def today(self) -> str:
        """The day of the last block, YYYY-MM-DD, as `date(now())` says it."""
        return date_text(self.time_ms)

    def advance(self, *, days: int = 0, seconds: int = 0, to: str = "") -> None:
        """Let time pass until an empty block: some days and seconds, or to noon of the day `to`."""
        passed = days * DAY_MS + seconds * 1_000
        if to:
            noon = (date.fromisoformat(to).toordinal() - _UNIX_DAY) * DAY_MS + DAY_MS // 2
            passed += noon - _CHINA_MS - self.time_ms
        if passed < 0:
            raise ValueError(f"time only goes on; it is {self.today}")
        self._append({}, max(passed, 1))

    # Calls

    def call(
        self,
        contract: str,
        method: str,
        *args: Any,
        by: Signers = None,
        gas: int = CALL_GAS_MAX,
        **named: Any,
    ) -> Receipt:
        """A transaction of one call, which must end ok. Raises `CallFailed` if it does not.

        `by` signs, by default `author`, who may submit and deploy, and nothing else.
        """
        __tracebackhide__ = True
        receipt = self.attempt(contract, method, *args, by=by, gas=gas, **named)
        if not receipt.ok:
            raise CallFailed(receipt)
        return receipt

    def attempt(
        self,
        contract: str,
        method: str,
        *args: Any,
        by: Signers = None,
        gas: int = CALL_GAS_MAX,
        **named: Any,
    ) -> Receipt:
        """A transaction of one call, however it ends."""
        prepared = self.prepare(contract, method, *args, **named)
        return self.submit([prepared], by=by, gas=gas)[0]

    def submit(
        self,
        calls: Sequence[Call],
        *,
        by: Signers = None,
        gas: int | None = None,
        atomic: bool = False,
    ) -> list[Receipt]:
        """One transaction of several prepared calls, however they end; `atomic` for all or none."""
        signers = (by,) if isinstance(by, Signer) else tuple(by or (self.author,))
        context = BlockContext(self._chain_id, Height(self.height + 1), self._next_ms)
        transaction = Transaction(
            chain_id=self._chain_id,
            nonce=bytes(NONCE_SIZE),
            valid_until_ms=context.time_ms,
            gas_limit=Gas(gas or min(CALL_GAS_MAX * len(calls), TRANSACTION_GAS_MAX)),
            calls=tuple(calls),
            atomic=atomic,
            signers=tuple(signer.public for signer in signers),
        )
        outcome, where = self.lab.run(context, transaction, self._state, self._under_test)
        self._append(outcome.writes)
        return [
            Receipt.of(
                result,
                tuple(event for event in outcome.events if event.call_index == index),
                where if len(calls) == 1 else "",
                f"{call.contract}.{call.method}",
            )
            for index, (call, result) in enumerate(zip(calls, outcome.calls, strict=True))
        ]

    def view(self, contract: str, method: str, *args: Any, **named: Any) -> Any:
        """What the view returns at the last block. Raises `CallFailed` if it does not end ok."""
        __tracebackhide__ = True
        call = self.prepare(contract, method, *args, **named)
        context = BlockContext(self._chain_id, self.height, self.time_ms)
        outcome, where = self.lab.query(
            context, call, self._state, Gas(CALL_GAS_MAX), self._under_test
        )
        receipt = Receipt.of(outcome, (), where, f"{contract}.{method}")
        if not receipt.ok:
            raise CallFailed(receipt)
        return receipt.result

    def prepare(self, contract: str, method: str, *args: Any, **named: Any) -> Call:
        """A call for `submit`. Arguments are given by position, by name, or some of each."""
        if not named:
            return Call(contract, method, list(args))
        names = self._parameters(contract, method)[: len(args)]
        twice = [name for name in names if name in named]
        if len(names) < len(args) or twice:
            raise TypeError(f"{contract}.{method}: these arguments do not fit its parameters")
        return Call(contract, method, dict(zip(names, args, strict=True)) | named)

    def expect(self, status: Status, code: str) -> Expected:
        """`with chain.expect(...):` a call inside must end with `status` and `code`."""
        return Expected(status, code)

    def expect_reverted(self, code: str) -> Expected:
        """`with chain.expect_reverted(...):` a `require` inside must fail with `code`."""
        return Expected("reverted", code)

    # Blocks

    @property
    def _next_ms(self) -> TimeMs:
        return TimeMs(self.time_ms + BLOCK_MS)

    def _parameters(self, contract: str, method: str) -> list[str]:
        found = self.contract(contract).contract.methods.get(method)
        return [parameter.name for parameter in found.parameters] if found else []

    def _put(self, entries: Sequence[tuple[str, str, object]]) -> None:
        self._append(_encoded(entries))

    def _append(self, writes: Mapping[StateKey, bytes | None], passed_ms: int = BLOCK_MS) -> None:
        """A block with these writes."""
        for name, data in writes.items():
            if data is None:
                self._entries.pop(name, None)
            else:
                self._entries[name] = data
        self.height = Height(self.height + 1)
        self.time_ms = TimeMs(self.time_ms + passed_ms)
        self.lab.committed(self.height, writes)


class Deployed:
    """A contract on a chain: `Chain`'s functions without naming it each time."""

    def __init__(self, chain: Chain, name: str, contract: Contract) -> None:
        self.chain = chain
        self.name = name
        self.contract = contract

    def call(
        self, method: str, *args: Any, by: Signers = None, gas: int = CALL_GAS_MAX, **named: Any
    ) -> Receipt:
        """As `Chain.call`."""
        __tracebackhide__ = True
        return self.chain.call(self.name, method, *args, by=by, gas=gas, **named)

    def attempt(
        self, method: str, *args: Any, by: Signers = None, gas: int = CALL_GAS_MAX, **named: Any
    ) -> Receipt:
        """As `Chain.attempt`."""
        return self.chain.attempt(self.name, method, *args, by=by, gas=gas, **named)

    def view(self, method: str, *args: Any, **named: Any) -> Any:
        """As `Chain.view`."""
        __tracebackhide__ = True
        return self.chain.view(self.name, method, *args, **named)

    def prepare(self, method: str, *args: Any, **named: Any) -> Call:
        """As `Chain.prepare`."""
        return self.chain.prepare(self.name, method, *args, **named)

    def upgrade(self, contract: Contract, *, by: Signers = None) -> Receipt:
        """Upgrade to `contract` at once and run its `migrate()`, if it has one, in a transaction.

        Raises `CallFailed` if that does not end ok; then the version before goes on.
        """
        __tracebackhide__ = True
        receipt = self.chain.upgrade(self.name, contract, by=by)
        self.contract = contract
        return receipt

    @property
    def state(self) -> dict[str, Any]:
        """Its keys and values, as `Chain.state`."""
        return self.chain.state(self.name)


@lru_cache(1)
def _genesis() -> Mapping[StateKey, bytes]:
    """The library's entries, encoded once."""
    return cast(dict[StateKey, bytes], _encoded(shipped.seed_entries()))


def _encoded(entries: Sequence[tuple[str, str, object]]) -> dict[StateKey, bytes | None]:
    return {
        (contract, key): canonical.encode(cast(canonical.Value, value))
        for contract, key, value in entries
    }
