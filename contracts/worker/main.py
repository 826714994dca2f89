"""The worker process, started by `contracts.sandbox` as `python -I -S -B -c ...`.

It imports all it will ever need, compiles a small contract so that nothing is left to load lazily,
locks itself down and says READY. From then on it answers the requests that come in on descriptor 0,
on descriptor 1, until its input closes.

There is no error handling on purpose: whatever is not an outcome ends the process, and the
validator starts another.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from typing import Final, cast

from contracts.dialect import CompileRefused, compile_source
from contracts.worker import wire
from contracts.worker.executor import Call, Executor, Transaction
from contracts.worker.lockdown import LockdownFailed, lock_down
from contracts.worker.state import Name, Writes

INPUT: Final = 0
OUTPUT: Final = 1

ENTRY_COLLECTIONS_SPARED: Final = 50_000
"""Allocations between garbage collections: contract values are freed by reference counting, cycles
come from tracebacks only."""


class RemoteState:
    """Committed state as far as it was sent, and questions to the validator for the rest."""

    def __init__(self) -> None:
        self.entries: Writes = {}

    def get(self, contract: str, key: str) -> bytes | None:
        name: Name = (contract, key)
        if name not in self.entries:
            value, more = cast("tuple[bytes | None, Writes]", _ask([wire.GET, contract, key]))
            self.entries.update(more)
            self.entries[name] = value
        return self.entries[name]

    def keys(self, contract: str, prefix: str, limit: int) -> list[str]:
        (keys,) = cast("tuple[list[str]]", _ask([wire.KEYS, contract, prefix, limit]))
        return keys


def _ask(question: list[object]) -> object:
    wire.write(OUTPUT, wire.answer_bytes(question))
    return wire.read_request(INPUT)


def serve() -> None:
    """Answer requests until the input closes."""
    state = RemoteState()
    executor = Executor(state)
    while True:
        try:
            request = cast("tuple[object, ...]", wire.read_request(INPUT))
        except wire.Closed:
            return
        kind, base, height, time_ms, entries, *rest = request
        if base == wire.RESET:
            state.entries = {}
        elif base == wire.ADVANCE:
            state.entries.update(executor.writes)
        state.entries.update(cast(Writes, entries))
        outcome = _perform(executor, cast(int, kind), cast(int, height), cast(int, time_ms), rest)
        wire.write(OUTPUT, wire.answer_bytes([wire.DONE, outcome]))


def _perform(
    executor: Executor, kind: int, height: int, time_ms: int, rest: list[object]
) -> object:
    if kind == wire.QUERY:
        call, gas_limit = cast("tuple[tuple[str, str, list[object]], int]", tuple(rest))
        return list(executor.query(height, time_ms, Call._make(call), gas_limit))
    transactions = cast("list[Transaction]", rest[0])
    return wire.block_columns(executor.run(height, time_ms, transactions))


def warm_up() -> None:
    """Touch every path that imports or caches on first use, refusals included."""
    for source in (WARM_UP, "def", "import os", "x = '\\d'\n", 'f"{"', "\0", "é = 1"):
        try:
            compile_source(source)
        except CompileRefused:
            continue


WARM_UP: Final = '''"""Anything."""

LIMIT = 10

@call
def issue(id: str, count: int) -> dict | None:
    require(has_role("x"), "NO")
    total = 0
    for i in range(count):
        total += i
    rows = [str(i) for i in range(LIMIT) if i % 2 == 0]
    put("a/" + id, {"total": total, "rows": rows, "text": f"{id}!".upper()})
    return get("a/" + id)
'''


def main(parent: int, *, insecure: bool) -> None:
    """The whole life of a worker that process `parent` started. Does not return."""
    try:
        _live(parent, insecure=insecure)
    finally:
        # Past the interpreter's shutdown, which would make system calls.
        os._exit(1)


def _live(parent: int, *, insecure: bool) -> None:
    warnings.simplefilter("ignore")
    warm_up()
    gc.collect()
    gc.freeze()
    gc.set_threshold(ENTRY_COLLECTIONS_SPARED)
    try:
        lock_down(INPUT, OUTPUT, parent, insecure=insecure)
    except LockdownFailed as failure:
        wire.write(OUTPUT, wire.answer_bytes([wire.FAILED, failure.step, failure.reason]))
        return
    # A late import would be a system call, and that the end: let it be an ImportError instead.
    sys.path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    sys.meta_path.clear()
    wire.write(OUTPUT, wire.answer_bytes([wire.READY]))
    serve()
