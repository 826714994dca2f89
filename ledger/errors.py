"""Errors of the ledger, grouped by whose fault they are.

Every error of Qiong is a `QiongError` with a stable `code` (what programs match on), fields that
say what was expected and what came, and a `hint` for the person reading it. Three families:

- `InvalidInput`: the caller's bytes or values are wrong. Answer it, change nothing.
- `IntegrityError`: stored or received data contradicts its own hash or signature. Never serve it.
- `StorageError`: the disk failed. Stop voting and exit; a failed sync is never retried.

Assertions are left for our own bugs.
"""

from __future__ import annotations

from typing import ClassVar


class QiongError(Exception):
    """Base of all typed errors. `code` is stable snake_case, `hint` says what to do next."""

    code: ClassVar[str] = "error"
    hint: str = ""


class InvalidInput(QiongError):
    """The caller's bytes or values are not acceptable."""

    code = "invalid_input"


class IntegrityError(QiongError):
    """Data contradicts its hash, signature or certificate."""

    code = "integrity"


class StorageError(QiongError):
    """The disk refused to read, write or sync."""

    code = "storage"


class FieldError(InvalidInput):
    """One named field holds something other than what the format asks for.

    `field` is a path such as ``calls[3].method``.
    """

    code = "malformed"

    def __init__(self, field: str, expected: str, got: object) -> None:
        shown = repr(got)
        self.field = field
        self.expected = expected
        self.got = shown if len(shown) <= 80 else shown[:77] + "..."
        super().__init__(f"{field}: expected {expected}, got {self.got}")
