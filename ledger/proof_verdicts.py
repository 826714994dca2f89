"""What a proof is worth once it was found right: a verdict, and an exit code for each.

Of several verdicts the first counts: invalid, untrusted, stale, failed, absent, revoked or
suspended, expired, valid. The same order says which is the worst of many.

A status is read only from values with a top-level `status` (`active`, `suspended`, `revoked`) and
an optional `expires`, the last day at UTC+8; which contracts hold such attestations the trust
anchor says, and the caller asks here for no other. `ledger.proofs` finds out what is proven.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal, TypeAlias

from ledger import canonical
from ledger.proof_claims import TransactionClaim

VerdictName: TypeAlias = Literal[
    "valid",
    "invalid",
    "revoked",
    "suspended",
    "stale",
    "untrusted",
    "absent",
    "expired",
    "failed",
]
Expectation: TypeAlias = Literal["present", "absent"]

EXIT_CODES: Final[dict[VerdictName, int]] = {
    "valid": 0,
    "invalid": 1,
    "revoked": 3,
    "suspended": 3,
    "stale": 4,
    "untrusted": 5,
    "absent": 6,
    "expired": 7,
    "failed": 8,
}

SEVERITY: Final[tuple[VerdictName, ...]] = (
    "invalid",
    "untrusted",
    "stale",
    "failed",
    "absent",
    "revoked",
    "suspended",
    "expired",
    "valid",
)
"""From the worst on."""

UTC8_MS: Final = 8 * 3_600_000
DAY_MS: Final = 86_400_000
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a proof is worth.

    `subject` is ``contract/key``, a transaction id in hex, or ``header N``; `claim` is ``state``,
    ``absence``, ``transaction``, ``call`` or ``header``. Both are empty if the bytes are no proof.
    `height` and `time_ms` are the block's, `value` the decoded state value; they are None unless
    the proof was found right and anchored.
    """

    verdict: VerdictName
    exit_code: int
    subject: str
    claim: str
    height: int | None
    time_ms: int | None
    reason: str
    value: canonical.Value = None


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict whose exit code speaks for all of them, the first of several like it."""
    return min(
        verdicts,
        key=lambda each: SEVERITY.index(each.verdict) if each.exit_code else len(SEVERITY),
    )


def judge_transaction(claim: TransactionClaim) -> tuple[VerdictName, str]:
    """The verdict on an included transaction, or call, and why."""
    receipt, call = claim.receipt, claim.call
    # A call that went well inside an atomic transaction that did not has left nothing behind.
    failing = receipt if receipt.status != "ok" or call is None else call.outcome
    if failing.status != "ok":
        code = f" ({failing.code})" if failing.code else ""
        return "failed", f"included, and failed: {failing.status}{code}"
    return "valid", "included and executed"


def judge_attestation(value: canonical.Value, judged_ms: int) -> tuple[VerdictName, str]:
    """The verdict on an attestation as of `judged_ms`, and why."""
    status = value.get("status") if isinstance(value, dict) else None
    expires = value.get("expires") if isinstance(value, dict) else None
    if status == "revoked":
        return "revoked", "revoked at this height"
    if status == "suspended":
        return "suspended", "suspended at this height"
    if status != "active":
        return "valid", "proven present at this height; it states no status"
    if expires is None:
        return "valid", "active at this height; a later revocation cannot be excluded offline"
    end_ms = _end_of_day_ms(expires)
    if end_ms is None:
        return "valid", "active at this height; its date of expiry cannot be read"
    if judged_ms >= end_ms:
        return "expired", f"its term ended with {expires}"
    return "valid", "in force at this height; a later revocation cannot be excluded offline"


def _end_of_day_ms(day: object) -> int | None:
    """First millisecond after the day `YYYY-MM-DD` at UTC+8; None if it is no such day."""
    if not isinstance(day, str) or not _DATE.fullmatch(day):
        return None
    try:
        days = date.fromisoformat(day).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        return None
    return (days + 1) * DAY_MS - UTC8_MS
