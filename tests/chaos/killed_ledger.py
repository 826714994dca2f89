"""A ledger alone, killed over and over while it commits: old state or new, nothing between.

    python -m tests.chaos.killed_ledger FOLDER --rounds 500 [--seed N]

Children of this process open one ledger on real LevelDB and block files, decide, execute, commit
and certify blocks, and die by SIGKILL: half of them at a random moment, by our hand; the other half
by their own at a chosen step of the disk, before it, behind it, or with half of its bytes written.
After each death another child opens what lies there, without making the database anew, and compares
it with a twin that nobody disturbed: every header (its state root included) is the twin's, nothing
that `commit` or `append_decided` returned from is missing, and the blocks that were decided and not
yet executed lead to the twin's headers, too. Now and then, and at the end, every hash is checked.

No network and no new interpreter, so a round costs some milliseconds. This process opens nothing
itself: LevelDB's threads do not survive a fork. Page cache survives a kill; losing that as well is
what `tests/ledger` and `tests/simulation` do with memory that forgets.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import signal
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ledger.block import DecidedBlock
from ledger.block_files import BlockFiles
from ledger.recovery import roll_forward
from ledger.storage.folder import DiskFolder
from ledger.storage.interface import Batch
from ledger.storage.leveldb import LevelDBStore
from ledger.storage.memory import MemoryFolder, MemoryStore
from ledger.store import LedgerStore
from ledger.types import Digest, Height
from ledger.verification import verify_ledger
from tests.ledger.ledger_world import World

TRANSACTIONS: Final = 3
KEYS: Final = 50
"""Few, so that blocks overwrite and delete what others wrote."""

MOMENT_SECONDS_MAX: Final = 0.05
"""Latest moment of a kill after the child opened the ledger: some ten blocks."""

OPENING_SECONDS: Final = 0.02
"""One kill in four comes this early at the latest: while the child opens the ledger."""

STEPS_MAX: Final = 24
"""Latest chosen step: about six blocks, each of two appends, a sync and a batch."""

LIFE_SECONDS_MAX: Final = 60.0
"""Longest wait for a child to come to its step, or to open the ledger."""

VERIFY_EVERY: Final = 50
"""Rounds between two looks at every hash, which take as long as the chain is."""

PHASES: Final = ("opening", "deciding", "executing", "committing", "certifying")


class Notes:
    """What a child has done, in memory that outlives it: its phase, and the heights that
    `append_decided` and `commit` returned from."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 24)

    def begin(self, phase: str) -> None:
        struct.pack_into(">Q", self._shared, 0, PHASES.index(phase))

    def decided(self, n: int) -> None:
        struct.pack_into(">Q", self._shared, 8, n)

    def committed(self, n: int) -> None:
        struct.pack_into(">Q", self._shared, 16, n)

    def read(self) -> tuple[str, int, int]:
        phase, decided, committed = struct.unpack_from(">QQQ", self._shared)
        return PHASES[phase], decided, committed


@dataclass
class Doom:
    """Kills its own process at the `when`th step, at the place `where` of it. 0 never comes."""

    when: int
    where: str = "before"
    step: int = 0

    @property
    def near(self) -> bool:
        """Whether the step that has begun is the one."""
        return self.step == self.when

    def at(self, where: str) -> None:
        """A step begins ("before"), is half done, or has ended ("behind")."""
        self.step += where == "before"
        if self.near and where == self.where:
            os.kill(os.getpid(), signal.SIGKILL)


class DoomedFolder(DiskFolder):
    """The block files' folder; each append and sync is a step."""

    def __init__(self, path: Path, doom: Doom) -> None:
        self._doom = doom
        super().__init__(path)

    def append(self, name: str, data: bytes) -> None:
        self._doom.at("before")
        if self._doom.near and self._doom.where == "half":
            super().append(name, data[: len(data) // 2])
            self._doom.at("half")
        super().append(name, data)
        self._doom.at("behind")

    def sync(self, name: str) -> None:
        self._doom.at("before")
        super().sync(name)
        self._doom.at("half")
        self._doom.at("behind")


class DoomedStore(LevelDBStore):
    """The database; each batch is a step. LevelDB writes a batch as one record of its log."""

    def __init__(self, path: Path, doom: Doom) -> None:
        self._doom = doom
        super().__init__(path)

    def write(self, batch: Batch, *, sync: bool) -> None:
        self._doom.at("before")
        super().write(batch, sync=sync)
        self._doom.at("half")
        self._doom.at("behind")


def block(world: World, n: int) -> DecidedBlock:
    """Block `n`, the same in every process: writes, deletions, sums over earlier blocks, events."""
    chance = random.Random(n)
    world.nonce = n * TRANSACTIONS
    made = []
    for _ in range(TRANSACTIONS):
        key = f"key/{chance.randrange(KEYS)}"
        made.append(
            world.transaction(
                ("put", [key, {"n": n, "text": "x" * chance.randrange(2_000)}]),
                ("delete", [f"key/{chance.randrange(KEYS)}"]),
                ("add", ["sum", chance.randrange(1_000)]),
                ("emit", ["written", key]),
                valid_until_ms=world.genesis.created_ms + 1_000 * n + 300_000,
            )
        )
    return world.block(n, made)


class Twin:
    """The same chain in a ledger that is never killed, as long as it is asked for."""

    def __init__(self) -> None:
        self._world = World()
        self._store = LedgerStore(self._world.genesis, MemoryStore(), BlockFiles(MemoryFolder()))

    def grow(self, height: int) -> None:
        """Reach `height`."""
        for n in range(self._store.executed_height + 1, height + 1):
            self._world.apply(self._store, block(self._world, n), certify=False)

    def hash(self, n: int) -> Digest:
        """The hash of header `n`."""
        self.grow(n)
        return self._store.executed_header(Height(n)).hash


def live(home: Path, doom: Doom, notes: Notes) -> None:
    """A child's life: bring the ledger up, and make blocks until death."""
    notes.begin("opening")
    world = World()
    store = LedgerStore.open(
        home,
        world.genesis,
        open_store=lambda path: DoomedStore(path, doom),
        open_folder=lambda path: DoomedFolder(path, doom),
    )
    for n in roll_forward(store, world.runner):
        notes.committed(n)
    while True:
        n = Height(store.executed_height + 1)
        made = block(world, n)
        notes.begin("deciding")
        store.append_decided(made)
        notes.decided(n)
        notes.begin("executing")
        executed = store.execute(made, world.runner)
        notes.begin("committing")
        store.commit(executed)
        notes.committed(n)
        notes.begin("certifying")
        store.save_certificate(world.certify(store))


def look(home: Path, twin: Twin, notes: Notes, *, whole: bool) -> int:
    """Compare what a killed child left with the twin; the executed height, rolled forward."""
    _, decided, committed = notes.read()
    world = World()
    with closing(LedgerStore.open(home, world.genesis)) as store:
        assert store.rebuilt is None, f"the database was made anew: {store.rebuilt}"
        assert committed <= store.executed_height <= decided + 1, (
            f"committed {committed}, executed {store.executed_height}, decided {decided}"
        )
        assert decided <= store.decided_height <= decided + 1, (
            f"decided {decided}, and block files end at {store.decided_height}"
        )
        found = store.executed_height
        assert store.head.hash == twin.hash(found), f"block {found} is not the twin's"
        assert store.state.root == store.head.state_root
        for n in roll_forward(store, world.runner):
            assert store.executed_header(n).hash == twin.hash(n), f"block {n} is not the twin's"
        first = Height(0 if whole else max(0, found - 20))
        for number in range(first, store.executed_height + 1):
            height = Height(number)
            assert store.executed_header(height).hash == twin.hash(number), f"block {number}"
        if whole:
            for _ in verify_ledger(store):
                pass
        notes.decided(store.decided_height)
        notes.committed(store.executed_height)
        return store.executed_height


@dataclass
class Figures:
    """Of one run."""

    rounds: int = 0
    by_hand: int = 0
    at_a_step: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    height: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "phases": dict(self.phases), "seconds": round(self.seconds, 1)}


def forked(run: Callable[[], object]) -> int:
    """Run in a child; its pid. It ends with 0, or with 1 and a trace on stderr."""
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        run()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def kill_rounds(home: Path, rounds: int, seed: int) -> Figures:
    """Do it. Raises `AssertionError` at the first round that does not hold."""
    chance = random.Random(seed)
    figures = Figures()
    notes = Notes()
    began = time.monotonic()
    twin = Twin()
    for number in range(1, rounds + 1):
        by_hand = chance.random() < 0.5
        where = chance.choice(("before", "half", "behind"))
        doom = Doom(0 if by_hand else chance.randint(1, STEPS_MAX), where)
        notes.begin("opening")
        pid = forked(lambda doom=doom: live(home, doom, notes))
        if by_hand:
            _wait_moment(chance, notes)
            os.kill(pid, signal.SIGKILL)
            figures.by_hand += 1
        else:
            figures.at_a_step += 1
        status = _wait_end(pid)
        assert os.WIFSIGNALED(status), f"round {number}: a child ended by itself"
        assert os.WTERMSIG(status) == signal.SIGKILL
        figures.phases[notes.read()[0]] += 1
        whole = number % VERIFY_EVERY == 0 or number == rounds
        checker = forked(lambda whole=whole: look(home, twin, notes, whole=whole))
        _, status = os.waitpid(checker, 0)
        assert os.waitstatus_to_exitcode(status) == 0, f"round {number} of seed {seed}"
        figures.rounds = number
        figures.height = notes.read()[2]
        twin.grow(figures.height)  # here, or every checker would do it again
    figures.seconds = time.monotonic() - began
    return figures


def _wait_moment(chance: random.Random, notes: Notes) -> None:
    if chance.random() < 0.25:
        time.sleep(chance.uniform(0, OPENING_SECONDS))
        return
    deadline = time.monotonic() + LIFE_SECONDS_MAX
    while notes.read()[0] == "opening":
        assert time.monotonic() < deadline, "a child does not open the ledger"
        time.sleep(0.001)
    time.sleep(chance.uniform(0, MOMENT_SECONDS_MAX))


def _wait_end(pid: int) -> int:
    """The wait status of a child that was or will be killed."""
    deadline = time.monotonic() + LIFE_SECONDS_MAX
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError("a child did not come to its step")
        time.sleep(0.001)
    return ended[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder to make the ledger in")
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    sys.stderr.write(f"seed {seed}\n")
    options.folder.mkdir(parents=True, exist_ok=True)
    figures = kill_rounds(options.folder, options.rounds, seed)
    sys.stdout.write(json.dumps({"seed": seed, **figures.to_json()}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
