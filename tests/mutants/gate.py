"""Breaks a copy of the sources, one mutant at a time, and runs the tests that must notice.

The work tree is never touched: each worker has a copy of its own. A layer's tests must first pass
on the unbroken copy, or their failing later would mean nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from tests.mutants.mutant import Catch, Layer, Misplaced, Mutant, Seeds

ROOT: Final = Path(__file__).resolve().parents[2]
PARTS: Final = ("cli", "consensus", "contracts", "devnet", "ledger", "node", "tests")
FILES: Final = ("pyproject.toml",)

RUN_SECONDS_MAX: Final = 300
"""One mutant in one layer. A run that hangs has noticed; without the mutant it would end."""

FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


class GateBroken(Exception):
    """The gate itself is at fault: its tests fail without a mutant, or can't be run."""


@dataclass(frozen=True)
class Outcome:
    """`caught_by` names the test that failed, None if all passed; `seconds` is wall time."""

    mutant: Mutant
    layer: Layer
    caught_by: str | None
    seconds: float
    error: str | None = None
    """Why the mutant could not be tried."""


class Tree:
    """A copy of the sources that may be broken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        for part in PARTS:
            shutil.copytree(ROOT / part, folder / part, ignore=ignored)
        for name in FILES:
            shutil.copy2(ROOT / name, folder / name)

    @contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        """The tree with `mutant` applied. Raises `Misplaced`."""
        files = sorted({edit.file for edit in mutant.edits})
        before = {name: (self.folder / name).read_bytes() for name in files}
        try:
            for edit in mutant.edits:
                edit.apply(self.folder)
            yield
        finally:
            for name, content in before.items():
                (self.folder / name).write_bytes(content)

    def run(self, catch: Catch) -> str | None:
        """Run what must notice; return which test or seed failed first, None if none did.

        Raises `GateBroken` if they could not be run.
        """
        if catch.seeds is not None:
            drawn = (catch.seeds.n, catch.seeds.first, catch.seeds.last)
            command = [sys.executable, "-m", "tests.mutants.seeds", *map(str, drawn)]
        else:
            options = ["-x", "-q", "-m", "", "--no-header", "--tb=short", "-p", "no:cacheprovider"]
            command = [sys.executable, "-m", "pytest", *options, "--hypothesis-seed=0"]
            command += catch.tests
        # No bytecode is kept: a mutant may have its original's size and second of change.
        kept = {name: value for name, value in os.environ.items() if name != "QIONG_CI"}
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env={**kept, "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                timeout=RUN_SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"no end within {RUN_SECONDS_MAX} s"
        if done.returncode == 0:
            return None
        failed = FAILED.search(done.stdout)
        if done.returncode != 1 or failed is None:
            raise GateBroken(done.stdout[-2_000:] + done.stderr[-2_000:])
        return failed[1]


class Gate:
    """Tries mutants on `workers` trees at once. Use as a context manager."""

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers
        self._folder = tempfile.TemporaryDirectory(prefix="qiong-mutants-")
        self._trees: SimpleQueue[Tree] = SimpleQueue()

    def __enter__(self) -> Gate:
        for number in range(self._workers):
            self._trees.put(Tree(Path(self._folder.name) / str(number)))
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def check_unbroken(self, mutants: Sequence[Mutant], layers: Sequence[Layer]) -> None:
        """All tests that `mutants` name pass without one. Raises `GateBroken`."""
        with self._tree() as tree:
            self._check_own_sources(tree)
            for catch in _joined(mutants, layers):
                failed = tree.run(catch)
                if failed is not None:
                    raise GateBroken(f"{failed} fails without any mutant")

    def _check_own_sources(self, tree: Tree) -> None:
        """Tests in the copy import the copy, not the installed sources."""
        command = "import consensus, sys; sys.stdout.write(consensus.__file__)"
        done = subprocess.run(
            [sys.executable, "-c", command],
            cwd=tree.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        if not Path(done.stdout).is_relative_to(tree.folder):
            raise GateBroken(f"the copy would test {done.stdout}")

    def try_all(
        self,
        mutants: Sequence[Mutant],
        layers: Sequence[Layer],
        report: Callable[[Outcome], None] = lambda outcome: None,
    ) -> list[Outcome]:
        """Each mutant in each of `layers` that must see it, in the order of the table."""
        jobs = [
            (mutant, catch)
            for mutant in mutants
            for catch in mutant.catches
            if catch.layer in layers
        ]
        with ThreadPoolExecutor(self._workers) as executor:
            outcomes: list[Outcome] = []
            for outcome in executor.map(lambda job: self._try(*job), jobs):
                report(outcome)
                outcomes.append(outcome)
            return outcomes

    def _try(self, mutant: Mutant, catch: Catch) -> Outcome:
        begin = time.monotonic()
        caught_by, error = None, None
        with self._tree() as tree:
            try:
                with tree.mutated(mutant):
                    caught_by = tree.run(catch)
            except (Misplaced, GateBroken) as broken:
                error = str(broken)
        return Outcome(mutant, catch.layer, caught_by, time.monotonic() - begin, error)

    @contextmanager
    def _tree(self) -> Iterator[Tree]:
        tree = self._trees.get()
        try:
            yield tree
        finally:
            self._trees.put(tree)


def _joined(mutants: Sequence[Mutant], layers: Sequence[Layer]) -> list[Catch]:
    """Everything that `mutants` name in these layers, each test and seed once."""
    wanted = [item for mutant in mutants for item in mutant.catches if item.layer in layers]
    joined: list[Catch] = []
    for layer in layers:
        tests = sorted({test for item in wanted if item.layer is layer for test in item.tests})
        if tests:
            joined.append(Catch(layer, tuple(tests)))
    drawn = [item.seeds for item in wanted if item.seeds is not None]
    for n in sorted({item.n for item in drawn}):
        last = max(item.last for item in drawn if item.n == n)
        joined.append(Catch(Layer.SIMULATION, seeds=Seeds(n, 0, last)))
    return joined
