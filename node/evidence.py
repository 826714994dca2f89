"""Evidence: two signed messages of one validator that contradict each other.

PBFT is safe because an honest validator binds itself: one PRE-PREPARE, PREPARE and COMMIT for a
view and height, one CHECKPOINT for a height, one VIEW-CHANGE and one NEW-VIEW for a view. Two
different ones, both under its signature, therefore prove a fault to anybody who knows its key: no
log, no witness, no node has to be believed. What is at fault (software, operator, a key in use in
two places) they do not tell, so people judge; nobody is ejected by a machine.

A `Case` contradicts by construction; whether its signatures are good depends on who votes, which
`verify` is told. A file is one canonical value

    ["qiong/evidence", 1, chain_id, [[first, second]...]]

where `first` and `second` are the messages as they stood on a link (`consensus.messages`), the
lesser bytes first and the pairs ascending, so that the same cases give the same file.
`docs/evidence.md` describes it for authors of other verifiers. Left out: keeping cases
(`node.evidence_store`) and judging them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from consensus.messages import (
    KIND_COMMIT,
    KIND_NEW_VIEW,
    KIND_PRE_PREPARE,
    KIND_PREPARE,
    KIND_VIEW_CHANGE,
    Checkpoint,
    Commit,
    Envelope,
    NewView,
    Prepare,
    PrePrepare,
    SignedMessage,
    ViewChange,
)
from consensus.messages import decode as decode_message
from ledger import canonical, fields, keys
from ledger.certificate import KIND_CHECKPOINT
from ledger.errors import IntegrityError, InvalidInput
from ledger.hashing import sha256
from ledger.types import Digest, Epoch, Height, View
from ledger.validators import ValidatorSet

MAGIC: Final = "qiong/evidence"
FORMAT_VERSION: Final = 1

CASES_MAX: Final = 1_024
"""Cases in one file: more than a node keeps (`node.evidence_store`)."""

FILE_BYTES_MAX: Final = 64 << 20
"""Largest file read: twice what a node keeps."""

KIND_WORDS: Final = {
    KIND_PRE_PREPARE: "PRE-PREPARE",
    KIND_PREPARE: "PREPARE",
    KIND_COMMIT: "COMMIT",
    KIND_CHECKPOINT: "CHECKPOINT",
    KIND_VIEW_CHANGE: "VIEW-CHANGE",
    KIND_NEW_VIEW: "NEW-VIEW",
}
"""The messages that bind their signer, by PBFT's names."""

SHOWN_DIGITS: Final = 16
"""Hexadecimal digits of a hash shown to people."""

AnyEnvelope: TypeAlias = Envelope[SignedMessage]
Place: TypeAlias = tuple[int, View | None, Height | None]
"""(kind, view, height): where one message binds its signer."""


class EvidenceInvalid(IntegrityError):
    """What was shown proves nothing against anybody."""

    code = "evidence_invalid"
    hint = "do not act on it; ask for the evidence again, from another validator"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"evidence: {reason}")


class EvidenceUntrusted(EvidenceInvalid):
    """It is about validators that the verifier does not know."""

    code = "evidence_untrusted"
    hint = "check it against the trust file of its chain and epoch"


@dataclass(frozen=True, slots=True)
class Case:
    """Two messages of one validator that contradict each other; signatures are `verify`'s."""

    first: AnyEnvelope
    second: AnyEnvelope

    @classmethod
    def of(cls, one: AnyEnvelope, other: AnyEnvelope) -> Case:
        """The case that two messages make. Raises `EvidenceInvalid` if they agree."""
        if one.signer != other.signer:
            raise EvidenceInvalid(f"messages of two validators, {one.signer} and {other.signer}")
        if one.epoch != other.epoch:
            raise EvidenceInvalid("messages of two epochs bind separately")
        places = _place(one.message), _place(other.message)
        if places[0] != places[1]:
            raise EvidenceInvalid("the two messages are not about the same thing")
        if one.message == other.message:
            raise EvidenceInvalid("the same message twice is no contradiction")
        return cls(*sorted((one, other), key=Envelope.encode))

    @property
    def organisation(self) -> str:
        """The accused."""
        return self.first.signer

    @property
    def epoch(self) -> Epoch:
        return self.first.epoch

    @property
    def kind(self) -> str:
        """PBFT's name of the two messages."""
        return KIND_WORDS[self.first.message.kind]

    @property
    def view(self) -> View | None:
        """The view they are about; None for CHECKPOINTs."""
        return _place(self.first.message)[1]

    @property
    def height(self) -> Height | None:
        """The height they are about; None for VIEW-CHANGEs and NEW-VIEWs."""
        return _place(self.first.message)[2]

    @property
    def key(self) -> tuple[object, ...]:
        """What it is about. A liar makes any number of cases with one key; one says all."""
        return (self.organisation, self.epoch, *_place(self.first.message))

    @property
    def words(self) -> str:
        """What the accused did."""
        told = " and one for ".join(_says(item.message) for item in (self.first, self.second))
        return f"signed two different {self.kind}s {self._where}: one for {told}"

    @property
    def _where(self) -> str:
        if self.view is None:
            return f"for block {self.height}"
        if self.height is None:
            return f"for view {self.view}"
        return f"in view {self.view} for block {self.height}"

    def verify(self, chain_id: Digest, epoch: Epoch, validators: ValidatorSet) -> None:
        """Raise unless the accused, one of `validators` who vote in `epoch`, signed both.

        `EvidenceUntrusted` for another epoch or a stranger, `EvidenceInvalid` for a signature.
        """
        if self.epoch != epoch:
            raise EvidenceUntrusted(f"of epoch {self.epoch}; who votes in {epoch} is known")
        if self.organisation not in validators:
            raise EvidenceUntrusted(f"{self.organisation} is not a validator of epoch {epoch}")
        key = validators.key(self.organisation)
        for envelope in (self.first, self.second):
            if not keys.verify(key, envelope.signed_bytes(chain_id), envelope.signature):
                raise EvidenceInvalid(f"{self.organisation} did not sign both messages")

    def encoded(self) -> tuple[bytes, bytes]:
        """Both messages as they stood on a link."""
        return self.first.encode(), self.second.encode()


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """The cases of a file, and the chain they are said to be of."""

    chain_id: Digest
    cases: tuple[Case, ...]

    def encode(self) -> bytes:
        pairs: list[canonical.Value] = [
            list(pair) for pair in sorted(case.encoded() for case in self.cases)
        ]
        return canonical.encode([MAGIC, FORMAT_VERSION, self.chain_id, pairs])

    @classmethod
    def decode(cls, data: bytes) -> EvidenceFile:
        """Read a file strictly: form and contradictions, no signatures. Raises `EvidenceInvalid`"""
        if len(data) > FILE_BYTES_MAX:
            raise EvidenceInvalid(f"more than {FILE_BYTES_MAX} bytes")
        try:
            return cls._of_value(canonical.decode(data))
        except InvalidInput as error:
            raise EvidenceInvalid(f"not an evidence file: {error}") from None

    @classmethod
    def _of_value(cls, value: object) -> EvidenceFile:
        row = fields.array(value, "evidence", 4)
        if row[0] != MAGIC or type(row[1]) is not int or row[1] != FORMAT_VERSION:
            raise EvidenceInvalid(f"not an evidence file of version {FORMAT_VERSION}")
        chain_id = fields.digest(row[2], "evidence.chain_id")
        items = fields.bounded(row[3], "evidence.cases", CASES_MAX)
        if not items:
            raise EvidenceInvalid("a file without any case")
        pairs = [_pair(item) for item in items]
        if any(not before < after for before, after in pairwise(pairs)):
            raise EvidenceInvalid("its cases are not strictly ascending")
        return cls(chain_id, tuple(_case(first, second) for first, second in pairs))


def of_cases(chain_id: Digest, cases: Iterable[Case]) -> EvidenceFile:
    """A file's content, each case once whatever the order and number of `cases`."""
    unique = {case.encoded(): case for case in cases}
    return EvidenceFile(chain_id, tuple(unique[pair] for pair in sorted(unique)))


def read_message(data: bytes) -> AnyEnvelope:
    """One signed message as it stood on a link. Raises `EvidenceInvalid`, `InvalidInput`."""
    message = decode_message(data)
    if not isinstance(message, Envelope):
        raise EvidenceInvalid("one of the messages bears no signature")
    return message


def _pair(item: object) -> tuple[bytes, bytes]:
    row = fields.array(item, "evidence.case", 2)
    size_max = FILE_BYTES_MAX
    first = fields.binary(row[0], "evidence.first", size_max=size_max)
    return first, fields.binary(row[1], "evidence.second", size_max=size_max)


def _case(first: bytes, second: bytes) -> Case:
    if not first < second:
        raise EvidenceInvalid("the lesser message does not stand first")
    return Case.of(read_message(first), read_message(second))


def _place(message: SignedMessage) -> Place:
    match message:
        case PrePrepare() | Prepare() | Commit():
            return message.kind, message.view, message.n
        case Checkpoint():
            return message.kind, None, message.n
        case ViewChange() | NewView():
            return message.kind, message.view, None
        case _:
            raise EvidenceInvalid(
                "a STATUS or SUSPECT binds nobody; its signer may change its mind"
            )


def _says(message: SignedMessage) -> str:
    match message:
        case PrePrepare() | Prepare() | Commit():
            return f"body {_short(message.digest)}"
        case Checkpoint():
            return f"header {_short(message.header_hash)}"
        case ViewChange():
            heights = ", ".join(str(item.n) for item in message.prepared) or "none"
            told = f"certified height {message.stable_n} and prepared heights {heights}"
        case NewView():
            heights = ", ".join(str(item.n) for item in message.proposals) or "none"
            told = f"proposals for heights {heights}"
        case _:
            raise AssertionError("no case is made of these")
    return f"{told} ({_short(sha256(canonical.encode(message.to_value())))})"


def _short(digest: Digest) -> str:
    return digest.hex()[:SHOWN_DIGITS]
