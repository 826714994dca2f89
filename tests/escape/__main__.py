"""Breaks out of the dialect, by assumption, and tries to get out of the worker.

    python -m tests.escape

Each attempt runs twice: in a worker that was not locked down, where it should reach something, and
in one that was, where nothing may. Ends with 1 if a locked worker let an attempt through, or if an
attempt reached nothing without lock-down either, so that its row shows nothing.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from collections import Counter
from pathlib import Path

from contracts.worker.lockdown import MACHINES
from tests.escape.attempts import ATTEMPTS
from tests.escape.worker import Result, attempt, surroundings


def main() -> int:
    if platform.machine() not in MACHINES:
        _say(f"no filter for {platform.machine()}: the node refuses to start here")
        return 1
    ends: Counter[str] = Counter()
    through: list[str] = []
    empty: list[str] = []
    unproven: list[str] = []
    _say(f"{'attempt':<26}  {'without lock-down':<40}  locked down")
    with tempfile.TemporaryDirectory() as scratch, surroundings(Path(scratch)) as around:
        for trial in ATTEMPTS:
            free = attempt(trial, around, locked=False)
            held = attempt(trial, around, locked=True)
            _say(f"{trial.name:<26}  {_short(free):<40}  {_short(held)}")
            ends[held.kind] += 1
            if held.kind not in ("killed", "refused"):
                through.append(trial.name)
            if free.kind != "did":
                (unproven if trial.kernel_may_refuse else empty).append(trial.name)
    told = ", ".join(f"{count} {kind}" for kind, count in ends.most_common())
    _say(f"\n{len(ATTEMPTS)} attempts on {platform.machine()}: {told}")
    if unproven:
        _say(f"this kernel refuses anyone: {', '.join(unproven)}")
    if empty:
        _say(f"reached nothing without lock-down, so they show nothing: {', '.join(empty)}")
    if through:
        _say(f"GOT THROUGH: {', '.join(through)}")
    others = ", ".join(sorted(MACHINES.keys() - {platform.machine()}))
    _say(f"the filter for {others} is evaluated in tests/contracts/test_lockdown.py, not run here")
    return int(bool(through or empty))


def _short(result: Result) -> str:
    text = str(result).replace("\n", " ")
    return text if len(text) <= 40 else text[:37] + "..."


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
