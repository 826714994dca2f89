"""What a quorum of VIEW-CHANGEs obliges the next primary to propose (OSDI '99 §4.4).

Pure functions, used three times: by the new primary to make its NEW-VIEW, by the verifier to
refuse one that says anything else, and by the replica to act on it. Had backups not recomputed
O, one lying primary could replace a decided value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from consensus.messages import PreparedCertificate, ViewChange
from ledger.block import null_digest
from ledger.certificate import Certificate
from ledger.types import Digest, Height


@dataclass(frozen=True, slots=True)
class NewViewContent:
    """`lo` is the highest certified height shown, `hi` the highest that any P names.

    `digests` holds (n, d) for every lo < n <= hi, ascending.
    """

    lo: Height
    lo_hash: Digest
    lo_certificate: Certificate | None
    hi: Height
    digests: tuple[tuple[Height, Digest], ...]


def content(view_changes: Iterable[ViewChange]) -> NewViewContent:
    """The content that follows from these VIEW-CHANGEs, which are valid and of one view.

    For each height the certificate of the highest view wins: a value decided in view v was
    prepared by a quorum in v, so no higher view can have prepared another (OSDI '99 §4.5.1).
    """
    changes = list(view_changes)
    highest = max(changes, key=lambda change: change.stable_n)
    lo = highest.stable_n
    best: dict[Height, PreparedCertificate] = {}
    for change in changes:
        for prepared in change.prepared:
            known = best.get(prepared.n)
            if prepared.n > lo and (known is None or prepared.view > known.view):
                best[prepared.n] = prepared
    hi = max(best, default=lo)
    digests: list[tuple[Height, Digest]] = []
    for number in range(lo + 1, hi + 1):
        n = Height(number)
        digests.append((n, best[n].digest if n in best else null_digest(n)))
    return NewViewContent(lo, highest.stable_hash, highest.certificate, hi, tuple(digests))
