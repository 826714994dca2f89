"""The snapshots that a running node takes and serves.

Every so many blocks, and when it is asked to, the node writes a snapshot of its newest certified
height into `snapshots/`, a chunk at a time with a rest after each, so that blocks come first. The
last few are kept. They are served over HTTP to whoever joins or lags far behind, beside the base of
a node that gave up older blocks; what they say is proven by themselves (`ledger.snapshot`).

Only who may write the node's folder can ask for one, by a **request**: the file `snapshots/wanted`,
with the height or nothing in it. The answer is a file `answer`, with the folder or the refusal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from ledger import snapshot, snapshot_take
from ledger.errors import FieldError, QiongError
from ledger.snapshot import MANIFEST_NAME
from ledger.storage.folder import DiskFolder, sync_folder
from ledger.storage.leveldb import destroy
from ledger.store import BASE_FOLDER, LedgerStore
from ledger.types import Height
from node.errors import Refused, in_words
from node.home import Home

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger(__name__)

SNAPSHOTS_KEPT: Final = 2
"""The newest, and the one that somebody may still be fetching."""

LOOK_SECONDS: Final = 0.5
"""Between two looks whether one is due or asked for."""

REST: Final = 1.0
"""How long taking rests after each chunk, in times of what the chunk took: half a processor."""

WANTED: Final = "wanted"
ANSWER: Final = "answer"


class NotTaken(Refused):
    """The node could not take the snapshot that was asked for."""

    code = "snapshot_not_taken"
    hint = "leave out --height for the newest block"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the node took no snapshot: {reason}")


@dataclass(frozen=True)
class Request:
    """A request to the node that runs in a home."""

    folder: Path

    @classmethod
    def make(cls, place: Home, n: Height | None) -> Request:
        """Ask for a snapshot of block `n`, None: the newest. Raises OSError."""
        folder = place.snapshots
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / ANSWER).unlink(missing_ok=True)
        draft = folder / (WANTED + ".draft")
        draft.write_text("" if n is None else str(n), encoding="ascii")
        draft.rename(folder / WANTED)
        return cls(folder)

    def answer(self) -> Path | None:
        """The folder of the snapshot once it is there. Raises `NotTaken`, OSError."""
        try:
            kind, _, text = (self.folder / ANSWER).read_text(encoding="utf-8").partition(" ")
        except FileNotFoundError:
            return None
        if kind != "taken":
            raise NotTaken(text)
        return self.folder / text


def served(root: Path) -> dict[int, Path]:
    """The whole snapshots in the home `root`, by height."""
    found = [
        *(root / BASE_FOLDER).glob(f"*/{MANIFEST_NAME}"),
        *Home(root).snapshots.glob(f"*/{MANIFEST_NAME}"),
    ]
    return {int(path.parent.name): path.parent for path in found}


class SnapshotKeeper:
    """Takes snapshots beside a running chain. `run` until cancelled."""

    def __init__(self, place: Home, store: LedgerStore, every: int) -> None:
        """`every` is the number of blocks from one snapshot to the next; 0: only when asked."""
        self._place = place
        self._store = store
        self._every = every

    async def run(self) -> None:
        """Look, and take. A snapshot that cannot be taken is logged: the node goes on."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except (QiongError, OSError) as error:
                log.error("no snapshot: %s", in_words(error))

    async def _look(self) -> None:
        wanted = self._place.snapshots / WANTED
        if wanted.exists():
            try:
                text = wanted.read_text(encoding="ascii", errors="replace")
                answer = f"taken {(await self._take(_height(text))).name}"
            except (QiongError, OSError) as error:
                answer = f"refused {in_words(error)}"
            wanted.unlink()
            draft = self._place.snapshots / (ANSWER + ".draft")
            draft.write_text(answer, encoding="utf-8")
            draft.rename(self._place.snapshots / ANSWER)
        elif self._every:
            newest = max(served(self._place.root), default=0)
            if self._store.certified_height >= newest + self._every:
                await self._take(None)

    async def _take(self, n: Height | None) -> Path:
        """Take one, or find it taken. Raises `NotCertified`, `NotYet`, `Pruned`."""
        store = self._store
        height = n or snapshot_take.height_for(store, store.certified_height)
        if height is None:
            raise snapshot_take.NotCertified(store.certified_height, None)
        certificate = snapshot_take.certificate_of(store, height)
        folder = self._place.snapshots / f"{height:012d}"
        if not (folder / MANIFEST_NAME).exists():
            self._place.snapshots.mkdir(mode=0o700, exist_ok=True)
            target = DiskFolder(folder)
            try:
                chunks = snapshot_take.take(store, height)
                steps = snapshot.write(target, chunks, store.header(height), certificate)
                clock = asyncio.get_running_loop().time
                began = clock()
                while await _whole(next, steps, 0):
                    await asyncio.sleep(REST * (clock() - began))
                    began = clock()
            finally:
                target.close()
            log.info("took a snapshot of block %d", height)
        await _whole(self._drop_older)
        return folder

    def _drop_older(self) -> None:
        taken = sorted(path.parent for path in self._place.snapshots.glob(f"*/{MANIFEST_NAME}"))
        for folder in taken[:-SNAPSHOTS_KEPT]:
            destroy(folder)
        sync_folder(self._place.snapshots)


async def _whole(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run `function` in a thread, to its end even if this task is cancelled meanwhile: the store
    that it reads is closed after that."""
    step = asyncio.create_task(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(step)
    except asyncio.CancelledError:
        await asyncio.wait([step])
        raise


def _height(text: str) -> Height | None:
    if not text:
        return None
    if not text.isascii() or not text.isdecimal():
        raise FieldError(WANTED, "a height", text)
    return Height(int(text))
