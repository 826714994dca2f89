"""A test-only build of the node that lies: `python -P -m tests.chaos.liar --home HOME --lie KIND`.

It runs `node.main.run` after putting a lying driver and a lying intake into `node.service`. The
rest is the product: its disk, its links, its API, its key. What kinds there are is in `KINDS`; each
class says what it does (`tests.chaos.lies_*`).

Left out: lies about execution. A validator that signs a wrong header can only fail to certify it,
which `mutate` shows.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import node.service
from ledger.errors import QiongError
from node.main import run
from tests.chaos import lies_messages, lies_primary, lies_server
from tests.chaos.lies_base import Liar, LyingIntake, Options

ROOT: Final = Path(__file__).resolve().parents[2]

KINDS: Final[dict[str, type[Liar]]] = {
    kind.kind: kind
    for kind in (
        Liar,
        lies_primary.Equivocator,
        lies_primary.Splitter,
        lies_primary.Silent,
        lies_primary.WrongBody,
        lies_primary.SlowPrimary,
        lies_primary.Filler,
        lies_primary.Censor,
        lies_messages.Starver,
        lies_messages.Replayer,
        lies_messages.HugeViewer,
        lies_messages.Stormer,
        lies_messages.Mutator,
        lies_messages.BadLeader,
        lies_messages.ForkingLeader,
        lies_messages.Babbler,
        lies_server.Forger,
        lies_server.WrongHash,
        lies_server.LyingServer,
    )
}
"""Every lie by its name. `twin` lies about nothing; it votes whatever its key did elsewhere."""


def liar_command(kind: str, *arguments: str) -> Callable[[Path], list[str]]:
    """For `Cluster.start`: the command that runs the node of a home as a liar of `kind`."""
    assert kind in KINDS, kind
    program = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-P", "-m", "tests.chaos.liar"]
    return lambda home: [*program, "--home", str(home), "--lie", kind, *arguments]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos.liar", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--lie", choices=KINDS, required=True)
    parser.add_argument("--victim", help="organisation that is starved or censored")
    parser.add_argument("--rate", type=int, default=Options.rate, help="messages a second")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args(arguments)
    options = Options(given.victim, given.rate)
    service: Any = node.service
    service.Driver = functools.partial(KINDS[given.lie], options=options)
    service.Intake = LyingIntake
    flags = dict(item.split("=", 1) for item in given.set)
    try:
        return run(given.home, flags=flags)
    except QiongError as error:
        sys.stderr.write(f"{error}\n")
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
