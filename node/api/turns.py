"""How many views and simulations one address may have in line at a time.

The line is short and the same for all (`node.views`). Without this one client could stand in all of
its places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from node.api.problems import Problem

TURNS_MAX: Final = 8
"""An eighth of the line."""


class Turns:
    """Places in line by address."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    @contextmanager
    def turn(self, address: str) -> Iterator[None]:
        """One place for the while. Raises `Problem` 429."""
        if self._taken[address] >= TURNS_MAX:
            detail = f"this address has {TURNS_MAX} questions in line already"
            raise Problem(429, "too_many_requests", detail)
        self._taken[address] += 1
        try:
            yield
        finally:
            self._taken[address] -= 1
            if not self._taken[address]:
                del self._taken[address]
