"""Lies of a primary: about what it proposes, to whom, how much and when."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from consensus.messages import BodyData, Commit, NewView, PrePrepare, UnsignedMessage
from consensus.normal import TIMESTAMP_PAST_MS
from consensus.replica import ProposalSlot
from consensus.verifier import AnySigned, Signed
from ledger.block import Body
from ledger.keys import SigningKey
from ledger.transaction import Call, SignedTransaction, Transaction, sign_transaction
from ledger.types import Digest, Gas, TimeMs
from node.bodies import HeldBody
from node.censorship import PATIENCE_MS
from node.driver import Parts
from node.mempool import Mempool, Pending
from node.proposer import Proposer
from tests.chaos.lies_base import Liar, Options

SLOW_MS: Final = 800
"""From a decision to the next proposal; with the way through three phases just under T0."""

AGED_MS: Final = PATIENCE_MS - 1_200
"""When the slow primary takes a transaction after all: one block before it would be told on."""

LAG_MS: Final = TIMESTAMP_PAST_MS - 700
"""How far behind its bodies' time is, so that by header time its turn ends late."""

FILLER_GAS: Final = (2_000_000, 1_000_000)
"""Two transactions that declare all the gas a body may have, and leave no room for any other."""


class Equivocator(Liar):
    """Sends every peer two different PRE-PREPAREs of each height, and a COMMIT for the first.

    Peers get them in different orders, so that each accepts another body; all see the proof.
    """

    kind = "equivocate"

    def tell(self, to: Sequence[str], message: AnySigned | UnsignedMessage) -> None:
        if not isinstance(message, Signed) or not isinstance(message.message, PrePrepare):
            return super().tell(to, message)
        real = message.message
        other = replace(real, digest=self.other_body(real.digest, 1))
        for name in to:
            first, second = (real, other) if self.peers.index(name) % 2 else (other, real)
            self.say([name], first)
            self.say([name], Commit(first.view, first.n, first.digest))
            self.say([name], second)
        return None

    def other_body(self, digest: Digest, earlier_ms: int) -> Digest:
        """Hold the body with `digest` with another timestamp, too; the other's digest."""
        bodies = self._parts.bodies
        held = bodies.get(digest)
        if held is None or earlier_ms == 0:
            return digest
        body = replace(held.body, timestamp_ms=TimeMs(held.body.timestamp_ms - earlier_ms))
        bodies.hold(HeldBody(body, body.encode(), held.transactions))
        return body.digest


class Splitter(Equivocator):
    """Gives each peer a body of its own, and a COMMIT for it; none sees two."""

    kind = "split"

    def tell(self, to: Sequence[str], message: AnySigned | UnsignedMessage) -> None:
        vote = message.message if isinstance(message, Signed) else None
        if not isinstance(vote, PrePrepare | Commit) or not self.state.safety.is_primary:
            return super().tell(to, message)
        for name in to:
            digest = self.other_body(vote.digest, self.peers.index(name))
            self.say([name], replace(vote, digest=digest))
        return None


class Silent(Liar):
    """As primary says nothing that a view needs: neither PRE-PREPARE nor NEW-VIEW."""

    kind = "silent"

    def tell(self, to: Sequence[str], message: AnySigned | UnsignedMessage) -> None:
        vote = message.message if isinstance(message, Signed) else None
        if not isinstance(vote, PrePrepare | NewView):
            super().tell(to, message)


class WrongBody(Liar):
    """Sends other bodies than it names, beside PRE-PREPAREs and when asked for them."""

    kind = "wrong-body"

    def _body_beside(self, digest: Digest) -> BodyData | None:
        held = self._parts.bodies.get(digest)
        return None if held is None else self._wrong(held.message())

    def answers(self, message: UnsignedMessage) -> UnsignedMessage:
        return self._wrong(message) if isinstance(message, BodyData) else message

    @staticmethod
    def _wrong(message: BodyData) -> BodyData:
        body = Body.decode(message.body)
        wrong = replace(body, timestamp_ms=TimeMs(body.timestamp_ms - 1))
        return BodyData(wrong.encode(), message.transactions)


class SlowProposer(Proposer):
    """One body just under the time-out, of those transactions alone that would give it away."""

    def due_in_ms(self, slot: ProposalSlot, now_ms: int, last_block_ms: int) -> int | None:
        return None if slot.in_flight else max(0, last_block_ms + SLOW_MS - now_ms)

    def build(self, slot: ProposalSlot, now_ms: int) -> HeldBody:
        taken = self._mempool.take(now_ms)
        self._mempool.release(p.signed.digest for p in taken if now_ms - p.arrived_ms <= AGED_MS)
        aged = tuple(p.signed for p in taken if now_ms - p.arrived_ms > AGED_MS)
        return self._body(slot, now_ms, aged)

    def _body(
        self, slot: ProposalSlot, now_ms: int, transactions: tuple[SignedTransaction, ...]
    ) -> HeldBody:
        body = Body(
            n=slot.n,
            first_view=slot.view,
            proposer=self._organisation,
            timestamp_ms=TimeMs(now_ms - LAG_MS),
            transaction_digests=tuple(signed.digest for signed in transactions),
        )
        return HeldBody(body, body.encode(), transactions)


class FillingProposer(SlowProposer):
    """As slow, and every body full: two transactions of nobody's declare all the gas there is."""

    def __init__(self, organisation: str, mempool: Mempool, chain_id: Digest) -> None:
        super().__init__(organisation, mempool, 0)
        self._chain_id = chain_id
        self._key = SigningKey.generate()

    def build(self, slot: ProposalSlot, now_ms: int) -> HeldBody:
        return self._body(slot, now_ms, tuple(self._fillers(now_ms)))

    def _fillers(self, now_ms: int) -> Iterable[SignedTransaction]:
        for gas in FILLER_GAS:
            content = Transaction(
                chain_id=self._chain_id,
                nonce=os.urandom(16),
                valid_until_ms=TimeMs(now_ms + 300_000),
                gas_limit=Gas(gas),
                calls=(Call("nothing", "nothing", []),),
                atomic=False,
                signers=(self._key.public,),
            )
            yield sign_transaction(content, [self._key])


class CensoringProposer(Proposer):
    """Never takes a transaction of `victim`."""

    def __init__(self, organisation: str, mempool: Mempool, idle_ms: int, victim: str) -> None:
        super().__init__(organisation, mempool, idle_ms)
        self._victim = victim

    def build(self, slot: ProposalSlot, now_ms: int) -> HeldBody:
        waiting = self._mempool._waiting
        hidden: dict[Digest, Pending] | None = waiting.pop(self._victim, None)
        try:
            return super().build(slot, now_ms)
        finally:
            if hidden is not None:
                waiting[self._victim] = hidden


class SlowPrimary(Liar):
    """Does everything just under the time-out, with as little as the censorship rule lets it."""

    kind = "slow-primary"

    def __init__(self, parts: Parts, options: Options) -> None:
        super().__init__(replace(parts, proposer=self.proposer(parts)), options)

    @staticmethod
    def proposer(parts: Parts) -> Proposer:
        return SlowProposer(parts.replica._state.me, parts.mempool, 0)

    def tell(self, to: Sequence[str], message: AnySigned | UnsignedMessage) -> None:
        if isinstance(message, Signed) and isinstance(message.message, NewView):
            asyncio.get_running_loop().call_later(SLOW_MS / 1000, super().tell, to, message)
        else:
            super().tell(to, message)


class Filler(SlowPrimary):
    """As slow, with nothing but transactions of its own, which leave no room for any other."""

    kind = "filler"

    @staticmethod
    def proposer(parts: Parts) -> Proposer:
        state = parts.replica._state
        return FillingProposer(state.me, parts.mempool, state.domain.chain_id)


class Censor(Liar):
    """As primary passes over the organisation `victim`, and is otherwise fast and faithful."""

    kind = "censor"

    def __init__(self, parts: Parts, options: Options) -> None:
        assert options.victim is not None, "censor whom?"
        state = parts.replica._state
        censoring = CensoringProposer(
            state.me, parts.mempool, state.config.idle_block_ms, options.victim
        )
        super().__init__(replace(parts, proposer=censoring), options)
