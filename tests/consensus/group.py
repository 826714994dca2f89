"""One replica driven by hand, and the rest of its group as keys that sign whatever a test needs.

No driver, network or disk: a test gives an event and reads the effects. Signatures are a keyed hash
(nobody can sign for another), so a test may hold thousands; `test_verifier` uses Ed25519.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from consensus.config import TICK_MS, Config, HeaderSummary, LedgerHead
from consensus.effects import (
    DURABLE,
    Alarm,
    AppendDecided,
    Broadcast,
    CheckBody,
    Effect,
    Evidence,
    Execute,
    Persist,
    PersistBody,
    SaveCertificate,
    Send,
)
from consensus.events import (
    BodyChecked,
    Event,
    Executed,
    OwnVoteAnswered,
    Propose,
    Received,
    Tick,
)
from consensus.messages import (
    Checkpoint,
    Commit,
    Envelope,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    SignedMessage,
    Status,
    Suspect,
    UnsignedMessage,
    ViewChange,
)
from consensus.new_view import content
from consensus.records import NewViewTaken, Prepared, PrePrepared, Record, ViewChanged
from consensus.replica import Replica
from consensus.verifier import AnySigned, Domain, Signed, Verifier, sign
from consensus.view_change import active_suspects
from ledger.block import Body, null_digest
from ledger.certificate import Certificate, checkpoint_bytes
from ledger.hashing import sha256
from ledger.types import Digest, Epoch, Height, PublicKey, Signature, TimeMs, View
from ledger.validators import Validator, ValidatorSet

START_MS = 1_700_000_000_000
CHAIN = sha256(b"the chain of the unit tests")
BASE_HASH = sha256(b"header 0 of the unit tests")

ItemT = TypeVar("ItemT")


def digest(name: str) -> Digest:
    return sha256(name.encode())


def header(n: int) -> Digest:
    """The hash of the one right header of height `n`."""
    return BASE_HASH if n == 0 else digest(f"header {n}")


class Group:
    """The validators org-0 .. of one epoch, with every key at hand. org-0 leads view 0."""

    def __init__(self, n: int = 4, *, window: int = 4, epoch: int = 0, base: int = 0) -> None:
        self.names = [f"org-{index:02d}" for index in range(n)]
        self._secrets = {name: digest(f"secret of {name}") for name in self.names}
        publics = {name: PublicKey(b"\x01" + sha256(self._secrets[name])) for name in self.names}
        self._by_public = {publics[name]: self._secrets[name] for name in self.names}
        self.validators = ValidatorSet(tuple(Validator(name, publics[name]) for name in self.names))
        self.domain = Domain(
            CHAIN, Epoch(epoch), self.validators, window, Height(base), header(base)
        )
        self.verifier = Verifier(self.domain, self.check)
        self.quorum = self.validators.quorum
        self.weak = self.validators.f + 1

    def signer(self, name: str) -> Callable[[bytes], Signature]:
        secret = self._secrets[name]
        return lambda data: Signature(b"\x01" + sha256(secret + data) * 2)

    def check(self, public: PublicKey, data: bytes, signature: Signature) -> bool:
        secret = self._by_public[public]
        return signature == Signature(b"\x01" + sha256(secret + data) * 2)

    def sign(self, signer: str, message: Any) -> Signed[Any]:
        return sign(self.domain, signer, message, self.signer(signer))

    def primary(self, view: int) -> str:
        return self.validators.primary(View(view))

    def pre_prepare(self, view: int, n: int, d: Digest) -> Signed[PrePrepare]:
        return self.sign(self.primary(view), PrePrepare(View(view), Height(n), d))

    def prepare(self, signer: str, view: int, n: int, d: Digest) -> Signed[Prepare]:
        return self.sign(signer, Prepare(View(view), Height(n), d))

    def commit(self, signer: str, view: int, n: int, d: Digest) -> Signed[Commit]:
        return self.sign(signer, Commit(View(view), Height(n), d))

    def checkpoint(
        self, signer: str, n: int, header_hash: Digest | None = None
    ) -> Signed[Checkpoint]:
        return self.sign(signer, Checkpoint(Height(n), header_hash or header(n)))

    def certificate(
        self, n: int, header_hash: Digest | None = None, signers: Iterable[str] | None = None
    ) -> Certificate:
        """Of the first q, or of `signers`."""
        header_hash = header_hash or header(n)
        data = checkpoint_bytes(CHAIN, self.domain.epoch, Height(n), header_hash)
        names = self.names[: self.quorum] if signers is None else signers
        pairs = tuple((name, self.signer(name)(data)) for name in names)
        return Certificate(self.domain.epoch, Height(n), header_hash, pairs)

    def prepared(
        self, view: int, n: int, d: Digest, signers: Iterable[str] | None = None
    ) -> PreparedCertificate:
        """Of the first q, or of `signers`; the primary of `view` signs PRE-PREPARE."""
        names = self.names[: self.quorum] if signers is None else signers
        pairs: list[tuple[str, Signature]] = []
        for name in names:
            if name == self.primary(view):
                pairs.append((name, self.pre_prepare(view, n, d).signature))
            else:
                pairs.append((name, self.prepare(name, view, n, d).signature))
        return PreparedCertificate(Height(n), View(view), d, tuple(pairs))

    def view_change(
        self,
        signer: str,
        view: int,
        stable: int = 0,
        prepared: Sequence[PreparedCertificate] = (),
        certificate: Certificate | None = None,
    ) -> Signed[ViewChange]:
        if certificate is None and stable > self.domain.base:
            certificate = self.certificate(stable)
        message = ViewChange(
            View(view), Height(stable), header(stable), certificate, tuple(prepared)
        )
        return self.sign(signer, message)

    def new_view(
        self,
        view: int,
        changes: Iterable[Envelope[ViewChange]] | None = None,
        proposals: Sequence[tuple[int, Digest]] | None = None,
    ) -> Signed[NewView]:
        """Of these VIEW-CHANGEs (empty ones of the first q); `proposals` None: what follows."""
        if changes is None:
            changes = [self.view_change(name, view) for name in self.names[: self.quorum]]
        changes = tuple(sorted(changes, key=lambda change: change.signer))
        due = content(change.message for change in changes).digests
        pairs = due if proposals is None else proposals
        items = tuple(
            Proposal(Height(n), d, self.pre_prepare(view, n, d).signature) for n, d in pairs
        )
        return self.sign(self.primary(view), NewView(View(view), changes, items))

    def body(
        self, n: int, view: int = 0, *, at_ms: int = START_MS, name: str = "a", **changes: Any
    ) -> Body:
        fields: dict[str, Any] = {
            "n": Height(n),
            "first_view": View(view),
            "proposer": self.primary(view),
            "timestamp_ms": TimeMs(at_ms),
            "transaction_digests": (digest(name),),
        }
        return Body(**{**fields, **changes})


class Solo:
    """One replica of `group`, and what it did. `now` is the wall clock; `wal` what it persisted."""

    def __init__(
        self,
        group: Group,
        name: str = "org-01",
        *,
        begun: bool = True,
        records: Sequence[Record] = (),
        head: LedgerHead | None = None,
        now: int = START_MS,
        **config: Any,
    ) -> None:
        self.group = group
        self.name = name
        self.config = Config(group.domain, name, **config)
        self.now = now
        self.others = [other for other in group.names if other != name]
        self.wal: list[Record] = list(records)
        self.bodies: dict[Digest, Height] = {}
        self.appended: dict[int, Digest] = {}
        self.headers: dict[Height, HeaderSummary] = {}
        self.certificates: dict[int, Certificate] = {}
        self.replica = Replica(self.config, group.signer(name))
        self.set_header(group.domain.base)
        base = group.domain.base
        if head is None:
            head = LedgerHead(base, None, base, (), {}, self.headers.get)
        self.effects = self._note(self.replica.recover(TimeMs(now), records, head, group.verifier))
        if begun:
            self.begin()

    def begin(self) -> list[Effect]:
        """Let the peers answer that they hold no vote of ours."""
        effects: list[Effect] = []
        for other in self.others[: self.group.quorum - 1]:
            effects += self.step(OwnVoteAnswered(self.at(), other, ()))
        return effects

    def restart(self, *, begun: bool = True, records: Sequence[Record] | None = None) -> Solo:
        """A new process on the same disk; `records` in the place of the whole log."""
        certified = max(self.certificates, default=self.group.domain.base)
        executed = max(self.headers)
        head = LedgerHead(
            certified=Height(certified),
            certificate=self.certificates.get(certified),
            executed=executed,
            appended=tuple((Height(n), d) for n, d in self.appended.items() if n > executed),
            bodies={d: n for d, n in self.bodies.items() if n > certified},
            header=self.headers.get,
        )
        config = {
            field: getattr(self.config, field)
            for field in self.config.__dataclass_fields__
            if field not in ("domain", "me")
        }
        again = Solo(
            self.group,
            self.name,
            begun=False,
            records=self.wal if records is None else records,
            head=head,
            now=self.now,
            **config,
        )
        again.bodies.update(head.bodies)
        again.appended.update(self.appended)
        again.headers.update(self.headers)
        again.certificates.update(self.certificates)
        if begun:
            again.begin()
        return again

    def at(self) -> TimeMs:
        return TimeMs(self.now)

    def set_header(self, n: int, time_ms: int | None = None) -> HeaderSummary:
        summary = HeaderSummary(header(n), TimeMs(START_MS + n if time_ms is None else time_ms))
        self.headers[Height(n)] = summary
        return summary

    # --- events ---

    def step(self, event: Event) -> list[Effect]:
        self.effects = self._note(self.replica.step(event))
        return self.effects

    def _note(self, effects: list[Effect]) -> list[Effect]:
        """Keep what is durable, and demand that it comes before the message that rests on it."""
        for effect in effects:
            if isinstance(effect, Persist | PersistBody | AppendDecided):
                assert isinstance(effect, DURABLE), "the driver would not write it first"
            if isinstance(effect, Persist):
                record = effect.record
                if isinstance(record, PrePrepared):
                    assert record.digest in self.bodies, "a crash here would leave the vote alone"
                self.wal.append(record)
            elif isinstance(effect, PersistBody):
                self.bodies[effect.digest] = effect.n
            elif isinstance(effect, Execute):
                self.appended[effect.n] = effect.digest
            elif isinstance(effect, SaveCertificate):
                self.certificates[effect.certificate.n] = effect.certificate
            elif isinstance(effect, Broadcast | Send):
                assert self._rests_on_disk(effect.message), f"unrecorded: {effect.message}"
        return effects

    def _rests_on_disk(self, signed: AnySigned | UnsignedMessage) -> bool:
        """The durability table of the design, for our own messages."""
        if not isinstance(signed, Signed) or signed.signer != self.name:
            return True
        message, wal = signed.message, self.wal
        if isinstance(message, Checkpoint):
            return message.n in self.headers
        if isinstance(message, ViewChange):
            return ViewChanged(signed.epoch, signed.encode()) in wal
        if isinstance(message, NewView):
            return NewViewTaken(signed.epoch, signed.encode()) in wal
        position = position_of(message)
        if position is None:
            return True
        view, n = position
        if isinstance(message, Commit):
            held = [item.certificate for item in wal if isinstance(item, Prepared)]
            return (view, n, message.digest) in [(c.view, c.n, c.digest) for c in held]
        fresh = [item for item in wal if isinstance(item, PrePrepared)]
        if (view, n, message.digest) in [(item.view, item.n, item.digest) for item in fresh]:
            return message.digest in self.bodies
        taken = [self.group.verifier.verify(r.message) for r in wal if isinstance(r, NewViewTaken)]
        return (view, n, message.digest) in [
            (item.message.view, proposal.n, proposal.digest)
            for item in taken
            for proposal in item.message.proposals
        ]

    def receive(self, signed: AnySigned, link: str | None = None) -> list[Effect]:
        """As it comes over a link: encoded, verified, and from its signer unless `link` says."""
        verified = self.group.verifier.verify(signed.encode())
        assert isinstance(verified, Signed)
        return self.step(Received(self.at(), link or signed.signer, verified))

    def receive_all(self, messages: Iterable[AnySigned]) -> list[Effect]:
        effects: list[Effect] = []
        for message in messages:
            effects += self.receive(message)
        return effects

    def tick(self, count: int = 1, *, waiting: bool = False) -> list[Effect]:
        """Let `count` ticks pass; returns the effects of all."""
        effects: list[Effect] = []
        for _ in range(count):
            self.now += TICK_MS
            effects += self.step(Tick(self.at(), waiting))
        return effects

    def hear(self, *names: str, view: int = 0, h: int = 0, **fields: Any) -> list[Effect]:
        """A STATUS of each (of all others if none is named)."""
        effects: list[Effect] = []
        for name in names or self.others:
            status: dict[str, Any] = {
                "h": Height(h),
                "executed": Height(h),
                "view": View(view),
                "in_view_change": False,
                "missing": None,
                **fields,
            }
            effects += self.receive(self.group.sign(name, Status(**status)))
        return effects

    def live(self, milliseconds: int, *, waiting: bool = False, view: int = 0) -> list[Effect]:
        """Let time pass in contact with everyone."""
        effects: list[Effect] = []
        for _ in range(milliseconds // TICK_MS):
            effects += self.hear(view=view)
            effects += self.tick(waiting=waiting)
        return effects

    @property
    def suspects(self) -> list[str]:
        """Whose SUSPECTs count now, against the present view."""
        return [name for name, _ in active_suspects(self.replica._state)]

    def suspect(self, *names: str, view: int = 0, h: int = 0) -> list[Effect]:
        message = Suspect(View(view), Height(h), 1)
        return self.receive_all([self.group.sign(name, message) for name in names])

    # --- parts of the normal case ---

    def take(self, body: Body, *, view: int | None = None, ok: bool = True) -> list[Effect]:
        """Receive the primary's proposal and let the driver answer about its body."""
        view = body.first_view if view is None else view
        effects = self.receive(self.group.pre_prepare(view, body.n, body.digest))
        if of(effects, CheckBody):
            effects = effects + self.step(BodyChecked(self.at(), body.digest, body, ok))
        return effects

    def propose(self, body: Body) -> list[Effect]:
        return self.step(Propose(self.at(), body))

    def prepares(self, view: int, n: int, d: Digest, *names: str) -> list[Effect]:
        """PREPAREs of `names`, of all others if none is named."""
        return self.receive_all(
            self.group.prepare(name, view, n, d)
            for name in names or self.others
            if name != self.group.primary(view)
        )

    def commits(self, view: int, n: int, d: Digest, *names: str) -> list[Effect]:
        return self.receive_all(
            self.group.commit(name, view, n, d) for name in names or self.others
        )

    def checkpoints(self, n: int, *names: str) -> list[Effect]:
        return self.receive_all(self.group.checkpoint(name, n) for name in names or self.others)

    def executed(self, n: int, time_ms: int | None = None) -> list[Effect]:
        summary = self.set_header(n, time_ms)
        return self.step(Executed(self.at(), Height(n), summary.hash, summary.time_ms))

    def prepare_height(self, n: int, view: int = 0) -> Body:
        """Bring `n` to prepared: our PREPARE and COMMIT are out."""
        body = self.group.body(n, view, at_ms=self.now)
        if self.group.primary(view) == self.name:
            self.propose(body)
        else:
            self.take(body)
        self.prepares(view, n, body.digest)
        return body

    def decide(self, n: int, view: int = 0) -> Body:
        """Bring `n` to decided: it is appended and executes."""
        body = self.prepare_height(n, view)
        self.commits(view, n, body.digest)
        return body

    def run(self, last: int, view: int = 0, *, header_ms: int | None = None) -> None:
        """Certify every height up to `last`."""
        for n in range(self.replica.status.certified + 1, last + 1):
            self.decide(n, view)
            self.executed(n, header_ms)
            self.checkpoints(n)
        assert self.replica.status.certified == last

    def enter(self, view: int, changes: Iterable[Envelope[ViewChange]] | None = None) -> None:
        """Follow the others into `view`."""
        self.receive(self.group.new_view(view, changes))
        assert self.replica.status.view == view
        assert not self.replica.status.in_view_change


# --- reading effects ---


def of(effects: Iterable[Effect], kind: type[ItemT]) -> list[ItemT]:
    """The effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


def sent(effects: Iterable[Effect], kind: type[ItemT]) -> list[ItemT]:
    """The messages of one kind that were broadcast."""
    found = [item.message for item in of(effects, Broadcast) if isinstance(item.message, Signed)]
    return [item.message for item in found if isinstance(item.message, kind)]


def sent_to(effects: Iterable[Effect], kind: type[ItemT]) -> list[tuple[str, ItemT]]:
    """The messages of one kind that went to one peer, signed or not."""
    pairs: list[tuple[str, ItemT]] = []
    for item in of(effects, Send):
        message: object = item.message
        if isinstance(message, Signed):
            message = message.message
        if isinstance(message, kind):
            pairs.append((item.to, message))
    return pairs


def recorded(effects: Iterable[Effect], kind: type[ItemT]) -> list[ItemT]:
    """The records of one kind that were persisted."""
    return [item.record for item in of(effects, Persist) if isinstance(item.record, kind)]


def alarms(effects: Iterable[Effect]) -> list[Alarm]:
    return of(effects, Alarm)


def accused(effects: Iterable[Effect]) -> list[str]:
    """Who is accused by evidence."""
    return [item.second.signer for item in of(effects, Evidence)]


def position_of(message: SignedMessage) -> tuple[int, int] | None:
    """(view, n) of a PRE-PREPARE, PREPARE or COMMIT."""
    if isinstance(message, PrePrepare | Prepare | Commit):
        return message.view, message.n
    return None


def null(n: int) -> Digest:
    return null_digest(Height(n))
