"""Traces: what happened to a replica, so that an incident replays in a test.

A trace begins with what the replica was given (its configuration, and the records and the ledger's
head it started from; or a snapshot of all it knew) and goes on with every event. Beside each stands
what the replica signed and a digest of its effects. `replay` puts the events into a fresh replica
and compares: the machine is pure, so every step must give the same effects, byte for byte. No
secret is needed: where the replica signs, it is handed the signature it made then.

The file is a row of frames `length 4 | its check 4 | check 8 | payload`; both checks are beginnings
of SHA-256 over the frame's check before and, one, the length, the other, the payload. So a changed,
lost or moved byte is noticed where it stands, and a tail that a killed process left unfinished is
told from damage.

Left out: writing files (`node.recorder`), and what the driver did with the effects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from consensus.config import Config, HeaderSummary, LedgerHead
from consensus.effects import Effect
from consensus.events import Event
from consensus.plain import from_plain, to_plain
from consensus.records import Record
from consensus.replica import Replica
from consensus.verifier import Check, Sign, Verifier
from ledger import canonical, keys
from ledger.errors import IntegrityError, QiongError
from ledger.hashing import sha256
from ledger.types import Digest, Height, Signature, TimeMs

FORMAT: Final = 1
KIND_START: Final = 1
KIND_SNAPSHOT: Final = 2
KIND_STEP: Final = 3

_LENGTH: Final = 4
_CHECK: Final = 8
_HEAD: Final = _LENGTH + _LENGTH + _CHECK
CHECK_START: Final = bytes(_CHECK)

_GIVEN: Final = ("config", "domain", "validators", "me", "key", "quorum", "weak", "safety", "log")
"""Attributes of the state that follow from the configuration, or are parts of their own."""


class TraceDamaged(IntegrityError):
    """A trace holds something else than what was recorded."""

    code = "trace_damaged"
    hint = "take another copy of the file, and replay it with the version that recorded it"

    def __init__(self, frame: int, reason: str) -> None:
        self.frame = frame
        self.reason = reason
        super().__init__(f"trace, frame {frame}: {reason}")


class StepDiffers(IntegrityError):
    """Replayed, a step did something else than it did then."""

    code = "step_differs"
    hint = "replay with the version that recorded it; if it was this one, the core is not pure"

    def __init__(self, step: int, reason: str) -> None:
        self.step = step
        self.reason = reason
        super().__init__(f"step {step}: {reason}")


@dataclass(frozen=True, slots=True)
class Start:
    """What `Replica.recover` was given; `headers` are those it asked for."""

    now_ms: TimeMs
    records: tuple[Record, ...]
    head: LedgerHead
    headers: dict[Height, HeaderSummary | None]


@dataclass(frozen=True, slots=True)
class Step:
    """One step as it was replayed; `event` is None for the start."""

    number: int
    event: Event | None
    effects: tuple[Effect, ...]


class Signatures:
    """Stands between a replica and its key. Recording, it notes each signature of a step;
    replaying, it hands them out again."""

    def __init__(self, key: Sign | None = None) -> None:
        self._key = key
        self._held: list[Signature] = []

    def __call__(self, data: bytes) -> Signature:
        if self._key is None:
            if not self._held:
                raise StepDiffers(0, "it signs what it did not sign then")
            return self._held.pop(0)
        signature = self._key(data)
        self._held.append(signature)
        return signature

    def take(self) -> tuple[Signature, ...]:
        """The signatures of the step that ended; replaying, those that were not asked for."""
        held, self._held = tuple(self._held), []
        return held

    def hand_out(self, signatures: Sequence[Signature]) -> None:
        self._held = list(signatures)


# --- recording ---


def recover(
    replica: Replica, now_ms: TimeMs, records: Sequence[Record], head: LedgerHead, gate: Verifier
) -> tuple[list[Effect], Start]:
    """`Replica.recover`, and what it was given."""
    asked: dict[Height, HeaderSummary | None] = {}

    def header(n: Height) -> HeaderSummary | None:
        asked[n] = head.header(n)
        return asked[n]

    effects = replica.recover(now_ms, records, replace(head, header=header), gate)
    return effects, Start(now_ms, tuple(records), head, asked)


def start_payload(
    config: Config, start: Start, signatures: Sequence[Signature], effects: Sequence[Effect]
) -> bytes:
    """The first frame of a trace from the process's start."""
    head = start.head
    given = (
        start.now_ms,
        start.records,
        head.certified,
        head.certificate,
        head.executed,
        head.appended,
        dict(head.bodies),
        start.headers,
    )
    row = [FORMAT, to_plain(config), to_plain(given), list(signatures), digest(effects)]
    return canonical.encode([KIND_START, row])


def snapshot_payload(config: Config, replica: Replica) -> bytes:
    """The first frame of a trace that begins between two steps."""
    parts = [to_plain(part) for part in _parts(replica)]
    return canonical.encode([KIND_SNAPSHOT, [FORMAT, to_plain(config), *parts]])


def step_payload(event: Event, signatures: Sequence[Signature], effects: Sequence[Effect]) -> bytes:
    return canonical.encode([KIND_STEP, [to_plain(event), list(signatures), digest(effects)]])


def digest(effects: Sequence[Effect]) -> Digest:
    """Of the effects of one step, in their order."""
    return sha256(canonical.encode(to_plain(tuple(effects))))


def frame(payload: bytes, check: bytes) -> tuple[bytes, bytes]:
    """`payload` framed behind the frame whose check is `check`, and its own check."""
    length = len(payload).to_bytes(_LENGTH, "big")
    own = sha256(check + payload)[:_CHECK]
    return length + sha256(check + length)[:_LENGTH] + own + payload, own


def _parts(replica: Replica) -> tuple[dict[str, Any], ...]:
    """All that a replica remembers, by where it keeps it."""
    state = replica._state
    return (
        {"considered": replica._considered},
        {name: item for name, item in vars(state).items() if name not in _GIVEN},
        {
            name: item
            for name, item in vars(state.safety).items()
            if name not in ("_domain", "_me", "_key")
        },
        dict(vars(state.log)),
    )


# --- replaying ---


def frames(data: bytes) -> Iterator[bytes]:
    """The payloads of a trace; a frame cut short at the end is left out. Raises `TraceDamaged`."""
    offset, number, check = 0, 0, CHECK_START
    while offset + _HEAD <= len(data):
        length = data[offset : offset + _LENGTH]
        if data[offset + _LENGTH : offset + 2 * _LENGTH] != sha256(check + length)[:_LENGTH]:
            raise TraceDamaged(number, "its length is not what was written")
        begin = offset + _HEAD
        end = begin + int.from_bytes(length, "big")
        if end > len(data):
            return
        payload = data[begin:end]
        framed, check = frame(payload, check)
        if framed != data[offset:end]:
            raise TraceDamaged(number, "its bytes are not what was written")
        yield payload
        offset, number = end, number + 1


def replay(data: bytes, check: Check = keys.verify) -> Iterator[Step]:
    """Step a fresh replica through the trace, comparing every step.

    `check` is the signature rule. Raises `TraceDamaged`, `StepDiffers`.
    """
    player: _Player | None = None
    for number, payload in enumerate(frames(data)):
        try:
            content: Any = canonical.decode(payload)
            kind, row = content
            if player is None:
                player, begun = _Player.begin(kind, row, check)
                if begun is not None:
                    yield begun
                continue
            if kind != KIND_STEP:
                raise ValueError(f"expected a step, found kind {kind}")
            event: Event = from_plain(row[0], player.gate.verify)
            step = partial(player.replica.step, event)
        except StepDiffers:
            raise
        except (QiongError, TypeError, ValueError, KeyError, IndexError) as error:
            raise TraceDamaged(number, str(error)) from error
        yield player.play(number, event, step, row[1], row[2])


class _Player:
    """A replica without a key, and the signatures it is handed."""

    def __init__(self, config: Config, check: Check) -> None:
        self.gate = Verifier(config.domain, check)
        self.signatures = Signatures()
        self.replica = Replica(config, self.signatures)

    @classmethod
    def begin(cls, kind: int, row: Any, check: Check) -> tuple[_Player, Step | None]:
        if row[0] != FORMAT:
            raise ValueError(f"format {row[0]}, this version reads {FORMAT}")
        config: Config = from_plain(row[1], _no_message)
        player = cls(config, check)
        if kind == KIND_SNAPSHOT:
            player._restore(row[2:])
            return player, None
        given = from_plain(row[2], player.gate.verify)
        now_ms, records, certified, certificate, executed, appended, bodies, headers = given
        head = LedgerHead(certified, certificate, executed, appended, bodies, headers.get)
        step = partial(player.replica.recover, now_ms, records, head, player.gate)
        return player, player.play(0, None, step, row[3], row[4])

    def play(
        self,
        number: int,
        event: Event | None,
        step: Callable[[], list[Effect]],
        signatures: Sequence[Signature],
        expected: Digest,
    ) -> Step:
        """Take one step and compare it with what was recorded."""
        self.signatures.hand_out(signatures)
        try:
            effects = step()
        except StepDiffers as error:
            raise StepDiffers(number, error.reason) from None
        if self.signatures.take():
            raise StepDiffers(number, "it did not sign all that it signed then")
        if digest(effects) != expected:
            raise StepDiffers(number, "its effects are others")
        return Step(number, event, tuple(effects))

    def _restore(self, parts: Sequence[Any]) -> None:
        considered, state, safety, log = (from_plain(part, self.gate.verify) for part in parts)
        self.replica._considered = considered["considered"]
        for target, values in (
            (self.replica._state, state),
            (self.replica._state.safety, safety),
            (self.replica._state.log, log),
        ):
            for name, value in values.items():
                setattr(target, name, value)


def _no_message(data: bytes) -> object:
    """For reading a configuration, before there is a domain to verify messages of."""
    raise ValueError("a message inside a configuration")
