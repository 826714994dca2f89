"""One call on an empty chain in memory, in the same sandbox as a validator's: `contract run`.

The chain has one organisation with one key, which may submit transactions and nothing else, and the
one contract, named `main`. So an author sees the status, code and gas that validators would agree
on. Left out: other contracts, roles, and keeping state between runs.
"""

from __future__ import annotations

from contextlib import closing
from typing import Final, cast

from contracts import deployment_layout, registry_layout
from contracts.dialect import CompileRefused, compile_source
from contracts.registry_layout import Member, Organisation
from contracts.runner import WorkerRunner
from contracts.sandbox import Sandbox
from contracts.worker.executor import CALL_GAS_MAX
from ledger import canonical
from ledger.execution import BlockContext
from ledger.hashing import ZERO_DIGEST
from ledger.keys import SigningKey
from ledger.receipt import CallOutcome
from ledger.transaction import NONCE_SIZE, Call, Transaction
from ledger.types import Gas, Height, TimeMs

CONTRACT: Final = "main"
AUTHOR: Final = Organisation("author", "Author", "enterprise", (), ())
TIME_MS: Final = TimeMs(1_767_225_600_000)
"""2026-01-01 UTC: a run gives the same answer on every day."""

REFUSED: Final = CallOutcome("rejected", "compile_refused", Gas(0))


def run_source(
    source: str,
    method: str,
    args: list[canonical.Value] | dict[str, canonical.Value],
    *,
    insecure: bool = False,
) -> CallOutcome:
    """Call `method` of `source` once. Raises `SandboxUnavailable`, `ExecutionStopped`."""
    try:
        compiled = compile_source(source)
    except CompileRefused:
        return REFUSED
    call = Call(CONTRACT, method, args)
    key = SigningKey.from_seed(bytes(32)).public
    state = _genesis_state(source, key.hex())
    with closing(WorkerRunner(Sandbox(insecure=insecure))) as runner:
        known = compiled.methods.get(method)
        if known is not None and known.kind == "view":
            return runner.query(BlockContext(ZERO_DIGEST, Height(0), TIME_MS), call, state)
        transaction = Transaction(
            chain_id=ZERO_DIGEST,
            nonce=bytes(NONCE_SIZE),
            valid_until_ms=TIME_MS,
            gas_limit=Gas(CALL_GAS_MAX),
            calls=(call,),
            atomic=False,
            signers=(key,),
        )
        context = BlockContext(ZERO_DIGEST, Height(1), TIME_MS)
        return runner.run(context, [transaction], state)[0].calls[0]


class MemoryState:
    """A `StateView` over a dictionary of canonical values."""

    def __init__(self, entries: dict[tuple[str, str], bytes]) -> None:
        self._entries = entries

    def get(self, contract: str, key: str) -> bytes | None:
        return self._entries.get((contract, key))

    def keys(self, contract: str, prefix: str, limit: int) -> list[str]:
        found = sorted(
            key for name, key in self._entries if name == contract and key.startswith(prefix)
        )
        return found[:limit]


def _genesis_state(source: str, key: str) -> MemoryState:
    author = AUTHOR._replace(members=(Member(key, (registry_layout.SUBMITTER,)),))
    entries = [
        *deployment_layout.seed_entries([(CONTRACT, source)]),
        *registry_layout.seed_entries([author]),
    ]
    return MemoryState(
        {
            (contract, name): canonical.encode(cast(canonical.Value, value))
            for contract, name, value in entries
        }
    )
