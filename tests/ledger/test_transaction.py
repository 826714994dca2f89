"""Transactions: strict wire form, ids that signatures cannot change, bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import canonical
from ledger.errors import FieldError, InvalidInput
from ledger.keys import SigningKey
from ledger.transaction import (
    CALLS_MAX,
    SIGNERS_MAX,
    TRANSACTION_GAS_MAX,
    BadSignature,
    Call,
    SignedTransaction,
    Transaction,
    sign_transaction,
)
from ledger.types import Digest, Gas, TimeMs

KEYS = [SigningKey.from_seed(bytes([i]) * 32) for i in range(1, 4)]


def build(signers: list[SigningKey] = KEYS[:2], **changes: Any) -> SignedTransaction:
    transaction = Transaction(
        chain_id=Digest(b"c" * 32),
        nonce=b"n" * 16,
        valid_until_ms=TimeMs(1_800_000_000_000),
        gas_limit=Gas(3_000),
        calls=(Call("licence", "issue", ["id", 1, None]), Call("credit", "attest", {"b": b"x"})),
        atomic=True,
        signers=tuple(key.public for key in signers),
    )
    return sign_transaction(dataclasses.replace(transaction, **changes), signers)


def test_wire_round_trip_keeps_every_field_and_byte() -> None:
    signed = build()
    again = SignedTransaction.decode(signed.raw)
    assert again == signed
    assert again.id == signed.id
    assert again.digest == signed.digest
    again.check_signatures()


def test_the_id_does_not_depend_on_the_signatures_but_the_digest_does() -> None:
    signed = build()
    other = SignedTransaction.decode(
        canonical.encode([signed.transaction.content, list(reversed(signed.signatures))])
    )
    assert other.id == signed.id
    assert other.digest != signed.digest
    with pytest.raises(BadSignature):
        other.check_signatures()


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_any_flipped_bit_is_refused(position: int, bit: int) -> None:
    signed = build()
    raw = bytearray(signed.raw)
    raw[position % len(raw)] ^= 1 << bit
    try:
        altered = SignedTransaction.decode(bytes(raw))
    except InvalidInput:
        return
    assert not altered.signatures_valid()


def rewritten(change: Callable[[list[Any]], None]) -> bytes:
    content = canonical.decode(build().transaction.content)
    assert isinstance(content, list)
    change(content)
    return canonical.encode([canonical.encode(content), list(build().signatures)])


def put(index: int, value: object) -> Callable[[list[Any]], None]:
    def change(content: list[Any]) -> None:
        content[index] = value

    return change


CALL = ["licence", "issue", []]

MALFORMED = {
    "a field more": lambda content: content.append(0),
    "short chain id": put(0, b"c" * 31),
    "short nonce": put(1, b"n" * 15),
    "negative expiry": put(2, -1),
    "expiry beyond 2^53": put(2, 2**53),
    "expiry as text": put(2, "soon"),
    "too much gas": put(3, TRANSACTION_GAS_MAX + 1),
    "no calls": put(4, []),
    "too many calls": put(4, [CALL] * (CALLS_MAX + 1)),
    "call without args": put(4, [["licence", "issue"]]),
    "args as text": put(4, [["licence", "issue", "x"]]),
    "empty contract name": put(4, [["", "issue", []]]),
    "long method name": put(4, [["licence", "m" * 129, []]]),
    "atomic as number": put(5, 1),
    "no signers": put(6, []),
    "the same signer twice": put(6, [KEYS[0].public] * 2),
    "another algorithm": put(6, [b"\x02" + KEYS[0].public[1:], KEYS[1].public]),
    "small-order signer": put(6, [b"\x01" + bytes(32), KEYS[1].public]),
    "fewer signers than signatures": put(6, [KEYS[0].public]),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_content_names_its_field(name: str) -> None:
    with pytest.raises(FieldError) as caught:
        SignedTransaction.decode(rewritten(MALFORMED[name]))
    assert caught.value.field
    assert caught.value.expected


def test_more_signers_than_allowed_are_refused() -> None:
    many = [SigningKey.from_seed(i.to_bytes(32, "big")) for i in range(SIGNERS_MAX + 1)]
    with pytest.raises(FieldError, match="signers"):
        SignedTransaction.decode(build(many).raw)


def test_signing_with_other_keys_is_refused() -> None:
    with pytest.raises(FieldError, match="signers"):
        sign_transaction(build().transaction, KEYS[:1])
