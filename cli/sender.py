"""Gets rows committed, each exactly once, whatever is killed or lost on the way.

One loop: ask what became of everything in the journal that has no outcome; sign what has no
transaction, or whose transaction is proven expired; post what no node knows; wait. Signing goes to
the journal before posting, so the loop can stop anywhere and start again from the file.

"Proven expired" means that a certified header is later than `valid_until_ms` and the id was not
executed: it never will be, and only then may a row be signed anew.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cli.client import POST_BYTES_MAX, Client, NodeRefused
from cli.compose import compose, now_ms
from cli.journal import Journal, Outcome, Signed
from cli.rows import Row
from ledger.keys import SigningKey
from ledger.types import Digest

BATCH_MAX: Final = 500
"""Transactions in one POST and one journal sync: large enough that neither costs per row."""

POLL_SECONDS: Final = 0.25
RETRY_SECONDS: Final = 1.0
"""Wait after a node said that it is full, before the same bytes are offered again."""

PENDING_MAX: Final = 5_000
"""Transactions in flight at once; a mempool holds more, so one client never fills it."""

GIVE_UP_MS: Final = 60_000
"""How long after its expiry a transaction may stay unknown before the run ends without it."""


class Tracker(Protocol):
    """Tells what became of transactions; only final outcomes, checked as far as can be."""

    def outcomes(self, pending: Sequence[Signed]) -> dict[Digest, Outcome]: ...


@dataclass
class Report:
    """Counted in rows. `submitted` were posted in this run; the others are outcomes of all rows.

    `outcomes` holds the (status, code) of every row; `unknown` is the status of one without an
    outcome.
    """

    submitted: int = 0
    seconds: float = 0.0
    outcomes: list[tuple[str, str]] = field(default_factory=list)

    @property
    def committed(self) -> int:
        return sum(1 for status, _ in self.outcomes if status == "ok")

    @property
    def unknown(self) -> int:
        return sum(1 for status, _ in self.outcomes if status == "unknown")

    @property
    def failed(self) -> int:
        return len(self.outcomes) - self.committed - self.unknown

    @property
    def failures(self) -> list[tuple[int, str, str]]:
        """(row number from 1, status, code) of each failed row."""
        return [
            (number, status, code)
            for number, (status, code) in enumerate(self.outcomes, 1)
            if status not in ("ok", "unknown")
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "submitted": self.submitted,
            "committed": self.committed,
            "failed": self.failed,
            "unknown": self.unknown,
            "seconds": round(self.seconds, 3),
        }


class Sender:
    """One run over the rows of one file."""

    def __init__(
        self,
        client: Client,
        tracker: Tracker,
        journal: Journal,
        chain_id: Digest,
        open_key: Callable[[str], SigningKey],
        *,
        bulk: int = 1,
        gas: int | None = None,
        advance: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._client = client
        self._tracker = tracker
        self._journal = journal
        self._chain_id = chain_id
        self._open_key = open_key
        self._bulk = bulk
        self._gas = gas
        self._advance = advance
        self._report = Report()
        self._refused: dict[str, tuple[str, str]] = {}
        self._unposted: dict[Digest, Signed] = {}
        self._pending: dict[Digest, Signed] = {}

    def run(self, rows: Sequence[Row]) -> Report:
        """Send all `rows` and wait for their outcomes. Safe to repeat after any interruption."""
        started = time.monotonic()
        self._resume(rows)
        batches = self._batches([row for row in rows if self._needs_signing(row)])
        while batches or self._unposted or self._pending:
            if batches and not self._unposted and len(self._pending) < PENDING_MAX:
                self._unposted = self._sign(batches.popleft())
            if not self._post() and not self._settle(self._pending):
                self._client.sleep(POLL_SECONDS)
            self._abandon()
        self._report.outcomes = [self._outcome_of(row) for row in rows]
        self._report.seconds = time.monotonic() - started
        return self._report

    def _resume(self, rows: Sequence[Row]) -> None:
        """Take up what an earlier run signed: ask first, and offer again only what is unknown."""
        entries = [entry for row in rows if (entry := self._journal.of_row(row.digest)) is not None]
        self._unposted = {e.id: e for e in entries if e.id not in self._journal.outcomes}
        done = sum(1 for entry in entries if entry.id in self._journal.outcomes)
        self._advance(done)
        self._settle(self._unposted)

    def _needs_signing(self, row: Row) -> bool:
        entry = self._journal.of_row(row.digest)
        if entry is None:
            return True
        outcome = self._journal.outcomes.get(entry.id)
        return outcome is not None and outcome.expired

    def _batches(self, rows: Sequence[Row]) -> deque[list[list[Row]]]:
        """`rows` in transactions of up to `bulk` rows of one sender, those in batches to post."""
        by_sender: dict[str, list[Row]] = {}
        groups: list[list[Row]] = []
        for row in rows:
            waiting = by_sender.setdefault(row.sender, [])
            waiting.append(row)
            if len(waiting) == self._bulk:
                groups.append(by_sender.pop(row.sender))
        groups.extend(by_sender.values())
        return deque(groups[i : i + BATCH_MAX] for i in range(0, len(groups), BATCH_MAX))

    def _sign(self, groups: Sequence[Sequence[Row]]) -> dict[Digest, Signed]:
        """Sign each group as one transaction; all are in the journal, synced, on return."""
        batch: list[Signed] = []
        for group in groups:
            calls = [row.call for row in group]
            key = self._open_key(group[0].sender)
            signed = compose(self._chain_id, calls, [key], gas=self._gas)
            rows = tuple(row.digest for row in group)
            batch.append(Signed(rows, signed.id, signed.transaction.valid_until_ms, signed.raw))
        self._journal.add_signed(batch)
        return {entry.id: entry for entry in batch}

    def _post(self) -> bool:
        """Offer what is unposted to a node. True if it answered for any of it."""
        taken = 0
        for batch in _posts(self._unposted.values()):
            try:
                answers = self._client.post_transactions([entry.raw for entry in batch])
            except NodeRefused as error:
                if error.status not in (429, 503):
                    raise
                answers = [{"http": error.status, "code": error.problem} for _ in batch]
            for entry, answer in zip(batch, answers, strict=True):
                taken += self._admit(entry, int(answer["http"]), str(answer.get("code", "")))
        if self._unposted:
            self._client.sleep(RETRY_SECONDS)
        return taken > 0

    def _admit(self, entry: Signed, http: int, code: str) -> bool:
        if http in (429, 503):
            return False
        del self._unposted[entry.id]
        if http in (200, 202):
            self._pending[entry.id] = entry
            self._report.submitted += len(entry.rows)
        elif http == 410:
            # Not proof by itself: the tracker says when it is.
            self._pending[entry.id] = entry
        else:
            for row in entry.rows:
                self._refused[row] = ("rejected", code)
            self._advance(len(entry.rows))
        return True

    def _settle(self, waiting: dict[Digest, Signed]) -> bool:
        """Record the outcomes that `waiting` has by now and drop those entries; True if any."""
        outcomes = self._tracker.outcomes(list(waiting.values())) if waiting else {}
        if outcomes:
            self._journal.add_outcomes(outcomes)
        for tx_id in outcomes:
            self._advance(len(waiting.pop(tx_id).rows))
        return bool(outcomes)

    def _abandon(self) -> None:
        """Stop waiting for what stayed unknown long after its expiry: no node can say."""
        too_late = now_ms() - GIVE_UP_MS
        for entry in [e for e in self._pending.values() if e.valid_until_ms < too_late]:
            del self._pending[entry.id]

    def _outcome_of(self, row: Row) -> tuple[str, str]:
        if row.digest in self._refused:
            return self._refused[row.digest]
        entry = self._journal.of_row(row.digest)
        outcome = self._journal.outcomes.get(entry.id) if entry is not None else None
        if entry is None or outcome is None or outcome.expired:
            return "unknown", ""
        return outcome.calls[entry.rows.index(row.digest)]


def _posts(entries: Iterable[Signed]) -> Iterator[list[Signed]]:
    """`entries` in requests of at most `BATCH_MAX` transactions and `POST_BYTES_MAX` bytes."""
    batch: list[Signed] = []
    size = 0
    for entry in list(entries):
        if batch and (len(batch) == BATCH_MAX or size + len(entry.raw) > POST_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += len(entry.raw)
    if batch:
        yield batch
