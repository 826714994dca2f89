"""Messages as bytes: what goes out comes back, and nothing else is read."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import messages
from consensus.messages import (
    MESSAGE_BYTES_MAX,
    WINDOW_MAX,
    Envelope,
    SignedMessage,
    UnsignedMessage,
    decode,
    encode,
)
from ledger import canonical
from ledger.canonical import DecodingError
from ledger.errors import FieldError, InvalidInput
from ledger.fields import NUMBER_MAX
from ledger.hashing import sha256
from ledger.types import Digest
from tests.consensus import strategies as wire

D, S = wire.digest(1), wire.signature(2)


@given(wire.ENVELOPES)
def test_a_signed_message_comes_back(envelope: Envelope[SignedMessage]) -> None:
    assert decode(encode(envelope)) == envelope


@given(wire.UNSIGNED)
def test_an_unsigned_message_comes_back(message: UnsignedMessage) -> None:
    assert decode(encode(message)) == message


@given(st.one_of(wire.ENVELOPES, wire.UNSIGNED), st.data())
def test_one_message_has_one_form(
    message: Envelope[SignedMessage] | UnsignedMessage, data: st.DataObject
) -> None:
    """Whatever a changed byte makes of a message, it is refused or it is another message."""
    encoded = encode(message)
    place = data.draw(st.integers(0, len(encoded) - 1))
    changed = bytearray(encoded)
    changed[place] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(bytes(changed))
    except InvalidInput:
        return
    assert encode(other) == bytes(changed)
    assert other != message


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_by_type(data: bytes) -> None:
    with contextlib.suppress(DecodingError, FieldError):
        decode(data)


@given(wire.ENVELOPES)
def test_a_signature_covers_chain_epoch_kind_and_fields(envelope: Envelope[SignedMessage]) -> None:
    chain = Digest(b"\x01" * 32)
    data = envelope.signed_bytes(chain)
    assert data != envelope.signed_bytes(Digest(b"\x02" * 32))
    later = Envelope(
        wire.epoch(envelope.epoch + 1), envelope.signer, envelope.message, envelope.signature
    )
    assert data != later.signed_bytes(chain)
    other_signer = Envelope(envelope.epoch, "x", envelope.message, S)
    assert data == other_signer.signed_bytes(chain), "the key says who signs"


def test_the_kinds_sign_different_bytes() -> None:
    """Else a PREPARE could be shown as a COMMIT."""
    chain = sha256(b"chain")
    made = [
        Envelope(wire.epoch(0), "a", kind(*reversed(wire.position()), D), S).signed_bytes(chain)
        for kind in (messages.PrePrepare, messages.Prepare, messages.Commit)
    ]
    assert len(set(made)) == 3


CHANGE = [5, 0, D, None, []]
PAIR = ["a", S]


def envelope(kind: int, fields: Any, *, signer: Any = "a", epoch: Any = 0, sig: Any = S) -> bytes:
    return canonical.encode([epoch, kind, signer, fields, sig])


REFUSED = {
    "unknown signed kind": envelope(9, [1, 2, D]),
    "unknown unsigned kind": canonical.encode([99, []]),
    "a signed kind without a signature": canonical.encode([1, [0, 1, D]]),
    "a row of three": canonical.encode([1, 2, 3]),
    "no row": canonical.encode("text"),
    "a negative view": envelope(2, [-1, 1, D]),
    "a view beyond the bound": envelope(2, [NUMBER_MAX + 1, 1, D]),
    "a height beyond the bound": envelope(2, [1, NUMBER_MAX + 1, D]),
    "a boolean as a number": envelope(2, [True, 1, D]),
    "a short digest": envelope(2, [0, 1, D[:-1]]),
    "a short signature": envelope(2, [0, 1, D], sig=S[:-1]),
    "a field too many": envelope(2, [0, 1, D, 0]),
    "a field too few": envelope(2, [0, 1]),
    "a negative epoch": envelope(2, [0, 1, D], epoch=-1),
    "an empty signer": envelope(2, [0, 1, D], signer=""),
    "a long signer": envelope(2, [0, 1, D], signer="x" * 129),
    "an unknown reason": envelope(7, [0, 1, 5]),
    "a number as a boolean": envelope(8, [0, 0, 0, 1, None]),
    "a height twice in P": envelope(5, [5, 0, D, None, [[1, 0, D, [PAIR]], [1, 1, D, [PAIR]]]]),
    "P out of order": envelope(5, [5, 0, D, None, [[2, 0, D, [PAIR]], [1, 0, D, [PAIR]]]]),
    "a signer twice in P": envelope(5, [5, 0, D, None, [[1, 0, D, [PAIR, PAIR]]]]),
    "signers out of order in P": envelope(5, [5, 0, D, None, [[1, 0, D, [["b", S], ["a", S]]]]]),
    "a signer twice in a Certificate": envelope(5, [5, 1, D, [0, 1, D, [PAIR, PAIR]], []]),
    "P too long": envelope(5, [5, 0, D, None, [[n, 0, D, []] for n in range(1, WINDOW_MAX + 2)]]),
    "a signer twice in a NEW-VIEW": envelope(6, [5, [["a", CHANGE, S], ["a", CHANGE, S]], []]),
    "signers of a NEW-VIEW out of order": envelope(
        6, [5, [["b", CHANGE, S], ["a", CHANGE, S]], []]
    ),
    "a height twice in O": envelope(6, [5, [], [[1, D, S], [1, D, S]]]),
    "O out of order": envelope(6, [5, [], [[2, D, S], [1, D, S]]]),
    "O too long": envelope(6, [5, [], [[n, D, S] for n in range(1, 2 * WINDOW_MAX + 2)]]),
    "too many blocks": canonical.encode([17, [[b"", None, [], None]] * 65]),
    "too many own votes": canonical.encode([23, [[b""] * 3]]),
    "too many transactions asked for": canonical.encode([20, [[D] * 10_001]]),
    "fields in an empty question": canonical.encode([22, [1]]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_breaks_a_bound_is_refused(name: str) -> None:
    with pytest.raises(FieldError):
        decode(REFUSED[name])


def test_a_message_beyond_the_longest_frame_is_not_even_decoded() -> None:
    with pytest.raises(FieldError, match="at most"):
        decode(b"\xc1" * (MESSAGE_BYTES_MAX + 1))


def test_another_encoding_of_a_message_is_refused() -> None:
    encoded = encode(messages.FetchBlocks(wire.position()[0]))
    assert encoded == b"\x92\x10\x91\x01"
    with pytest.raises(DecodingError):
        decode(b"\x92\x10\x91\xcc\x01")
    with pytest.raises(DecodingError):
        decode(encoded + b"\x00")
