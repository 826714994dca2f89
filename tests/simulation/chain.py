"""The fake ledger: blocks whose header is a function of history alone, and their transactions.

Execution is a hash over history, with the two rules of the real one that consensus leans on:
header time goes on by at least 1 ms, and a transaction is executed once however often it is
proposed (`fresh` counts the first times and is part of the header).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from ledger.block import Body, null_digest
from ledger.certificate import Certificate
from ledger.hashing import sha256
from ledger.types import Digest, Height, TimeMs

GENESIS: Final = Height(0)
GENESIS_HEADER: Final = sha256(b"simulated header 0")
START_MS: Final = 1_700_000_000_000
"""Wall clock at virtual time 0."""

BATCH: Final = 8
"""Most transactions in a body."""

FETCH_BLOCKS: Final = 16
"""Most blocks in an answer."""


@dataclass(frozen=True)
class Block:
    """A decided block with the results that its header signs."""

    n: Height
    d: Digest
    parent: Digest
    time_ms: TimeMs
    fresh: int
    body: Body | None

    @cached_property
    def hash(self) -> Digest:
        numbers = b"".join(value.to_bytes(8, "big") for value in (self.n, self.time_ms, self.fresh))
        return sha256(b"header" + numbers + self.d + self.parent)


@dataclass
class Ledger:
    """Blocks decided, executed and certified, and what was executed. One per node; on its disk."""

    decided: dict[Height, tuple[Digest, Body | None]] = field(default_factory=dict)
    blocks: dict[Height, Block] = field(default_factory=dict)
    certificates: dict[Height, Certificate] = field(default_factory=dict)
    executed_in: dict[Digest, Height] = field(default_factory=dict)
    executed: Height = GENESIS
    loose: list[Certificate] = field(default_factory=list)
    """Certificates that only the sync of the next decided block makes safe: one file holds both."""

    def decide(self, n: Height, digest: Digest, body: Body | None) -> None:
        """Append to the block files, synced."""
        self.decided[n] = (digest, body)
        self.loose.clear()

    def execute(self, n: Height) -> Block:
        """Execute decided block `n`, the next one; what follows from it is safe then."""
        digest, body = self.decided[n]
        assert (body is None) == (digest == null_digest(n))
        parent = self.blocks.get(Height(n - 1))
        before = TimeMs(START_MS) if parent is None else parent.time_ms
        stamp = TimeMs(before + 1 if body is None else max(before + 1, body.timestamp_ms))
        fresh = [] if body is None else self._fresh(body.transaction_digests)
        parent_hash = GENESIS_HEADER if parent is None else parent.hash
        block = self.blocks[n] = Block(n, digest, parent_hash, stamp, len(fresh), body)
        self.executed = n
        self.executed_in.update(dict.fromkeys(fresh, n))
        return block

    def _fresh(self, transactions: Iterable[Digest]) -> list[Digest]:
        return [item for item in dict.fromkeys(transactions) if item not in self.executed_in]

    def save(self, certificate: Certificate) -> None:
        self.certificates[certificate.n] = certificate
        self.loose.append(certificate)

    def lose(self, kept: int) -> None:
        """Power was lost: of the loose certificates the first `kept` survive."""
        for certificate in self.loose[kept:]:
            del self.certificates[certificate.n]
        del self.loose[kept:]

    @property
    def certified(self) -> Height:
        """The highest executed height with a certificate."""
        n = self.executed
        while n > 0 and n not in self.certificates:
            n = Height(n - 1)
        return n

    def run(self, first: Height) -> BlocksAnswer:
        """Blocks from `first` on, the last one with its certificate, as a peer asked for them."""
        end = first + FETCH_BLOCKS - 1
        certified = [n for n in range(first, end + 1) if n in self.certificates]
        last = max(certified, default=first - 1)
        if last < first and self.certified >= first:
            last = min(n for n in self.certificates if n >= first)
        heights = [Height(n) for n in range(first, last + 1)]
        return BlocksAnswer(
            tuple(self.blocks[n] for n in heights if n in self.blocks),
            {n: self.certificates[n] for n in heights if n in self.certificates},
        )


# --- frames of a link that are not signed messages ---


@dataclass(frozen=True)
class Proposed:
    """A PRE-PREPARE's frame with its body beside it."""

    data: bytes
    body: Body | None


@dataclass(frozen=True)
class BlocksAnswer:
    blocks: tuple[Block, ...]
    certificates: Mapping[Height, Certificate]


@dataclass(frozen=True)
class BodyAnswer:
    body: Body


@dataclass(frozen=True)
class Relayed:
    """Transactions passed on, each with the organisation that sent it in."""

    transactions: tuple[tuple[Digest, str], ...]
