"""Every supported CPython gives the same verdict, code, gas and result: under any hash seed, and as
deep in the stack as contracts can be called from contracts.

Over the hostile corpus, the library, and programs from the fuzzer's grammar. Where no other version
is installed, the hash seeds and depths are all that is compared.
"""

from __future__ import annotations

import json
import os
import random
import subprocess

import pytest

from contracts import shipped
from tests.contracts.hostile.corpus import HEADING, HERE
from tests.contracts.hostile.engines import interpreters
from tests.fuzz.grammar import program

SCRIPT = HERE.parent / "dialect" / "verdicts.py"
ROOT = HERE.parents[2]
PROGRAMS = 100
GAS = 20_000
"""A fifteenth of what a call may use, for the sake of time."""

FRAMES = 300
"""Eight contracts of 32 frames each that call each other, and what stands between them."""


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    generated = {f"library-{name}": shipped.source(name) for name in shipped.LIBRARY}
    rng = random.Random(1)
    generated |= {f"program-{number}": program(rng) for number in range(PROGRAMS)}
    text = "".join(f"\n{HEADING}{name}: any\n{source}" for name, source in generated.items())
    file = tmp_path_factory.mktemp("generated") / "generated.txt"
    file.write_text(text, "utf-8")
    return [*map(str, sorted(HERE.glob("*.txt"))), str(file)]


def verdicts(command: str, corpora: list[str], seed: int, frames: int) -> dict[str, list[object]]:
    # Not -I: it would ignore the hash seed.
    done = subprocess.run(
        [command, "-S", str(SCRIPT), str(ROOT), *corpora, str(GAS), str(frames)],
        env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        timeout=300,
        check=True,
    )
    found: dict[str, list[object]] = json.loads(done.stdout)
    return found


def test_verdict_and_gas_are_the_same_on_every_interpreter(corpora: list[str]) -> None:
    commands = interpreters()
    reference = verdicts(commands[0], corpora, 0, 0)
    assert len(reference) > PROGRAMS + 120
    assert {status for status, *_ in reference.values()} >= {"ok", "error", "limit", "out_of_gas"}
    for seed, command in enumerate(commands, 1):
        found = verdicts(command, corpora, seed, FRAMES)
        differing = {
            name: (found[name], row) for name, row in reference.items() if found[name] != row
        }
        assert differing == {}, command
