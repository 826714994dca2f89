"""Building transactions: a nonce, an expiry, a gas limit, and the signatures.

The clock and the randomness of a transaction are the client's; from here on its bytes never change.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Final

from ledger.keys import SigningKey
from ledger.transaction import (
    NONCE_SIZE,
    TRANSACTION_GAS_MAX,
    Call,
    SignedTransaction,
    Transaction,
    sign_transaction,
)
from ledger.types import Digest, Gas, TimeMs

VALIDITY_MS: Final = 300_000
"""How long a transaction may wait; half of the chain's default lifetime, so clocks may differ."""

CALL_GAS: Final = 3_000
"""Gas for one call unless said otherwise: ten times a licence, and still 1,000 calls to a block."""


def now_ms() -> int:
    """UTC in milliseconds by this machine's clock."""
    return time.time_ns() // 1_000_000


def default_gas(calls: int) -> Gas:
    """`CALL_GAS` for each call, less where a transaction's limit asks for it."""
    return Gas(calls * min(CALL_GAS, TRANSACTION_GAS_MAX // calls))


def compose(
    chain_id: Digest,
    calls: Sequence[Call],
    keys: Sequence[SigningKey],
    *,
    atomic: bool = False,
    gas: int | None = None,
) -> SignedTransaction:
    """A new transaction of `calls`, signed by `keys`. Raises `FieldError` beyond the limits."""
    transaction = Transaction(
        chain_id=chain_id,
        nonce=secrets.token_bytes(NONCE_SIZE),
        valid_until_ms=TimeMs(now_ms() + VALIDITY_MS),
        gas_limit=default_gas(len(calls)) if gas is None else Gas(gas),
        calls=tuple(calls),
        atomic=atomic,
        signers=tuple(key.public for key in keys),
    )
    signed = sign_transaction(transaction, keys)
    # Decoding applies every limit, so that a bad argument fails here and not at a node.
    return SignedTransaction.decode(signed.raw)
