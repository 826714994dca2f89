"""SHA-256 and the domain tags that keep one kind of hashed bytes from passing as another.

Every hash or signature outside the Merkle trees covers `tag || canonical bytes`. A tag ends in NUL
and none is a prefix of another, so no message of one kind is ever also a message of a second kind.
The trees use RFC 9162's one-byte prefixes instead (see `ledger.merkle`).

Genesis names the hash suite; 1 = SHA-256 is the only one today.
"""

from __future__ import annotations

from hashlib import sha256 as _sha256
from typing import Final

from ledger.types import Digest

HASH_SUITE_SHA256: Final = 1
DIGEST_SIZE: Final = 32
ZERO_DIGEST: Final = Digest(bytes(DIGEST_SIZE))
"""The parent of header 0, and an empty slot of the state tree; no known input hashes to it."""

TAG_GENESIS: Final = b"qiong/genesis/1\x00"
TAG_TRANSACTION: Final = b"qiong/transaction/1\x00"
TAG_BODY: Final = b"qiong/body/1\x00"
TAG_NULL: Final = b"qiong/null/1\x00"
TAG_HEADER: Final = b"qiong/header/1\x00"
TAG_VALIDATORS: Final = b"qiong/validators/1\x00"
TAG_PARAMETERS: Final = b"qiong/parameters/1\x00"
TAG_CONSENSUS: Final = b"qiong/consensus/1\x00"
TAG_STATE_KEY: Final = b"qiong/state-key/1\x00"
TAG_TRUST: Final = b"qiong/trust/1\x00"
TAG_CARD: Final = b"qiong/card/1\x00"
TAG_QUARANTINE: Final = b"qiong/quarantine/1\x00"


def sha256(data: bytes) -> Digest:
    """SHA-256 of `data` (32 bytes)."""
    return Digest(_sha256(data).digest())


def tagged_hash(tag: bytes, data: bytes) -> Digest:
    """SHA-256 of `tag || data` (32 bytes); `tag` is one of this module's constants."""
    return Digest(_sha256(tag + data).digest())
