"""A network of replicas in one process: virtual time, seeded faults, and the checks.

Everything random comes from one `random.Random(seed)`, everything timed from one queue, so a seed
and a commit replay a run exactly. Real here: the whole of `consensus`, bodies, certificates, wire
bytes, the censorship rule, and in some runs the write-ahead log. Fake: signatures (a keyed hash,
so that no adversary can forge an honest one), execution (`tests.simulation.chain`), and the
driver, which is written anew (`tests.simulation.node`) so that a crash can come at any point.

The checks (`tests.simulation.checks`) run while the world runs.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from consensus.config import Config
from consensus.messages import SignedMessage
from consensus.verifier import Domain, Signed, Verifier
from ledger.errors import QiongError
from ledger.hashing import sha256
from ledger.types import Digest, Epoch, Height, PublicKey, Signature
from ledger.validators import Validator, ValidatorSet
from tests.simulation.chain import GENESIS_HEADER, START_MS
from tests.simulation.checks import Checker
from tests.simulation.network import Network

CHAIN: Final = sha256(b"simulated chain")

CLIENT_PATIENCE_MS: Final = 1_000
"""A client whose transaction is not committed by then asks another validator."""

MEMO_MAX: Final = 20_000
"""Messages of which the bytes, or what the verifier made of them, are remembered."""


class Keys:
    """Fake signatures: whoever holds a name's secret can sign for it, nobody else."""

    def __init__(self, names: Iterable[str]) -> None:
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
    """Time, links, keys, clients. Nodes register themselves in `nodes`."""

    def __init__(self, seed: int, n: int, *, window: int = 4, **rules: int) -> None:
        """`rules` are fields of `Config` that all validators share."""
        self.seed = seed
        self.random = random.Random(seed)
        self.now = 0
        self.names = [f"org-{index:02d}" for index in range(n)]
        self.others = {
            name: tuple(other for other in self.names if other != name) for name in self.names
        }
        self.keys = Keys(self.names)
        self.validators = ValidatorSet(
            tuple(Validator(name, self.keys.publics[name]) for name in self.names)
        )
        self.domain = Domain(CHAIN, Epoch(0), self.validators, window, Height(0), GENESIS_HEADER)
        self.rules = rules
        self.verifier = Verifier(self.domain, self.keys.check)
        self.network = Network()
        self.totals = Totals(runs=1)
        self.checker = Checker(self)
        self.faulty: dict[str, None] = {}
        """Validators that do not follow the protocol, or lost what they must remember."""
        self.nodes: dict[str, list[Any]] = {name: [] for name in self.names}
        """Several nodes under one name are twins."""
        self.transactions: dict[Digest, str] = {}
        """All that clients sent, with the organisation of each."""
        self._asked_ms: dict[Digest, int] = {}
        self._queue: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = 0
        self._verified: dict[bytes, Signed[SignedMessage] | None] = {}
        self._encoded: dict[Signature, bytes] = {}

    def config(self, name: str) -> Config:
        return Config(self.domain, name, **self.rules)

    # --- time ---

    @property
    def wall_ms(self) -> int:
        return START_MS + self.now

    def after(self, delay: int, action: Callable[..., object], *arguments: Any) -> None:
        self._order += 1
        heapq.heappush(self._queue, (self.now + delay, self._order, action, arguments))

    def run(self, until: int, done: Callable[[], bool] | None = None) -> bool:
        """Run to virtual time `until`, or until `done` (asked about every 50 ms)."""
        next_check = self.now
        queue, pop = self._queue, heapq.heappop
        while queue and queue[0][0] <= until:
            self.now, _, action, arguments = pop(queue)
            action(*arguments)
            if done is not None and self.now >= next_check:
                if done():
                    return True
                next_check = self.now + 50
        self.now = until
        return done() if done is not None else True

    def run_for(self, milliseconds: int, done: Callable[[], bool] | None = None) -> bool:
        return self.run(self.now + milliseconds, done)

    # --- links ---

    def deliver(self, sender: str, to: str, frame: object) -> None:
        """Put a frame on the link from `sender` to `to`, which may lose, delay or double it."""
        network = self.network
        if not network.filter(sender, to, frame):
            return
        for delay in network.delays(self.random, sender, to):
            self.after(delay, self._arrive, sender, to, network.damaged(self.random, frame))

    def _arrive(self, sender: str, to: str, frame: object) -> None:
        self.totals.messages += 1
        for node in self.nodes[to]:
            node.on_frame(sender, frame)

    def encode(self, signed: Signed[SignedMessage]) -> bytes:
        """The bytes of a message, made once: it goes to many and is sent again."""
        data = self._encoded.get(signed.signature)
        if data is None:
            if len(self._encoded) > MEMO_MAX:
                self._encoded.clear()
            data = self._encoded[signed.signature] = signed.encode()
        return data

    def verify(self, data: bytes) -> Signed[SignedMessage] | None:
        """What the verifier makes of a frame; None if it refuses. Remembered for all receivers."""
        try:
            return self._verified[data]
        except KeyError:
            pass
        try:
            message = self.verifier.verify(data)
            result = message if isinstance(message, Signed) else None
        except QiongError:
            result = None
        if len(self._verified) > MEMO_MAX:
            self._verified.clear()
        self._verified[data] = result
        return result

    # --- who is who ---

    def is_honest(self, name: str) -> bool:
        return name not in self.faulty

    def honest_nodes(self) -> list[Any]:
        return [node for name in self.names if self.is_honest(name) for node in self.nodes[name]]

    def all_nodes(self) -> list[Any]:
        return [node for name in self.names for node in self.nodes[name]]

    # --- clients ---

    def submit(self, count: int, organisation: str = "clients", at: str | None = None) -> None:
        """New transactions of one client, sent to one validator: `at`, or any."""
        fresh = []
        for _ in range(count):
            transaction = sha256(b"transaction %d" % len(self.transactions))
            self.transactions[transaction] = organisation
            self._asked_ms[transaction] = self.now
            fresh.append((transaction, organisation))
        self._ask(tuple(fresh), at)

    def _ask(self, transactions: tuple[tuple[Digest, str], ...], at: str | None) -> None:
        name = self.random.choice(self.names) if at is None else at
        for node in self.nodes[name]:
            node.take_transactions(transactions, relay=True)

    def trickle(self, count: int, every_ms: int, first_ms: int = 1_000) -> None:
        for number in range(count):
            self.after(first_ms + number * every_ms, self.submit, 1)

    def clients_ask_again(self) -> None:
        """Start clients that ask another validator when they get no answer."""
        late = [
            (transaction, self.transactions[transaction])
            for transaction, asked_ms in list(self._asked_ms.items())
            if self.now - asked_ms >= CLIENT_PATIENCE_MS
        ]
        for transaction, organisation in late:
            if any(transaction in node.ledger.executed_in for node in self.honest_nodes()):
                del self._asked_ms[transaction]
            else:
                self._asked_ms[transaction] = self.now
                self._ask(((transaction, organisation),), None)
        self.after(CLIENT_PATIENCE_MS // 2, self.clients_ask_again)

    def keep_busy(self, backlog: int, until_ms: int) -> None:
        """Sustained load: more than `backlog` transactions wait at any time, to `until_ms`."""
        if self.now >= until_ms:
            return
        done = max((len(node.ledger.executed_in) for node in self.honest_nodes()), default=0)
        missing = backlog - (len(self.transactions) - done)
        if missing > 0:
            self.submit(missing)
        self.after(10, self.keep_busy, backlog, until_ms)
