"""A devnet's life: up, status, down, reset, kill, restart.

Every operation may be called in any state and again: `up` starts what is down, `down` stops what
runs. Operations that change something hold the folder's lock, so two commands never start one
validator twice. The folder is made by `devnet.founding`; this module never looks inside a home.

Left out: watching over the processes. A validator that dies stays dead until `up` or `restart`.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from devnet import founding, manifest, process
from devnet.manifest import Manifest, ValidatorEntry
from ledger.errors import InvalidInput, QiongError

LOCK_FILE: Final = "devnet.lock"
"""Also the mark by which we know a folder as ours before we delete anything in it."""

READY_SECONDS_MAX: Final = 60
"""Start of a validator on a busy machine: a second or two of imports, unlocking, connecting."""

TERMINATE_SECONDS_MAX: Final = 10
"""What a validator gets to sync its disk before it is killed."""

HTTP_SECONDS_MAX: Final = 3
POLL_SECONDS: Final = 0.1


class NotOurFolder(InvalidInput):
    """A folder that holds something else than a devnet."""

    code: ClassVar[str] = "not_our_folder"
    hint = "name a folder that is empty or not there yet"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"{folder} holds files, and none of them says it is a devnet")


class OtherSize(InvalidInput):
    """The folder's devnet has another number of validators than was asked for."""

    code: ClassVar[str] = "other_size"

    def __init__(self, folder: Path, existing: int, wanted: int) -> None:
        self.existing = existing
        self.wanted = wanted
        self.hint = (
            f"keep its {existing}, choose another --dir, or: qiong devnet reset --dir {folder}"
        )
        super().__init__(f"the devnet in {folder} has {existing} validators, not {wanted}")


class Busy(InvalidInput):
    """Another command is changing this devnet."""

    code: ClassVar[str] = "busy"
    hint = "wait for the other command to end, then try again"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"another command is changing the devnet in {folder}")


class NotReady(QiongError):
    """Validators that ended, or did not answer in time."""

    code: ClassVar[str] = "not_ready"

    def __init__(self, entries: Iterable[ValidatorEntry], reason: str) -> None:
        entries = list(entries)
        self.names = [entry.name for entry in entries]
        self.reason = reason
        self.hint = f"read {entries[0].log}"
        tail = process.log_tail(entries[0].log)
        super().__init__(f"{', '.join(self.names)} {reason}" + (f"\n{tail}" if tail else ""))


@dataclass(frozen=True, slots=True)
class ValidatorState:
    """One validator now. `state` is stopped, starting (no answer yet), syncing or ready."""

    name: str
    pid: int | None
    state: str
    height: int | None
    header_hash: str | None
    primary: str | None


Progress = Callable[[str], None]
"""Told in a few words what is being done."""


def up(
    folder: Path, validators: int | None, base_port: int | None, tell: Progress = lambda _: None
) -> Manifest:
    """Found the network in `folder` if it is not there, start what is down, wait until it is ready.

    Without `base_port` the first free range is taken. Raises `NotOurFolder`, `OtherSize`,
    `PortTaken`, `Busy` or `NotReady`.
    """
    folder = folder.resolve()
    with _locked(folder, create=True):
        if (folder / manifest.FILE).exists():
            network = manifest.load(folder)
            if validators not in (None, len(network.validators)):
                raise OtherSize(folder, len(network.validators), validators or 0)
        else:
            network = founding.found(folder, validators, base_port, tell)
        down_now = [e for e in network.validators if not process.running(e.pid, e.home)]
        if down_now:
            tell(f"starting {len(down_now)} validators")
        network = _start(network, down_now)
    wait_ready(network.validators, tell)
    return network


def status(network: Manifest) -> list[ValidatorState]:
    """The state of every validator, asked at once."""
    with ThreadPoolExecutor(len(network.validators)) as pool:
        return list(pool.map(_state, network.validators))


def down(folder: Path) -> list[str]:
    """Stop what runs, gently, then by force; return the names of what was running."""
    network = manifest.load(folder)
    with _locked(network.folder):
        return _stop(network.validators)


def reset(folder: Path) -> None:
    """Stop everything and delete the devnet's folder, keys and ledgers with it."""
    folder = folder.resolve()
    if not folder.exists():
        return
    with _locked(folder):
        with contextlib.suppress(manifest.NoDevnet, manifest.DamagedManifest):
            _stop(manifest.load(folder).validators)
        shutil.rmtree(folder)


def kill(folder: Path, name: str) -> bool:
    """Kill validator `name` with SIGKILL; return whether it was running."""
    network = manifest.load(folder)
    entry = network.find(name)
    with _locked(network.folder):
        was_running = process.send_signal(entry.pid, entry.home, signal.SIGKILL)
        process.wait_end(entry.pid, entry.home, TERMINATE_SECONDS_MAX)
        return was_running


def restart(folder: Path, name: str, tell: Progress = lambda _: None) -> Manifest:
    """Stop validator `name` if it runs, start it, wait until its API answers.

    It need not be ready then: with too few others up it cannot be. Raises `NotReady` if it ends.
    """
    network = manifest.load(folder)
    entry = network.find(name)
    with _locked(network.folder):
        _stop([entry])
        network = _start(network, [entry])
    _wait([network.find(name)], "/health", tell)
    return network


def wait_ready(entries: Iterable[ValidatorEntry], tell: Progress = lambda _: None) -> None:
    """Wait until each of `entries` answers 200 to `/ready`. Raises `NotReady`."""
    _wait(entries, "/ready", tell)


def get(entry: ValidatorEntry, path: str) -> tuple[int, Any]:
    """GET `path` from a validator: HTTP status and decoded JSON (None if it is none).

    Raises `OSError` or `http.client.HTTPException` if it does not answer.
    """
    address = urlsplit(entry.api)
    connection = http.client.HTTPConnection(
        str(address.hostname), address.port, timeout=HTTP_SECONDS_MAX
    )
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Accept": "application/json"})
        response = connection.getresponse()
        body = response.read()
    try:
        return response.status, json.loads(body)
    except ValueError:
        return response.status, None


def _state(entry: ValidatorEntry) -> ValidatorState:
    if not process.running(entry.pid, entry.home):
        return ValidatorState(entry.name, None, "stopped", None, None, None)
    try:
        ready, _ = get(entry, "/ready")
        code, answer = get(entry, "/v1/status")
    except (OSError, http.client.HTTPException):
        ready, code, answer = 0, 0, None
    if code != 200:
        return ValidatorState(entry.name, entry.pid, "starting", None, None, None)
    state = "ready" if ready == 200 else "syncing"
    height, header_hash, primary = answer["height"], answer["header_hash"], answer["primary"]
    return ValidatorState(entry.name, entry.pid, state, height, header_hash, primary)


def _start(network: Manifest, entries: Iterable[ValidatorEntry]) -> Manifest:
    """Start `entries`, writing each pid before the next start: no process is ever forgotten."""
    entries = list(entries)
    for entry in entries:
        process.wait_end(entry.pid, entry.home, TERMINATE_SECONDS_MAX)
        for port in founding.ports(entry):
            process.check_port_free(port)
    for entry in entries:
        pid = process.start(process.node_command(entry.home), entry.log)
        network = network.with_pids({entry.name: pid})
        network.save()
    return network


def _stop(entries: Iterable[ValidatorEntry]) -> list[str]:
    running = [e for e in entries if process.send_signal(e.pid, e.home, signal.SIGTERM)]
    deadline = time.monotonic() + TERMINATE_SECONDS_MAX
    for entry in running:
        patience = max(0.0, deadline - time.monotonic())
        if not process.wait_end(entry.pid, entry.home, patience):
            process.send_signal(entry.pid, entry.home, signal.SIGKILL)
            process.wait_end(entry.pid, entry.home, TERMINATE_SECONDS_MAX)
    return [entry.name for entry in running]


def _wait(entries: Iterable[ValidatorEntry], path: str, tell: Progress) -> None:
    waiting = list(entries)
    deadline = time.monotonic() + READY_SECONDS_MAX
    while waiting:
        tell("waiting for " + ", ".join(entry.name for entry in waiting))
        ended = [e for e in waiting if not process.running(e.pid, e.home)]
        if ended:
            raise NotReady(ended, "ended right after the start")
        waiting = [entry for entry in waiting if not _answers(entry, path)]
        if waiting and time.monotonic() > deadline:
            raise NotReady(waiting, f"did not become ready in {READY_SECONDS_MAX} s")
        if waiting:
            time.sleep(POLL_SECONDS)


def _answers(entry: ValidatorEntry, path: str) -> bool:
    try:
        code, _ = get(entry, path)
    except (OSError, http.client.HTTPException):
        return False
    return code == 200


@contextlib.contextmanager
def _locked(folder: Path, *, create: bool = False) -> Iterator[None]:
    """Hold the folder's lock. With `create`, an absent or empty folder becomes ours."""
    if create:
        folder.mkdir(parents=True, exist_ok=True)
    lock = folder / LOCK_FILE
    if not lock.exists() and not (create and not any(folder.iterdir())):
        raise NotOurFolder(folder)
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(folder) from None
        yield
