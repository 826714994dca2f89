"""The processor time of another process."""

from __future__ import annotations

import time


def process_seconds(pid: int) -> float:
    """Processor time that process `pid` has used, from its own CPU clock.

    The clock's number is made as by `clock_getcpuclockid(3)`, which Python does not offer.
    """
    return time.clock_gettime((~pid << 3) | 2)
