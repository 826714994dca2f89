"""What is small about the small scope, and the material that every run in it is made of.

A `Scope` says how many validators, which of them lie, and how many views, heights and values there
are. `World` makes the product's own objects for it: bodies, votes, certificates, VIEW-CHANGEs and
NEW-VIEWs, each put through the real `Verifier` as bytes before anyone may receive it. Signatures
are the simulator's keyed hashes. Certificates are made from the first q validators by name: who
the signers were makes no difference to anyone, only that there was a quorum.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from consensus.config import Config
from consensus.messages import (
    KIND_PRE_PREPARE,
    KIND_PREPARE,
    Checkpoint,
    Commit,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    SignedMessage,
    ViewChange,
)
from consensus.new_view import content
from consensus.verifier import Domain, Signed, Verifier, sign
from ledger.block import Body, null_digest
from ledger.certificate import Certificate, checkpoint_bytes, message_bytes
from ledger.errors import QiongError
from ledger.hashing import sha256
from ledger.types import Digest, Epoch, Height, TimeMs, View
from ledger.validators import Validator, ValidatorSet
from tests.simulation.world import Keys

CHAIN: Final = sha256(b"model chain")
BASE_HASH: Final = sha256(b"model header 0")
NOW_MS: Final = TimeMs(1_700_000_000_000)
"""Time stands still: time-outs are free choices here."""

LETTERS: Final = "abcdef"


@dataclass(frozen=True)
class Scope:
    """`byzantine` are places in the validator set; place v leads view v. `window` is W.

    A Byzantine primary proposes up to `values[n - 1]` bodies for height n in each view, an honest
    one proposes one. Without `execution` replicas only agree on the order (nobody decides, executes
    or certifies), which brings n = 7 within reach; forks still show, in COMMITs. `crash` lets every
    honest replica crash and recover, at any time and inside any turn, any number of times.
    """

    n: int = 4
    views: int = 2
    heights: int = 2
    window: int = 2
    byzantine: tuple[int, ...] = (0,)
    values: tuple[int, ...] = (2, 2)
    execution: bool = True
    crash: bool = False

    def __str__(self) -> str:
        liars = ",".join(str(place) for place in self.byzantine)
        notes = ["" if self.execution else ", order only", ", crashes" if self.crash else ""]
        values = "+".join(map(str, self.values[: self.heights]))
        return (
            f"n={self.n} views={self.views} heights={self.heights} W={self.window} "
            f"values={values} liars at {liars}{''.join(notes)}"
        )


class Change(NamedTuple):
    """What a VIEW-CHANGE says, without who says it. `prepared` holds (n, view, digest)."""

    view: int
    stable_n: int
    stable_hash: Digest
    prepared: tuple[tuple[int, int, Digest], ...]


class Choice(NamedTuple):
    """What a NEW-VIEW says. `lo` and `hi` follow from the VIEW-CHANGEs, by the paper's words."""

    view: int
    lo: int
    lo_hash: Digest
    hi: int
    proposals: tuple[tuple[int, Digest], ...]


@dataclass
class World:
    """The cast and the props of one scope."""

    scope: Scope
    names: list[str] = field(init=False)
    bodies: dict[Digest, Body] = field(default_factory=dict)
    labels: dict[Digest, str] = field(default_factory=dict)
    chains: dict[Digest, tuple[Digest, ...]] = field(default_factory=dict)
    """Header hash to the digests of its chain, heights 1..n."""
    shown: dict[Choice, tuple[Change, ...]] = field(default_factory=dict)
    """For each NEW-VIEW the VIEW-CHANGEs it shows, any that oblige to it."""
    dues: dict[frozenset[Change], tuple[tuple[int, Digest], ...]] = field(default_factory=dict)
    """O for each set of VIEW-CHANGEs that a quorum could show."""

    def __post_init__(self) -> None:
        scope = self.scope
        self.names = [f"org-{place:02d}" for place in range(scope.n)]
        self.keys = Keys(self.names)
        self.validators = ValidatorSet(
            tuple(Validator(name, self.keys.publics[name]) for name in self.names)
        )
        self.quorum = self.validators.quorum
        self.domain = Domain(CHAIN, Epoch(0), self.validators, scope.window, Height(0), BASE_HASH)
        self.verifier = Verifier(self.domain, self.keys.check)
        self.liars = [self.names[place] for place in scope.byzantine]
        self.honest_needed = max(1, self.quorum - len(self.liars))
        """Honest votes that make a quorum with those of all liars."""
        self._signed: dict[tuple[object, ...], Signed[Any] | None] = {}
        self._changes: dict[Change, ViewChange] = {}
        self._stated: dict[bytes, Change | Choice] = {}
        self.chains[BASE_HASH] = ()
        for n in range(1, scope.heights + 3):
            self.labels[null_digest(Height(n))] = f"NULL{n}"

    def config(self, name: str) -> Config:
        return Config(self.domain, name)

    def primary(self, view: int) -> str:
        return self.validators.primary(View(view))

    def lies(self, view: int) -> bool:
        return self.primary(view) in self.liars

    # --- values and the ledger ---

    def body(self, view: int, n: int, number: int) -> Body:
        """The `number`-th body that the primary of `view` may propose for height `n`."""
        letter = LETTERS[number]
        body = Body(Height(n), View(view), self.primary(view), NOW_MS, (sha256(letter.encode()),))
        self.bodies[body.digest] = body
        self.labels[body.digest] = f"{letter}{n}@v{view}"
        return body

    def header_hash(self, chain: Sequence[Digest]) -> Digest:
        """The header after executing `chain`: a function of history alone."""
        made = BASE_HASH
        for digest in chain:
            made = sha256(made + digest)
        self.chains[made] = tuple(chain)
        return made

    def name(self, digest: Digest) -> str:
        """For people."""
        if digest in self.chains:
            return "[" + " ".join(self.labels[item] for item in self.chains[digest]) + "]"
        return self.labels.get(digest, digest.hex()[:8])

    # --- messages ---

    def _verified(self, signer: str, message: SignedMessage) -> Signed[Any] | None:
        """The message as a link would bring it, or None if the verifier refuses it."""
        signed = sign(self.domain, signer, message, self.keys.signer(signer))
        try:
            received = self.verifier.verify(signed.encode())
        except QiongError:
            return None
        assert isinstance(received, Signed)
        return received

    def vote(self, signer: str, kind: int, view: int, n: int, digest: Digest) -> Signed[Any]:
        """A vote; a PREPARE by the primary of `view` is its PRE-PREPARE."""
        if kind == KIND_PREPARE and signer == self.primary(view):
            kind = KIND_PRE_PREPARE
        key = (signer, kind, view, n, digest)
        if key not in self._signed:
            make = {1: PrePrepare, 2: Prepare, 3: Commit}[kind]
            self._signed[key] = self._verified(signer, make(View(view), Height(n), digest))
        signed = self._signed[key]
        assert signed is not None, f"the verifier refuses {key}"
        return signed

    def checkpoint(self, signer: str, n: int, header_hash: Digest) -> Signed[Any]:
        key = (signer, "checkpoint", n, header_hash)
        if key not in self._signed:
            self._signed[key] = self._verified(signer, Checkpoint(Height(n), header_hash))
        signed = self._signed[key]
        assert signed is not None, f"the verifier refuses {key}"
        return signed

    def certificate(self, n: int, header_hash: Digest) -> Certificate | None:
        """The Certificate of header `n`; None at the base, which needs none."""
        if n == 0:
            return None
        data = checkpoint_bytes(CHAIN, Epoch(0), Height(n), header_hash)
        signatures = tuple(
            (name, self.keys.signer(name)(data)) for name in self.names[: self.quorum]
        )
        return Certificate(Epoch(0), Height(n), header_hash, signatures)

    def prepared(
        self, n: int, view: int, digest: Digest, signers: int | None = None
    ) -> PreparedCertificate:
        """A prepared certificate by the first `signers` (a quorum unless said) validators."""
        primary = self.primary(view)
        pairs = []
        for name in self.names[: self.quorum if signers is None else signers]:
            kind = KIND_PRE_PREPARE if name == primary else KIND_PREPARE
            data = message_bytes(CHAIN, Epoch(0), kind, [view, n, digest])
            pairs.append((name, self.keys.signer(name)(data)))
        return PreparedCertificate(Height(n), View(view), digest, tuple(pairs))

    def view_change_message(self, change: Change) -> ViewChange:
        if change not in self._changes:
            self._changes[change] = ViewChange(
                View(change.view),
                Height(change.stable_n),
                change.stable_hash,
                self.certificate(change.stable_n, change.stable_hash),
                tuple(self.prepared(*item) for item in change.prepared),
            )
        return self._changes[change]

    def view_change(self, signer: str, change: Change) -> Signed[ViewChange] | None:
        """The VIEW-CHANGE; None if the verifier refuses it."""
        key = (signer, change)
        if key not in self._signed:
            self._signed[key] = self._verified(signer, self.view_change_message(change))
        return self._signed[key]

    def new_view(
        self, changes: Iterable[Change], proposals: tuple[tuple[int, Digest], ...]
    ) -> Signed[NewView] | None:
        """The NEW-VIEW showing these q VIEW-CHANGEs; None if the verifier refuses it."""
        shown = tuple(sorted(changes))
        key = ("new-view", shown, proposals)
        if key in self._signed:
            return self._signed[key]
        view = shown[0].view
        primary = self.primary(view)
        signed = []
        for name, change in zip(self.names, shown, strict=False):
            message = self.view_change_message(change)
            signed.append(sign(self.domain, name, message, self.keys.signer(name)))
        offered = tuple(
            Proposal(
                Height(n),
                digest,
                self.vote(primary, KIND_PRE_PREPARE, view, n, digest).signature,
            )
            for n, digest in proposals
        )
        made = self._verified(primary, NewView(View(view), tuple(signed), offered))
        self._signed[key] = made
        return made

    # --- what messages say ---

    def obliged(self, changes: Iterable[Change]) -> tuple[tuple[int, Digest], ...]:
        """O as the product computes it from VIEW-CHANGEs with this content."""
        key = frozenset(changes)
        if key not in self.dues:
            due = content([self.view_change_message(change) for change in sorted(key)])
            self.dues[key] = tuple((int(n), digest) for n, digest in due.digests)
        return self.dues[key]

    def choice(
        self, changes: tuple[Change, ...], proposals: tuple[tuple[int, Digest], ...]
    ) -> Choice:
        """What a NEW-VIEW with these says; lo and hi are taken from the definition."""
        top = max(changes, key=lambda change: change.stable_n)
        named = [n for change in changes for n, _, _ in change.prepared]
        hi = max([top.stable_n, *named])
        made = Choice(changes[0].view, top.stable_n, top.stable_hash, hi, proposals)
        self.shown.setdefault(made, tuple(sorted(changes)))
        return made

    def change_of(self, signed: Signed[ViewChange]) -> Change:
        """The content of a VIEW-CHANGE."""
        if signed.signature not in self._stated:
            self._stated[signed.signature] = change_of(signed.message)
        stated = self._stated[signed.signature]
        assert isinstance(stated, Change)
        return stated

    def choice_of(self, signed: Signed[NewView]) -> Choice:
        """The content of a NEW-VIEW."""
        if signed.signature not in self._stated:
            message = signed.message
            changes = tuple(change_of(item.message) for item in message.view_changes)
            proposals = tuple((int(item.n), item.digest) for item in message.proposals)
            self._stated[signed.signature] = self.choice(changes, proposals)
        stated = self._stated[signed.signature]
        assert isinstance(stated, Choice)
        return stated


def change_of(message: ViewChange) -> Change:
    prepared = tuple((int(item.n), int(item.view), item.digest) for item in message.prepared)
    return Change(message.view, message.stable_n, message.stable_hash, prepared)
