"""A run of an author's tests under pytest, with its report: what `qiong contract test` does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import pytest

from contracts.testing import lab, report

PLUGIN: Final = "contracts.testing.plugin"

QUIET: Final = "ignore::pytest.PytestDeprecationWarning"
"""Other plugins that are installed warn of settings which are no author's concern."""


@dataclass
class Outcome:
    """How a run ended. `coverage` is None where lines could not be traced."""

    exit_code: int
    counts: Counter[str] = field(default_factory=Counter)
    gas: list[report.MethodGas] = field(default_factory=list)
    coverage: list[report.Coverage] | None = None


class _Session:
    """Settles how hypothesis works, and counts tests by how they ended."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self) -> None:
        """Before any conftest.py, which may choose otherwise."""
        from hypothesis import settings

        # A wall-clock deadline per example says something about this machine, not of a contract.
        settings.register_profile("qiong", deadline=None)
        settings.load_profile("qiong")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome == "skipped":
            self.counts[report.outcome] += 1
        elif report.failed:
            self.counts["error"] += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.counts["error"] += report.failed


def run(paths: Sequence[str], options: Sequence[str], *, worker: bool) -> Outcome:
    """Run the tests in `paths`; pytest writes its progress to `sys.stdout`.

    `options` are pytest's. With `worker`, calls run in a validator's locked-down worker, which
    raises `SandboxUnavailable` inside the tests where there can be none.
    """
    session = _Session()
    arguments = ["-p", PLUGIN, "--import-mode=importlib", "-W", QUIET, *options, *paths]
    with lab.installed(lab.Lab(worker=worker)) as laboratory:
        code = pytest.main(arguments, plugins=[session])
    record = laboratory.record
    covered = None if worker else report.coverage(record)
    return Outcome(int(code), session.counts, report.gas(record), covered)
