"""`qiong backup`: a validator's chain, copied while it runs, checked, and made into a home again.

`create` needs the node's folder; of a running node it also asks for headers, which the database's
owner alone can read. `verify` and `restore` open no connection. Exit code 5 and the place for the
first thing that does not hold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import click

from cli import output
from cli.args import DigestParam
from cli.client import MSGPACK, Client, NodeRefused
from cli.errors import EXIT_INTEGRITY, NotProven
from cli.settings import api_url, json_option
from contracts.runner import WorkerRunner
from contracts.sandbox import Sandbox
from ledger import canonical
from ledger.errors import InvalidInput
from ledger.types import Digest, Height
from ledger.verification import opened
from node.backup.create import Creation, HeaderSource, StoredHeaders
from node.backup.manifest import SECRET_SETTINGS, BackupDamaged, Manifest
from node.backup.restore import Restoration
from node.backup.verify import BackupCheck
from node.config import load_config
from node.home import Home, HomeInUse, load_genesis

PAGE_HEADERS: Final = 100
BUSY_SECONDS: Final = 1.0
"""Wait when the node says that this address asks too much."""

BUSY_TRIES: Final = 60
HTTP_BUSY: Final = 429
SILENT: Final = (
    "it follows and serves, and does not vote with this key: the log of votes is in no backup, and "
    "an old one would make it contradict itself; it votes again once its key is rotated"
)


expect_option = click.option(
    "--expect-hash", type=DigestParam(), help="The chain id that the backup must be of."
)


@click.group("backup")
def backup_group() -> None:
    """Copy a validator's chain while it runs, check the copy, make a home of it."""


@backup_group.command("create")
@click.option("--home", required=True, type=click.Path(path_type=Path), help="The node's folder.")
@click.option(
    "-o",
    "--output",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the backup goes: an empty folder, or an earlier backup of this node.",
)
@click.option(
    "--with-keys",
    is_flag=True,
    help="Put the encrypted key files in as well; their pass phrase never is.",
)
@click.option(
    "--node",
    "nodes",
    multiple=True,
    metavar="URL",
    help="A validator to ask for headers; by default the node of --home. Their chain is checked.",
)
@json_option
def create(
    home: Path, target: Path, with_keys: bool, nodes: tuple[str, ...], as_json: bool
) -> None:
    """Back up the node of --home, running or not, up to its newest certified block.

    Into an empty folder, or into one with an earlier backup of it: then only what is new is added.
    Keys are left out unless asked for, votes always.
    """
    place = Home(home.resolve())
    config = load_config(place.config)
    genesis = load_genesis(place, config.expect_hash)
    began = time.monotonic()
    with (
        _headers(place, nodes or (api_url(config.api_listen),)) as source,
        Creation(place, genesis, config.organisation, target.resolve(), source) as work,
    ):
        since = work.since
        with output.progress("reading block files", None) as bar:
            for _ in work.scan():
                bar.advance()
        with output.progress("copying headers", work.height - since) as bar:
            for _ in work.copy_headers():
                bar.advance()
        with output.progress("copying blocks", work.height - since) as bar:
            for _ in work.copy_blocks():
                bar.advance()
        made = work.finish(
            keys=with_keys, version=version("qiong"), made_ms=time.time_ns() // 1_000_000
        )
    seconds = round(time.monotonic() - began, 3)
    document = {**_document(made), "added": made.height - since, "seconds": seconds}
    keys = "with its encrypted keys" if made.has_keys else "without keys"
    lines = [
        f"{target} holds {made.validator} to block {made.height}, {keys}",
        f"{made.height - since} blocks are new; {output.size(made.bytes)} in all",
    ]
    output.data(document, as_json, lines)


@backup_group.command("verify")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@expect_option
@json_option
def verify(folder: Path, expect_hash: Digest | None, as_json: bool) -> int:
    """Check every byte, hash and signature of a backup, without any network.

    Compare the chain id with the one you know, or name that with --expect-hash. Exit code 5 and the
    first wrong file, if there is one.
    """
    try:
        check = _checked(folder, expect_hash)
    except BackupDamaged as damage:
        if not as_json:
            raise
        found = {"where": damage.where, "height": damage.n, "reason": damage.reason}
        output.data({"ok": False, **found, "hint": damage.hint}, True, ())
        return EXIT_INTEGRITY
    made = check.manifest
    lines = [
        f"{folder} holds: {made.validator} of {made.network}, chain {made.chain_id}",
        f"block {made.height} of {output.clock(made.time_ms)}, header {made.header_hash}",
        f"made {output.clock(made.made_ms)} by version {made.version}, "
        + ("with its encrypted keys" if made.has_keys else "without keys"),
    ]
    output.data({"ok": True, **_document(made)}, as_json, lines)
    return 0


@backup_group.command("restore")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--home", required=True, type=click.Path(path_type=Path), help="A folder that is empty, or new."
)
@expect_option
@click.option(
    "--insecure-contracts",
    is_flag=True,
    help="Run contracts where this system cannot lock their process down (seccomp).",
)
@json_option
def restore(
    folder: Path,
    home: Path,
    expect_hash: Digest | None,
    insecure_contracts: bool,
    as_json: bool,
) -> None:
    """Make a node's folder of a backup: check it, copy it, execute every block, compare.

    Safe to break off and to run again. The node that starts there follows the chain and does not
    vote until its key is rotated.
    """
    place = Home(home.resolve())
    check = _checked(folder, expect_hash, strict=False)
    made = check.manifest
    began = time.monotonic()
    with Restoration(check, place) as work:
        if work.finished:
            work.forget()
        else:
            _restore(work, made, insecure_contracts)
    missing = [name for name in SECRET_SETTINGS if not (place.root / name).exists()]
    document = {
        **_document(made),
        "home": str(place.root),
        "bring": missing,
        "seconds": round(time.monotonic() - began, 3),
    }
    lines = [f"{place.root} is {made.validator} at block {made.height}, header {made.header_hash}"]
    if missing:
        files = " and ".join(missing)
        lines.append(f"bring its keys before you start it: {files} (0600), and their pass phrase")
    lines += [
        "never run it while the node it was copied from runs: both have one key and one address",
        SILENT,
    ]
    output.data(document, as_json, lines)


def _restore(work: Restoration, made: Manifest, insecure_contracts: bool) -> None:
    with output.progress("copying bytes", made.bytes) as bar:
        for size in work.copy():
            bar.advance(size)
    sandbox = Sandbox(insecure=insecure_contracts)
    sandbox.start()
    with (
        closing(WorkerRunner(sandbox)) as runner,
        output.progress("executing blocks", made.height) as bar,
    ):
        for _ in work.execute(runner):
            bar.advance()
    work.finish()


def _checked(folder: Path, expected: Digest | None, *, strict: bool = True) -> BackupCheck:
    """The backup in `folder`, once all of it holds. Raises `NoBackup`, `BackupDamaged`."""
    check = BackupCheck(folder)
    if expected is not None:
        check.expect(expected)
    with output.progress("checking bytes", check.manifest.bytes) as bar:
        for size in check.files(strict=strict):
            bar.advance(size)
    with output.progress("checking blocks", check.manifest.height) as bar:
        for _ in check.chain():
            bar.advance()
    return check


def _document(made: Manifest) -> dict[str, Any]:
    return {
        "chain_id": made.chain_id,
        "organisation": made.organisation,
        "validator": made.validator,
        "height": made.height,
        "header_hash": made.header_hash,
        "keys": made.has_keys,
        "files": len(made.files),
        "bytes": made.bytes,
    }


# --- where headers come from ---


@contextmanager
def _headers(place: Home, nodes: Sequence[str]) -> Iterator[HeaderSource]:
    """From the database of a node that is stopped, else from `nodes`."""
    locked = place.lock()
    try:
        locked.__enter__()
    except HomeInUse:
        with Client(nodes) as client:
            yield ServedHeaders(client)
        return
    try:
        with opened(
            place.root, load_genesis(place, load_config(place.config).expect_hash)
        ) as store:
            yield StoredHeaders(store)
    finally:
        locked.__exit__(None, None, None)


class ServedHeaders:
    """Of a running node. Raises `Unreachable`, `NodeRefused`, `NotProven`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def certified_height(self) -> Height:
        status = self._ask(lambda: self._client.get("/v1/status").json())
        if not isinstance(status, dict) or type(status.get("height")) is not int:
            raise NotProven(f"{self._client.nodes[0]} does not tell its height")
        return Height(status["height"])

    def headers(self, first: Height, last: Height) -> Iterator[bytes]:
        n = int(first)
        while n <= last:
            limit = min(PAGE_HEADERS, last + 1 - n)
            query: dict[str, object] = {"from": n, "limit": limit}
            answer = self._ask(partial(self._client.get, "/v1/headers", MSGPACK, **query))
            try:
                page = canonical.decode(answer.body)
            except InvalidInput:
                page = None
            items = page.get("items") if isinstance(page, dict) else None
            if not isinstance(items, list) or not 0 < len(items) <= limit:
                raise NotProven(f"{answer.node} does not send header {n}")
            for item in items:
                if not isinstance(item, bytes):
                    raise NotProven(f"{answer.node} sends what is no header {n}")
                yield item
                n += 1

    def _ask(self, ask: Callable[[], Any]) -> Any:
        """What `ask` returns, asked again while the node is busy."""
        for _ in range(BUSY_TRIES):
            try:
                return ask()
            except NodeRefused as error:
                if error.status != HTTP_BUSY:
                    raise
            self._client.sleep(BUSY_SECONDS)
        return ask()
