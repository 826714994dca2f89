"""Replay a trace and tell it in words:  python -m tests.simulation.replay FILE

One line a step: when, what came, and what the replica did about it. A step that does not come out
as it was recorded ends it, and says so (exit code 1).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from consensus.effects import (
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
    ViewEntered,
)
from consensus.events import (
    BlocksFetched,
    BodyArrived,
    BodyChecked,
    Censored,
    Event,
    Executed,
    OwnVoteAnswered,
    OwnVoteAsked,
    Propose,
    Received,
    Tick,
)
from consensus.trace import Step, replay
from consensus.verifier import Signed
from ledger.errors import QiongError


def told(steps: Iterator[Step]) -> Iterator[str]:
    """A line for each step, and an indented one for each of its effects."""
    for step in steps:
        event = step.event
        when = "" if event is None else f"{_clock(event.now_ms)} "
        what = "starts from its log and ledger" if event is None else _event(event)
        yield f"{step.number:6} {when}{what}"
        yield from (f"         -> {_effect(effect)}" for effect in step.effects)


def _clock(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]


def _event(event: Event) -> str:
    match event:
        case Received(_, sender, signed):
            by = "" if signed.signer == sender else f" of {signed.signer}"
            return f"{sender} sends {_message(signed)}{by}"
        case Propose(_, body):
            count = len(body.transaction_digests)
            return f"we propose body {_short(body.digest)} of {count} transactions for {body.n}"
        case BodyChecked(_, digest, _, ok):
            return f"body {_short(digest)} is {'valid' if ok else 'not valid or not found'}"
        case BodyArrived(_, digest):
            return f"body {_short(digest)} arrived"
        case Executed(_, n, header_hash, _):
            return f"block {n} executed, header {_short(header_hash)}"
        case BlocksFetched(_, sender, blocks):
            heights = f"{blocks[0].n} to {blocks[-1].n}" if blocks else "none"
            return f"{sender} answers with blocks: {heights}"
        case OwnVoteAsked(_, sender):
            return f"{sender} asks for its own highest vote"
        case OwnVoteAnswered(_, sender, votes):
            return f"{sender} shows us {len(votes)} votes of our own"
        case Censored(_, organisation):
            return f"a transaction of {organisation} was passed over"
        case Tick(_, waiting):
            return "tick" + (", transactions wait" if waiting else "")


def _effect(effect: Effect) -> str:
    match effect:
        case Broadcast(message):
            return f"send all {_message(message)}"
        case Send(to, message):
            return f"send {to} {_message(message)}"
        case Persist(record):
            return f"write {type(record).__name__}"
        case PersistBody(n, digest) | AppendDecided(n, digest) | Execute(n, digest):
            words = {PersistBody: "write body", AppendDecided: "append", Execute: "execute"}
            return f"{words[type(effect)]} {n} {_short(digest)}"
        case CheckBody(digest, n):
            return f"check body {_short(digest)} for {n}"
        case SaveCertificate(certificate):
            return f"{certificate.n} is certified, header {_short(certificate.header_hash)}"
        case Alarm(kind, n, _, _, detail):
            return f"ALARM {kind.value} at {n}: {detail}"
        case Evidence(first):
            return f"EVIDENCE against {first.signer}: two of {type(first.message).__name__}"
        case ViewEntered(view, primary, in_view_change, reason):
            word = "change to" if in_view_change else "take part in"
            return f"{word} view {view}, primary {primary}: {reason}"


def _message(message: Any) -> str:
    """Its kind, and where it belongs: view, height, digest."""
    content = message.message if isinstance(message, Signed) else message
    numbers = [name for name in ("view", "n", "h", "first") if hasattr(content, name)]
    digests = [name for name in ("digest", "header_hash") if hasattr(content, name)]
    return " ".join(
        [
            type(content).__name__,
            *(f"{name}={getattr(content, name)}" for name in numbers),
            *(_short(getattr(content, name)) for name in digests),
        ]
    )


def _short(digest: bytes) -> str:
    return digest.hex()[:12]


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        for line in told(replay(Path(arguments[0]).read_bytes())):
            sys.stdout.write(line + "\n")
    except (QiongError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
