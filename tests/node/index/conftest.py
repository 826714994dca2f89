"""A real PostgreSQL server for the session, and indexes in both databases.

The server refuses to run as root, so root's tests run it as another user; it listens on a socket in
a temporary folder and nowhere else.
"""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from node.index.postgresql import PostgresqlIndex
from node.index.sqlite import SqliteIndex
from tests.tools import find

START_SECONDS_MAX = 60


class Server:
    """A server in `folder`; `connection` gives the URI of a schema of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = count()
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            name = "postgres" if "postgres" in names else "nobody"
            shutil.chown(folder, name)
            self._user = {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}
        self._run("initdb", "-D", "data", "-U", "qiong", "-A", "trust", "-N", "-E", "UTF8")
        self._process = self.start()

    def _run(self, tool: str, *arguments: str) -> None:
        command = [find(tool) or tool, *arguments]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, **self._user
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> subprocess.Popen[bytes]:
        options = ["-D", "data", "-k", str(self.folder), "-c", "listen_addresses=", "-F"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [find("postgres") or "postgres", *options],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                **self._user,
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                self.execute("SELECT 1")
                return self._process
            except Exception:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, "the server does not start"
                time.sleep(0.05)

    def stop(self) -> None:
        """At once and without order, as when the machine is lost."""
        self._process.send_signal(3)
        self._process.wait()

    def uri(self, parameters: str = "") -> str:
        return f"postgresql://qiong:secret@/postgres?host={self.folder}{parameters}"

    def connection(self) -> str:
        schema = f"node{next(self._numbers)}"
        self.execute(f"CREATE SCHEMA {schema}")
        return self.uri(f"&search_path={schema}")

    def execute(self, statement: str, connection: str | None = None) -> list[Any]:
        import asyncpg

        async def run() -> list[Any]:
            db = await asyncpg.connect(connection or self.uri())
            try:
                return list(await db.fetch(statement))
            finally:
                await db.close()

        return asyncio.run(run())


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """For tests with the mark `system("initdb", "postgres")`."""
    folder = Path(tempfile.mkdtemp(prefix="qiong-pg-"))
    try:
        running = Server(folder)
        try:
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqliteIndex]:
    with closing(SqliteIndex(tmp_path / "index")) as index:
        yield index


@pytest.fixture
def postgresql(server: Server) -> Iterator[PostgresqlIndex]:
    with closing(PostgresqlIndex(server.connection())) as index:
        yield index
