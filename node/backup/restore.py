"""A home from a backup: files copied, every block executed again, the same header in the end.

The home is one that was never used, and stays unusable until all is there: settings come last, by
one rename, and a node does not start without. Until then the file `restore.unfinished`, the
manifest, says what is being restored; a restore that was broken off is run again and goes on, file
by file and block by block, and only from the same backup.

What executing gives is compared with every certificate on the way, as in `db rebuild`.

The log of votes stays empty (see `node.backup`): the node that starts here follows and serves, and
knows that it must not vote with this key.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from ledger.errors import IntegrityError
from ledger.execution import CallRunner
from ledger.genesis import Genesis
from ledger.recovery import roll_forward
from ledger.storage.folder import UNFINISHED_SUFFIX
from ledger.store import HeaderMismatch, LedgerStore
from ledger.types import Height
from node.backup import manifest
from node.backup.manifest import Manifest
from node.backup.verify import BackupCheck
from node.errors import Refused
from node.home import Home, HomeExists

MARKER: Final = "restore.unfinished"
LOCK: Final = "LOCK"


class OtherRestore(Refused):
    """The home holds the beginning of a restore from another backup."""

    code = "other_restore"
    hint = "delete the folder, or name an empty one"

    def __init__(self, home: Path) -> None:
        self.home = home
        super().__init__(f"{home} holds a restore from another backup that was broken off")


class RestoredOther(IntegrityError):
    """Executing the backup's blocks gave another header than the certified one."""

    code = "restored_other"
    hint = (
        "the blocks are right, their execution is not: run the version of the software that the "
        "others run (`qiong --version`), or test this machine's memory and disk"
    )

    def __init__(self, n: Height, certified: str, computed: str) -> None:
        self.n = n
        self.certified = certified
        self.computed = computed
        super().__init__(f"block {n}: certified {certified}, computed {computed}")


class Restoration:
    """A restore of a backup that was checked into `place`. A context manager: exhaust `copy` and
    `execute`, then `finish`; left before, what was done is gone on with the next time."""

    def __init__(self, check: BackupCheck, place: Home) -> None:
        self._check = check
        self._place = place
        self._genesis: Genesis = check.genesis()
        self._manifest: Manifest = check.manifest
        self._store: LedgerStore | None = None
        self._locked = place.lock()

    def __enter__(self) -> Restoration:
        """Raises `HomeExists`, `OtherRestore`, `HomeInUse`, OSError."""
        root = self._place.root
        self._check_vacant()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._locked.__enter__()
        try:
            self._check_vacant()
            if not (root / MARKER).exists():
                manifest.put(root / MARKER, self._manifest.encode().encode())
        except BaseException as error:
            self._locked.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._store is not None:
            self._store.close()
        self._locked.__exit__(kind, error, trace)

    @property
    def finished(self) -> bool:
        """Whether a former restore of this backup was broken off behind its last step."""
        return self._place.config.exists()

    def copy(self) -> Iterator[int]:
        """Copy the files that are not there yet, and yield the bytes of each. Raises OSError."""
        root = self._place.root
        for file in self._manifest.files:
            target = root / file.path
            if file.path.startswith(manifest.HEADERS):
                continue  # they follow from the blocks
            target.parent.mkdir(mode=0o700, exist_ok=True)
            if not target.exists() or manifest.measured(root, file.path) != file:
                manifest.put_file(target, self._check.folder / file.path)
            yield file.size

    def execute(self, calls: CallRunner) -> Iterator[Height]:
        """Execute the blocks that the database lacks, and yield their heights.

        Raises `RestoredOther`, storage errors, and what `calls` raises.
        """
        self._store = store = LedgerStore.open(self._place.root, self._genesis)
        try:
            yield from roll_forward(store, calls)
        except HeaderMismatch as error:
            raise RestoredOther(error.n, error.certified.hex(), error.computed.hex()) from error
        if (store.executed_height, store.head.hash.hex()) != (
            self._manifest.height,
            self._manifest.header_hash,
        ):
            found = store.head.hash.hex()
            raise RestoredOther(store.executed_height, self._manifest.header_hash, found)

    def finish(self) -> None:
        """Make the home one that a node starts on. Raises OSError."""
        root = self._place.root
        self._place.keys.mkdir(mode=0o700, exist_ok=True)
        self._place.logs.mkdir(mode=0o700, exist_ok=True)
        settings = dict(self._manifest.settings)
        config = settings.pop(manifest.CONFIG)
        for name, text in settings.items():
            manifest.put(root / name, text.encode())
        manifest.put(self._place.config, config.encode())
        self.forget()

    def forget(self) -> None:
        """Take the mark of an unfinished restore away."""
        (self._place.root / MARKER).unlink(missing_ok=True)

    def _check_vacant(self) -> None:
        root = self._place.root
        if not root.exists():
            return
        if not root.is_dir():
            raise HomeExists(root)
        marker = root / MARKER
        if not marker.exists():
            ours = {LOCK, MARKER + UNFINISHED_SUFFIX}
            if any(entry.name not in ours for entry in root.iterdir()):
                raise HomeExists(root)
        elif marker.read_bytes() != self._manifest.encode().encode():
            raise OtherRestore(root)
