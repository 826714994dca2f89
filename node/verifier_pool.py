"""Client signatures, checked in threads, many at a time.

Verification is most of what a validator does: libsodium releases the GIL, so two threads use two
cores, and a hop to a thread costs as much as one check, so checks travel in chunks. Requests that
arrive while the threads are busy are checked together in the next chunk; under load chunks grow by
themselves.

Everything about a transaction that needs no state and no clock is decided here, once. Left out:
whether it is known already (ask before), expiry, roles.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

from ledger.errors import FieldError, InvalidInput
from ledger.genesis import Parameters
from ledger.transaction import SignedTransaction
from ledger.types import Digest

CHUNK: Final = 128
"""Transactions a thread takes at once: some 10 ms of work, against 0.1 ms for the hop."""

THREADS: Final = 2
"""Threads of a validator; more gain nothing while the loop's thread wants the same cores."""

Verdict: TypeAlias = SignedTransaction | InvalidInput


class WrongChain(InvalidInput):
    """A transaction of another network."""

    code = "wrong_chain"
    hint = "sign it for this network's chain id"

    def __init__(self, expected: Digest, got: Digest) -> None:
        self.expected = expected
        self.got = got
        super().__init__(f"signed for chain {got.hex()}, this is {expected.hex()}")


class _Job:
    __slots__ = ("done", "left", "verdicts")

    def __init__(self, size: int, done: asyncio.Future[list[Verdict]]) -> None:
        self.verdicts: list[Verdict | None] = [None] * size
        self.left = size
        self.done = done


_Item: TypeAlias = tuple[bytes, _Job, int]


class VerifierPool:
    """Verifies transactions of one chain. Belongs to the event loop's thread."""

    def __init__(self, chain_id: Digest, parameters: Parameters, threads: int = THREADS) -> None:
        self._chain_id = chain_id
        self._parameters = parameters
        self._threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="verify")
        self._queue: deque[_Item] = deque()
        self._running: set[asyncio.Task[None]] = set()

    @property
    def queued(self) -> int:
        """Transactions that no thread has taken yet."""
        return len(self._queue)

    async def verify(self, raw_transactions: Sequence[bytes]) -> list[Verdict]:
        """Decode and check each, in order: the transaction, or why it is none."""
        if not raw_transactions:
            return []
        job = _Job(len(raw_transactions), asyncio.get_running_loop().create_future())
        self._queue.extend((raw, job, index) for index, raw in enumerate(raw_transactions))
        while self._queue and len(self._running) < self._threads:
            self._start_chunk()
        return await job.done

    def close(self) -> None:
        """Drop what waits and let the threads end."""
        self._queue.clear()
        for task in self._running:
            task.cancel()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _start_chunk(self) -> None:
        items = [self._queue.popleft() for _ in range(min(CHUNK, len(self._queue)))]
        task = asyncio.create_task(self._check(items))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _check(self, items: list[_Item]) -> None:
        loop = asyncio.get_running_loop()
        while items:
            raws = [raw for raw, _, _ in items]
            verdicts = await loop.run_in_executor(self._executor, self._check_all, raws)
            for (_, job, index), verdict in zip(items, verdicts, strict=True):
                job.verdicts[index] = verdict
                job.left -= 1
                if job.left == 0 and not job.done.done():
                    job.done.set_result([item for item in job.verdicts if item is not None])
            items = [self._queue.popleft() for _ in range(min(CHUNK, len(self._queue)))]

    def _check_all(self, raws: list[bytes]) -> list[Verdict]:
        return [check(raw, self._chain_id, self._parameters) for raw in raws]


def check(raw: bytes, chain_id: Digest, parameters: Parameters) -> Verdict:
    """Everything about one transaction that needs neither state nor clock."""
    try:
        signed = SignedTransaction.decode(raw)
        transaction = signed.transaction
        if transaction.chain_id != chain_id:
            return WrongChain(chain_id, transaction.chain_id)
        if transaction.gas_limit > parameters.body_gas_max:
            return FieldError(
                "gas_limit", f"at most {parameters.body_gas_max}", transaction.gas_limit
            )
        if len(raw) > parameters.body_bytes_max:
            return FieldError("transaction", f"at most {parameters.body_bytes_max} bytes", len(raw))
        signed.check_signatures()
    except InvalidInput as error:
        return error
    # Hashed here, off the loop; both are cached on the object.
    _ = signed.id, signed.digest
    return signed
