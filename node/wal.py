"""The write-ahead log of votes: what this validator must not forget before it speaks again.

Records are `consensus.records`, framed and chained by the segment log. Opening reads all of them
back; bodies are kept aside, those above the certified height only.

The log is rewritten once it is a segment long, or would take long to read back: the replica says
what a new log must begin with, the bodies it still needs follow, and what lies before is dropped.
Left out: what the records mean, and when a lost log silences the validator (both are the
replica's).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from consensus import records
from consensus.records import BodyRecord
from ledger.block import Body
from ledger.errors import IntegrityError, InvalidInput
from ledger.storage import segments
from ledger.storage.errors import LogCorrupt
from ledger.storage.folder import Folder
from ledger.storage.segments import SegmentLog
from ledger.transaction import SignedTransaction
from ledger.types import Height
from node.bodies import HeldBody

log = logging.getLogger(__name__)

SEGMENT_BYTES: Final = 32 << 20
"""Some minutes of full blocks; a restart reads at most about two of these."""

RECORDS_MAX: Final = 4_096
"""Records that a restart has to read, and to verify a quorum of signatures in every other one:
about half a second. Small blocks would make 45,000 of a segment."""


class VoteDamaged(IntegrityError):
    """The write-ahead log is not what we wrote: nobody knows any more what this key has signed."""

    code = "vote_damaged"
    hint = (
        "move the folder `wal` away (never put an older copy in its place) and start again: the "
        "node then follows without voting, until its key is rotated"
    )

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the write-ahead log of votes is damaged: {reason}")


class VoteLog:
    """The open log. `recovered` are its records without bodies, in order; `bodies` those held
    above the certified height. One thread appends."""

    def __init__(
        self, folder: Folder, certified: Height, *, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        """Read the log in `folder` back, cutting a torn tail.

        Raises `VoteDamaged`, `StoreLocked` and other storage errors.
        """
        self.recovered: list[records.Record] = []
        self.bodies: list[HeldBody] = []
        self._certified = certified
        self._segment_bytes = segment_bytes
        self._bytes = self._records = 0
        try:
            self._log = SegmentLog(folder, segment_bytes=segment_bytes, on_record=self._read)
        except LogCorrupt as damage:
            raise VoteDamaged(str(damage)) from damage
        if self._log.cut_bytes:
            log.warning(
                "cut %d bytes of a record that was never synced off the log of votes",
                self._log.cut_bytes,
            )

    @property
    def compaction_due(self) -> bool:
        """Whether the log holds a segment, or RECORDS_MAX records, since its last compaction."""
        return self._bytes >= self._segment_bytes or self._records >= RECORDS_MAX

    def append(self, payloads: Sequence[bytes]) -> None:
        """Append encoded records and sync. Raises `StoreFull`, `StoreFailed`: then stop voting."""
        self._log.append(payloads)
        self._log.sync()
        self._bytes += sum(map(len, payloads))
        self._records += len(payloads)

    def compact(self, payloads: Sequence[bytes]) -> None:
        """Let the log begin with `payloads`: append and sync them, then drop what lies before."""
        if payloads:
            self._log.roll()
            first = self._log.append(payloads)
            self._log.sync()
            self._log.drop_before(first)
        self._bytes = self._records = 0

    def close(self) -> None:
        self._log.close()

    def _read(self, record: segments.Record) -> None:
        self._bytes += len(record.payload)
        self._records += 1
        try:
            content = records.decode(record.payload)
            if not isinstance(content, BodyRecord):
                self.recovered.append(content)
                return
            body = Body.decode(content.body)
            if body.n > self._certified:
                transactions = tuple(map(SignedTransaction.decode, content.transactions))
                self.bodies.append(HeldBody(body, content.body, transactions))
        except InvalidInput as error:
            raise VoteDamaged(f"record {record.sequence}: {error}") from error
