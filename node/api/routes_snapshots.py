"""Snapshots for nodes that join or lag far behind. They prove themselves: no node is believed.

The manifest and the chunks come as they are on disk (`ledger.snapshot`), wrong ones too: whoever
fetches them compares every byte with hashes and with the signed header.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aiohttp import web

from ledger.snapshot import CHUNKS_MAX, FolderSource, Manifest, SnapshotMissing, SnapshotWrong
from node.api import models
from node.api.context import API, Route, both
from node.api.problems import Problem
from node.api.wire import OCTETS, answer, parse_natural, query
from node.snapshots import served


async def snapshots(request: web.Request) -> web.Response:
    """The snapshots that this node keeps."""
    query(request)
    api = request.app[API]
    return answer(request, await api.read(_list, api.options.home))


async def manifest(request: web.Request) -> web.Response:
    """The manifest of one: header, Certificate, and the hashes of the chunks."""
    query(request)
    return await _octets(request, None)


async def chunk(request: web.Request) -> web.Response:
    """One chunk."""
    query(request)
    return await _octets(
        request, parse_natural(request.match_info["index"], "index", CHUNKS_MAX - 1)
    )


async def _octets(request: web.Request, index: int | None) -> web.Response:
    api = request.app[API]
    height = parse_natural(request.match_info["height"], "height")
    body = await api.read(_read, api.options.home, height, index)
    return web.Response(body=body, content_type=OCTETS)


def _read(home: Path, height: int, index: int | None) -> bytes:
    folder = served(home).get(height)
    if folder is None:
        raise Problem(404, "not_found", f"there is no snapshot of block {height} here")
    source = FolderSource(folder)
    try:
        return source.manifest() if index is None else source.chunk(index)
    except (SnapshotMissing, SnapshotWrong) as error:
        # Deleted meanwhile, or no such chunk.
        raise Problem(404, "not_found", str(error)) from None


def _list(home: Path) -> models.SnapshotList:
    items: list[models.SnapshotSummary] = []
    for _, folder in sorted(served(home).items()):
        found = Manifest.decode(FolderSource(folder).manifest())
        items.append(
            models.SnapshotSummary(
                height=found.height,
                header_hash=found.header.hash,
                state_root=found.header.state_root,
                chunks=len(found.chunks),
                id=found.id,
            )
        )
    return models.SnapshotList(items=items)


ROUTES: Final = (
    Route(
        "GET", "/v1/snapshots", snapshots, "snapshots", "Snapshots kept", both(models.SnapshotList)
    ),
    Route(
        "GET",
        "/v1/snapshots/{height}",
        manifest,
        "snapshots",
        "Manifest of a snapshot",
        {OCTETS: None},
        problems=(400, 404),
    ),
    Route(
        "GET",
        "/v1/snapshots/{height}/chunks/{index}",
        chunk,
        "snapshots",
        "A chunk of a snapshot",
        {OCTETS: None},
        problems=(400, 404),
    ),
)
