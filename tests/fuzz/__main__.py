"""Random contracts and arguments in real, locked-down workers.

    python -m tests.fuzz --minutes 5 [--seed S] [--workers W] [--out DIR]
    python -m tests.fuzz --seed S --hunts 1            runs the hunt of one seed again
    python -m tests.fuzz --replay FILE                 runs one finding again

Hunts have consecutive seeds from S on, each of 1,000 inputs. Prints inputs a second, and each
finding with the smallest input that still shows it; ends with 1 if there was any. What is looked
for is told in `hunt.py`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from tests.contracts.hostile.engines import Input
from tests.fuzz.hunt import Engines, Finding, Summary, hunt
from tests.fuzz.minimise import minimised

INPUTS: Final = 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="how long (5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first hunt (0)")
    parser.add_argument("--hunts", type=int, help="how many hunts, however long they take")
    parser.add_argument("--workers", type=int, default=1, help="hunts at a time (1)")
    parser.add_argument("--out", type=Path, help="folder to write the findings to, as JSON")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run this finding again")
    options = parser.parse_args(arguments)
    if options.replay is not None:
        return _replay(options.replay)
    total, begin = Summary(), time.monotonic()
    for seed, summary in _hunts(options):
        total.add(summary)
        rate = total.inputs / (time.monotonic() - begin)
        _say(
            f"seed {seed}: {total.inputs:,} inputs ({total.compiled:,} compiled), {rate:.0f} a "
            f"second, at most {total.cpu_seconds_max * 1000:.0f} ms of CPU a call, "
            f"{total.compile_seconds_max * 1000:.0f} ms with compiling, "
            f"{total.memory_bytes_max >> 20} MB, {len(total.findings)} findings"
        )
        for finding in summary.findings[:3]:
            _tell(finding, seed, options.out)
    for status, count in total.statuses.most_common(20):
        _say(f"{count:>9,}  {status}")
    return int(bool(total.findings))


def _hunts(options: argparse.Namespace) -> Iterator[tuple[int, Summary]]:
    deadline = time.monotonic() + 60 * options.minutes
    seeds: Iterator[int] = iter(range(options.seed, options.seed + (options.hunts or 10**9)))
    run = partial(_hunt, deadline=None if options.hunts else deadline)
    with multiprocessing.get_context("fork").Pool(options.workers) as pool:
        while options.hunts or time.monotonic() < deadline:
            batch = [seed for _, seed in zip(range(options.workers), seeds, strict=False)]
            if not batch:
                return
            yield from pool.imap_unordered(run, batch)


def _hunt(seed: int, deadline: float | None) -> tuple[int, Summary]:
    # A monotonic clock is one for all processes of a machine.
    def until() -> bool:
        return deadline is not None and time.monotonic() >= deadline

    return seed, hunt(seed, INPUTS, measure=True, until=until)


def _tell(finding: Finding, seed: int, out: Path | None) -> None:
    with closing(Engines(measure=True)) as engines:

        def fails(given: Input) -> bool:
            verdict = engines.judge(given, Summary())
            return isinstance(verdict, Finding) and verdict.kind == finding.kind

        given = minimised(finding.given, fails) if fails(finding.given) else finding.given
    _say(f"{finding.kind}: {finding.detail}\nargs {given.args!r:.500}, gas {given.gas}")
    _say(given.source[:4_000])
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        document = {
            "kind": finding.kind,
            "detail": finding.detail,
            "source": given.source,
            "args": given.args,
            "gas": given.gas,
        }
        file = out / f"{finding.kind}-{seed}-{abs(hash(given.source)) % 10**8}.json"
        file.write_text(json.dumps(document, default=lambda data: data.hex()), "utf-8")
        _say(f"written to {file}")


def _replay(file: Path) -> int:
    document = json.loads(file.read_text("utf-8"))
    given = Input(document["source"], document["args"], document["gas"])
    with closing(Engines(measure=True)) as engines:
        verdict = engines.judge(given, Summary())
    _say(str(verdict))
    return int(isinstance(verdict, Finding))


def _say(text: str) -> None:
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
