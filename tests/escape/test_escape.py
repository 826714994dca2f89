"""Nothing that code in the locked worker tries gets out of it.

A fifth of the attempts; `python -m tests.escape` makes all of them, with and without lock-down.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.worker.lockdown import MACHINES
from tests.escape.attempts import ATTEMPTS, Attempt
from tests.escape.worker import Surroundings, attempt, surroundings

pytestmark = pytest.mark.skipif(
    platform.machine() not in MACHINES or not Path("/proc/sys/kernel/seccomp").exists(),
    reason="needs a kernel with seccomp filters",
)


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    with surroundings(tmp_path_factory.mktemp("scratch")) as found:
        yield found


@pytest.mark.parametrize("trial", ATTEMPTS[::5], ids=lambda trial: trial.name)
def test_a_locked_worker_lets_nothing_through(trial: Attempt, around: Surroundings) -> None:
    result = attempt(trial, around, locked=True)
    assert str(result) in ("killed", "refused MemoryError")


@pytest.mark.parametrize("name", ["read a file", "fork"])
def test_without_lock_down_they_get_through(name: str, around: Surroundings) -> None:
    (trial,) = (trial for trial in ATTEMPTS if trial.name == name)
    assert attempt(trial, around, locked=False).kind == "did"
