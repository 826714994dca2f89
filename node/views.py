"""Views and simulations: what contracts say on the last certified state. Nothing is kept of them.

Whoever asks pays nothing, so none of it may cost the chain anything: they run one at a time in a
thread and a worker of their own, and the line before that worker is short. Its end is told at once
(`ViewsBusy`), and who stood in line too long is sent away unheard. What one question costs is
bounded by its gas, which the caps of a transaction bound in turn, and by the watchdog over the
worker; a worker lost over a question is that question's failure, never a verdict.

Left out: how many questions one client may have in line (`node.api.turns`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

from contracts.runner import ExecutionStopped
from contracts.simulation import Simulation
from ledger import canonical
from ledger.errors import InvalidInput, QiongError
from ledger.execution import BlockContext, StateView
from ledger.hashing import ZERO_DIGEST
from ledger.proving import Prover
from ledger.receipt import CallOutcome
from ledger.transaction import NONCE_SIZE, TRANSACTION_GAS_MAX, Call, Transaction
from ledger.types import Gas, Height, PublicKey, TimeMs
from node.answers import CallAnswer, SimulationAnswer

WAITING_MAX: Final = 64
"""Questions in line: a second or two of ordinary ones, each a few milliseconds."""

WAIT_SECONDS_MAX: Final = 10.0
"""Longest wait for an answer, less than a client's patience: twenty of the dearest questions."""

ANSWER_BYTES_MAX: Final = 1 << 20
"""Largest answer: the event loop, where consensus runs, has to write it down. A call's result is at
most 65 KB, so only many large ones together reach it."""

T = TypeVar("T")


class ViewsBusy(QiongError):
    """Too many questions wait, or this one waited too long."""

    code = "views_busy"
    hint = "ask again later, or ask another node"


class ViewLost(QiongError):
    """The worker died or hung over the question. It says nothing about the contract."""

    code = "view_lost"
    hint = "ask again; if it stays so, tell the node's operator"


class AnswerTooLarge(InvalidInput):
    """A simulation that would answer with more than `ANSWER_BYTES_MAX`."""

    code = "answer_too_large"
    hint = "simulate fewer calls at once"

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"the answer has {size} bytes, and {ANSWER_BYTES_MAX} are the most")


class ViewRunner(Protocol):
    """Runs views and simulations, apart from the chain's own runner."""

    def query(self, context: BlockContext, call: Call, state: StateView) -> CallOutcome: ...

    def simulate(
        self, context: BlockContext, transaction: Transaction, state: StateView
    ) -> Simulation: ...


def unsigned(
    calls: tuple[Call, ...],
    signers: tuple[PublicKey, ...],
    *,
    atomic: bool = False,
    gas_limit: int = TRANSACTION_GAS_MAX,
) -> Transaction:
    """A transaction to simulate, as if `signers` had signed it. Raises `FieldError`."""
    made = Transaction(
        chain_id=ZERO_DIGEST,
        nonce=bytes(NONCE_SIZE),
        valid_until_ms=TimeMs(0),
        gas_limit=Gas(gas_limit),
        calls=calls,
        atomic=atomic,
        signers=signers,
    )
    # Decoding applies every limit that a signed one would meet.
    return Transaction.from_content(made.content)


class Views:
    """Asks `runner` about the last certified state of `store`, one question at a time."""

    def __init__(
        self, store: Prover, runner: ViewRunner, clock_ms: Callable[[], int] | None = None
    ) -> None:
        self._store = store
        self._runner = runner
        self._clock_ms = clock_ms or (lambda: time.time_ns() // 1_000_000)
        # Not the loop's default threads: those belong to the disk and to peers that catch up.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="views")
        self.waiting = 0
        """Questions in line, the one in hand included."""

    async def query(
        self, contract: str, method: str, args: list[canonical.Value] | dict[str, canonical.Value]
    ) -> CallAnswer:
        """Run one view. Raises `ViewsBusy`, `ViewLost`."""
        height = self._store.certified_height
        header, state = self._store.header(height), self._store.state_view(height)
        context = BlockContext(header.chain_id, height, header.time_ms)
        call = Call(contract, method, args)
        outcome = await self._ask(lambda: self._runner.query(context, call, state))
        return CallAnswer(height, outcome)

    async def simulate(self, transaction: Transaction) -> SimulationAnswer:
        """Run a transaction as the next block's only one, if it were proposed now.

        Raises `ViewsBusy`, `ViewLost`, `AnswerTooLarge`.
        """
        height = self._store.certified_height
        header, state = self._store.header(height), self._store.state_view(height)
        time_ms = TimeMs(max(header.time_ms + 1, self._clock_ms()))
        context = BlockContext(header.chain_id, Height(height + 1), time_ms)

        def simulate() -> Simulation:
            done = self._runner.simulate(context, transaction, state)
            size = _size(done)
            if size > ANSWER_BYTES_MAX:
                raise AnswerTooLarge(size)
            return done

        return SimulationAnswer(height, time_ms, await self._ask(simulate))

    def close(self) -> None:
        """Let the question in hand end; nobody waits for the others any more."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _ask(self, question: Callable[[], T]) -> T:
        if self.waiting >= WAITING_MAX:
            raise ViewsBusy(f"{self.waiting} questions wait already")
        self.waiting += 1
        try:
            answer = asyncio.get_running_loop().run_in_executor(self._thread, question)
            return await asyncio.wait_for(answer, WAIT_SECONDS_MAX)
        except TimeoutError:
            raise ViewsBusy(f"no answer within {WAIT_SECONDS_MAX:g} seconds") from None
        except ExecutionStopped as stopped:
            raise ViewLost(f"the worker was lost: {stopped.reason}") from stopped
        finally:
            self.waiting -= 1


def _size(done: Simulation) -> int:
    """Bytes of all values in `done`, near enough."""
    outcome = done.outcome
    leaves = [call.leaf(index) for index, call in enumerate(outcome.calls)]
    leaves += [event.leaf() for event in outcome.events]
    size = sum(map(len, leaves))
    for entries in (done.reads, outcome.writes):
        size += sum(len(key) + len(data or b"") for (_, key), data in entries.items())
    return size + sum(len(key) for listing in done.listings for key in listing.keys)
