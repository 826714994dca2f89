"""A validator whose clock is wrong: `node run` with an offset and a drift that a test can change.

    skewed.py --home HOME

The clock is UTC + offset + drift * (time since that was set), by the last line that `shift` wrote
to HOME/clock; a missing file is a right clock. Only the node's own clock is wrong, as it would be
with NTP gone; timers run by the machine's monotonic clock, which no NTP moves.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final

from node import main, service

FILE: Final = "clock"
LOOK_SECONDS: Final = 0.05
"""Between two looks at the file."""


def command(home: Path) -> list[str]:
    """For `Cluster.start`."""
    return [sys.executable, "-P", __file__, "--home", str(home)]


def shift(home: Path, offset_ms: int, drift: float = 0.0) -> None:
    """Make the clock wrong from now on; `drift` 0.1 gains a second in ten."""
    draft = home / f"{FILE}.new"
    draft.write_text(f"{time.time_ns() // 1_000_000} {offset_ms} {drift}")
    draft.replace(home / FILE)


class Clock:
    """Stands for `node.service.clock_ms`."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE
        self._looked = float("-inf")
        self._set = (0, 0, 0.0)

    def __call__(self) -> int:
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._looked = time.monotonic()
            if self._path.exists():
                since, offset, drift = self._path.read_text().split()
                self._set = (int(since), int(offset), float(drift))
        since_ms, offset_ms, gain = self._set
        now = time.time_ns() // 1_000_000
        return now + offset_ms + int((now - since_ms) * gain)


if __name__ == "__main__":
    place = Path(sys.argv[sys.argv.index("--home") + 1])
    service.clock_ms = Clock(place)
    sys.exit(main.run(place))
