"""One hunt: a seed, so many inputs, and everything that went wrong with them.

Each input runs in a locked worker twice (the second time compiled already), in a second worker (of
the other CPython where there is one, and under another hash seed in any case), and in this process.
A finding is

    crash    a worker died or hung, or the executor raised what is no outcome
    differs  two of these runs gave different receipts
    slow     the call took more than 100 ms of the worker's CPU, or a second with compiling, three
             times over
    large    the worker held more than 256 MB

An input whose outcome, guards and gas (to a power of two) were not seen before joins those that
are mutated next. So a hunt depends on its seed alone, and a seed replays it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from contracts import shipped
from contracts.dialect import CompileRefused, compile_source
from contracts.inline import InlineRunner
from contracts.runner import ExecutionStopped, WorkerRunner
from contracts.worker.executor import CALL_GAS_MAX
from ledger.receipt import TransactionOutcome
from tests.contracts.hostile.corpus import corpus
from tests.contracts.hostile.engines import Input, Watched, execute, interpreters
from tests.fuzz.grammar import program
from tests.fuzz.mutate import mutated
from tests.fuzz.values import arguments

CPU_SECONDS_MAX: Final = 0.1
COMPILE_SECONDS_MAX: Final = 1.0
MEMORY_BYTES_MAX: Final = 256 << 20
HANG_SECONDS: Final = 20.0
KEPT_MAX: Final = 400


@dataclass(frozen=True)
class Finding:
    kind: str
    detail: str
    given: Input


@dataclass
class Summary:
    """What hunts have seen. `inputs` counts contracts and arguments, each run four times."""

    inputs: int = 0
    compiled: int = 0
    cpu_seconds_max: float = 0.0
    compile_seconds_max: float = 0.0
    memory_bytes_max: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: Summary) -> None:
        self.inputs += other.inputs
        self.compiled += other.compiled
        self.cpu_seconds_max = max(self.cpu_seconds_max, other.cpu_seconds_max)
        self.compile_seconds_max = max(self.compile_seconds_max, other.compile_seconds_max)
        self.memory_bytes_max = max(self.memory_bytes_max, other.memory_bytes_max)
        self.statuses += other.statuses
        self.findings += other.findings


class Engines:
    """Two workers and this process. `judge` runs one input through all of them."""

    def __init__(self, *, measure: bool) -> None:
        self._measure = measure
        self.sandbox = Watched(seconds_max=HANG_SECONDS)
        other = Watched(seconds_max=HANG_SECONDS, executable=_other_interpreter())
        self._worker, self._other = WorkerRunner(self.sandbox), WorkerRunner(other)

    def close(self) -> None:
        self._worker.close()
        self._other.close()

    def judge(self, given: Input, summary: Summary) -> TransactionOutcome | Finding:
        """The receipt that all agree on, or what is wrong."""
        try:
            cold, compiling = self._timed([given, *_alike(given)], COMPILE_SECONDS_MAX)
            warm, seconds = self._timed([given] * 3, CPU_SECONDS_MAX)
            other = execute(self._other, given)
        except ExecutionStopped as stopped:
            return Finding("crash", stopped.reason, given)
        try:
            here = execute(InlineRunner(), given)
        except Exception as error:  # whatever it is, it is no outcome
            return Finding("crash", f"in process: {error!r}", given)
        for name, receipt in (("warm", warm), ("other worker", other), ("in process", here)):
            if receipt != cold:
                return Finding("differs", f"{name}: {_row(receipt)}, cold: {_row(cold)}", given)
        memory = self.sandbox.peak_bytes()
        summary.cpu_seconds_max = max(summary.cpu_seconds_max, seconds)
        summary.compile_seconds_max = max(summary.compile_seconds_max, compiling)
        summary.memory_bytes_max = max(summary.memory_bytes_max, memory)
        if self._measure and (seconds > CPU_SECONDS_MAX or compiling > COMPILE_SECONDS_MAX):
            detail = f"{seconds:.3f} s of CPU, {compiling:.3f} s with compiling, gas {cold.gas}"
            return Finding("slow", detail, given)
        if memory > MEMORY_BYTES_MAX:
            return Finding("large", f"{memory >> 20} MB", given)
        return cold

    def _timed(self, tries: Sequence[Input], most: float) -> tuple[TransactionOutcome, float]:
        """The first receipt and the CPU time of the worker; a time over `most` is measured again
        with the next of `tries`, since neighbours on the machine lengthen it too."""
        least, first = float("inf"), None
        for given in tries:
            before = self.sandbox.cpu_seconds()
            outcome = execute(self._worker, given)
            first = first or outcome
            least = min(least, self.sandbox.cpu_seconds() - before)
            if least <= most or not self._measure:
                break
        assert first is not None
        return first, least


def _alike(given: Input) -> list[Input]:
    """The same contract, but not for a cache of compiled ones."""
    return [given._replace(source=given.source + "\n" * count) for count in (1, 2)]


def hunt(
    seed: int, inputs: int, *, measure: bool, until: Callable[[], bool] = lambda: False
) -> Summary:
    """Run `inputs` inputs of the hunt `seed`, or as many until `until` says so."""
    summary = Summary()
    with closing(Engines(measure=measure)) as engines:
        generator = Inputs(seed)
        for _, given in zip(range(inputs), generator, strict=False):
            verdict = engines.judge(given, summary)
            summary.inputs += 1
            if isinstance(verdict, Finding):
                summary.findings.append(verdict)
            else:
                summary.statuses[f"{verdict.status} {verdict.code}".strip()[:24]] += 1
                summary.compiled += verdict.code != "compile_refused"
                generator.learn(given, verdict)
            if until():
                break
    return summary


class Inputs:
    """The inputs of one seed. `learn` says how the last one ended."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._texts = list(_texts())
        self._fixed = len(self._texts)
        self._seen: set[object] = set()

    def __iter__(self) -> Iterator[Input]:
        while True:
            yield self._next()

    def _next(self) -> Input:
        rng = self._rng
        draw = rng.randrange(10)
        if draw < 4:
            source = program(rng)
        else:
            source = rng.choice(self._texts)
            if draw < 9:
                source = mutated(rng, source, self._texts)
        gas = CALL_GAS_MAX if rng.randrange(8) else rng.randrange(1, 20_000)
        return Input(source, arguments(rng), gas)

    def learn(self, given: Input, outcome: TransactionOutcome) -> None:
        signs: list[object] = [(outcome.status, outcome.code)]
        with_guards = _guards(given.source) if outcome.code != "compile_refused" else ()
        signs += [(guard, outcome.status, outcome.code) for guard in with_guards]
        signs.append((outcome.status, outcome.gas.bit_length()))
        if self._seen.issuperset(signs):
            return
        self._seen.update(signs)
        if outcome.code != "compile_refused":
            if len(self._texts) - self._fixed >= KEPT_MAX:
                del self._texts[self._rng.randrange(self._fixed, len(self._texts))]
            self._texts.append(given.source)


def _guards(source: str) -> tuple[str, ...]:
    """The guards and host functions that the compiled code names."""
    try:
        code = compile_source(source).code
    except CompileRefused:
        return ()
    return tuple(
        name
        for each in code.co_consts
        if hasattr(each, "co_names")
        for name in each.co_names
        if name.startswith("_")
    )


@cache
def _texts() -> tuple[str, ...]:
    return (
        *(entry.source for entry in corpus().values() if len(entry.source) < 6_000),
        *map(shipped.source, shipped.LIBRARY),
    )


@cache
def _other_interpreter() -> str:
    return interpreters()[-1]


def _row(outcome: TransactionOutcome) -> str:
    return f"{outcome.status} {outcome.code} gas {outcome.gas} calls {outcome.calls!r}"[:400]
