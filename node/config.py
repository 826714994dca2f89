"""The settings of a node: `qiong.toml`, then environment `QIONG_*`, then flags; the last one wins.

Every setting is one row of `SETTINGS`: its dotted name, how its value is checked, its default.
``api.listen`` is `listen` in the table `[api]`, `QIONG_API_LISTEN` in the environment. A name that
nobody knows is refused with the nearest known one, because a misspelt setting that is silently
ignored is found out too late. Pass phrases are no settings (see `node.keyfile`).
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final, cast

from ledger.types import Digest
from node.errors import Refused

ENVIRONMENT_PREFIX: Final = "QIONG_"
CONFIG_BYTES_MAX: Final = 1 << 20
"""Largest settings file: a thousand peers with room to spare."""

CLIENT_TABLE: Final = "client"
"""The command line's own section of a `qiong.toml`; none of ours."""

INDEX_DATABASES: Final = ("sqlite", "postgresql")
LOG_FORMATS: Final = ("text", "json")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")

Address = tuple[str, int]
"""Host and port."""


class BadSetting(Refused):
    """A setting has a wrong value or an unknown name. `source` says where it was given."""

    code = "bad_setting"

    def __init__(self, source: str, name: str, reason: str, hint: str = "") -> None:
        self.source = source
        self.name = name
        self.reason = reason
        self.hint = hint or "`qiong node init` writes a qiong.toml with the usual settings"
        super().__init__(f"{source}: {name}: {reason}")


@dataclass(frozen=True)
class NodeConfig:
    """The settings of one node. Rates are per second, sizes in bytes.

    `expect_hash` is the chain id this node was told to join; `peers` overrides addresses of genesis
    (organisation -> ``host:port``); `trace` records what happens to the replica (`node.recorder`);
    `tree_cache_bytes` is what the state tree may keep in memory, and
    `free_bytes_min` is the free disk space below which it stops; `snapshot_blocks` how many blocks
    it makes from one snapshot to the next (`node.snapshots`). The query index is kept in the home,
    or in the PostgreSQL database that the URI in the file `index_connection_file` names (relative
    to the settings file; a file, since it holds a password).
    """

    organisation: str
    expect_hash: Digest | None
    observer: bool
    api_listen: Address
    peer_listen: Address
    peers: Mapping[str, str]
    log_format: str
    log_level: str
    trace: bool
    tree_cache_bytes: int
    free_bytes_min: int
    requests_per_second: int
    transactions_per_second: int
    index_enabled: bool
    index_database: str
    index_connection_file: Path | None
    snapshot_blocks: int


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: `parse` takes a TOML value, or a string from environment or flag, or raises
    `ValueError` saying what it expected."""

    name: str
    field: str
    parse: Callable[[object], object]
    default: object = None
    required: bool = False

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper().replace(".", "_")


def parse_address(value: object) -> Address:
    """``host:port`` or ``[v6]:port``. Raises `ValueError`."""
    host, separator, port = str(value).rpartition(":")
    if (
        not isinstance(value, str)
        or not separator
        or not host
        or not (port.isascii() and port.isdecimal())
    ):
        raise ValueError("expected host:port")
    if not 0 <= int(port) < 1 << 16:
        raise ValueError("expected a port from 0 to 65535")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected a string")
    return value


def _path(value: object) -> Path:
    return Path(_text(value))


def _digest(value: object) -> Digest | None:
    if value == "":
        return None
    try:
        digest = bytes.fromhex(cast(str, value))
    except (TypeError, ValueError):
        raise ValueError("expected 64 hexadecimal digits") from None
    if len(digest) != 32:
        raise ValueError("expected 64 hexadecimal digits")
    return Digest(digest)


def _boolean(value: object) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError("expected true or false")


def _natural(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise ValueError("expected a whole number of at least 0")
    return value


def _one_of(words: tuple[str, ...]) -> Callable[[object], object]:
    def parse(value: object) -> object:
        if value not in words:
            raise ValueError("expected " + " or ".join(words))
        return value

    return parse


TREE_SHARE: Final = 6
"""Of the machine's memory the state tree takes a sixth at most if nobody says otherwise: four
gigabytes of 24 hold twelve million keys, and a key that is not held costs several times as much."""


def usual_tree_bytes() -> int:
    """Bytes that the state tree may take where no setting says it."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // TREE_SHARE


SETTINGS: Final = (
    Setting("organisation", "organisation", _text, required=True),
    Setting("expect_hash", "expect_hash", _digest),
    Setting("observer", "observer", _boolean, default=False),
    Setting("api.listen", "api_listen", parse_address, default=("127.0.0.1", 8080)),
    Setting("api.requests_per_second", "requests_per_second", _natural, default=1_000),
    Setting("api.transactions_per_second", "transactions_per_second", _natural, default=5_000),
    Setting("peer.listen", "peer_listen", parse_address, default=("0.0.0.0", 8081)),
    Setting("log.format", "log_format", _one_of(LOG_FORMATS), default="text"),
    Setting("log.level", "log_level", _one_of(LOG_LEVELS), default="info"),
    Setting("log.trace", "trace", _boolean, default=False),
    Setting("memory.tree_bytes", "tree_cache_bytes", _natural, default=usual_tree_bytes()),
    Setting("disk.free_bytes_min", "free_bytes_min", _natural, default=256 << 20),
    Setting("index.enabled", "index_enabled", _boolean, default=True),
    Setting("index.database", "index_database", _one_of(INDEX_DATABASES), default="sqlite"),
    Setting("index.connection_file", "index_connection_file", _path),
    Setting("snapshots.blocks", "snapshot_blocks", _natural, default=10_000),
)
"""Every setting but the table `[peers]`, whose names are organisations."""

_BY_NAME: Final = {setting.name: setting for setting in SETTINGS}


def load_config(
    path: Path,
    flags: Mapping[str, str] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> NodeConfig:
    """Read `path`, then the environment, then `flags` (dotted names).

    Raises `BadSetting` naming the setting and where it was given.
    """
    values = {setting.field: setting.default for setting in SETTINGS}
    tables = _read(path)
    tables.pop(CLIENT_TABLE, None)
    peers = _peers(path, tables.pop("peers", {}))
    for name, value in _flatten(path, tables).items():
        _set(values, str(path), name, value)
    for setting in SETTINGS:
        if setting.variable in environment:
            _set(values, setting.variable, setting.name, environment[setting.variable])
    for name, value in (flags or {}).items():
        _set(values, "--" + name.replace(".", "-").replace("_", "-"), name, value)
    for setting in SETTINGS:
        if setting.required and values[setting.field] is None:
            raise BadSetting(str(path), setting.name, "is not set", f"add it to {path}")
    connection = cast("Path | None", values["index_connection_file"])
    if connection is not None:
        values["index_connection_file"] = path.parent / connection
    elif values["index_enabled"] and values["index_database"] == "postgresql":
        hint = "put the connection URI into a file of mode 0600 and name that file"
        raise BadSetting(str(path), "index.connection_file", "is not set", hint)
    return NodeConfig(peers=peers, **values)  # type: ignore[arg-type]


def render_config(
    *, organisation: str, api_listen: str, peer_listen: str, expect_hash: str = ""
) -> str:
    """The `qiong.toml` that a new home starts with."""
    return f"""\
# Settings of a Qiong node. QIONG_* variables and flags override them: api.listen is
# QIONG_API_LISTEN in the environment.

organisation = "{organisation}"

# The chain id (genesis hash) to join, as the founders told it to you by another channel.
expect_hash = "{expect_hash}"

[api]
listen = "{api_listen}"

[peer]
listen = "{peer_listen}"

[log]
format = "text"
level = "info"

# What `GET /v1/search` asks: a file in this folder, or PostgreSQL, whose connection URI stands in a
# file of mode 0600: database = "postgresql", connection_file = "postgresql.uri"
[index]
database = "sqlite"

# Where to reach other validators when not at the address in genesis: organisation = "host:port".
[peers]
"""


def _read(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            content = file.read(CONFIG_BYTES_MAX + 1)
        if len(content) > CONFIG_BYTES_MAX:
            raise BadSetting(str(path), "file", f"is larger than {CONFIG_BYTES_MAX} bytes")
        return tomllib.loads(content.decode())
    except FileNotFoundError:
        hint = "`qiong node init` makes a home; --home DIR names one"
        raise BadSetting(str(path), "file", "is missing", hint) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSetting(str(path), "file", f"cannot be read: {error}") from None


def _flatten(path: Path, tables: Mapping[str, object]) -> dict[str, object]:
    """Dotted names of everything in the file; tables nest one level deep."""
    flat: dict[str, object] = {}
    for name, value in tables.items():
        if isinstance(value, dict):
            flat.update({f"{name}.{key}": item for key, item in value.items()})
        else:
            flat[name] = value
    return flat


def _peers(path: Path, value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise BadSetting(str(path), "peers", "expected a table")
    for organisation, address in value.items():
        try:
            parse_address(address)
        except ValueError as error:
            raise BadSetting(str(path), f"peers.{organisation}", str(error)) from None
    return cast("dict[str, str]", value)


def _set(values: dict[str, object], source: str, name: str, value: object) -> None:
    setting = _BY_NAME.get(name)
    if setting is None:
        near = get_close_matches(name, [*_BY_NAME, "peers"], n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(_BY_NAME)}, peers"
        raise BadSetting(source, name, "is no setting", hint)
    try:
        values[setting.field] = setting.parse(value)
    except ValueError as error:
        raise BadSetting(source, name, str(error)) from None
