"""Real validators in real processes, driven only by the `qiong` command and by HTTP.

One network of four serves the whole run, so a test leaves it as it found it: all four validators
up. Tests of one module see each other's transactions; they use rows of their own.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from devnet import manifest, network
from devnet.manifest import Manifest
from devnet.network import ValidatorState

COMMAND_SECONDS_MAX = 240
AGREE_SECONDS_MAX = 60

T = TypeVar("T")


@dataclass(frozen=True)
class Devnet:
    """A running devnet and the `qiong` command as a user of it would call it."""

    folder: Path

    @property
    def manifest(self) -> Manifest:
        return manifest.load(self.folder)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "cli.main", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: text for name, text in os.environ.items() if not name.startswith("QIONG_")}
        return clean | {
            "QIONG_NODE": ",".join(entry.api for entry in self.manifest.validators),
            "QIONG_KEYS": str(self.folder / "keys"),
            "QIONG_TRUST": str(self.folder / "trust.json"),
        }

    def run(self, *arguments: str, code: int = 0) -> Any:
        """Run `qiong ARGUMENTS --json`, expect exit code `code`, return the last JSON line."""
        ended = subprocess.run(
            self.command(*arguments, "--json"),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        assert ended.returncode == code, (arguments, ended.stdout[-2000:], ended.stderr[-2000:])
        lines = ended.stdout.splitlines()
        return json.loads(lines[-1]) if lines else None

    def submit(self, contract: str, method: str, *args: str, sender: str, code: int = 0) -> Any:
        text = json.dumps(args, ensure_ascii=False)
        command = ["tx", "submit", contract, method, text, "--from", sender, "--wait"]
        return self.run(*command, code=code)

    def agreed(self, height_min: int = 0) -> ValidatorState:
        """Wait until every validator reports one header hash at one height; return one's state."""

        def look() -> ValidatorState | None:
            states = network.status(self.manifest)
            hashes = {(state.height, state.header_hash) for state in states}
            first = states[0]
            agreed = len(hashes) == 1 and first.height is not None and first.height >= height_min
            return first if agreed else None

        return eventually(look, "all validators agree on one header")


def eventually(look: Callable[[], T | None], what: str, seconds: float = AGREE_SECONDS_MAX) -> T:
    """Call `look` until it returns something; fail the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"in {seconds} s it did not happen that {what}")
        time.sleep(0.1)


@pytest.fixture(scope="session")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """Four validators, started by `qiong devnet up --detach`."""
    folder = tmp_path_factory.mktemp("e2e") / "net"
    command = [sys.executable, "-P", "-m", "cli.main", "devnet", "up"]
    options = ["--validators", "4", "--dir", str(folder), "--detach"]
    try:
        started = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        assert started.returncode == 0, started.stderr
        yield Devnet(folder)
    finally:
        network.reset(folder)
