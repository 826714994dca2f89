"""The way out of each standing in which a node does not vote: steps, with commands to paste.

A step without a command is for a person's judgement. Where we know the node's folder the commands
hold its real name and pid; asked from afar, we say where to ask again.
"""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devnet import manifest
from ledger.errors import QiongError
from node.standing import Standing


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do; `command` is a line for a shell, None where none can do it."""

    words: str
    command: str | None = None


@dataclass(frozen=True)
class Commands:
    """How this node is stopped, started and asked.

    `pid` is None while it is stopped; `devnet` names the folder if it belongs to one.
    """

    url: str
    home: Path | None = None
    pid: int | None = None
    devnet: Path | None = None

    @classmethod
    def of_home(cls, home: Path, url: str, pid: int | None) -> Commands:
        """Of the node in `home`, which may be one of a devnet's."""
        folder = home.parent.parent
        with contextlib.suppress(QiongError):
            if any(entry.home == home for entry in manifest.load(folder).validators):
                return cls(url, home, pid, folder)
        return cls(url, home, pid)

    @property
    def stop(self) -> str | None:
        if self.pid is None:
            return None
        if self.devnet is not None:
            return self._line("devnet", "kill", self._name, "--dir", str(self.devnet))
        return f"kill -TERM {self.pid} && tail --pid={self.pid} -f /dev/null"

    @property
    def start(self) -> str | None:
        if self.devnet is not None:
            return self._line("devnet", "restart", self._name, "--dir", str(self.devnet))
        return None if self.home is None else self._line("node", "run", "--home", str(self.home))

    @property
    def rebuild(self) -> str | None:
        return None if self.home is None else self._line("db", "rebuild", "--home", str(self.home))

    @property
    def restore(self) -> str | None:
        if self.home is None:
            return None
        return self._line("snapshot", "restore", "--home", str(self.home), "--node") + " URL"

    def quarantine(self, verb: str) -> str | None:
        """`qiong node quarantine` with this folder."""
        if self.home is None:
            return None
        return self._line("node", "quarantine", verb, "--home", str(self.home))

    @property
    def why(self) -> str:
        if self.home is not None:
            return self._line("node", "why", "--home", str(self.home))
        return self._line("node", "why", "--node", self.url)

    @property
    def _name(self) -> str:
        assert self.home is not None
        return self.home.name

    @staticmethod
    def _line(*words: str) -> str:
        return shlex.join(("qiong", *words))


ELSEWHERE: Final = (
    "On the node's own machine, `qiong node why --home DIR` prints these steps with its folder"
)


def steps(standing: Standing, commands: Commands) -> list[Step]:
    """What to do; empty where nothing is to be done."""
    found = _STEPS[standing.state](standing, commands)
    if found and commands.home is None:
        found.append(Step(ELSEWHERE))
    return found


def _nothing(standing: Standing, commands: Commands) -> list[Step]:
    return []


def _diverged(standing: Standing, commands: Commands) -> list[Step]:
    found = []
    if commands.pid is not None or commands.home is None:
        found.append(Step("Stop this node; the others go on without it", commands.stop))
    return [
        *found,
        Step(
            "Execute its blocks again into a new database, compared with every certificate; if "
            "that fails, nothing is changed and it says what else is the matter",
            commands.rebuild,
        ),
        *_start_and_see(commands),
        Step(
            "Find the cause before you delete `ledger.old`: bad memory or disk, another version "
            "of the software, or files that somebody changed"
        ),
    ]


def _start_and_see(commands: Commands) -> list[Step]:
    return [
        Step("Start it, as it is always started", commands.start),
        Step("See that it votes", commands.why),
    ]


def _nondeterminism(standing: Standing, commands: Commands) -> list[Step]:
    return [
        Step("Ask the operators of all validators for the same answer", "qiong node why --json"),
        Step("Compare versions; every validator must run the same one", "qiong --version"),
        Step(
            "Where fewer than a quorum agree, the chain stands still by design: it waits for a "
            "header that a quorum signs. If the first differing receipt is one contract's, report "
            "that contract: it found a way to see something that differs between machines"
        ),
        Step(
            "Do not rebuild or delete anything while none is certified: a validator that signs a "
            "second header for the same block contradicts itself"
        ),
    ]


def _observer(standing: Standing, commands: Commands) -> list[Step]:
    return [
        Step(
            "Make sure that this key runs nowhere else: on a clone of this machine, or on one "
            "restored from a backup"
        ),
        Step(
            "Leave it running: it follows, executes and serves; it will never vote with this key "
            "again, because nobody can know any more what the key has signed"
        ),
        Step("Have the key rotated by the members (a later version brings `qiong keys rotate`)"),
    ]


def _execution_stopped(standing: Standing, commands: Commands) -> list[Step]:
    n = standing.executed + 1
    apply = commands.quarantine("apply")
    return [
        Step("Look at memory and at the system's log for what ended the worker", "dmesg | tail"),
        Step(
            f"Ask the other operators. If the others went on past block {n}, it is this machine: "
            "mend it, stop the node and start it, and nothing else"
        ),
        Step(
            f"If a quorum stands at block {n} too, a transaction does it to all of them, and "
            "nothing is lost. Each of you: stop the node",
            commands.stop,
        ),
        Step(
            "Find the transaction; what is printed ends in the line that signs it away, for when "
            "all agree",
            commands.quarantine("find"),
        ),
        Step(
            "Send each other the files that signing wrote. Each of you puts those of a quorum in "
            "force",
            None if apply is None else f"{apply} quarantine-{n}-*.json",
        ),
        *_start_and_see(commands),
    ]


def _left_behind(standing: Standing, commands: Commands) -> list[Step]:
    return [
        Step("Stop this node; the others go on without it", commands.stop),
        Step(
            "Begin from a snapshot of another validator; name several, whoever lies is passed over",
            commands.restore,
        ),
        *_start_and_see(commands),
    ]


def _no_quorum(standing: Standing, commands: Commands) -> list[Step]:
    return [
        Step("See which peers it reaches", f"qiong node status --node {commands.url}"),
        Step("Check the network between them, and whether the other validators run"),
    ]


def _disk_floor(standing: Standing, commands: Commands) -> list[Step]:
    where = None if commands.home is None else f"df -h {shlex.quote(str(commands.home))}"
    return [
        Step("Free some space on its disk; nothing acknowledged is lost", where),
        *_start_and_see(commands),
    ]


def _log_lost(standing: Standing, commands: Commands) -> list[Step]:
    return [
        Step("Never put an older copy of the folder `wal` in its place: it would vote twice"),
        Step("Start it: it follows without voting, until its key is rotated", commands.start),
    ]


def _damaged(standing: Standing, commands: Commands) -> list[Step]:
    return [
        Step("Keep a copy of the folder: somebody must find out what damaged it"),
        Step("Follow the hint above, then start it", commands.start),
        Step("See where it stands", commands.why),
    ]


def _stopped(standing: Standing, commands: Commands) -> list[Step]:
    return _start_and_see(commands)


_STEPS: Final = {
    "voting": _nothing,
    "starting": _nothing,
    "behind": _nothing,
    "left_behind": _left_behind,
    "no_quorum": _no_quorum,
    "observer": _observer,
    "execution_stopped": _execution_stopped,
    "nondeterminism": _nondeterminism,
    "diverged": _diverged,
    "stopped": _stopped,
    "repaired": _stopped,
    "disk_floor": _disk_floor,
    "log_lost": _log_lost,
    "damaged": _damaged,
}
