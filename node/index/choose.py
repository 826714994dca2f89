"""Which index the settings name, for the node and for the commands of an operator."""

from __future__ import annotations

from pathlib import Path

from node.config import NodeConfig
from node.errors import Refused
from node.home import Home
from node.index.interface import Index
from node.index.postgresql import PostgresqlIndex
from node.index.sqlite import SqliteIndex
from node.keyfile import KeyMissing, read_private


class BadConnectionFile(Refused):
    """The file that should name a PostgreSQL database holds something else. Not repeated here: it
    may hold a password all the same."""

    code = "bad_connection_file"
    hint = "it holds one line: postgresql://USER:PASSWORD@HOST:PORT/DATABASE"

    def __init__(self, path: Path, reason: str) -> None:
        self.path = str(path)
        super().__init__(f"{path}: {reason}")


def make_index(config: NodeConfig, place: Home) -> Index:
    """The index of `place`, not opened yet.

    Raises `DriverMissing`, `BadConnectionFile`, and `KeyExposed` for a file that others can read.
    """
    if config.index_database == "sqlite":
        return SqliteIndex(place.index)
    path = config.index_connection_file
    assert path is not None, "load_config asks for it"
    try:
        lines = read_private(path).decode(errors="replace").split()
    except KeyMissing:
        raise BadConnectionFile(path, "there is no such file") from None
    if len(lines) != 1 or not lines[0].startswith(("postgresql://", "postgres://")):
        raise BadConnectionFile(path, "expected one line that begins with postgresql://")
    return PostgresqlIndex(lines[0])
