"""Whether a verified transaction may wait for a block, by the last certified state.

What is refused here costs nobody anything: not a place in the mempool, not a line on the chain. It
is a courtesy, not the rule. A transaction admitted here meets the same questions again when it is
executed, and then gets a receipt with the same code.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from contracts import deployment_layout, registry_layout
from contracts.dialect.outline import outline
from ledger import canonical
from ledger.genesis import Parameters
from ledger.store import LedgerStore
from ledger.transaction import BadSignature, Call, SignedTransaction, Transaction
from ledger.types import Height
from node.answers import Admission
from node.verifier_pool import Verdict, WrongChain

METHODS_CACHED: Final = 256
"""Contract versions whose methods are remembered."""

Refusal = tuple[int, str, str]
"""HTTP status, code, detail."""


def refusal_of(verdict: Verdict) -> Admission | None:
    """The answer to bytes that did not verify; None for a verified transaction."""
    match verdict:
        case SignedTransaction():
            return None
        case BadSignature():
            http = 401
        case WrongChain():
            http = 409
        case _:
            http = 400
    return Admission(None, http, verdict.code, str(verdict))


class Gatekeeper:
    """Answers from the newest certified state. Belongs to the event loop's thread."""

    def __init__(self, store: LedgerStore, parameters: Parameters) -> None:
        self._store = store
        self._parameters = parameters
        self._height = Height(-1)
        self._values: dict[tuple[str, str], canonical.Value] = {}
        self._methods: OrderedDict[bytes, frozenset[str]] = OrderedDict()

    def organisation(self, transaction: Transaction) -> str:
        """The organisation of the first signer, empty for an unregistered key."""
        self._follow()
        found = registry_layout.organisation_of(self._registry, transaction.signers[0].hex())
        return found or ""

    def refuse(self, signed: SignedTransaction, now_ms: int) -> Admission | None:
        """Why the transaction is not admitted, or None if it is."""
        transaction = signed.transaction
        if transaction.valid_until_ms < now_ms:
            return Admission(signed.id, 410, "expired", "its valid_until_ms has passed")
        lifetime = self._parameters.transaction_lifetime_ms
        if transaction.valid_until_ms > now_ms + lifetime:
            detail = f"valid_until_ms lies more than {lifetime} ms ahead"
            return Admission(signed.id, 400, "too_far_ahead", detail)
        self._follow()
        for call in transaction.calls:
            refusal = self._refuse_call(call, transaction)
            if refusal is not None:
                return Admission(signed.id, *refusal)
        if not self._may_submit(transaction):
            detail = "no signer's key holds the role submitter in the registry"
            return Admission(signed.id, 403, "missing_role", detail)
        return None

    def _refuse_call(self, call: Call, transaction: Transaction) -> Refusal | None:
        if call.contract == deployment_layout.CONTRACT:
            return self._refuse_change(call, transaction)
        found = deployment_layout.in_force(self._deployment, call.contract, self._height + 1)
        if found is None:
            return _unknown(call.contract)
        if found.status != deployment_layout.ACTIVE:
            return 409, found.status, f"contract {call.contract!r} is {found.status}"
        if call.method not in self._methods_of(found.source_hash):
            detail = f"contract {call.contract!r} has no method {call.method!r} to call"
            return 404, "unknown_method", detail
        return None

    def _refuse_change(self, call: Call, transaction: Transaction) -> Refusal | None:
        """Why a call of the platform's own contract is not admitted, None if it is."""
        if call.method not in deployment_layout.METHODS:
            return 404, "unknown_method", f"{call.contract!r} has no method {call.method!r}"
        signers = [key.hex() for key in transaction.signers]
        if call.method == "deploy":
            if deployment_layout.deployer(self._registry, signers) is None:
                return 403, "missing_role", "no signer's key holds the role deployer"
            return None
        name, _ = deployment_layout.subject(call.args)
        entry = self._deployment(name) if deployment_layout.could_be(name) else None
        if not isinstance(entry, dict):
            return _unknown(name)
        if deployment_layout.keeper(self._registry, signers, entry["owner"]) is None:
            owner = entry["owner"] or "nobody"
            detail = f"{name!r} belongs to {owner}: a deployer of the owner or a governor must sign"
            return 403, "missing_role", detail
        return None

    def _may_submit(self, transaction: Transaction) -> bool:
        return any(
            registry_layout.has_role(self._registry, key.hex(), registry_layout.SUBMITTER)
            for key in transaction.signers
        )

    def _methods_of(self, source_hash: bytes) -> frozenset[str]:
        """Methods that a transaction may call."""
        methods = self._methods.get(source_hash)
        if methods is None:
            source = self._deployment(deployment_layout.source_key(source_hash))
            methods = self._methods[source_hash] = outline(str(source)).calls
            if len(self._methods) > METHODS_CACHED:
                self._methods.popitem(last=False)
        return methods

    def _follow(self) -> None:
        """Forget values of an older state."""
        if self._height != self._store.certified_height:
            self._height = self._store.certified_height
            self._values.clear()

    def _registry(self, key: str) -> object:
        return self._value(registry_layout.CONTRACT, key)

    def _deployment(self, key: str) -> object:
        return self._value(deployment_layout.CONTRACT, key)

    def _value(self, contract: str, key: str) -> canonical.Value:
        name = (contract, key)
        if name not in self._values:
            data = self._store.state_at(contract, key, self._height)
            self._values[name] = None if data is None else canonical.decode(data)
        return self._values[name]


def _unknown(contract: str) -> Refusal:
    return 404, "unknown_contract", f"no contract {contract[:80]!r} is deployed"
