"""The ways to execute a contract, side by side: in this process, in a locked worker, in a locked
worker of another CPython. All of them have to give the same receipts.

Every worker has a hash seed of its own, since it starts with `-I` and a clean environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from contracts import deployment_layout, registry_layout, shipped
from contracts.inline import InlineRunner
from contracts.local import MemoryState
from contracts.registry_layout import Member, Organisation
from contracts.runner import WorkerRunner
from contracts.sandbox import Sandbox
from contracts.worker.executor import CALL_GAS_MAX
from ledger import canonical
from ledger.execution import BlockContext
from ledger.hashing import ZERO_DIGEST, sha256
from ledger.keys import SigningKey
from ledger.receipt import TransactionOutcome
from ledger.transaction import NONCE_SIZE, Call, Transaction
from ledger.types import Gas, Height, PublicKey, TimeMs

SEED: Final = b"\x11" * 32
TIME_MS: Final = TimeMs(1_767_225_600_000)
KEYS_SEEDED: Final = 40

Arguments = list[canonical.Value] | dict[str, canonical.Value]


class Input(NamedTuple):
    """A contract and how it is called: as `main`, with `method`; `other` runs the same text."""

    source: str
    args: Arguments
    gas: int = CALL_GAS_MAX
    method: str = "main"


class Watched(Sandbox):
    """A sandbox whose process can be looked at."""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def cpu_seconds(self) -> float:
        """CPU time of the worker so far, to the nanosecond; 0.0 if it does not run."""
        if not self.running:
            return 0.0
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9

    def peak_bytes(self) -> int:
        """Most physical memory that the worker ever held; 0 if it does not run."""
        if not self.running:
            return 0
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = (line for line in status.split("\n") if line.startswith("VmHWM:"))
        return int(line.split()[1]) << 10


@cache
def _signer() -> PublicKey:
    return SigningKey.from_seed(SEED).public


@cache
def _base() -> dict[tuple[str, str], bytes]:
    """Entries of every chain: the library, a member who may submit, and a few keys."""
    member = Member(_signer().hex(), (registry_layout.SUBMITTER,))
    return _encoded(
        [
            *shipped.seed_entries(),
            *registry_layout.seed_entries(
                [Organisation("author", "A", "enterprise", (), (member,))]
            ),
            *(("main", f"a/{i}", i) for i in range(KEYS_SEEDED)),
        ]
    )


def _encoded(entries: Sequence[tuple[str, str, object]]) -> dict[tuple[str, str], bytes]:
    return {(name, key): canonical.encode(value) for name, key, value in entries}  # type: ignore[arg-type]


def state_of(sources: Sequence[tuple[str, str]]) -> MemoryState:
    """A chain with these contracts beside what every one has."""
    return MemoryState(_base() | _encoded(deployment_layout.seed_entries(sources)))


def transaction(call: Call, gas: int) -> Transaction:
    signer = _signer()
    return Transaction(ZERO_DIGEST, bytes(NONCE_SIZE), TIME_MS, Gas(gas), (call,), False, (signer,))


def execute(runner: WorkerRunner | InlineRunner, given: Input) -> TransactionOutcome:
    """The receipt of one call in a block of its own."""
    state = state_of([("main", given.source), ("other", given.source)])
    call = Call("main", given.method, given.args)
    # A chain of its own: runners remember the state of the chain they know.
    context = BlockContext(sha256(given.source.encode()), Height(1), TIME_MS)
    return runner.run(context, [transaction(call, given.gas)], state)[0]


def interpreters() -> list[str]:
    """This interpreter, and one of each other supported version of CPython that is found."""
    found = {sys.version_info[:2]: sys.executable}
    for version in ((3, 11), (3, 12)):
        name = f"python{version[0]}.{version[1]}"
        versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
        candidates = [*map(str, sorted(versions.glob(f"{name[6:]}.*/bin/{name}")))]
        with_path = [path for path in (shutil.which(name),) if path is not None]
        for command in (*with_path, *candidates):
            if version not in found and _runs(command, version):
                found[version] = command
    return list(found.values())


def _runs(command: str, version: tuple[int, int]) -> bool:
    check = f"import sys; raise SystemExit(sys.version_info[:2] != {version})"
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run([command, "-I", "-c", check], capture_output=True, timeout=30)
        return done.returncode == 0
    return False
