"""A network of replicas in one process: virtual time, seeded faults, and the checks.

Everything random comes from one `random.Random(seed)`, everything timed from one queue, so a seed
and a commit replay a run exactly. Real here: the whole of `consensus`, bodies, certificates, wire
bytes. Fake: signatures (a keyed hash, so that no adversary can forge an honest one), disks
(lists), execution (a hash over history).

The checks run while the world runs: one value per height, one certified header per height, no
honest key contradicting itself across crashes, no vote without its record on disk, no evidence
against the honest. A failed check raises `Violation` with the seed.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from consensus.messages import (
    Checkpoint,
    Envelope,
    NewView,
    SignedMessage,
    ViewChange,
    decode,
)
from consensus.verifier import Domain, Signed, Verifier
from ledger.block import Body, null_digest
from ledger.errors import QiongError
from ledger.hashing import sha256
from ledger.types import Digest, Epoch, Height, PublicKey, Signature, TimeMs
from ledger.validators import Validator, ValidatorSet

CHAIN = sha256(b"simulated chain")
GENESIS_HEADER = sha256(b"simulated header 0")
START_MS = 1_700_000_000_000


class Violation(AssertionError):
    """A check failed; `seed` replays it."""


class Keys:
    """Fake signatures: whoever holds a name's secret can sign for it, nobody else."""

    def __init__(self, names: list[str]) -> None:
        self.secrets = {name: sha256(b"secret" + name.encode()) for name in names}
        self.publics = {
            name: PublicKey(b"\x01" + sha256(secret)) for name, secret in self.secrets.items()
        }
        self._by_public = {public: self.secrets[name] for name, public in self.publics.items()}

    def signer(self, name: str) -> Callable[[bytes], Signature]:
        secret = self.secrets[name]
        return lambda data: _fake(secret, data)

    def check(self, public: PublicKey, data: bytes, signature: Signature) -> bool:
        return _fake(self._by_public[public], data) == signature


def _fake(secret: bytes, data: bytes) -> Signature:
    half = sha256(secret + data)
    return Signature(b"\x01" + half + half)


@dataclass
class Network:
    """How links behave just now. Times in milliseconds, chances in [0, 1]."""

    delay_min: int = 1
    delay_max: int = 5
    loss: float = 0.0
    duplicate: float = 0.0
    straggle: float = 0.0
    """Chance of a delay up to a hundred times as long: reordering."""
    blocked: dict[tuple[str, str], None] = field(default_factory=dict)
    """Directed links that deliver nothing."""

    def partition(self, left: list[str], right: list[str]) -> None:
        for a in left:
            for b in right:
                self.blocked[(a, b)] = None
                self.blocked[(b, a)] = None


@dataclass(frozen=True)
class Block:
    """A block as the fake ledger keeps it."""

    n: Height
    d: Digest
    parent: Digest
    time_ms: TimeMs
    body: Body | None

    @property
    def hash(self) -> Digest:
        return header_hash(self.n, self.d, self.parent, self.time_ms)


def header_hash(n: Height, d: Digest, parent: Digest, time_ms: TimeMs) -> Digest:
    return sha256(b"header" + n.to_bytes(8, "big") + d + parent + time_ms.to_bytes(8, "big"))


@dataclass
class Totals:
    """What a run has seen, for the closing note of a soak."""

    runs: int = 0
    heights: int = 0
    views: int = 0
    evidence: int = 0
    crashes: int = 0
    messages: int = 0

    def add(self, other: Totals) -> None:
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class World:
    """Time, links, keys and the checks. Nodes are in `tests.simulation.node`."""

    def __init__(self, seed: int, n: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.now = 0
        self.names = [f"org-{index:02d}" for index in range(n)]
        self.keys = Keys(self.names)
        self.validators = ValidatorSet(
            tuple(Validator(name, self.keys.publics[name]) for name in self.names)
        )
        self.domain = Domain(CHAIN, Epoch(0), self.validators, 4, Height(0), GENESIS_HEADER)
        self.verifier = Verifier(self.domain, self.keys.check)
        self.network = Network()
        self.faulty: dict[str, None] = {}
        self.nodes: dict[str, list[Any]] = {name: [] for name in self.names}
        """Several nodes under one name are twins."""
        self.transactions: list[Digest] = []
        self.totals = Totals(runs=1)
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self._verified: dict[bytes, object] = {}
        self._decided: dict[Height, Digest] = {}
        self._certified: dict[Height, Digest] = {}
        self._said: dict[tuple[object, ...], Digest | bytes] = {}

    # --- time ---

    @property
    def wall_ms(self) -> int:
        return START_MS + self.now

    def after(self, delay: int, action: Callable[..., None], *arguments: Any) -> None:
        self._order += 1
        heapq.heappush(self._queue, (self.now + delay, self._order, action, arguments))

    def run(self, until: int, done: Callable[[], bool] | None = None) -> bool:
        """Run to virtual time `until`, or until `done` (asked about every 100 ms)."""
        next_check = self.now
        queue = self._queue
        while queue and queue[0][0] <= until:
            self.now, _, action, arguments = heapq.heappop(queue)
            action(*arguments)
            if done is not None and self.now >= next_check:
                if done():
                    return True
                next_check = self.now + 100
        self.now = until
        return done() if done is not None else True

    # --- links ---

    def deliver(self, sender: str, to: str, frame: object) -> None:
        """Send a frame over the link from `sender` to `to`, which may lose, delay or double it."""
        network, chance = self.network, self.random.random
        if (sender, to) in network.blocked or (network.loss and chance() < network.loss):
            return
        copies = 2 if network.duplicate and chance() < network.duplicate else 1
        for _ in range(copies):
            delay = self.random.randint(network.delay_min, network.delay_max)
            if network.straggle and chance() < network.straggle:
                delay *= self.random.randint(2, 100)
            self.after(delay, self._arrive, sender, to, frame)

    def _arrive(self, sender: str, to: str, frame: object) -> None:
        self.totals.messages += 1
        for node in self.nodes[to]:
            node.on_frame(sender, frame)

    def verify(self, data: bytes) -> Signed[SignedMessage] | None:
        """What the verifier makes of a frame; None if it refuses. Remembered for all receivers."""
        if data in self._verified:
            return self._verified[data]  # type: ignore[return-value]
        try:
            result: object = self.verifier.verify(data)
        except QiongError:
            result = None
        if len(self._verified) > 20_000:
            self._verified.clear()
        self._verified[data] = result
        return result  # type: ignore[return-value]

    # --- checks ---

    def fail(self, what: str) -> None:
        raise Violation(f"seed {self.seed}, at {self.now} ms: {what}")

    def is_honest(self, name: str) -> bool:
        return name not in self.faulty

    def honest_nodes(self) -> list[Any]:
        return [node for name in self.names if self.is_honest(name) for node in self.nodes[name]]

    def check_decided(self, name: str, n: Height, d: Digest) -> None:
        if self._decided.setdefault(n, d) != d:
            self.fail(f"{name} decided another value at height {n}")

    def check_certified(self, name: str, n: Height, hash_: Digest) -> None:
        self.totals.heights = max(self.totals.heights, n)
        if self._certified.setdefault(n, hash_) != hash_:
            self.fail(f"{name} certified another header at height {n}")

    @property
    def certified(self) -> int:
        return max(self._certified, default=0)

    def check_sent(self, name: str, signed: Envelope[SignedMessage]) -> None:
        """No honest key ever contradicts itself, whatever crashed in between."""
        message = signed.message
        if isinstance(message, ViewChange | NewView):
            key = (name, message.kind, message.view)
            value: bytes = signed.signature
        elif isinstance(message, Checkpoint):
            key, value = (name, message.kind, message.n), message.header_hash
        elif message.kind <= 3:
            key = (name, message.kind, message.view, message.n)  # type: ignore[union-attr]
            value = message.digest  # type: ignore[union-attr]
        else:
            return
        if self._said.setdefault(key, value) != value:
            self.fail(f"{name} contradicts itself: {message}")
        if isinstance(message, ViewChange | NewView):
            self.totals.views = max(self.totals.views, message.view)


def envelope(data: bytes) -> Envelope[SignedMessage]:
    """Read a frame without verifying it (for adversaries)."""
    message = decode(data)
    assert isinstance(message, Envelope)
    return message


def block_after(parent: Block | None, n: Height, d: Digest, body: Body | None) -> Block:
    """Execute: the header is a function of history alone (design: time_ms rule)."""
    before = TimeMs(START_MS) if parent is None else parent.time_ms
    stamp = before + 1 if body is None else max(before + 1, body.timestamp_ms)
    parent_hash = GENESIS_HEADER if parent is None else parent.hash
    assert body is not None or d == null_digest(n)
    return Block(n, d, parent_hash, TimeMs(stamp), body)
