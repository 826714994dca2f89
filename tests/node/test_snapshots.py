"""A running node takes snapshots beside its work, when it is time and when it is asked."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from ledger.snapshot import FolderSource
from ledger.snapshot_install import verified_manifest
from ledger.store import LedgerStore
from ledger.types import Height
from node.home import Home
from node.snapshots import SNAPSHOTS_KEPT, NotTaken, Request, SnapshotKeeper, served
from tests.node.snapshot_home import chain, home_with


def test_it_takes_what_is_due_and_what_is_asked_for(tmp_path: Path) -> None:
    world, truth = chain(9)
    place = home_with(tmp_path, world, truth, 9)
    with closing(LedgerStore.open(place.root, world.genesis)) as store:

        def look(every: int) -> None:
            asyncio.run(SnapshotKeeper(place, store, every)._look())

        look(0)
        look(10)
        assert served(place.root) == {}
        look(9)
        assert list(served(place.root)) == [9]
        look(9)
        request = Request.make(place, Height(4))
        assert request.answer() is None
        look(9)
        found = request.answer()
        assert found is not None
        assert verified_manifest(FolderSource(found), world.genesis).height == 4
        # The newest ones are kept.
        for n in (5, 6):
            request = Request.make(place, Height(n))
            look(0)
        assert sorted(served(place.root)) == [6, 9]
        assert len(served(place.root)) == SNAPSHOTS_KEPT
        for wrong in (Height(10), Height(0)):
            request = Request.make(place, wrong)
            look(0)
            if wrong:
                with pytest.raises(NotTaken, match="not certified yet"):
                    request.answer()
        (place.snapshots / "wanted").write_text("rubbish")
        look(0)
        with pytest.raises(NotTaken, match="expected a height"):
            request.answer()
        request = Request.make(place, None)
        look(0)
        assert request.answer() == place.snapshots / f"{9:012d}"


def test_what_was_begun_reads_to_its_end_when_the_node_stops(tmp_path: Path) -> None:
    world, truth = chain(3)
    place: Home = home_with(tmp_path, world, truth, 3)
    with closing(LedgerStore.open(place.root, world.genesis)) as store:

        async def stop_at_once() -> None:
            Request.make(place, None)
            keeper = SnapshotKeeper(place, store, 0)
            task = asyncio.create_task(keeper._look())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(stop_at_once())
        # The request stays, and is answered after the next start.
        asyncio.run(SnapshotKeeper(place, store, 0)._look())
        assert list(served(place.root)) == [3]
