"""`qiong snapshot`: the whole ledger at one height, to begin a node from."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from cli import output
from cli.client import Client, NodeUnreachable
from cli.errors import Refused
from cli.settings import Settings, common_options, json_option
from cli.trustfile import read_trust
from ledger import snapshot, snapshot_take
from ledger.errors import IntegrityError
from ledger.genesis import Genesis
from ledger.snapshot import FolderSource, Manifest, SnapshotSource
from ledger.snapshot_install import verified_manifest
from ledger.storage.folder import LOCK_NAME, UNFINISHED_SUFFIX, DiskFolder
from ledger.trust import TrustAnchor
from ledger.types import Height
from node.config import load_config
from node.home import Home, HomeInUse, load_genesis
from node.opened import open_ledger
from node.restore import NothingToGain, Restore
from node.snapshots import Request

WAIT_SECONDS: Final = 600.0
"""Longest wait for a running node's snapshot: some ten million values."""

LOOK_SECONDS: Final = 0.2
"""Between two looks whether it is there."""


@click.group("snapshot")
def snapshot_group() -> None:
    """The whole ledger at one certified height, to begin a node from."""


@snapshot_group.command("create")
@click.option("--home", required=True, type=click.Path(path_type=Path), help="The node's folder.")
@click.option(
    "-o", "--output", "target", required=True, type=click.Path(path_type=Path), metavar="DIR"
)
@click.option("--height", type=click.IntRange(1), help="By default the newest certified block.")
@json_option
def create(home: Path, target: Path, height: int | None, as_json: bool) -> int:
    """Write a snapshot of the ledger in HOME into the new folder DIR.

    While the node runs it takes the snapshot itself, beside its work, and DIR gets a copy. A folder
    in which a snapshot was begun is finished; one that holds anything else is refused.
    """
    place = Home(home.resolve())
    genesis = load_genesis(place, load_config(place.config).expect_hash)
    _check_target(target)
    try:
        with place.lock():
            manifest = _create_stopped(place, genesis, target, height)
    except HomeInUse:
        manifest = _create_running(place, genesis, target, height)
    _show(manifest, target, as_json)
    return 0


def _create_stopped(place: Home, genesis: Genesis, target: Path, height: int | None) -> Manifest:
    with open_ledger(place, genesis) as store:
        n = Height(height) if height else snapshot_take.height_for(store, store.certified_height)
        if n is None:
            raise Refused("no block has a certificate yet", "start the node and wait for a block")
        certificate = snapshot_take.certificate_of(store, n)
        chunks = snapshot_take.take(store, n)
        with (
            contextlib.closing(DiskFolder(target)) as folder,
            output.progress("writing chunks", None) as bar,
        ):
            for _ in snapshot.write(folder, chunks, store.header(n), certificate):
                bar.advance()
    return verified_manifest(FolderSource(target), genesis)


def _create_running(place: Home, genesis: Genesis, target: Path, height: int | None) -> Manifest:
    """Have the node of `place` take one, and copy it."""
    request = Request.make(place, None if height is None else Height(height))
    deadline = time.monotonic() + WAIT_SECONDS
    with output.progress("the node takes a snapshot", None):
        while (answer := request.answer()) is None:
            if time.monotonic() > deadline:
                raise Refused(
                    f"the node took no snapshot in {WAIT_SECONDS:g} s",
                    "see its log; the request stays and is answered once it can be",
                )
            time.sleep(LOOK_SECONDS)
    source = FolderSource(answer)
    manifest = verified_manifest(source, genesis)
    with (
        contextlib.closing(DiskFolder(target)) as folder,
        output.progress("copying chunks", len(manifest.chunks)) as bar,
    ):
        chunks = snapshot.chunks_of(manifest, source)
        for _ in snapshot.write(folder, chunks, manifest.header, manifest.certificate):
            bar.advance()
    return manifest


def _check_target(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise Refused(f"{target} is a file", "name a new folder with -o DIR")
    ours = re.compile(f"{LOCK_NAME}|{snapshot.CHUNK_NAME.pattern}({UNFINISHED_SUFFIX})?")
    strangers = [entry.name for entry in target.iterdir() if not ours.fullmatch(entry.name)]
    if strangers:
        raise Refused(f"{target} is not empty: it holds {strangers[0]}", "name a new folder")


def _show(manifest: Manifest, target: Path, as_json: bool) -> None:
    size = sum(entry.stat().st_size for entry in target.iterdir())
    document = {
        "height": manifest.height,
        "header_hash": manifest.header.hash,
        "state_root": manifest.header.state_root,
        "chunks": len(manifest.chunks),
        "bytes": size,
        "id": manifest.id,
    }
    lines = [
        f"block {manifest.height}, header {manifest.header.hash.hex()}",
        f"{len(manifest.chunks)} chunks, {size} bytes in {target}",
    ]
    output.data(document, as_json, lines)


@dataclass
class NodeSource:
    """A snapshot as a node serves it: not believed, checked by whoever reads."""

    client: Client
    height: int

    def manifest(self) -> bytes:
        return self._get(f"/v1/snapshots/{self.height}")

    def chunk(self, index: int) -> bytes:
        return self._get(f"/v1/snapshots/{self.height}/chunks/{index}")

    def _get(self, where: str) -> bytes:
        return self.client.get(where, accept="application/octet-stream").body


@snapshot_group.command("restore")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--home", required=True, type=click.Path(path_type=Path), help="The node's folder.")
@common_options()
def restore(settings: Settings, folder: Path | None, home: Path) -> int:
    """Let the node in HOME begin from the snapshot in FOLDER, or from that of a node (--node).

    The node must be stopped, and have the network's genesis. Nothing is believed: a quorum must
    have signed the header, and everything must lead to it; a node that serves anything else is
    passed over for the next --node. Broken off, it goes on with what it lacks.
    """
    place = Home(home.resolve())
    genesis = load_genesis(place, load_config(place.config).expect_hash)
    trust = None if settings.trust is None else read_trust(settings.trust)
    with place.lock():
        if folder is not None:
            outcome = _restore(place, genesis, FolderSource(folder), trust, str(folder))
        else:
            outcome = _from_nodes(place, genesis, settings, trust)
    manifest, chunks, kept, origin = outcome
    document = {
        "height": manifest.height,
        "header_hash": manifest.header.hash,
        "state_root": manifest.header.state_root,
        "chunks": len(manifest.chunks),
        "fetched": chunks,
        "from": origin,
        "kept": [str(path) for path in kept],
    }
    lines = [
        f"restored block {manifest.height}, header {manifest.header.hash.hex()}, from {origin}",
        *(f"what was there before is in {path}; delete it once all is well" for path in kept),
    ]
    output.data(document, settings.json, lines)
    if not settings.json and not any(place.wal.glob("*.log")):
        output.message(
            "there is no log of votes here: the node has no vote until its key is rotated"
        )
    return 0


Outcome = tuple[Manifest, int, list[Path], str]


def _from_nodes(
    place: Home, genesis: Genesis, settings: Settings, trust: TrustAnchor | None
) -> Outcome:
    """Restore from the first node whose newest snapshot holds. Raises what the last one did."""
    for node in settings.nodes:
        last = node == settings.nodes[-1]
        with Client([node]) as client:
            try:
                source = NodeSource(client, _newest(client, node))
                return _restore(place, genesis, source, trust, node)
            except (IntegrityError, NodeUnreachable, NothingToGain, Refused) as error:
                if last:
                    raise
                output.message(f"{node}: {error}; asking the next")
    raise Refused("no node is named", "name one with --node URL")


def _newest(client: Client, node: str) -> int:
    items: Any = client.get("/v1/snapshots").json()
    try:
        return max(int(item["height"]) for item in items["items"])
    except (KeyError, TypeError, ValueError):
        raise Refused(
            f"{node} has no snapshot",
            "have its operator take one (`qiong snapshot create`), or ask another node",
        ) from None


def _restore(
    place: Home, genesis: Genesis, source: SnapshotSource, trust: TrustAnchor | None, origin: str
) -> Outcome:
    with Restore(place, genesis, source, trust) as work:
        fetched = sum(_shown("fetching chunks", work.total, work.fetch()))
        for _ in _shown("checking chunks", work.total, work.check()):
            pass
        return work.manifest, fetched, work.replace(), origin


def _shown(title: str, total: int, steps: Iterator[Any]) -> Iterator[Any]:
    with output.progress(title, total) as bar:
        for step in steps:
            bar.advance()
            yield step
