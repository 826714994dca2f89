"""Making a finding small: fewer lines, then fewer tokens, then plainer arguments."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from tests.contracts.hostile.engines import Input
from tests.fuzz.mutate import TOKEN

SECONDS_MAX: Final = 90.0


def minimised(given: Input, fails: Callable[[Input], bool]) -> Input:
    """A smaller input for which `fails` still holds, after at most 90 s."""
    deadline = time.monotonic() + SECONDS_MAX

    def holds(parts: Sequence[str]) -> bool:
        smaller = given._replace(source="".join(parts))
        return time.monotonic() < deadline and fails(smaller)

    for pieces in (given.source.splitlines(keepends=True), None):
        parts = TOKEN.findall(given.source) if pieces is None else pieces
        given = given._replace(source="".join(_fewer(parts, holds)))
    if given.args != [3] and fails(given._replace(args=[3])):
        given = given._replace(args=[3])
    return given


def _fewer(parts: list[str], holds: Callable[[Sequence[str]], bool]) -> list[str]:
    """Delta debugging (Zeller and Hildebrandt, 2002) with complements only."""
    size = max(1, len(parts) // 2)
    while parts:
        at = 0
        while at < len(parts):
            without = parts[:at] + parts[at + size :]
            if holds(without):
                parts = without
            else:
                at += size
        if size == 1:
            return parts
        size //= 2
    return parts
