"""A devnet of real node processes in a folder, to be hurt: killed, paused, cut off.

Validators are founded and started just as `qiong devnet` does it, but nobody watches over them: a
test decides who runs. With `proxied`, each of them reaches each other through a proxy of its own
(`tests.chaos.proxy`), set in its `qiong.toml` as an operator would set an address.

Not for threads, but for `links`: one test drives one cluster.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlsplit

from devnet import founding, process
from devnet.manifest import Manifest, ValidatorEntry
from devnet.network import get
from ledger.genesis import Genesis, Parameters
from ledger.types import Digest
from node.home import Home, load_genesis
from tests.chaos.proxy import Links, Target

PORTS: Final = range(10_000, 30_000)
"""Below those that Linux hands out to outgoing connections."""

PORT_TRIES: Final = 50
START_SECONDS_MAX: Final = 60
"""Start of all validators on a busy machine."""

END_SECONDS_MAX: Final = 20
POLL_SECONDS: Final = 0.05
WINDOW: Final = Parameters().window
HTTP_SECONDS_MAX: Final = 3


class NotInTime(AssertionError):
    """Something that was to happen did not."""


class Cluster:
    """The validators of one devnet. A context manager: leaving it stops them all."""

    def __init__(self, manifest: Manifest, links: Links | None) -> None:
        self.folder = manifest.folder
        self.names = [entry.name for entry in manifest.validators]
        self.links = links
        self._manifest = manifest

    @classmethod
    def found(cls, folder: Path, validators: int = 4, *, proxied: bool = True) -> Cluster:
        """Make keys, homes and genesis in `folder`; nothing is started."""
        folder.mkdir(parents=True, exist_ok=True)
        manifest = _found(folder.resolve(), validators)
        if not proxied:
            return cls(manifest, None)
        links = Links(Target(e.name, founding.ports(e)[1]) for e in manifest.validators)
        for entry in manifest.validators:
            with Home(entry.home).config.open("a") as settings:  # it ends with the table [peers]
                for other in manifest.validators:
                    if other is not entry:
                        port = links.listening[entry.name, other.name]
                        settings.write(f'{other.organisation} = "127.0.0.1:{port}"\n')
        return cls(manifest, links)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType
    ) -> None:
        self.close()

    @property
    def manifest(self) -> Manifest:
        """As `devnet.json` has it, with the pids of the last starts."""
        return self._manifest

    @property
    def f(self) -> int:
        """How many validators may be faulty."""
        return (len(self.names) - 1) // 3

    @property
    def quorum(self) -> int:
        """How many a certificate takes."""
        return len(self.names) - self.f

    @property
    def genesis(self) -> Genesis:
        chain_id = Digest(bytes.fromhex(self._manifest.chain_id))
        return load_genesis(Home(self.home(self.names[0])), chain_id)

    def home(self, name: str) -> Path:
        return self.entry(name).home

    def entry(self, name: str) -> ValidatorEntry:
        return self._manifest.find(name)

    # --- processes ---

    def start(
        self,
        *names: str,
        command: Callable[[Path], list[str]] = process.node_command,
        wait: bool = True,
    ) -> None:
        """Start `names` (all of them if none is given) at once, and wait until their APIs answer.

        `command` makes the command line for a home; `--home` and the home must stand in it.
        """
        started = names or tuple(self.names)
        for name in started:
            entry = self.entry(name)
            assert not self.alive(name), f"{name} runs already"
            pid = process.start(command(entry.home), entry.log)
            self._manifest = self._manifest.with_pids({name: pid})
        self._manifest.save()
        if wait:
            for name in started:
                self._wait_answer(name, "/health", START_SECONDS_MAX)

    def kill(self, name: str) -> None:
        """SIGKILL, and wait for the end."""
        self.signal(name, signal.SIGKILL)
        self._wait_end(name)

    def kill_all(self) -> None:
        """SIGKILL everyone at once: a power loss as far as processes can show it.

        What was written and not synced survives this; `tests/simulation` loses that, too.
        """
        running = self.running()
        for name in running:
            entry = self.entry(name)
            process.send_signal(entry.pid, entry.home, signal.SIGKILL)
        for name in running:
            self._wait_end(name)

    def terminate(self, name: str) -> None:
        """SIGTERM, and wait for the end."""
        self.signal(name, signal.SIGTERM)
        self._wait_end(name)

    def pause(self, name: str) -> None:
        self.signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self.signal(name, signal.SIGCONT)

    def signal(self, name: str, number: int) -> None:
        entry = self.entry(name)
        assert process.send_signal(entry.pid, entry.home, number), f"{name} does not run"

    def alive(self, name: str) -> bool:
        """Whether its process is there; a paused one is."""
        entry = self.entry(name)
        return process.running(entry.pid, entry.home)

    def running(self) -> list[str]:
        return [name for name in self.names if self.alive(name)]

    def close(self) -> None:
        """Stop all, by force, and the proxies. A second call does nothing."""
        self.kill_all()
        if self.links is not None:
            self.links.close()

    def log(self, name: str) -> str:
        """What it wrote to stdout and stderr in all its lives."""
        path = self.entry(name).log
        return path.read_text(errors="replace") if path.exists() else ""

    def rss_bytes(self, name: str) -> int:
        """Resident memory of its process, without its contract workers."""
        text = Path(f"/proc/{self.entry(name).pid}/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    # --- what they say ---

    def get(self, name: str, path: str) -> tuple[int, Any]:
        """GET: status and decoded JSON (None if it is none). Raises as `devnet.network.get`."""
        return get(self.entry(name), path)

    def status(self, name: str) -> dict[str, Any] | None:
        """`/v1/status`, None if there is no answer."""
        try:
            code, answer = self.get(name, "/v1/status")
        except (OSError, http.client.HTTPException):
            return None
        return answer if code == 200 else None

    def statuses(self) -> dict[str, dict[str, Any]]:
        """Of all that answer, asked at once."""
        running = self.running()
        with ThreadPoolExecutor(len(self.names)) as pool:
            answers = zip(running, pool.map(self.status, running), strict=True)
            return {name: answer for name, answer in answers if answer is not None}

    def metrics(self, name: str) -> dict[str, float]:
        """`/metrics` by the sample's text before its value, labels and all."""
        address = urlsplit(self.entry(name).api)
        connection = http.client.HTTPConnection(
            str(address.hostname), address.port, timeout=HTTP_SECONDS_MAX
        )
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {sample: float(value) for sample, _, value in samples}

    def primary(self) -> str:
        """The primary of the highest view that a quorum is in, waited for."""

        def look() -> str | None:
            says = Counter((s["view"], s["primary"]) for s in self.statuses().values())
            (_, name), count = max(says.items(), key=lambda item: item[1], default=((0, ""), 0))
            return name if count >= self.quorum else None

        return self.until(look, "a quorum names one primary")

    # --- waiting ---

    def until(self, look: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        """What `look` returns once it is neither None nor False. Raises `NotInTime`."""
        deadline = time.monotonic() + seconds
        while (found := look()) is None or found is False:
            if time.monotonic() > deadline:
                raise NotInTime(f"not in {seconds} s: {what}; {self._summary()}")
            time.sleep(POLL_SECONDS)
        return found

    def wait_ready(self, *names: str, seconds: float = 60) -> None:
        """Wait until each of `names` (all if none is given) takes transactions."""
        for name in names or self.names:
            self._wait_answer(name, "/ready", seconds)

    def wait_height(self, height: int, *names: str, seconds: float = 60) -> None:
        """Wait until each of `names` (all that run if none is given) has certified `height`."""
        for name in names or self.running():
            self.until(
                lambda name=name: (self.status(name) or {"height": -1})["height"] >= height,
                f"{name} reaches height {height}",
                seconds,
            )

    def votes(self, name: str) -> bool:
        """Whether it votes and is in step: its height within a window of the highest one."""
        said = self.statuses()
        mine = said.get(name)
        if mine is None or mine["observer"] or mine["syncing"] or mine["halted"]:
            return False
        return mine["height"] + WINDOW >= max(status["height"] for status in said.values())

    def wait_voting(self, *names: str, seconds: float = 60) -> None:
        """Wait until each of `names` (all that run if none is given) votes and is in step."""
        for name in names or self.running():
            self.until(lambda name=name: self.votes(name), f"{name} votes", seconds)

    def evidence(self) -> list[dict[str, Any]]:
        """What those that run hold against anyone."""
        found: list[dict[str, Any]] = []
        for name in self.running():
            code, answer = self.get(name, "/v1/evidence")
            assert code == 200, f"{name} answers {code} to /v1/evidence"
            found += answer["items"]
        return found

    def wait_agreed(self, seconds: float = 60) -> int:
        """Wait until all that run report one height and hash, and return that height."""

        def look() -> int | None:
            said = self.statuses()
            heads = {(status["height"], status["header_hash"]) for status in said.values()}
            agreed = len(heads) == 1 and len(said) == len(self.running())
            return next(iter(heads))[0] if agreed else None

        return self.until(look, "all that run agree on one header", seconds)

    def _wait_answer(self, name: str, path: str, seconds: float) -> None:
        def look() -> bool:
            assert self.alive(name), f"{name} ended\n{process.log_tail(self.entry(name).log)}"
            try:
                code, _ = self.get(name, path)
            except (OSError, http.client.HTTPException):
                return False
            return code == 200

        self.until(look, f"{name} answers 200 to {path}", seconds)

    def _wait_end(self, name: str) -> None:
        entry = self.entry(name)
        assert process.wait_end(entry.pid, entry.home, END_SECONDS_MAX), f"{name} does not end"

    def _summary(self) -> str:
        shown = ("height", "executed", "view", "primary", "syncing", "observer", "halted")
        said = self.statuses()
        return "; ".join(
            f"{name} " + " ".join(f"{key}={said[name][key]}" for key in shown)
            if name in said
            else f"{name} {'silent' if self.alive(name) else 'down'}"
            for name in self.names
        )


def _found(folder: Path, validators: int) -> Manifest:
    for _ in range(PORT_TRIES):
        base = random.randrange(PORTS.start, PORTS.stop - 2 * validators)
        try:
            return founding.found(folder, validators, base, lambda _: None)
        except process.PortTaken:
            continue
    raise NotInTime(f"no free ports in {PORT_TRIES} tries")
