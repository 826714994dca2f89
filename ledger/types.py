"""Names for the numbers and byte strings that must not be mixed up.

A consensus sequence number and a block height are the same number: every decided sequence, the
NULL ones too, yields exactly one block. So there is one type, `Height`, for both.

`PublicKey` is 33 bytes and `Signature` 65: one algorithm byte (1 = Ed25519), then the raw value,
so that another suite can come later without a new wire format. Organisations are named by their
18-character unified social credit code (GB 32100).
"""

from __future__ import annotations

from typing import NewType

View = NewType("View", int)
Height = NewType("Height", int)
Epoch = NewType("Epoch", int)
Gas = NewType("Gas", int)
TimeMs = NewType("TimeMs", int)

Digest = NewType("Digest", bytes)
PublicKey = NewType("PublicKey", bytes)
Signature = NewType("Signature", bytes)
Organisation = NewType("Organisation", str)
