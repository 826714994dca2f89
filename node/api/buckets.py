"""Token buckets: how much one client may ask of a node.

A bucket fills at `rate` tokens a second up to `burst`; a request takes one or more. At most
`BUCKETS_MAX` of them are kept, the longest unused out first, so that a flood of addresses costs
bounded memory. The clock is the caller's.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import ceil
from typing import Final

BUCKETS_MAX: Final = 10_000
"""Addresses remembered; about 2 MB."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float


class TokenBuckets:
    """One bucket a key. `rate` 0 means no limit."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, tokens: float, now: float) -> int:
        """Take `tokens` from the bucket of `key` at `now` (seconds).

        Returns 0, or the whole seconds after which to try again; then nothing was taken. More than
        a full bucket holds is taken from a full one, which then owes the rest.
        """
        if self._rate <= 0:
            return 0
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self._burst, now)
            if len(self._buckets) > BUCKETS_MAX:
                self._buckets.popitem(last=False)
        gained = max(0.0, now - bucket.filled) * self._rate
        bucket.tokens = min(self._burst, bucket.tokens + gained)
        bucket.filled = now
        self._buckets.move_to_end(key)
        needed = min(tokens, self._burst)
        if bucket.tokens < needed:
            return ceil((needed - bucket.tokens) / self._rate)
        bucket.tokens -= tokens
        return 0
