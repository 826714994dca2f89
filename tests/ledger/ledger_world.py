"""A chain with real bytes, a toy contract and real certificates, for tests of the ledger's stores.

The toy contract `kv` knows: put(key, value), delete(key), fail(), emit(name, data), read(key) and
add(key, amount); enough to write, overwrite, delete, depend on earlier writes, and fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ledger import canonical
from ledger.block import Body, DecidedBlock, null_digest
from ledger.certificate import Certificate, checkpoint_bytes
from ledger.execution import BlockContext, Executed, StateKey, StateView
from ledger.genesis import Genesis, GenesisValidator, Parameters
from ledger.keys import SigningKey
from ledger.receipt import CallOutcome, Event, TransactionOutcome
from ledger.store import LedgerStore
from ledger.transaction import Call, SignedTransaction, Transaction, sign_transaction
from ledger.types import Epoch, Gas, Height, TimeMs, View

START_MS = 1_790_000_000_000
KEYS = {f"org{i}": SigningKey.from_seed(bytes([i + 1]) * 32) for i in range(4)}
CLIENT = SigningKey.from_seed(b"c" * 32)


def make_genesis(**parameters: int) -> Genesis:
    return Genesis.build(
        name="test",
        created_ms=START_MS,
        validators=[
            GenesisValidator(name, "government", name, key.public, b"der", "127.0.0.1:1")
            for name, key in KEYS.items()
        ],
        attestations=["kv"],
        state=[("kv", "founding", {"status": "active"}), ("registry", "x", 1)],
        parameters=Parameters(**parameters),
    )


class ToyRunner:
    """Runs the toy contract; counts what it ran."""

    def __init__(self) -> None:
        self.ran: list[bytes] = []
        self.before_run: Callable[[], None] = lambda: None

    def run(
        self, context: BlockContext, transactions: Sequence[Transaction], state: StateView
    ) -> list[TransactionOutcome]:
        self.before_run()
        pending: dict[StateKey, bytes | None] = {}
        return [self._one(transaction, state, pending) for transaction in transactions]

    def _one(
        self, transaction: Transaction, state: StateView, pending: dict[StateKey, bytes | None]
    ) -> TransactionOutcome:
        self.ran.append(transaction.id)
        writes: dict[StateKey, bytes | None] = {}
        calls: list[CallOutcome] = []
        events: list[Event] = []

        def read(key: str) -> bytes | None:
            for layer in (writes, pending):
                if ("kv", key) in layer:
                    return layer["kv", key]
            return state.get("kv", key)

        for index, call in enumerate(transaction.calls):
            args: Any = call.args
            result: canonical.Value = None
            if call.method == "put":
                writes["kv", args[0]] = canonical.encode(args[1])
            elif call.method == "delete":
                writes["kv", args[0]] = None
            elif call.method == "add":
                before = read(args[0])
                result = args[1] + (0 if before is None else canonical.decode(before))
                writes["kv", args[0]] = canonical.encode(result)
            elif call.method == "emit":
                events.append(Event(index, "kv", args[0], args[1]))
            elif call.method == "keys":
                result = state.keys("kv", args[0], 100)
            elif call.method == "fail":
                calls.append(CallOutcome("reverted", "ASKED_TO", Gas(5)))
                continue
            calls.append(CallOutcome("ok", "", Gas(10), result))
        pending.update(writes)
        failed = next((call for call in calls if call.status != "ok"), None)
        return TransactionOutcome(
            status="ok" if failed is None else failed.status,
            code="" if failed is None else failed.code,
            gas=Gas(sum(call.gas for call in calls)),
            calls=tuple(calls),
            events=tuple(events),
            writes=writes,
        )


@dataclass
class World:
    """Makes transactions and blocks for one genesis, deterministically."""

    genesis: Genesis = field(default_factory=make_genesis)
    runner: ToyRunner = field(default_factory=ToyRunner)
    nonce: int = 0

    def transaction(
        self, *calls: tuple[str, list[Any]], valid_until_ms: int | None = None
    ) -> SignedTransaction:
        self.nonce += 1
        until = START_MS + 300_000 if valid_until_ms is None else valid_until_ms
        content = Transaction(
            chain_id=self.genesis.chain_id,
            nonce=self.nonce.to_bytes(16, "big"),
            valid_until_ms=TimeMs(until),
            gas_limit=Gas(10_000),
            calls=tuple(Call("kv", method, args) for method, args in calls),
            atomic=False,
            signers=(CLIENT.public,),
        )
        return sign_transaction(content, [CLIENT])

    def put(self, key: str, value: Any) -> SignedTransaction:
        return self.transaction(("put", [key, value]))

    def block(
        self, n: int, transactions: Sequence[SignedTransaction] = (), time_ms: int | None = None
    ) -> DecidedBlock:
        body = Body(
            n=Height(n),
            first_view=View(0),
            proposer="org0",
            timestamp_ms=TimeMs(START_MS + 1000 * n if time_ms is None else time_ms),
            transaction_digests=tuple(signed.digest for signed in transactions),
        )
        return DecidedBlock(Height(n), body.digest, body, tuple(transactions))

    def null(self, n: int) -> DecidedBlock:
        return DecidedBlock(Height(n), null_digest(Height(n)), None, ())

    def certify(self, store: LedgerStore, n: int | None = None) -> Certificate:
        header = store.executed_header(Height(store.executed_height if n is None else n))
        message = checkpoint_bytes(header.chain_id, header.epoch, header.n, header.hash)
        signatures = tuple((name, KEYS[name].sign(message)) for name in sorted(KEYS)[:3])
        return Certificate(Epoch(0), header.n, header.hash, signatures)

    def advance(
        self,
        store: LedgerStore,
        *transactions: SignedTransaction,
        certify: bool = True,
        time_ms: int | None = None,
    ) -> Executed:
        """Decide, execute, commit and (usually) certify the next block."""
        block = self.block(store.executed_height + 1, transactions, time_ms)
        return self.apply(store, block, certify=certify)

    def apply(self, store: LedgerStore, block: DecidedBlock, *, certify: bool = True) -> Executed:
        store.append_decided(block)
        executed = store.execute(block, self.runner)
        store.commit(executed)
        if certify:
            store.save_certificate(self.certify(store))
        return executed
