"""Many seeds in worker processes.

    python -m tests.simulation.soak [--seeds N] [--minutes M] [--first SEED] [--workers 2]
    python -m tests.simulation.soak --seed S --n N          replays one run

Exits with 1 if any run was wrong or stuck; the table at the end names their seeds.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import logging
import multiprocessing
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.simulation.checks import Stuck, Violation
from tests.simulation.scenario import Scenario, replay_command, scenario
from tests.simulation.world import Totals

SIZES = (4, 5, 6, 7, 10)

PROGRESS_SECONDS = 30

BATCH_PER_WORKER = 32
"""Runs handed out at once; more would only make the end late."""


@dataclass(frozen=True)
class Failure:
    """One bad run; `kind` is `violation`, `stuck` or `error` (the simulator or core raised)."""

    seed: int
    n: int
    kind: str
    detail: str


@dataclass
class Summary:
    """What many runs have seen."""

    totals: Totals = field(default_factory=Totals)
    failures: list[Failure] = field(default_factory=list)

    def add(self, result: Totals | Failure) -> None:
        if isinstance(result, Failure):
            self.failures.append(result)
            self.totals.runs += 1
        else:
            self.totals.add(result)

    def of_kind(self, kind: str) -> list[Failure]:
        return [failure for failure in self.failures if failure.kind == kind]

    def table(self) -> str:
        rows = [(name, f"{value:,}") for name, value in vars(self.totals).items()]
        for kind in ("violation", "stuck", "error"):
            found = [f"{item.seed} (n {item.n})" for item in self.of_kind(kind)]
            rows.append((kind, f"{len(found)}  {', '.join(found[:20])}".rstrip()))
        return "\n".join(f"{name:<12}{value}" for name, value in rows)


def run_one(job: tuple[int, int]) -> Totals | Failure:
    seed, n = job
    try:
        return scenario(seed, n)
    except Violation as error:
        kind = "stuck" if isinstance(error, Stuck) else "violation"
        return Failure(seed, n, kind, "\n".join([str(error), *error.__notes__]))
    except Exception:
        detail = f"{traceback.format_exc()}\nreplay: {replay_command(seed, n)}"
        return Failure(seed, n, "error", detail)
    finally:
        gc.collect()


def run_seeds(
    seeds: Iterable[int],
    sizes: Sequence[int] = SIZES,
    *,
    workers: int = 1,
    stop_at_failure: bool = False,
) -> Summary:
    """Run each seed at one size, in turn. In this process if `workers` is 1."""
    jobs = ((seed, sizes[seed % len(sizes)]) for seed in seeds)
    summary = Summary()
    for result in _results(jobs, workers):
        summary.add(result)
        if stop_at_failure and summary.failures:
            break
    return summary


def _results(jobs: Iterable[tuple[int, int]], workers: int) -> Iterator[Totals | Failure]:
    if workers == 1:
        gc.disable()
        try:
            yield from map(run_one, jobs)
        finally:
            gc.enable()
        return
    jobs = iter(jobs)
    context = multiprocessing.get_context("fork")
    with context.Pool(workers, initializer=_begin_worker) as pool:
        while batch := list(itertools.islice(jobs, BATCH_PER_WORKER * workers)):
            yield from pool.imap_unordered(run_one, batch)


def _begin_worker() -> None:
    """Leave what the parent holds alone: collecting it again and again would copy all of it."""
    gc.freeze()
    gc.disable()


def _seeds(options: argparse.Namespace) -> Iterator[int]:
    """The seeds asked for, until the time is up."""
    end = time.monotonic() + 60 * options.minutes if options.minutes else None
    numbers = itertools.count(options.first)
    if options.seeds or not options.minutes:
        numbers = itertools.islice(numbers, options.seeds or 1_000)  # type: ignore[assignment]
    for seed in numbers:
        if end is not None and time.monotonic() >= end:
            return
        yield seed


def _replay(seed: int, n: int) -> int:
    print("plan:", *Scenario(seed, n).plan, sep="\n  ")  # noqa: T201
    result = run_one((seed, n))
    print(result.detail if isinstance(result, Failure) else result)  # noqa: T201
    return int(isinstance(result, Failure))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="seeded simulations of the consensus core")
    parser.add_argument("--seeds", type=int, help="how many (1,000)")
    parser.add_argument("--minutes", type=float, help="stop after so long")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, help="replay this one run")
    parser.add_argument("--n", type=int, help="with --seed: how many validators")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _replay(options.seed, options.n or SIZES[options.seed % len(SIZES)])
    return _soak(options)


def _soak(options: argparse.Namespace) -> int:
    summary, begin = Summary(), time.monotonic()
    next_note = begin + PROGRESS_SECONDS
    jobs = ((seed, SIZES[seed % len(SIZES)]) for seed in _seeds(options))
    for result in _results(jobs, options.workers):
        summary.add(result)
        if isinstance(result, Failure):
            print(f"{result.kind}: {result.detail}", flush=True)  # noqa: T201
        if time.monotonic() >= next_note:
            next_note += PROGRESS_SECONDS
            runs, bad = summary.totals.runs, len(summary.failures)
            print(f"{runs} runs, {bad} bad, {time.monotonic() - begin:.0f} s", flush=True)  # noqa: T201
    print(summary.table())  # noqa: T201
    return int(bool(summary.failures))


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # torn logs are what is simulated
    sys.exit(main())
