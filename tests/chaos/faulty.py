"""A test-only build of `qiong` whose contract workers have a fault:

    python -P -m tests.chaos.faulty FAULT node run --home HOME

Everything but the worker is the product, and the worker is, too, until it is to run a transaction
that holds the argument MARK. Then it does what FAULT says (`FAULTS`): three ways to be lost, and
one to say something else than others. What is lost by hanging is lost sooner than in the product.

This module is imported twice: as the program, and inside the worker before it is locked down, where
it may import nothing but what the worker has.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

MARK: Final = "MARK"
"""The argument that makes a transaction one of those."""

HANG_SECONDS: Final = 1.0
"""The watchdog's patience in this build; 30 s in the product."""

ROOT: Final = Path(__file__).resolve().parents[2]


def _escape() -> None:
    os.open("/etc/hostname", os.O_RDONLY)


def _hang() -> None:
    while True:
        pass


def _memory() -> None:
    held = []
    while True:
        held.append(bytearray(1 << 20))


def _differ() -> None:
    """Nothing ends; `_transaction` counts one unit of gas more."""


FAULTS: Final[dict[str, Callable[[], None]]] = {
    "escape": _escape,
    "hang": _hang,
    "memory": _memory,
    "differ": _differ,
}


def infect(fault: str) -> None:
    """Inside the worker: give its executor the fault."""
    from contracts.worker.executor import Executor

    honest = Executor._transaction

    def faulty(self: Executor, transaction: Any) -> Any:
        if not any(MARK in call.args for call in transaction.calls):
            return honest(self, transaction)
        FAULTS[fault]()
        row = honest(self, transaction)
        return row._replace(gas=row.gas + 1)

    setattr(Executor, "_transaction", faulty)  # noqa: B010


def command(fault: str, *words: str) -> list[str]:
    """The command line that runs `qiong WORDS` in this build."""
    program = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-P", "-m", "tests.chaos.faulty"]
    return [*program, fault, *words]


def node_command(fault: str) -> Callable[[Path], list[str]]:
    """For `Cluster.start`."""
    return lambda home: command(fault, "node", "run", "--home", str(home))


def main(arguments: list[str]) -> None:
    fault, *words = arguments
    assert fault in FAULTS, fault
    from contracts import sandbox

    broken: Any = sandbox
    head, separator, tail = sandbox._BOOT.partition("main(int(")
    infection = f"from tests.chaos.faulty import infect; infect({fault!r}); "
    broken._BOOT = head + infection + separator + tail
    broken.Sandbox.__init__.__kwdefaults__["seconds_max"] = HANG_SECONDS
    from cli.main import main as qiong

    sys.argv = ["qiong", *words]
    qiong()


if __name__ == "__main__":
    main(sys.argv[1:])
