"""`qiong devnet`: a whole network on this machine, for trying, testing and breaking.

The work is done in `devnet.network`; here are its words.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from cli import output
from cli.settings import json_option
from devnet import manifest, network, sample
from devnet.founding import GOVERNOR
from devnet.manifest import Manifest

DEPLOYER_SHOWN: Final = "market-supervision"
"""A department for the welcome."""

DEFAULT_FOLDER: Final = Path(".qiong-devnet")


def _folder_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--dir",
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        default=DEFAULT_FOLDER,
        show_default=True,
        help="The devnet's folder.",
    )(function)


@click.group("devnet")
def devnet_group() -> None:
    """A whole network on this machine: start it, look at it, break it."""


@devnet_group.command("up")
@click.option("--validators", type=click.IntRange(4, 64), help="How many. [default: 4]")
@_folder_option
@click.option(
    "--base-port",
    type=click.IntRange(1024, 65_000),
    help="Validator i listens on base+2i (API) and base+2i+1 (peers). [default: first free range]",
)
@click.option("--detach", is_flag=True, help="Return when every validator is ready.")
@json_option
def up(
    validators: int | None, folder: Path, base_port: int | None, detach: bool, as_json: bool
) -> None:
    """Make the network if it is not there, start what is down, wait until it is ready.

    Without --detach it runs until Ctrl-C.
    """
    with _progress() as tell:
        running = network.up(folder, validators, base_port, tell)
    output.data(_summary(running), as_json, _welcome(running))
    if detach:
        return
    output.message("running until Ctrl-C (with --detach it would go on by itself)")
    _wait_for_interrupt()
    network.down(running.folder)
    output.message(f"stopped; `qiong devnet up --dir {folder}` goes on where it ended")


@devnet_group.command("status")
@_folder_option
@json_option
def status(folder: Path, as_json: bool) -> None:
    """Name, pid, state, height, header hash and primary of each validator."""
    states = network.status(manifest.load(folder))
    if as_json:
        output.data([asdict(state) for state in states], True, ())
        return
    columns = ("NAME", "PID", "STATE", "HEIGHT", "HEADER HASH", "PRIMARY")
    rows = [
        [
            "-" if cell is None else str(cell)
            for cell in (s.name, s.pid, s.state, s.height, (s.header_hash or "-")[:16], s.primary)
        ]
        for s in states
    ]
    output.table(columns, rows)


@devnet_group.command("down")
@_folder_option
@json_option
def down(folder: Path, as_json: bool) -> None:
    """Stop every validator; keys and ledgers stay."""
    stopped = network.down(folder)
    words = f"stopped {', '.join(stopped)}" if stopped else "nothing was running"
    output.data({"stopped": stopped}, as_json, [words])


@devnet_group.command("reset")
@_folder_option
@json_option
def reset(folder: Path, as_json: bool) -> None:
    """Stop every validator and delete the folder, keys and ledgers with it."""
    network.reset(folder)
    output.data({"removed": str(folder)}, as_json, [f"{folder} is gone"])


@devnet_group.command("kill")
@click.argument("name")
@_folder_option
@json_option
def kill(name: str, folder: Path, as_json: bool) -> None:
    """Kill a validator as a crash would (SIGKILL)."""
    was_running = network.kill(folder, name)
    words = f"{name} is killed" if was_running else f"{name} was not running"
    output.data({"name": name, "was_running": was_running}, as_json, [words])


@devnet_group.command("restart")
@click.argument("name")
@_folder_option
@json_option
def restart(name: str, folder: Path, as_json: bool) -> None:
    """Stop a validator if it runs, and start it."""
    with _progress() as tell:
        entry = network.restart(folder, name, tell).find(name)
    output.data(
        {"name": name, "pid": entry.pid, "api": entry.api},
        as_json,
        [f"{name} runs again as process {entry.pid}"],
    )


@devnet_group.command("sample")
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file to write.",
)
@click.option(
    "--only", type=click.Choice(["licences", "credits"]), help="Leave the other kind out."
)
@click.option("--limit", type=click.IntRange(1), help="At most so many rows of each kind.")
@json_option
def write_sample(out: Path, only: str | None, limit: int | None, as_json: bool) -> None:
    """Write the sample data as rows for `qiong tx send FILE`.

    2,000 licences and 1,000 credit attestations, each signed by the department that issues it.
    """
    licences = [] if only == "credits" else list(sample.licence_calls())[:limit]
    attestations = [] if only == "licences" else list(sample.credit_calls())[:limit]
    rows = sample.write_rows([*licences, *attestations], out)
    output.data(
        {"file": str(out), "licences": len(licences), "credits": len(attestations)},
        as_json,
        [f"{rows} rows in {out}; send them with: qiong tx send {out}"],
    )


def _summary(running: Manifest) -> dict[str, Any]:
    return {
        "dir": str(running.folder),
        "chain_id": running.chain_id,
        "validators": [{"name": e.name, "api": e.api, "pid": e.pid} for e in running.validators],
    }


def _welcome(running: Manifest) -> list[str]:
    nodes = ",".join(entry.api for entry in running.validators)
    return [
        f"chain {running.chain_id}",
        *(f"  {e.name:<20} {e.api}   process {e.pid}" for e in running.validators),
        "",
        "To use it from this shell:",
        f"  export QIONG_NODE={nodes}",
        f"  export QIONG_KEYS={running.keys}",
        f"  export QIONG_TRUST={running.trust}",
        "",
        "Keys to sign with (--from KEY; `qiong keys list` shows all):",
        f"  {DEPLOYER_SHOWN:<20} issues licences and deploys contracts, like every department",
        f"  {GOVERNOR:<20} upgrades, freezes and retires any contract",
    ]


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A line on stderr that says what is going on, if a person can see it."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("looking at the folder") as line:
        yield lambda words: line.update(words)


def _wait_for_interrupt() -> None:
    """Return on SIGINT, SIGTERM or SIGHUP (the terminal was closed)."""
    awaited = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    signal.sigwait(awaited)
