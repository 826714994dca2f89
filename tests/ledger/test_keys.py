"""Ed25519 as libsodium rules it: RFC 8032 vectors, small-order keys, malleable signatures."""

from __future__ import annotations

import nacl.bindings
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import keys
from ledger.types import PublicKey, Signature

ORDER = 2**252 + 27742317777372353535851937790883648493

RFC8032_SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
RFC8032_PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
RFC8032_SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_rfc_8032_test_2() -> None:
    key = keys.SigningKey.from_seed(RFC8032_SEED)
    assert key.public == b"\x01" + RFC8032_PUBLIC
    assert key.sign(b"\x72") == b"\x01" + RFC8032_SIGNATURE
    assert keys.verify(key.public, b"\x72", key.sign(b"\x72"))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 64))
def test_any_altered_signature_byte_is_refused(seed: bytes, message: bytes, position: int) -> None:
    key = keys.SigningKey.from_seed(seed)
    signature = bytearray(key.sign(message))
    signature[position] ^= 1
    assert not keys.verify(key.public, message, Signature(bytes(signature)))


def test_a_signature_made_malleable_is_refused_in_form_and_in_meaning() -> None:
    key = keys.SigningKey.from_seed(bytes(32))
    signature = key.sign(b"m")
    larger = int.from_bytes(signature[33:], "little") + ORDER
    malleable = Signature(signature[:33] + larger.to_bytes(32, "little"))
    assert keys.signature_canonical(signature)
    assert not keys.signature_canonical(malleable)
    assert not keys.verify(key.public, b"m", malleable)


SMALL_ORDER = sorted(
    encoding[:31] + bytes([encoding[31] | sign])
    for encoding in keys._SMALL_ORDER
    for sign in (0, 0x80)
)


@pytest.mark.parametrize("encoding", SMALL_ORDER, ids=bytes.hex)
def test_small_order_keys_are_refused_everywhere(encoding: bytes) -> None:
    public = PublicKey(b"\x01" + encoding)
    assert keys.small_order(public)
    with pytest.raises(keys.BadKey):
        keys.check_public_key(public)
    # With A of small order, R = identity and S = 0 would satisfy the cofactored equation.
    forged = Signature(b"\x01" + b"\x01" + bytes(63))
    assert not keys.verify(public, b"anything", forged)


def test_the_list_of_small_order_points_is_libsodium_s() -> None:
    """Each listed encoding times 8 is the identity, or no canonical point at all."""
    for encoding in SMALL_ORDER:
        assert not nacl.bindings.crypto_core_ed25519_is_valid_point(encoding)


@pytest.mark.parametrize(
    "data", [b"", b"\x01" * 32, b"\x02" + RFC8032_PUBLIC, b"\x01" + b"\xff" * 32], ids=bytes.hex
)
def test_what_is_no_key_is_refused(data: bytes) -> None:
    with pytest.raises(keys.BadKey):
        keys.check_public_key(data)
    assert not keys.verify(PublicKey(data), b"", Signature(b"\x01" + RFC8032_SIGNATURE))


def test_a_key_never_shows_its_secret() -> None:
    key = keys.SigningKey.from_seed(RFC8032_SEED)
    assert RFC8032_SEED.hex() not in repr(key) + str(key)
