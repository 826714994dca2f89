"""Where the client's settings come from: `qiong.toml`, then `QIONG_*`, then flags.

The file is `./qiong.toml` if it is there, else `$XDG_CONFIG_HOME/qiong/qiong.toml`; the section is
`[client]` with `node` (a URL or a list of them), `keys`, `trust` and `passphrase_file`. Relative
paths in it are relative to the file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from cli.errors import Refused
from node.config import Address

DEFAULT_NODE: Final = "http://127.0.0.1:7600"
"""Where the first validator of a devnet listens."""

ANYWHERE: Final = ("0.0.0.0", "::")
"""Listening addresses that are no address to ask."""

FILE_KEYS: Final = frozenset({"node", "keys", "trust", "passphrase_file"})

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Settings:
    """Resolved settings of one command. `trust` is None when no trust file is named."""

    nodes: tuple[str, ...]
    keys: Path
    trust: Path | None
    passphrase_file: Path | None
    json: bool


def config_home(environment: Mapping[str, str]) -> Path:
    """`$XDG_CONFIG_HOME/qiong`, by default `~/.config/qiong`."""
    base = environment.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "qiong"


def _file_settings(environment: Mapping[str, str]) -> tuple[dict[str, Any], Path]:
    for path in (Path("qiong.toml"), config_home(environment) / "qiong.toml"):
        if not path.is_file():
            continue
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Refused(f"{path} is not TOML: {error}") from None
        section = document.get("client", {})
        if not isinstance(section, dict):
            raise Refused(f"{path}: [client] must be a table")
        unknown = sorted(set(section) - FILE_KEYS)
        if unknown:
            known = ", ".join(sorted(FILE_KEYS))
            raise Refused(f"{path}: [client] has no setting {unknown[0]!r}", f"it has {known}")
        return section, path.parent
    return {}, Path()


def resolve(
    nodes: tuple[str, ...],
    keys: str | None,
    trust: str | None,
    passphrase_file: str | None,
    json: bool,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Flags over environment over file over defaults."""
    env = os.environ if environment is None else environment
    section, base = _file_settings(env)

    def path(flag: str | None, variable: str, key: str) -> Path | None:
        if flag:
            return Path(flag)
        if env.get(variable):
            return Path(env[variable])
        value = section.get(key)
        return base / str(value) if value else None

    if not nodes and env.get("QIONG_NODE"):
        nodes = tuple(env["QIONG_NODE"].replace(",", " ").split())
    if not nodes:
        listed = section.get("node", DEFAULT_NODE)
        nodes = tuple(listed) if isinstance(listed, list) else (str(listed),)
    return Settings(
        nodes=tuple(node.rstrip("/") for node in nodes),
        keys=path(keys, "QIONG_KEYS", "keys") or config_home(env) / "keys",
        trust=path(trust, "QIONG_TRUST", "trust"),
        passphrase_file=path(passphrase_file, "QIONG_PASSPHRASE_FILE", "passphrase_file"),
        json=json,
    )


def api_url(address: Address) -> str:
    """Where to ask, from this machine, a node that listens on `address`."""
    host, port = address
    if host in ANYWHERE:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def json_option(function: F) -> F:
    """`--json` for commands that need no network and no keys."""
    return click.option("--json", "as_json", is_flag=True, help="Print data as JSON on stdout.")(
        function
    )


def common_options(*, keys: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options of commands that speak to a node; the command gets `settings: Settings`.

    With `keys`, also where private keys are and how they are unlocked.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(**arguments: Any) -> Any:
            settings = resolve(
                arguments.pop("node", ()),
                arguments.pop("keys", None),
                arguments.pop("trust", None),
                arguments.pop("passphrase_file", None),
                arguments.pop("as_json", False),
            )
            return function(settings=settings, **arguments)

        wrapper.__doc__ = function.__doc__
        wrapper.__name__ = function.__name__
        wrapper.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        options = [
            click.option(
                "--node",
                multiple=True,
                metavar="URL",
                help="A validator's API; repeat it for others to go on to. [QIONG_NODE]",
            ),
            click.option(
                "--trust",
                type=click.Path(),
                metavar="FILE",
                help="Trust file to check answers against. [QIONG_TRUST]",
            ),
        ]
        if keys:
            options += [
                click.option(
                    "--keys", type=click.Path(), metavar="DIR", help="Key folder. [QIONG_KEYS]"
                ),
                click.option(
                    "--passphrase-file",
                    type=click.Path(),
                    metavar="FILE",
                    help="File holding the pass phrase of the keys. [QIONG_PASSPHRASE_FILE]",
                ),
            ]
        decorated: Callable[..., Any] = wrapper
        for option in reversed(options):
            decorated = option(decorated)
        return json_option(decorated)

    return decorate
