"""The constants of a turn, taken together: how much of the time f slow primaries can take."""

from __future__ import annotations

import pytest

from consensus.config import ROTATION_BLOCKS_MIN, ROTATION_MS, TIMEOUT_LAN_MS
from consensus.normal import TIMESTAMP_PAST_MS

SHARE_MIN = 0.60
"""Of normal throughput with f Byzantine (`reliability.md`)."""

LAST_BLOCK_MS = TIMEOUT_LAN_MS
"""The block that ends a slow turn comes up to a time-out late."""


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9])
def test_slow_primaries_take_little_more_than_their_turns(n: int) -> None:
    """A primary that commits nothing, just under the time-out, its bodies dated back as far as the
    rules let it, beside honest ones that use the same turn in full."""
    f = (n - 1) // 3
    by_time = ROTATION_MS + TIMESTAMP_PAST_MS + LAST_BLOCK_MS
    slow = max(by_time, ROTATION_BLOCKS_MIN * TIMEOUT_LAN_MS)
    honest = (n - f) * ROTATION_MS
    assert honest / (honest + f * slow) >= SHARE_MIN
