"""Making a body complete: from what came beside it, from the mempool, from peers.

Most transactions of a body were relayed and verified before it arrives, so `assemble` finds them at
once. A new primary may name again what late blocks hold, so those are looked through next. What is
missing may still be on its way or in the verifier's queue: wait a moment, then ask the peer that
proposed the body, then the others in turn. Transactions are matched by the SHA-256 of their bytes
and verified as if they had been relayed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from consensus.messages import BodyData, FetchBody, FetchTransactions, UnsignedMessage
from ledger.block import Body
from ledger.errors import InvalidInput
from ledger.hashing import sha256
from ledger.transaction import SignedTransaction
from ledger.types import Digest
from node.bodies import Bodies, HeldBody
from node.verifier_pool import Verdict

ON_ITS_WAY_SECONDS: Final = 0.03
"""How long a missing transaction is expected from the relay before it is asked for."""

ASK_AGAIN_SECONDS: Final = 0.25
"""One tick: then the next peer is asked."""

GIVE_UP_SECONDS: Final = 10.0
"""After this the body counts as not found; the view has changed or the height is certified."""

COLLECTED_MAX: Final = 32
"""Bodies collected at once: those of a window in a few views. Beyond, a liar is at work."""


class Verify(Protocol):
    """Verifies raw transactions, as `VerifierPool.verify`."""

    async def __call__(self, raw_transactions: Sequence[bytes]) -> list[Verdict]: ...


@dataclass(slots=True, eq=False)
class _Missing:
    """Transactions that one body waits for."""

    wanted: dict[Digest, None]
    found: dict[Digest, SignedTransaction] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class BodyNotFound(InvalidInput):
    """No peer gave the body, or it is not readable."""

    code = "body_not_found"

    def __init__(self, digest: Digest, reason: str) -> None:
        self.digest = digest
        self.reason = reason
        super().__init__(f"body {digest.hex()}: {reason}")


class BodyCollector:
    """Completes bodies. `known` finds a verified transaction by digest, `on_its_way` says whether
    one is being verified."""

    def __init__(
        self,
        bodies: Bodies,
        known: Callable[[Digest], SignedTransaction | None],
        on_its_way: Callable[[Digest], bool],
        verify: Verify,
        send: Callable[[str, UnsignedMessage], None],
        peers: Callable[[], Sequence[str]],
    ) -> None:
        self._bodies = bodies
        self._known = known
        self._on_its_way = on_its_way
        self._verify = verify
        self._send = send
        self._peers = peers
        self._awaited_bodies: dict[Digest, asyncio.Event] = {}
        self._wanted: dict[Digest, list[_Missing]] = {}

    def assemble(self, digest: Digest) -> HeldBody | None:
        """The held body, or one made of a candidate and known transactions alone; else None."""
        held = self._bodies.get(digest)
        if held is not None:
            return held
        candidate = self._bodies.take_candidate(digest)
        if candidate is None:
            return None
        try:
            body = Body.decode(candidate.body)
        except InvalidInput:
            return None
        transactions: list[SignedTransaction] = []
        for wanted in body.transaction_digests:
            signed = self._known(wanted)
            if signed is None:
                self._bodies.propose("", candidate)
                return None
            transactions.append(signed)
        return self._keep(body, candidate.body, transactions)

    async def collect(self, digest: Digest, first_source: str) -> HeldBody:
        """Complete and hold the body with `digest`. Raises `BodyNotFound`."""
        held = self.assemble(digest)
        if held is not None:
            return held
        if len(self._awaited_bodies) >= COLLECTED_MAX:
            raise BodyNotFound(digest, "too many bodies are being collected")
        try:
            async with asyncio.timeout(GIVE_UP_SECONDS):
                candidate = await self._candidate(digest, first_source)
                body = Body.decode(candidate.body)
                transactions = await self._transactions(body, candidate, first_source)
        except TimeoutError:
            raise BodyNotFound(digest, "nobody sent it in time") from None
        except BodyNotFound:
            raise
        except InvalidInput as error:
            raise BodyNotFound(digest, str(error)) from None
        return self._keep(body, candidate.body, transactions)

    def body_arrived(self, digest: Digest) -> None:
        """A candidate came in: whoever waits for this body may go on."""
        event = self._awaited_bodies.get(digest)
        if event is not None:
            event.set()

    def wants(self, digest: Digest) -> bool:
        """Whether a body waits for this transaction, be it of use to a block to come or not."""
        return digest in self._wanted

    def transaction_arrived(self, signed: SignedTransaction) -> None:
        """A transaction was verified: whichever body waits for it may go on."""
        for missing in self._wanted.pop(signed.digest, ()):
            missing.found[signed.digest] = signed
            missing.wanted.pop(signed.digest, None)
            missing.changed.set()

    def _keep(
        self, body: Body, encoded: bytes, transactions: Sequence[SignedTransaction]
    ) -> HeldBody:
        held = HeldBody(body, encoded, tuple(transactions))
        self._bodies.hold(held)
        return held

    async def _candidate(self, digest: Digest, first_source: str) -> BodyData:
        arrived = self._awaited_bodies.setdefault(digest, asyncio.Event())
        try:
            sources = self._sources(first_source)
            asked = 0
            while (candidate := self._bodies.take_candidate(digest)) is None:
                self._send(sources[asked % len(sources)], FetchBody(digest))
                asked += 1
                await _wait(arrived, ASK_AGAIN_SECONDS)
                arrived.clear()
            return candidate
        finally:
            self._awaited_bodies.pop(digest, None)

    async def _transactions(
        self, body: Body, candidate: BodyData, first_source: str
    ) -> list[SignedTransaction]:
        found = {
            digest: signed
            for digest in body.transaction_digests
            if (signed := self._known(digest)) is not None
        }
        found |= self._bodies.transactions([d for d in body.transaction_digests if d not in found])
        wanted = {digest: None for digest in body.transaction_digests if digest not in found}
        beside = {sha256(raw): raw for raw in candidate.transactions}
        carried = [beside[digest] for digest in wanted if digest in beside]
        missing = _Missing({digest: None for digest in wanted if digest not in beside}, found)
        for digest in missing.wanted:
            self._wanted.setdefault(digest, []).append(missing)
        try:
            for verdict in await self._verify(carried):
                if isinstance(verdict, InvalidInput):
                    raise verdict
                found[verdict.digest] = verdict
            await self._ask_for(missing, first_source)
        finally:
            self._forget(missing)
        return [found[digest] for digest in body.transaction_digests]

    async def _ask_for(self, missing: _Missing, first_source: str) -> None:
        sources = self._sources(first_source)
        asked = 0
        pause = ON_ITS_WAY_SECONDS
        while missing.wanted:
            before = len(missing.wanted)
            await _wait(missing.changed, pause)
            missing.changed.clear()
            if not missing.wanted or len(missing.wanted) < before:
                continue
            absent = tuple(item for item in missing.wanted if not self._on_its_way(item))
            if absent:
                self._send(sources[asked % len(sources)], FetchTransactions(absent))
                asked += 1
                pause = ASK_AGAIN_SECONDS

    def _forget(self, missing: _Missing) -> None:
        for digest in missing.wanted:
            waiting = self._wanted.get(digest)
            if waiting is not None and missing in waiting:
                waiting.remove(missing)
                if not waiting:
                    del self._wanted[digest]

    def _sources(self, first: str) -> list[str]:
        return [first, *(peer for peer in self._peers() if peer != first)]


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
