"""The index in one SQLite file in the node's home: the default, with nothing to install or run.

A write-ahead log lets searches read while the follower writes. It is synced at checkpoints only: a
power loss may take the last blocks from the index, which then takes them from the ledger again.

Opening checks the whole file in its structure; what turns out damaged there or later is renamed to
`damaged.sqlite`, one at a time, and the index begins anew. Left out: finding a value whose bytes
changed while the structure held; the service sees those that it answers with.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from ledger.types import Digest, Height
from node.index import sql
from node.index.interface import (
    FORM,
    SEARCH_SECONDS_MAX,
    Change,
    Found,
    IndexDamaged,
    IndexUnavailable,
    SearchTooSlow,
    Standing,
)
from node.index.values import Condition

FILE: Final = "index.sqlite"
FILES: Final = (FILE, FILE + "-wal", FILE + "-shm")
DAMAGED: Final = "damaged.sqlite"

BUSY_SECONDS: Final = 5.0
"""Wait for another process that looks at the file (`qiong db index status`)."""

CACHE_KIB: Final = 16_384
"""Pages that the writer keeps: enough for the inner pages of a million entries."""

CHECKPOINT_PAGES: Final = 2_048
"""Pages (8 MiB) in the write-ahead log before they go to their places. Entries are spread over the
file, so a page changes in many blocks, and each block costs less the longer that waits."""

STEPS_BETWEEN_LOOKS: Final = 10_000
"""Steps of SQLite's machine between two looks at the clock, about a millisecond."""

_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
"""The last one is a statement that does not fit the tables: they are not ours."""


class SqliteIndex:
    """`Index` in `folder`."""

    database: Final = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE
        self._writer: sqlite3.Connection | None = None
        self._lock = Lock()
        self._idle: list[sqlite3.Connection] = []
        self._generation = 0
        """Counts resets: a connection from before one is closed when its search ends."""

    def open(self, chain_id: Digest) -> Standing:
        self._close_all()
        with _typed():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._writer = _connect(self._path)
            self._writer.execute("PRAGMA journal_mode = WAL")
            self._writer.execute("PRAGMA synchronous = NORMAL")
            self._writer.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            self._writer.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            (verdict,) = self._writer.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise IndexDamaged(str(verdict))
            with _transaction(self._writer) as db:
                return _stand(db, chain_id)

    def look(self) -> Standing | None:
        if not self._path.exists():
            return None
        with _typed(), contextlib.closing(_connect(self._path, "ro")) as db:
            row = db.execute(sql.SELECT_STANDING).fetchone()
            if row is None:
                return None
            return sql.standing(row[2], db.execute(sql.SELECT_FIELDS).fetchall())

    def apply(
        self,
        height: Height,
        fields: Mapping[str, tuple[str, ...]],
        cleared: Collection[str],
        changes: Iterable[Change],
    ) -> None:
        assert self._writer is not None, "open first"
        with _typed(), _transaction(self._writer) as db:
            db.executemany(_own(sql.DELETE_CONTRACT), [(name.encode(),) for name in cleared])
            for names, values in sql.chunks(changes):
                db.executemany(_own(sql.DELETE_ENTRY), names)
                db.executemany(_own(sql.INSERT_VALUE), values)
            db.execute(sql.DELETE_FIELDS)
            db.executemany(_own(sql.INSERT_FIELDS), sql.fields_rows(fields))
            db.execute(_own(sql.UPDATE_HEIGHT), (height,))

    def search(
        self,
        contract: str,
        fields: tuple[str, ...],
        conditions: Sequence[Condition],
        after: str | None,
        limit: int,
    ) -> Found:
        with _typed(), self._reader() as db:
            deadline = time.monotonic() + SEARCH_SECONDS_MAX
            db.set_progress_handler(lambda: time.monotonic() > deadline, STEPS_BETWEEN_LOOKS)
            question = sql.Question(contract, conditions, after, limit)
            if question.worth_counting:
                statement, arguments = sql.counts(question)
                question = question.counted(db.execute(_own(statement), arguments).fetchone())
            statement, arguments = sql.search(question)
            rows = db.execute(_own(statement), arguments).fetchall()
        return sql.found(rows, fields)

    def reset(self, *, keep: bool) -> None:
        self._close_all()
        with _typed():
            if keep and self._path.exists():
                self._path.replace(self._folder / DAMAGED)
            for name in FILES if keep else (*FILES, DAMAGED):
                (self._folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        self._close_all()

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """A connection that only reads, kept for the next search unless this one failed."""
        with self._lock:
            generation = self._generation
            db = self._idle.pop() if self._idle else None
        if db is None:
            db = _connect(self._path, "ro")
        try:
            yield db
        except BaseException:
            db.close()
            raise
        with self._lock:
            if generation == self._generation:
                self._idle.append(db)
                return
        db.close()

    def _close_all(self) -> None:
        with self._lock:
            self._generation += 1
            idle, self._idle = self._idle, []
        writer, self._writer = self._writer, None
        for db in (*idle, *([] if writer is None else [writer])):
            with contextlib.suppress(sqlite3.Error):
                db.close()


def _own(statement: str) -> str:
    """`statement` with SQLite's places for arguments."""
    return re.sub(r"\$[0-9]+", "?", statement)


def _connect(path: Path, mode: str = "rwc") -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    # One thread at a time uses a connection, though not always the same one.
    return sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )


def _stand(db: sqlite3.Connection, chain_id: Digest) -> Standing:
    """Where the index stands; it begins empty if it is none of this form and chain."""
    found = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'qiong_index'").fetchone()
    row = db.execute(sql.SELECT_STANDING).fetchone() if found[0] else None
    if row is not None and (row[0], row[1]) == (FORM, chain_id):
        return sql.standing(row[2], db.execute(sql.SELECT_FIELDS).fetchall())
    for statement in (*sql.drop(), *sql.create("sqlite")):
        db.execute(statement)
    db.execute(_own(sql.INSERT_STANDING), (FORM, chain_id))
    return Standing(None, {})


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


@contextmanager
def _typed() -> Iterator[None]:
    """Errors of SQLite and of its disk as ours."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # The extended code keeps the primary one in its low byte.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGE:
            raise IndexDamaged(str(error)) from error
        if code == sqlite3.SQLITE_INTERRUPT:
            raise SearchTooSlow from error
        raise IndexUnavailable(str(error)) from error
    except (sqlite3.Error, OSError) as error:
        raise IndexUnavailable(str(error)) from error
