"""Numbers of a run: how many rounds it makes, and what its measurements come to."""

from __future__ import annotations

import os
from collections.abc import Sequence


def rounds(variable: str, default: int) -> int:
    """How often to do it: the environment's QIONG_CHAOS_`variable`, or `default`."""
    return int(os.environ.get(f"QIONG_CHAOS_{variable}", default))


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that at least `share` of all do not exceed (nearest rank); 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * share // 1))
    return ordered[int(rank) - 1]


def summary(values: Sequence[float]) -> dict[str, float]:
    """Count, median, 99th percentile and maximum, to three places."""
    if not values:
        return {"count": 0}
    return {
        "count": len(values),
        "p50": round(percentile(values, 0.5), 3),
        "p99": round(percentile(values, 0.99), 3),
        "max": round(max(values), 3),
    }
