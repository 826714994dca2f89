"""Every hostile contract ends as documented, in the sandbox and by the command that authors use."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.contract import contract_group
from contracts import local
from tests.contracts.hostile.corpus import Entry, corpus, extract
from tests.contracts.hostile.engines import Watched

CPU_SECONDS_MAX = 1.0
"""Of command and worker together; it takes a tenth of that at most."""

CATEGORIES = sorted({entry.category for entry in corpus().values()})


class Shared(Watched):
    """A sandbox that stays for the next contract, so that one which leaves something behind in its
    worker is found out as well."""

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def worker() -> Iterator[Watched]:
    shared = Shared()
    yield shared
    Watched.close(shared)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    assert extract(folder) == len(corpus())
    return folder


def test_the_corpus_is_as_large_as_promised() -> None:
    entries = list(corpus().values())
    assert len({entry.source for entry in entries}) == len(entries) > 120
    assert sum(entry.compiles for entry in entries) > 120
    assert {entry.status for entry in entries} == {
        "ok", "rejected", "limit", "error", "reverted", "out_of_gas"
    }  # fmt: skip


def test_the_files_are_the_corpus(folder: Path) -> None:
    for entry in corpus().values():
        assert (folder / entry.category / f"{entry.name}.py").read_bytes().decode() == entry.source


@pytest.mark.parametrize("category", CATEGORIES)
def test_contract_run_stops_each_as_documented(
    category: str, folder: Path, worker: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "Sandbox", lambda **_: worker)
    wrong = {}
    for entry in corpus().values():
        if entry.category == category:
            found, seconds = measured(lambda entry=entry: run(entry, folder), worker)  # type: ignore[misc]
            if found != (entry.status, entry.code) or seconds > CPU_SECONDS_MAX:
                wrong[entry.name] = (*found, seconds)
    assert wrong == {}


def run(entry: Entry, folder: Path) -> tuple[str, str]:
    file = str(folder / entry.category / f"{entry.name}.py")
    arguments = ["run", file, "main", "[3]", "--json"]
    answer = CliRunner().invoke(contract_group, arguments, standalone_mode=False)
    assert answer.exception is None, entry.name
    document = json.loads(answer.stdout)
    assert answer.return_value == (0 if document["status"] == "ok" else 1)
    assert 0 <= document["gas"] <= 300_000
    return document["status"], document["code"]


def measured(work: Callable[[], tuple[str, str]], worker: Watched) -> tuple[tuple[str, str], float]:
    before = time.process_time() + worker.cpu_seconds()
    found = work()
    return found, time.process_time() + worker.cpu_seconds() - before


@pytest.mark.parametrize(
    "name", ["attribute-subclasses", "try-out-of-gas", "string-doubled", "reentry-direct"]
)
def test_the_command_as_a_process(name: str, folder: Path) -> None:
    entry = corpus()[name]
    command = shutil.which("qiong", path=str(Path(sys.executable).parent))
    assert command is not None
    file = str(folder / entry.category / f"{name}.py")
    done = subprocess.run(
        [command, "contract", "run", file, "main", "[3]", "--json"],
        capture_output=True,
        check=False,
        timeout=120,
    )
    document = json.loads(done.stdout)
    assert (document["status"], document["code"]) == (entry.status, entry.code)
    assert (done.returncode, done.stderr) == (1, b"")
