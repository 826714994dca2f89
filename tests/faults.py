"""The table of faults: which are due, which tests show them, and what these said.

    python -m tests.faults [--layer S] [--layer M] [--layer P] [--list]

A test that shows row NN is named `test_row_NN_...` and stands in the folder of its layer: S, the
simulation; M, the model check; P, real processes. A row names the layers that must show it. A row
that is due needs a test in each of them: one without fails the command, as a failed test does.
Rows of parts that do not exist yet say `later`.

Without `--layer`, all are run; P takes more than an hour. `--list` runs nothing.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parent
FOLDERS: Final = {"S": "simulation", "M": "model", "P": "chaos"}
NAME: Final = re.compile(r"^(?:async )?def (test_row_(\d\d)_\w+)\(", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """One fault. `later` names what it waits for; such a row is not due."""

    number: int
    fault: str
    layers: str
    later: str | None = None


ROWS: Final = (
    Row(1, "primary sends two PRE-PREPAREs", "SP"),
    Row(2, "primary silent", "SP"),
    Row(3, "primary just under the time-out", "SP"),
    Row(4, "primary starves f nodes", "SP"),
    Row(5, "primary censors one organisation", "SP"),
    Row(6, "f crashed", "SP"),
    Row(7, "f+1 crashed", "SP"),
    Row(8, "f vote twice (twins)", "SP"),
    Row(9, "twin primary across a partition", "SP"),
    Row(10, "forged certificate", "SP"),
    Row(11, "hash does not match content", "SP"),
    Row(12, "replay of an old view or epoch", "SP"),
    Row(13, "new-view attack: P holds d1@v1 and d2@v2", "SM"),
    Row(14, "VIEW-CHANGE hides a prepared certificate", "SM"),
    Row(15, "NEW-VIEW with another O; two NEW-VIEWs", "S"),
    Row(16, "one VIEW-CHANGE with view 2^31", "SP"),
    Row(17, "a storm of VIEW-CHANGEs from f nodes", "SP"),
    Row(18, "f+1 faulty primaries in a row", "S"),
    Row(19, "view change with W in flight and a gap", "S"),
    Row(20, "a node alone in a view change", "S"),
    Row(21, "an attempt to return to the old view", "S"),
    Row(22, "lagging node, lying peer", "SP"),
    Row(23, "crash between log and send", "SP"),
    Row(24, "crash between send and execution", "SP"),
    Row(25, "kill -9 at every system call of a commit", "P"),
    Row(26, "torn tail of the log", "SP"),
    Row(27, "bit flipped inside the log", "SP"),
    Row(28, "sync fails (EIO)", "P"),
    Row(29, "disk full", "P"),
    Row(30, "LevelDB corrupt or deleted", "P"),
    Row(31, "log deleted, or rolled back with its machine", "SP"),
    Row(32, "one key on two hosts", "SP"),
    Row(33, "power loss of all nodes", "SP"),
    Row(34, "clocks: +1 h on f nodes, jump back, drift", "SP"),
    Row(35, "2-2 partition", "SP"),
    Row(36, "minority cut off", "SP"),
    Row(37, "one-way links", "SP"),
    Row(38, "flapping links", "SP"),
    Row(39, "30 % loss, duplication, reordering", "SP"),
    Row(40, "bit corruption", "SP"),
    Row(41, "oversized, malformed, deeply nested messages", "SP"),
    Row(42, "flood from one peer", "P", later="admission under load"),
    Row(43, "primary paused 30 s (SIGSTOP)", "P"),
    Row(44, "key rotation during a view change", "SP", later="membership"),
    Row(45, "join and leave under faults", "SP", later="membership"),
    Row(46, "a node asleep across three epochs", "SP", later="membership"),
    Row(47, "a removed validator votes on", "SP", later="membership"),
    Row(48, "replay of a transaction", "SP"),
    Row(49, "spam from one organisation", "P", later="admission under load"),
    Row(50, "client talks to one node only", "SP"),
    Row(51, "a contract that executes differently", "SP"),
    Row(52, "endless loop, memory bomb", "P"),
    Row(53, "slow-loris, 10,000 idle connections", "P", later="HTTP under load"),
    Row(54, "rolling restart, mixed versions", "P", later="upgrades"),
    Row(55, "24 h soak under a random mix", "P", later="release tests"),
)


def cells_of(tests: Path) -> dict[tuple[int, str], list[str]]:
    """(row, layer) -> node ids of the tests named after it, as the source files have them."""
    found: dict[tuple[int, str], list[str]] = {}
    for layer, folder in FOLDERS.items():
        for file in sorted((tests / folder).rglob("test_*.py")):
            for name, number in NAME.findall(file.read_text("utf-8")):
                node = f"{file.relative_to(tests.parent)}::{name}"
                found.setdefault((int(number), layer), []).append(node)
    return found


def missing(cells: dict[tuple[int, str], list[str]]) -> list[tuple[Row, str]]:
    """Rows that are due, with each layer that has no test for them."""
    due = [row for row in ROWS if row.later is None]
    return [(row, layer) for row in due for layer in row.layers if (row.number, layer) not in cells]


@dataclass
class Results:
    """A pytest plugin: the outcome of each test, the worst of its parameters."""

    outcomes: dict[str, str] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        node = report.nodeid.split("[")[0]
        if report.outcome == "failed":
            self.outcomes[node] = "failed"
        elif report.outcome == "skipped":
            self.outcomes.setdefault(node, "skipped")
        elif report.when == "call" and self.outcomes.get(node) != "failed":
            self.outcomes[node] = "passed"


def table(
    cells: dict[tuple[int, str], list[str]], outcomes: dict[str, str], layers: Sequence[str]
) -> tuple[list[str], bool]:
    """The lines of the table, and whether every due cell of `layers` is there and did not fail."""
    lines: list[str] = []
    good = True
    for row in ROWS:
        head = f"{row.number:>3}  {row.fault:<46}"
        if row.later is not None:
            lines.append(f"{head} {row.layers:<3} later: {row.later}")
        shown = [layer for layer in FOLDERS if (row.number, layer) in cells]
        due = row.layers if row.later is None else ""
        for layer in sorted({*shown, *due}, reverse=True):
            nodes = cells.get((row.number, layer), [])
            results = [outcomes.get(node, "not run") for node in nodes]
            wanted = layer in layers
            if not nodes:
                good, results = False, ["MISSING"]
            elif wanted and any(result in ("failed", "not run") for result in results):
                good = False
            names = [node.split("::")[1] for node in nodes] or ["-"]
            for name, result in zip(names, results, strict=True):
                lines.append(f"{head} {layer:<3} {result:<8} {name}")
    return lines, good


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--layer", action="append", choices=sorted(FOLDERS))
    parser.add_argument("--list", action="store_true", help="run nothing")
    options = parser.parse_args(arguments)
    layers = [] if options.list else options.layer or list(FOLDERS)
    cells = cells_of(TESTS)
    numbers = {row.number for row in ROWS}
    nodes = [
        n
        for (number, layer), ns in cells.items()
        if layer in layers and number in numbers
        for n in ns
    ]
    results = Results()
    if nodes:
        pytest.main(["-q", "-m", "", "-p", "no:cacheprovider", *nodes], plugins=[results])
    lines, good = table(cells, results.outcomes, layers)
    sys.stdout.write("\n".join(["", *lines, ""]))
    failed = sum(outcome == "failed" for outcome in results.outcomes.values())
    lacking = missing(cells)
    sys.stdout.write(
        f"{len(results.outcomes)} tests run, {failed} failed; "
        f"{len(lacking)} due cells without a test\n"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
