"""Ed25519 keys and signatures: the one module that knows libsodium.

One signature rule everywhere. Libraries disagree on edge cases (small-order keys, S >= L, mixed
cofactor rules), and validators that disagree on one signature split the chain; so every check in
Qiong goes through `verify` below, which is libsodium's `crypto_sign_open`. It refuses small-order
and non-canonical keys and S >= L by itself; `check_public_key` refuses such keys earlier, where
they are registered.

Keys and signatures carry one algorithm byte, 1 = Ed25519.
"""

from __future__ import annotations

from typing import Final

import nacl.bindings
import nacl.exceptions

from ledger.errors import InvalidInput
from ledger.types import PublicKey, Signature

ALGORITHM_ED25519: Final = 1
PUBLIC_KEY_SIZE: Final = 33
SIGNATURE_SIZE: Final = 65
SEED_SIZE: Final = 32

_PREFIX: Final = bytes([ALGORITHM_ED25519])


class BadKey(InvalidInput):
    """Bytes that are no acceptable public key."""

    code = "bad_key"
    hint = "a key is the byte 01 and 32 bytes of an Ed25519 point of large order"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"not a public key: {reason}")


class SigningKey:
    """An Ed25519 private key in memory. Never printed: its repr shows the public half only."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        """Make the key of a 32-byte seed (RFC 8032 §5.1.5)."""
        if len(seed) != SEED_SIZE:
            raise BadKey(f"a seed has {SEED_SIZE} bytes, got {len(seed)}")
        raw, self._secret = nacl.bindings.crypto_sign_seed_keypair(seed)
        self.public = PublicKey(_PREFIX + raw)

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        return cls(seed)

    @classmethod
    def generate(cls) -> SigningKey:
        """Make a key from the operating system's random source (for people's tools and tests)."""
        return cls(nacl.bindings.randombytes(SEED_SIZE))

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes; only key files may hold them, encrypted."""
        return self._secret[:SEED_SIZE]

    def sign(self, message: bytes) -> Signature:
        """Deterministic signature over `message`, 65 bytes with the algorithm byte."""
        signed = nacl.bindings.crypto_sign(message, self._secret)
        return Signature(_PREFIX + signed[:64])

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"


def verify(public: PublicKey, message: bytes, signature: Signature) -> bool:
    """Whether `signature` is `public`'s over `message`. Total: any bytes give True or False."""
    if (
        len(signature) != SIGNATURE_SIZE
        or len(public) != PUBLIC_KEY_SIZE
        or signature[0] != ALGORITHM_ED25519
        or public[0] != ALGORITHM_ED25519
    ):
        return False
    try:
        nacl.bindings.crypto_sign_open(signature[1:] + message, public[1:])
    except nacl.exceptions.BadSignatureError:
        return False
    return True


def signature_canonical(signature: bytes) -> bool:
    """Whether the form of `signature` is acceptable: size, algorithm byte, and S below the order.

    Told apart from a wrong signature because the answers differ: malformed against refused
    (RFC 8032 §5.1.7, step 1).
    """
    return (
        len(signature) == SIGNATURE_SIZE
        and signature[0] == ALGORITHM_ED25519
        and int.from_bytes(signature[33:], "little") < _ORDER
    )


def small_order(public: PublicKey) -> bool:
    """Whether `public` is one of the points of order 8 or less, in any encoding.

    Anybody can sign anything for such a key. Cheap enough for every transaction, unlike
    `check_public_key`.
    """
    return public[1:32] + bytes([public[32] & 0x7F]) in _SMALL_ORDER


_SMALL_ORDER: Final = frozenset(
    bytes.fromhex(encoding)
    for encoding in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)
"""y coordinates of the small-order points, the non-canonical 0 and 1 too, sign bit cleared
(Chalkias et al., "Taming the many EdDSAs", table 1)."""

_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""The order L of the base point (RFC 8032 §5.1)."""


def check_public_key(data: bytes) -> PublicKey:
    """Return `data` as a key fit to be registered.

    Raises `BadKey` for another length or algorithm, an encoding that is not canonical or not on
    the curve, and points outside the prime-order group (small-order ones among them).
    """
    if len(data) != PUBLIC_KEY_SIZE:
        raise BadKey(f"expected {PUBLIC_KEY_SIZE} bytes, got {len(data)}")
    if data[0] != ALGORITHM_ED25519:
        raise BadKey(f"algorithm {data[0]} is not supported")
    if not nacl.bindings.crypto_core_ed25519_is_valid_point(data[1:]):
        raise BadKey("not a canonical point of the prime-order group")
    return PublicKey(data)
