"""The index in a PostgreSQL database, for those whom one machine's file no longer serves.

Each node keeps an index of its own, in a database or schema of its own (`search_path` in the
connection string): an advisory lock keeps a second node out, and goes with the connection.

The driver is asynchronous and the follower a thread, so a loop in a thread of this module's own
stands between them; a server that hangs keeps nobody waiting but the index. After any error the
writer's connection is given up, since a commit may or may not have happened: `open` looks.

The connection string holds a password, so it is read from a file, and no error repeats it. Left
out: making the database and its user, and rights within it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ledger.types import Digest, Height
from node.errors import Refused
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

if TYPE_CHECKING:
    import asyncpg

CONNECT_SECONDS_MAX: Final = 10.0
CLOSE_SECONDS_MAX: Final = 2.0

STATEMENT_SECONDS_MAX: Final = 600.0
"""Longest statement of the writer: forgetting all entries of a contract with millions."""

ANALYSED_MIN: Final = 5_000
"""Entries of a step after which the planner's statistics are renewed at once. What comes by and by
the server's own vacuum sees."""

SEARCHERS: Final = 2
"""Connections for searches, one for each thread that searches."""

_QIONG: Final = 0x71696F6E
"""The advisory lock's first number, "qion"; the second is made of the schema's name."""

T = TypeVar("T")


class DriverMissing(Refused):
    """The setting asks for PostgreSQL, and its driver is not installed."""

    code = "driver_missing"
    hint = 'install it: pip install "qiong[postgresql]"; or set index.database = "sqlite"'

    def __init__(self) -> None:
        super().__init__("index.database is postgresql, and the package asyncpg is not installed")


class PostgresqlIndex:
    """`Index` in the database that `connection` names (a libpq URI)."""

    database: Final = "postgresql"

    def __init__(self, connection: str) -> None:
        """Connects to nothing yet. Raises `DriverMissing`."""
        try:
            import asyncpg
        except ImportError:
            raise DriverMissing from None
        self._driver = asyncpg
        self._connection = connection
        self._writer: asyncpg.Connection[Any] | None = None
        self._idle: list[asyncpg.Connection[Any]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="index-postgresql", daemon=True
        )
        self._thread.start()

    def open(self, chain_id: Digest) -> Standing:
        self._disconnect()
        self._writer = self._call(self._connect(STATEMENT_SECONDS_MAX), CONNECT_SECONDS_MAX)
        return self._call(self._stand(self._writer, chain_id), STATEMENT_SECONDS_MAX)

    def look(self) -> Standing | None:
        return self._call(self._look(), CONNECT_SECONDS_MAX + SEARCH_SECONDS_MAX)

    def apply(
        self,
        height: Height,
        fields: Mapping[str, tuple[str, ...]],
        cleared: Collection[str],
        changes: Iterable[Change],
    ) -> None:
        with self._transaction() as db:
            gone = [(name.encode(),) for name in cleared]
            self._call(db.executemany(sql.DELETE_CONTRACT, gone), STATEMENT_SECONDS_MAX)
            written = 0
            for names, values in sql.chunks(changes):
                written += len(names)
                self._call(self._write(db, names, values), STATEMENT_SECONDS_MAX)
            self._call(self._note(db, height, fields), STATEMENT_SECONDS_MAX)
        if written > ANALYSED_MIN:
            self._call(db.execute("ANALYZE qiong_entries"), STATEMENT_SECONDS_MAX)

    def search(
        self,
        contract: str,
        fields: tuple[str, ...],
        conditions: Sequence[Condition],
        after: str | None,
        limit: int,
    ) -> Found:
        question = sql.Question(contract, conditions, after, limit)
        rows = self._call(self._select(question), 2 * SEARCH_SECONDS_MAX)
        return sql.found(rows, fields)

    def reset(self, *, keep: bool) -> None:
        """The tables are dropped in either case: what is damaged is the server's to look into."""
        self._disconnect()
        self._call(self._drop(), CONNECT_SECONDS_MAX + STATEMENT_SECONDS_MAX)

    def close(self) -> None:
        self._disconnect()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- in the thread of the loop ---

    async def _connect(self, seconds_max: float) -> asyncpg.Connection[Any]:
        milliseconds = str(round(seconds_max * 1000))
        return await self._driver.connect(
            self._connection,
            timeout=CONNECT_SECONDS_MAX,
            server_settings={"statement_timeout": milliseconds, "application_name": "qiong"},
        )

    async def _look(self) -> Standing | None:
        db = await self._connect(SEARCH_SECONDS_MAX)
        try:
            if not await _has_tables(db):
                return None
            row = await db.fetchrow(sql.SELECT_STANDING)
            if row is None:
                return None
            return sql.standing(row["height"], await db.fetch(sql.SELECT_FIELDS))
        finally:
            await db.close()

    async def _stand(self, db: asyncpg.Connection[Any], chain_id: Digest) -> Standing:
        """Where the index stands; it begins empty if it is none of this form and chain."""
        await _take(db)
        async with db.transaction():
            row = None
            if await _has_tables(db):
                row = await db.fetchrow(sql.SELECT_STANDING)
            if row is not None and (row["form"], row["chain"]) == (FORM, chain_id):
                return sql.standing(row["height"], await db.fetch(sql.SELECT_FIELDS))
            for statement in (*sql.drop(), *sql.create("postgresql")):
                await db.execute(statement)
            await db.execute(sql.INSERT_STANDING, FORM, chain_id)
        return Standing(None, {})

    async def _write(
        self,
        db: asyncpg.Connection[Any],
        names: Sequence[tuple[bytes, bytes]],
        values: Sequence[tuple[bytes, bytes, bytes, bytes]],
    ) -> None:
        await db.executemany(sql.DELETE_ENTRY, names)
        await db.copy_records_to_table("qiong_entries", records=values, columns=sql.COLUMNS)

    async def _note(
        self, db: asyncpg.Connection[Any], height: Height, fields: Mapping[str, tuple[str, ...]]
    ) -> None:
        await db.execute(sql.DELETE_FIELDS)
        await db.executemany(sql.INSERT_FIELDS, sql.fields_rows(fields))
        await db.execute(sql.UPDATE_HEIGHT, height)

    async def _select(self, question: sql.Question) -> list[Any]:
        db = self._idle.pop() if self._idle else await self._connect(SEARCH_SECONDS_MAX)
        try:
            if question.worth_counting:
                statement, arguments = sql.counts(question)
                question = question.counted(list(await db.fetchrow(statement, *arguments)))
            statement, arguments = sql.search(question)
            rows = await db.fetch(statement, *arguments)
        except BaseException:
            db.terminate()
            raise
        if len(self._idle) < SEARCHERS:
            self._idle.append(db)
        else:
            db.terminate()
        return list(rows)

    async def _drop(self) -> None:
        db = await self._connect(STATEMENT_SECONDS_MAX)
        try:
            await _take(db)
            for statement in sql.drop():
                await db.execute(statement)
        finally:
            await db.close()

    async def _close(self, writer: asyncpg.Connection[Any] | None) -> None:
        """End the writer in order, so that its lock is free when we come again, and the others."""
        idle, self._idle = self._idle, []
        for db in idle:
            db.terminate()
        if writer is not None:
            with contextlib.suppress(Exception):
                await writer.close(timeout=CLOSE_SECONDS_MAX)

    # --- in the thread that asks ---

    def _disconnect(self) -> None:
        writer, self._writer = self._writer, None
        with contextlib.suppress(IndexUnavailable):
            self._call(self._close(writer), CLOSE_SECONDS_MAX)

    @contextmanager
    def _transaction(self) -> Iterator[asyncpg.Connection[Any]]:
        """What is done in the block happens at once or not at all."""
        db = self._writer
        if db is None:
            raise IndexUnavailable("there is no connection")
        try:
            self._call(db.execute("BEGIN"), STATEMENT_SECONDS_MAX)
            yield db
            self._call(db.execute("COMMIT"), STATEMENT_SECONDS_MAX)
        except BaseException:
            # The server rolls back what a lost connection began.
            self._disconnect()
            raise

    def _call(self, work: Coroutine[Any, Any, T], seconds_max: float) -> T:
        """Run `work` in the loop's thread. Raises `IndexUnavailable`, `IndexDamaged`."""
        driver = self._driver
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds_max + CONNECT_SECONDS_MAX)
        except (TimeoutError, CancelledError) as error:
            future.cancel()
            raise IndexUnavailable("the server does not answer in time") from error
        except driver.QueryCanceledError as error:
            raise SearchTooSlow from error
        except (driver.DataCorruptedError, driver.IndexCorruptedError) as error:
            raise IndexDamaged(str(error)) from error
        except (driver.UndefinedTableError, driver.UndefinedColumnError) as error:
            raise IndexDamaged(str(error)) from error
        except ValueError:
            # Its message may repeat what could not be read.
            raise IndexUnavailable("the connection string is not one of PostgreSQL") from None
        except (driver.PostgresError, driver.InterfaceError, OSError) as error:
            raise IndexUnavailable(str(error) or type(error).__name__) from error


async def _take(db: asyncpg.Connection[Any]) -> None:
    """Keep other nodes out of this schema for as long as the connection lives."""
    lock = "SELECT pg_try_advisory_lock($1::int4, hashtext(current_schema()))"
    taken = await db.fetchval(lock, _QIONG)
    if taken is None:
        raise IndexUnavailable("the connection's search_path names no schema that is there")
    if not taken:
        raise IndexUnavailable("another node keeps its index in this database and schema")


async def _has_tables(db: asyncpg.Connection[Any]) -> bool:
    find = "SELECT to_regclass(quote_ident(current_schema()) || '.qiong_index') IS NOT NULL"
    return bool(await db.fetchval(find))
