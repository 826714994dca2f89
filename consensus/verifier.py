"""The one gate between bytes from a link and the replica: nothing unverified passes.

`Verifier.verify` decodes strictly, checks that the signer is a validator of the epoch, its
signature, and for VIEW-CHANGE and NEW-VIEW every signature inside and whether the content follows
from it. What comes out is `Signed`, and only this module and `sign` below make one.

Each signature is checked once: votes come back inside prepared certificates and those inside
VIEW-CHANGEs, so verified ones are remembered by digest, first in, first out.

Left out: whether a message is of use now. That is the replica's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

from consensus.messages import (
    KIND_PRE_PREPARE,
    KIND_PREPARE,
    Checkpoint,
    Envelope,
    MessageT_co,
    NewView,
    OwnVote,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    SignedMessage,
    UnsignedMessage,
    ViewChange,
    Vote,
    decode,
)
from consensus.new_view import content
from ledger import canonical, keys
from ledger.certificate import Certificate, CertificateInvalid, message_bytes
from ledger.errors import InvalidInput
from ledger.hashing import sha256
from ledger.types import Digest, Epoch, Height, PublicKey, Signature
from ledger.validators import ValidatorSet

VERIFIED_MAX: Final = 16_384
"""Signatures remembered: 4 votes of 32 validators for each of 2W heights fit sixteen times."""

Check: TypeAlias = Callable[[PublicKey, bytes, Signature], bool]
Sign: TypeAlias = Callable[[bytes], Signature]


class MessageRefused(InvalidInput):
    """A well-formed message that proves nothing: its sender lies, is lost or is of another epoch.

    `signer` is the claimed signer, who need not have sent it.
    """

    code = "message_refused"

    def __init__(self, signer: str, reason: str) -> None:
        self.signer = signer
        self.reason = reason
        super().__init__(f"message of {signer}: {reason}")


class WrongEpoch(MessageRefused):
    """A message of another epoch: late, or from a peer that is ahead."""

    code = "wrong_epoch"

    def __init__(self, signer: str, expected: Epoch, got: Epoch) -> None:
        self.expected = expected
        self.got = got
        super().__init__(signer, f"epoch {got}, this is {expected}")


@dataclass(frozen=True, slots=True)
class Signed(Envelope[MessageT_co], Generic[MessageT_co]):
    """A message whose signature, and every signature inside, has been verified."""


AnySigned: TypeAlias = Signed[SignedMessage]
OwnT = TypeVar("OwnT", bound=SignedMessage)


@dataclass(frozen=True, slots=True)
class Domain:
    """What every signature of one epoch covers, and where the epoch starts.

    `base` and `base_hash` are the height and header hash that the epoch follows: header 0 of
    genesis, or the last block of the epoch before.
    """

    chain_id: Digest
    epoch: Epoch
    validators: ValidatorSet
    window: int
    base: Height
    base_hash: Digest


def sign(domain: Domain, signer: str, message: OwnT, key: Sign) -> Signed[OwnT]:
    """Sign one's own `message`: as good as verified."""
    data = message_bytes(domain.chain_id, domain.epoch, message.kind, message.to_value())
    return Signed(domain.epoch, signer, message, key(data))


def proposals_of(new_view: Signed[NewView]) -> list[Signed[PrePrepare]]:
    """The PRE-PREPAREs inside a verified NEW-VIEW, ascending in n."""
    view = new_view.message.view
    return [
        Signed(
            new_view.epoch, new_view.signer, PrePrepare(view, item.n, item.digest), item.signature
        )
        for item in new_view.message.proposals
    ]


def votes_of(epoch: Epoch, prepared: PreparedCertificate, primary: str) -> list[Signed[Vote]]:
    """The votes inside a verified prepared certificate of a view led by `primary`."""
    position = (prepared.view, prepared.n, prepared.digest)
    return [
        Signed(epoch, signer, PrePrepare(*position), signature)
        if signer == primary
        else Signed(epoch, signer, Prepare(*position), signature)
        for signer, signature in prepared.signatures
    ]


def checkpoint_of(certificate: Certificate, signer: str) -> Signed[Checkpoint] | None:
    """The CHECKPOINT of `signer` inside a verified Certificate, None if it holds none."""
    signature = dict(certificate.signatures).get(signer)
    if signature is None:
        return None
    message = Checkpoint(certificate.n, certificate.header_hash)
    return Signed(certificate.epoch, signer, message, signature)


class Verifier:
    """Verifies the messages of one epoch. `check` is the signature rule (Ed25519 by libsodium)."""

    def __init__(self, domain: Domain, check: Check = keys.verify) -> None:
        self._domain = domain
        self._check = check
        self._verified: dict[Digest, None] = {}

    def verify(self, data: bytes) -> AnySigned | UnsignedMessage:
        """Read one frame of a peer link.

        Raises `DecodingError` or `FieldError` for its form, `WrongEpoch`, `CertificateInvalid` or
        `MessageRefused` for its content.
        """
        message = decode(data)
        return self._signed(message) if isinstance(message, Envelope) else message

    def own_votes(self, answer: OwnVote) -> tuple[AnySigned, ...]:
        """The votes inside a peer's answer to OWN-VOTE. Raises as `verify` does."""
        votes: list[AnySigned] = []
        for data in answer.votes:
            vote = self.verify(data)
            if not isinstance(vote, Signed):
                raise MessageRefused("unknown", "an OWN-VOTE without a signed vote")
            votes.append(vote)
        return tuple(votes)

    def _signed(self, envelope: Envelope[MessageT_co]) -> Signed[MessageT_co]:
        signer, message = envelope.signer, envelope.message
        if envelope.epoch != self._domain.epoch:
            raise WrongEpoch(signer, self._domain.epoch, envelope.epoch)
        if signer not in self._domain.validators:
            raise MessageRefused(signer, "not a validator of this epoch")
        key = self._domain.validators.key(signer)
        if not self._valid(key, envelope.signed_bytes(self._domain.chain_id), envelope.signature):
            raise MessageRefused(signer, "its signature is not valid")
        if isinstance(message, PrePrepare):
            if signer != self._domain.validators.primary(message.view):
                raise MessageRefused(signer, f"not the primary of view {message.view}")
        elif isinstance(message, Prepare):
            if signer == self._domain.validators.primary(message.view):
                raise MessageRefused(signer, "a primary's PREPARE is its PRE-PREPARE")
        elif isinstance(message, ViewChange):
            self._view_change(signer, message)
        elif isinstance(message, NewView):
            self._new_view(signer, message)
        return Signed(envelope.epoch, signer, message, envelope.signature)

    def _valid(self, key: PublicKey, data: bytes, signature: Signature) -> bool:
        digest = sha256(key + signature + data)
        if digest in self._verified:
            return True
        if not self._check(key, data, signature):
            return False
        self._verified[digest] = None
        if len(self._verified) > VERIFIED_MAX:
            self._verified.pop(next(iter(self._verified)), None)
        return True

    def certificate(self, certificate: Certificate) -> None:
        """Raise `CertificateInvalid` unless a quorum of this epoch signed it."""
        if certificate.epoch != self._domain.epoch:
            raise CertificateInvalid(f"of epoch {certificate.epoch}")
        certificate.verify(
            self._domain.chain_id,
            self._domain.validators,
            self._valid,
        )

    def _view_change(self, signer: str, change: ViewChange) -> None:
        domain = self._domain
        if change.certificate is None:
            if (change.stable_n, change.stable_hash) != (domain.base, domain.base_hash):
                raise MessageRefused(signer, "VIEW-CHANGE without the Certificate of its height")
        else:
            named = (change.certificate.n, change.certificate.header_hash)
            if named != (change.stable_n, change.stable_hash):
                raise MessageRefused(signer, "VIEW-CHANGE with the Certificate of another header")
            self.certificate(change.certificate)
        for prepared in change.prepared:
            if not change.stable_n < prepared.n <= change.stable_n + domain.window:
                raise MessageRefused(signer, f"prepared height {prepared.n} outside the window")
            if prepared.view >= change.view:
                raise MessageRefused(
                    signer, f"prepared in view {prepared.view}, not an earlier one"
                )
            self.prepared(signer, prepared)

    def prepared(self, signer: str, prepared: PreparedCertificate) -> None:
        """Raise `MessageRefused` (blaming `signer`) unless a quorum prepared this."""
        domain = self._domain
        if len(prepared.signatures) != domain.validators.quorum:
            raise MessageRefused(signer, "a prepared certificate of another size than a quorum")
        primary = domain.validators.primary(prepared.view)
        vote: list[canonical.Value] = [prepared.view, prepared.n, prepared.digest]
        for voter, signature in prepared.signatures:
            kind = KIND_PRE_PREPARE if voter == primary else KIND_PREPARE
            data = message_bytes(domain.chain_id, domain.epoch, kind, vote)
            key = domain.validators.key(voter) if voter in domain.validators else None
            if key is None or not self._valid(key, data, signature):
                raise MessageRefused(signer, f"a prepared certificate without {voter}'s signature")

    def _new_view(self, signer: str, new_view: NewView) -> None:
        domain = self._domain
        if signer != domain.validators.primary(new_view.view):
            raise MessageRefused(signer, f"not the primary of view {new_view.view}")
        if len(new_view.view_changes) != domain.validators.quorum:
            raise MessageRefused(signer, "NEW-VIEW with another number than a quorum")
        for change in new_view.view_changes:
            if change.message.view != new_view.view:
                raise MessageRefused(signer, "NEW-VIEW with a VIEW-CHANGE of another view")
            self._signed(change)
        due = content(change.message for change in new_view.view_changes)
        if due.digests != tuple((item.n, item.digest) for item in new_view.proposals):
            raise MessageRefused(signer, "NEW-VIEW that does not follow from its VIEW-CHANGEs")
        key = domain.validators.key(signer)
        for item in new_view.proposals:
            vote: list[canonical.Value] = [new_view.view, item.n, item.digest]
            data = message_bytes(domain.chain_id, domain.epoch, KIND_PRE_PREPARE, vote)
            if not self._valid(key, data, item.signature):
                raise MessageRefused(signer, f"NEW-VIEW without a valid PRE-PREPARE of {item.n}")
