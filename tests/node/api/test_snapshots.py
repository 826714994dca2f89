"""Snapshots over HTTP: what is there comes as it is, and what is not there is a 404."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ledger.snapshot import Manifest, chunk_name
from node.home import Home
from tests.node.snapshot_home import chain, snapshot_of


async def fetch(api: Any, path: str) -> tuple[int, str, bytes]:
    url = f"http://{api.host}:{api.port}{path}"
    async with api.session.get(url) as response:
        return response.status, response.content_type, await response.read()


async def test_snapshots_are_listed_and_served(api: Any, tmp_path: Path) -> None:
    status, _, body = await fetch(api, "/v1/snapshots")
    assert (status, body) == (200, b'{"items":[]}')
    _, truth = chain(3)
    home = Home(tmp_path)
    snapshot_of(home.snapshots / f"{2:012d}", truth, 2)
    snapshot_of(tmp_path / "base" / f"{1:012d}", truth, 1)
    # One that is being written has no manifest yet.
    (home.snapshots / f"{3:012d}").mkdir()
    async with api.session.get(f"http://{api.host}:{api.port}/v1/snapshots") as response:
        items = (await response.json())["items"]
    assert [item["height"] for item in items] == [1, 2]
    status, kind, body = await fetch(api, "/v1/snapshots/2")
    assert (status, kind) == (200, "application/octet-stream")
    assert Manifest.decode(body).id.hex() == items[1]["id"]
    status, kind, body = await fetch(api, "/v1/snapshots/2/chunks/0")
    assert (status, body) == (200, (home.snapshots / f"{2:012d}" / chunk_name(0)).read_bytes())
    for path in ("3", "99", "2/chunks/1", "3/chunks/0"):
        status, _, body = await fetch(api, f"/v1/snapshots/{path}")
        assert status == 404, path
        assert b"not_found" in body
    for path in ("x", "-1", "2/chunks/x", "2/chunks/99999999", "2?a=1"):
        status, _, _ = await fetch(api, f"/v1/snapshots/{path}")
        assert status == 400, path
