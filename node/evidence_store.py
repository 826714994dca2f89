"""The evidence a validator holds: in memory for whoever asks, in its home for good.

Each case is a file of its own in `evidence/`, synced before it counts as kept, in the form that
`qiong evidence verify` takes as it is: an operator may copy one out of a dead node. A file that
was damaged or put there by somebody else does not verify when the node starts; it is passed over
with a warning and stays where it is.

A liar can make any number of contradictions, so there is a bound for each liar and one for all.
Left out: judging.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

from ledger.errors import IntegrityError
from ledger.hashing import sha256
from ledger.storage.folder import Folder
from ledger.types import Digest, Epoch
from ledger.validators import ValidatorSet
from node.evidence import FILE_BYTES_MAX, Case, EvidenceFile

log = logging.getLogger(__name__)

SUFFIX: Final = ".qevidence"

CASES_PER_KIND_MAX: Final = 2
"""Cases kept of one validator and kind of message: one convicts, a second shows a habit."""

STORE_BYTES_MAX: Final = 32 << 20
"""All cases together. The three liars among 10 validators could fill 0.4 MiB; the 21 among 64
would fill 70 with NEW-VIEWs, and then what came first is kept."""


class EvidenceStore:
    """Evidence of one epoch, oldest first. `write` may run in a thread of its own."""

    def __init__(
        self, folder: Folder, chain_id: Digest, epoch: Epoch, validators: ValidatorSet
    ) -> None:
        """Read what `folder` holds. Raises what `folder` raises."""
        self._folder = folder
        self._chain_id = chain_id
        self._epoch = epoch
        self._validators = validators
        self._cases: list[Case] = []
        self._known: set[tuple[object, ...]] = set()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._bytes = 0
        self._next = 1
        for name in folder.names():
            self._load(name)

    @property
    def cases(self) -> list[Case]:
        return list(self._cases)

    def __len__(self) -> int:
        return len(self._cases)

    def take(self, case: Case) -> str | None:
        """Hold `case`. The name to `write` it under, None for what is known or has no room."""
        if not self._hold(case):
            return None
        name = f"{self._next:06d}-{sha256(case.first.encode()).hex()[:16]}{SUFFIX}"
        self._next += 1
        return name

    def write(self, name: str, case: Case) -> None:
        """Keep `case` for good; waits for the disk, from any one thread. Raises `StorageError`."""
        self._folder.create(name, EvidenceFile(self._chain_id, (case,)).encode())

    def close(self) -> None:
        self._folder.close()

    def _hold(self, case: Case) -> bool:
        kind = case.organisation, case.kind
        size = sum(map(len, case.encoded()))
        if case.key in self._known or self._counts[kind] >= CASES_PER_KIND_MAX:
            return False
        if self._bytes + size > STORE_BYTES_MAX:
            log.warning("no room for evidence: %s %s", case.organisation, case.words)
            return False
        self._cases.append(case)
        self._known.add(case.key)
        self._counts[kind] += 1
        self._bytes += size
        return True

    def _load(self, name: str) -> None:
        number = name.partition("-")[0]
        if number.isascii() and number.isdigit():
            self._next = max(self._next, int(number) + 1)
        try:
            found = EvidenceFile.decode(self._folder.read(name, 0, FILE_BYTES_MAX + 1))
            for case in found.cases:
                case.verify(self._chain_id, self._epoch, self._validators)
                self._hold(case)
        except IntegrityError as error:
            log.warning("passed over evidence/%s: %s", name, error)
