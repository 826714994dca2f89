"""Validators that lie. Each runs the honest core and twists what leaves it; their keys are real.

Whatever they sign, they cannot sign for others: the fake signatures see to that as Ed25519 would.
"""

from __future__ import annotations

from dataclasses import replace

from consensus.effects import Alarm
from consensus.events import Received
from consensus.messages import (
    Checkpoint,
    Commit,
    NewView,
    Prepare,
    PrePrepare,
    Proposal,
    SignedMessage,
    Suspect,
    UnsignedMessage,
    ViewChange,
)
from consensus.new_view import content
from consensus.verifier import AnySigned, Signed, sign
from ledger.block import Body
from ledger.hashing import sha256
from ledger.types import Height, TimeMs, View
from tests.simulation.node import BlocksAnswer, Node, Proposed
from tests.simulation.world import World


class Adversary(Node):
    """Base: signs anything with its own key, alarms at nothing."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        world.faulty[name] = None

    def signed(self, message: SignedMessage) -> AnySigned:
        return sign(self.world.domain, self.name, message, self.world.keys.signer(self.name))

    def put(self, to: list[str], message: SignedMessage, body: Body | None = None) -> None:
        data = self.signed(message).encode()
        for name in to:
            if name != self.name:
                frame = Proposed(data, body) if isinstance(message, PrePrepare) else data
                self.world.deliver(self.name, name, frame)

    def others(self) -> list[str]:
        return [name for name in self.world.names if name != self.name]

    def halves(self) -> tuple[list[str], list[str]]:
        others = self.others()
        self.world.random.shuffle(others)
        middle = self.world.random.randint(1, len(others) - 1)
        return others[:middle], others[middle:]

    def _alarm(self, alarm: Alarm) -> None:
        self.alarms.append(alarm)


class Equivocator(Adversary):
    """As primary proposes two bodies, to two parts of the others, and votes for both."""

    def send(self, to: list[str], message: AnySigned | UnsignedMessage) -> None:
        if not isinstance(message, Signed) or not isinstance(message.message, PrePrepare):
            return super().send(to, message)
        real = message.message
        body = self.bodies.get(real.digest)
        if body is None:
            return super().send(to, message)
        other = replace(body, timestamp_ms=TimeMs(body.timestamp_ms - 1))
        left, right = self.halves()
        self.bodies[other.digest] = other
        self.put(left, real, body)
        self.put(right, PrePrepare(real.view, real.n, other.digest), other)
        self.put(left, Commit(real.view, real.n, real.digest))
        self.put(right, Commit(real.view, real.n, other.digest))
        return None


class YesSayer(Adversary):
    """PREPAREs and COMMITs every digest it hears of, in every view, to everyone."""

    def on_frame(self, sender: str, frame: object) -> None:
        data = frame.data if isinstance(frame, Proposed) else frame
        if isinstance(data, bytes):
            signed = self.world.verify(data)
            if signed is not None and isinstance(signed.message, PrePrepare | Prepare):
                vote = signed.message
                if self.world.validators.primary(vote.view) != self.name:
                    self.put(self.others(), Prepare(vote.view, vote.n, vote.digest))
                self.put(self.others(), Commit(vote.view, vote.n, vote.digest))
        super().on_frame(sender, frame)


class Hider(Adversary):
    """Hides its prepared certificates and its certified height in VIEW-CHANGE; silent COMMITs."""

    def send(self, to: list[str], message: AnySigned | UnsignedMessage) -> None:
        if isinstance(message, Signed):
            if isinstance(message.message, ViewChange):
                change = message.message
                kept = change.prepared[: self.world.random.randint(0, len(change.prepared))]
                return self.put(to, replace(change, prepared=kept))
            if isinstance(message.message, Commit) and self.world.random.random() < 0.5:
                return None
        return super().send(to, message)


class BadLeader(Adversary):
    """As primary of a new view shows other proposals than follow, or two different NEW-VIEWs."""

    def send(self, to: list[str], message: AnySigned | UnsignedMessage) -> None:
        if not isinstance(message, Signed) or not isinstance(message.message, NewView):
            return super().send(to, message)
        new_view = message.message
        lying = tuple(
            replace(
                item,
                digest=sha256(item.digest),
                signature=self.signed(
                    PrePrepare(new_view.view, item.n, sha256(item.digest))
                ).signature,
            )
            for item in new_view.proposals
        )
        left, right = self.halves()
        self.put([name for name in to if name in left], new_view)
        self.put([name for name in to if name in right], replace(new_view, proposals=lying))
        return None


class ForkingLeader(Adversary):
    """Makes different valid NEW-VIEWs from different quorums of VIEW-CHANGEs."""

    def send(self, to: list[str], message: AnySigned | UnsignedMessage) -> None:
        if not isinstance(message, Signed) or not isinstance(message.message, NewView):
            return super().send(to, message)
        view = message.message.view
        assert self.replica is not None
        changes = [
            peer.view_change
            for peer in self.replica._state.peers.values()
            if peer.view_change is not None and peer.view_change.message.view == view
        ]
        changes += [c for c in message.message.view_changes if c.signer == self.name]
        known = {change.signer: change for change in changes}
        for name in to:
            names = sorted(known)
            self.world.random.shuffle(names)
            chosen = tuple(known[s] for s in sorted(names[: self.world.validators.quorum]))
            if len(chosen) < self.world.validators.quorum:
                return super().send(to, message)
            due = content(change.message for change in chosen)
            proposals = tuple(
                Proposal(n, digest, self.signed(PrePrepare(view, n, digest)).signature)
                for n, digest in due.digests
            )
            self.put([name], NewView(view, chosen, proposals))
        return None


class LowProposer(Adversary):
    """As primary proposes at heights long settled and far ahead, beside its honest part."""

    def send(self, to: list[str], message: AnySigned | UnsignedMessage) -> None:
        super().send(to, message)
        if isinstance(message, Signed) and isinstance(message.message, PrePrepare | NewView):
            view = message.message.view
            assert self.replica is not None
            certified = self.replica.status.certified
            for n in range(max(1, certified - 2), certified + 12):
                body = Body(Height(n), view, self.name, self.now_ms, (sha256(b"low%d" % n),))
                self.bodies[body.digest] = body
                self.put(to, PrePrepare(view, Height(n), body.digest), body)


class Mutator(Adversary):
    """Changes a field of its own messages now and then and signs the result."""

    def send(self, to: list[str], message: AnySigned | UnsignedMessage) -> None:
        if isinstance(message, Signed) and self.world.random.random() < 0.3:
            for name in to:
                self.put([name], self._mutate(message.message))
            return None
        return super().send(to, message)

    def _mutate(self, message: SignedMessage) -> SignedMessage:
        random = self.world.random
        choice = random.randint(0, 3)
        if choice == 0 and hasattr(message, "view"):
            view = View(max(0, message.view + random.choice((-1, 1, 5, 2**31))))
            return replace(message, view=view)
        if choice == 1 and hasattr(message, "n"):
            return replace(message, n=Height(max(0, message.n + random.choice((-1, 1, 4, 9)))))
        if choice == 2 and isinstance(message, PrePrepare | Prepare | Commit):
            return replace(message, digest=sha256(message.digest))
        if isinstance(message, Checkpoint):
            return replace(message, header_hash=sha256(message.header_hash))
        return message


class Stormer(Adversary):
    """Storms with VIEW-CHANGEs and SUSPECTs, one of them for view 2^31."""

    def send(self, to: list[str], message: AnySigned | UnsignedMessage) -> None:
        super().send(to, message)
        if isinstance(message, Signed) and message.message.kind == 8 and self.replica is not None:
            s = self.replica._state
            view = View(s.view + self.world.random.choice((1, 2, 7, 2**31)))
            self.put(to, ViewChange(view, s.h, s.h_hash, s.certificate, ()))
            self.put(to, Suspect(View(s.view + 3), s.h, 1))


class LyingServer(Adversary):
    """Claims a height of a million and serves blocks that are not the chain's."""

    def send(self, to: list[str], message: AnySigned | UnsignedMessage) -> None:
        if isinstance(message, Signed) and message.message.kind == 8:
            lie = replace(message.message, h=Height(10**6), executed=Height(10**6))
            return self.put(to, lie)
        return super().send(to, message)

    def _serve_blocks(self, sender: str, first: Height) -> None:
        blocks = tuple(self.disk.blocks[n] for n in sorted(self.disk.blocks) if n >= first)
        wrong = tuple(replace(block, time_ms=TimeMs(block.time_ms + 1)) for block in blocks[:16])
        answer = BlocksAnswer(wrong, dict(self.disk.certificates))
        self.world.deliver(self.name, sender, answer)


class Selective(Adversary):
    """Starves f of the others: they get nothing from it."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.starved = self.halves()[0][: world.validators.f]

    def send(self, to: list[str], message: AnySigned | UnsignedMessage) -> None:
        super().send([name for name in to if name not in self.starved], message)


class Twin(Adversary):
    """One key run twice: each twin talks to its own part of the network."""

    def __init__(self, world: World, name: str, side: list[str]) -> None:
        super().__init__(world, name)
        self.side = side

    def send(self, to: list[str], message: AnySigned | UnsignedMessage) -> None:
        super().send([name for name in to if name in self.side], message)

    def step(self, event: object) -> None:
        if isinstance(event, Received) and event.sender not in self.side:
            return
        super().step(event)  # type: ignore[arg-type]


def make_twins(world: World, name: str) -> list[Adversary]:
    others = [other for other in world.names if other != name]
    world.random.shuffle(others)
    middle = world.random.randint(1, len(others) - 1)
    overlap = others[middle : middle + world.random.randint(0, 1)]
    return [
        Twin(world, name, others[:middle] + overlap),
        Twin(world, name, others[middle:]),
    ]


KINDS: dict[str, type[Adversary]] = {
    "equivocator": Equivocator,
    "yes-sayer": YesSayer,
    "hider": Hider,
    "bad-leader": BadLeader,
    "forking-leader": ForkingLeader,
    "low-proposer": LowProposer,
    "mutator": Mutator,
    "stormer": Stormer,
    "lying-server": LyingServer,
    "selective": Selective,
}
