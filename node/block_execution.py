"""Handing decided blocks to the execution thread, and waiting where one cannot be executed.

A block that no worker survives has no receipt, and nobody may guess one. Execution then stops at
that block with an alarm, and what was decided after it is held; links, API and the vote on order go
on, as far as the window allows. It also stops at a block of which this validator signed that a
transaction be taken out, until a quorum has signed that; and where the result is not the header
that is certified, before anything of it is kept. What ends the wait:

- a quarantine from a peer that has the block certified: one peer is asked after another, since one
  that lies may keep it back;
- a Certificate, where a promise was the cause;
- a restart: the machine was mended, or `qiong node quarantine apply` brought the record.

A wrong result that no peer can explain by a quarantine is committed, for the replica to halt on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from contracts.runner import ExecutionStopped
from ledger.block import DecidedBlock
from ledger.errors import QiongError
from ledger.execution import WrongHeight
from ledger.quarantine import QuarantineAwaited
from ledger.store import HeaderMismatch
from ledger.types import Digest, Height, TimeMs
from node.errors import WAY_OUT

log = logging.getLogger(__name__)

ASK_MS: Final = 1_000
"""Between two peers asked: an answer of 64 blocks is read and checked in that time."""

ROUNDS: Final = 2
"""How often every peer is asked before a wrong result counts as our own."""


class Thread(Protocol):
    """What is needed of `ExecutionThread`."""

    def submit(
        self, n: Height, block: DecidedBlock | None, certified: Digest | None
    ) -> asyncio.Future[tuple[Digest, TimeMs]]: ...


Known: TypeAlias = tuple[Digest | None, int]


@dataclass(slots=True)
class Inquiry:
    """Asking peers, one after another, for the quarantines of block `n` and those after it."""

    n: Height
    asked: int = 0
    asked_ms: int = 0


@dataclass(slots=True)
class Stop:
    """Execution stopped at a block. `known` is what was known when it was tried: its certified
    header, and how many quarantines had come."""

    error: QiongError
    known: Known
    inquiry: Inquiry
    held: set[Height] = field(default_factory=set)


class BlockExecution:
    """Executes blocks in order. Belongs to the event loop's thread.

    `certified` knows certified headers of blocks not executed yet, `ask` asks a peer for blocks
    from a height on, `done` is told of each block that was committed.
    """

    def __init__(
        self,
        thread: Thread,
        peers: Sequence[str],
        certified: Callable[[Height], Digest | None],
        ask: Callable[[str, Height], None],
        done: Callable[[Height, Digest, TimeMs], None],
    ) -> None:
        self._thread = thread
        self._peers = peers
        self._certified = certified
        self._ask = ask
        self._done = done
        self._running = 0
        self._quarantines = 0
        self._own_result: Height | None = None
        """The height whose result is committed although another one is certified."""
        self._diverged: Inquiry | None = None
        self.stop: Stop | None = None

    @property
    def stopped(self) -> str | None:
        """Why a person must act, in words; None while it goes on or finds out by itself."""
        if self.stop is None or isinstance(self.stop.error, HeaderMismatch):
            return None
        return f"execution_stopped: {self.stop.error} (hint: {WAY_OUT})"

    def stop_at(self, n: Height, error: QiongError) -> None:
        """Stand still at block `n` and raise the alarm."""
        self._stop(n, error, (self._certified(n), self._quarantines))

    def _stop(self, n: Height, error: QiongError, known: Known) -> None:
        self.stop = Stop(error, known, Inquiry(n))
        if isinstance(error, HeaderMismatch):
            log.warning("%s; asking the others whether a quorum took a transaction out", error)
        else:
            hint = f"(hint: {WAY_OUT})"
            log.critical("alarm execution_stopped at height %d: %s %s", n, error, hint)

    def diverged(self, n: Height) -> None:
        """Our header of `n` or of a block after it is not the certified one: a quarantine may be
        why, and `qiong db rebuild` needs it."""
        self._diverged = Inquiry(n)

    async def run(self, n: Height, block: DecidedBlock | None) -> None:
        """Execute block `n`, or hold it. Raises storage and integrity errors."""
        if self._hold(n):
            return
        certified = None if n == self._own_result else self._certified(n)
        known = certified, self._quarantines
        self._running += 1
        try:
            header_hash, time_ms = await self._thread.submit(n, block, certified)
        except (ExecutionStopped, QuarantineAwaited) as error:
            self._stopped(n, error, known)
        except HeaderMismatch as error:
            if n == self._own_result:
                raise
            self._stopped(n, error, known)
        except WrongHeight:
            # Else it was in the thread's queue behind one that could not be executed.
            if not self._hold(n):
                raise
        else:
            self._done(n, header_hash, time_ms)
        finally:
            self._running -= 1

    def quarantine_came(self) -> None:
        """A quarantine was stored that was not there before."""
        self._diverged = None
        self._quarantines += 1

    def resumed(self, now_ms: int) -> list[Height]:
        """Look after a stop, each tick: ask a peer; the heights to run again once it is over."""
        if self._diverged is not None and not self._asked_all(self._diverged):
            self._ask_next(self._diverged, now_ms)
        stop = self.stop
        if stop is None or self._running:
            return []
        inquiry = stop.inquiry
        news = stop.known != (self._certified(inquiry.n), self._quarantines)
        given_up = isinstance(stop.error, HeaderMismatch) and self._asked_all(inquiry)
        if not news and not given_up:
            self._ask_next(inquiry, now_ms)
            return []
        log.warning("executing block %d again", inquiry.n)
        self._own_result = None if news else inquiry.n
        self.stop = None
        return sorted(stop.held)

    def _asked_all(self, inquiry: Inquiry) -> bool:
        """Whether everyone was asked often enough, and the last one had time to answer."""
        return inquiry.asked > ROUNDS * len(self._peers)

    def _ask_next(self, inquiry: Inquiry, now_ms: int) -> None:
        if now_ms - inquiry.asked_ms >= ASK_MS:
            self._ask(self._peers[inquiry.asked % len(self._peers)], inquiry.n)
            inquiry.asked, inquiry.asked_ms = inquiry.asked + 1, now_ms

    def _stopped(self, n: Height, error: QiongError, known: Known) -> None:
        if not self._hold(n):
            self._stop(n, error, known)
            self._hold(n)

    def _hold(self, n: Height) -> bool:
        """Keep `n` for later if execution stands still."""
        if self.stop is None:
            return False
        self.stop.held.add(n)
        return True
