"""What the model takes for granted of liars: none of these messages passes the verifier.

The model lets liars vote for anything and build VIEW-CHANGEs and NEW-VIEWs of what exists. All else
they could send would have to look like one of these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from consensus.messages import (
    Commit,
    Envelope,
    NewView,
    Prepare,
    PrePrepare,
    SignedMessage,
    ViewChange,
)
from consensus.verifier import Signed, sign
from ledger.errors import QiongError
from ledger.types import Height, View
from tests.model.scope import BASE_HASH, Change, Scope, World

WORLD = World(Scope(n=5, byzantine=(0,)))
BACKUP, PRIMARY = WORLD.names[2], WORLD.names[1]
A = WORLD.body(0, 1, 0).digest
HEADER = WORLD.header_hash((A,))
EMPTY = Change(1, 0, BASE_HASH, ())
SHOWS_A = Change(1, 0, BASE_HASH, ((1, 0, A),))


def signed(signer: str, message: SignedMessage) -> Envelope[SignedMessage]:
    return sign(WORLD.domain, signer, message, WORLD.keys.signer(signer))


def change(content: Change = SHOWS_A) -> ViewChange:
    return WORLD.view_change_message(content)


def new_view(*, by: str = PRIMARY, shown: int = 4, **other: object) -> Envelope[SignedMessage]:
    """A NEW-VIEW for view 1 that is right but for what is said."""
    honest = WORLD.new_view([SHOWS_A] * 4, ((1, A),))
    assert honest is not None
    message = honest.message
    shorter = replace(message, view_changes=message.view_changes[:shown])
    return signed(by, replace(shorter, **other))  # type: ignore[arg-type]


def certificate(signers: int) -> ViewChange:
    whole = WORLD.certificate(1, HEADER)
    assert whole is not None
    short = replace(whole, signatures=whole.signatures[:signers])
    return ViewChange(View(1), Height(1), HEADER, short, ())


FORGERIES: dict[str, Callable[[], Envelope[SignedMessage]]] = {
    "a COMMIT in another's name": lambda: replace(
        signed(BACKUP, Commit(View(0), Height(1), A)), signer=PRIMARY
    ),
    "a PRE-PREPARE of a backup": lambda: signed(BACKUP, PrePrepare(View(0), Height(1), A)),
    "a PREPARE of the primary": lambda: signed(PRIMARY, Prepare(View(1), Height(1), A)),
    "P with too few signers": lambda: signed(
        BACKUP, replace(change(), prepared=(WORLD.prepared(1, 0, A, signers=3),))
    ),
    "P for another value than was signed": lambda: signed(
        BACKUP, replace(change(), prepared=(replace(WORLD.prepared(1, 0, A), digest=HEADER),))
    ),
    "P of a view that was not": lambda: signed(
        BACKUP, replace(change(), prepared=(replace(WORLD.prepared(1, 0, A), view=View(5)),))
    ),
    "P of no earlier view": lambda: signed(
        BACKUP, replace(change(), prepared=(WORLD.prepared(1, 1, A),))
    ),
    "P beyond the window": lambda: signed(
        BACKUP, replace(change(), prepared=(WORLD.prepared(3, 0, A),))
    ),
    "a height without its Certificate": lambda: signed(
        BACKUP, ViewChange(View(1), Height(1), HEADER, None, ())
    ),
    "a Certificate with too few signers": lambda: signed(BACKUP, certificate(3)),
    "a Certificate of another header": lambda: signed(
        BACKUP, replace(certificate(4), stable_hash=A)
    ),
    "a NEW-VIEW of a backup": lambda: new_view(by=BACKUP),
    "a NEW-VIEW with too few VIEW-CHANGEs": lambda: new_view(shown=3),
    "a NEW-VIEW of another view's VIEW-CHANGEs": lambda: signed(
        WORLD.names[2], replace(_message(new_view()), view=View(2))
    ),
    "a NEW-VIEW that leaves O[1] out": lambda: new_view(proposals=()),
}


def _message(envelope: Envelope[SignedMessage]) -> NewView:
    assert isinstance(envelope.message, NewView)
    return envelope.message


@pytest.mark.parametrize("forgery", FORGERIES)
def test_the_verifier_refuses(forgery: str) -> None:
    with pytest.raises(QiongError):
        WORLD.verifier.verify(FORGERIES[forgery]().encode())


def test_the_verifier_accepts_what_these_were_made_of() -> None:
    for message in (signed(BACKUP, change()), signed(BACKUP, certificate(4)), new_view()):
        assert isinstance(WORLD.verifier.verify(message.encode()), Signed)
    assert WORLD.view_change(BACKUP, EMPTY) is not None
