"""Who signs transactions on a chain in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contracts.worker.checkdigits import uscc_valid
from ledger.hashing import sha256
from ledger.keys import SigningKey
from ledger.types import PublicKey

_SYMBOLS: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""The 31 symbols of a unified social credit code (GB 32100)."""


@dataclass(frozen=True)
class Signer:
    """A key and the organisation it belongs to; `key` is what `signers()` and `sender()` say."""

    name: str
    key: str
    organisation: str

    @property
    def public(self) -> PublicKey:
        return PublicKey(bytes.fromhex(self.key))


def key_of(name: str) -> str:
    """The public key of `name`, hex with its algorithm byte: one name, one key."""
    return SigningKey.from_seed(sha256(name.encode())).public.hex()


def uscc(seed: str | int) -> str:
    """A unified social credit code with a right check symbol, the same for the same seed."""
    number = int.from_bytes(sha256(str(seed).encode()), "big")
    body = "91"
    while len(body) < 17:
        number, digit = divmod(number, 10 if len(body) < 8 else len(_SYMBOLS))
        body += _SYMBOLS[digit]
    return next(body + last for last in _SYMBOLS if uscc_valid(body + last))
