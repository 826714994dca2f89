"""A database made anew is right or not taken, and breaking off at any point costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.block_files import BlockFilesDamaged
from ledger.execution import BlockContext, StateView
from ledger.receipt import TransactionOutcome
from ledger.recovery import roll_forward
from ledger.store import LedgerStore
from ledger.transaction import Transaction
from ledger.types import Gas
from node.rebuild import NEW_FOLDER, OLD_FOLDER, Rebuild, StillDiverged, WouldContradict
from tests.ledger.ledger_world import ToyRunner
from tests.node import diverged_home
from tests.node.diverged_home import DIVERGED_AT, LAST, DivergedHome


@pytest.fixture
def home(tmp_path: Path) -> DivergedHome:
    return diverged_home.make(tmp_path / "node")


class OtherVersion(ToyRunner):
    """Counts gas otherwise from one height on."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self._first = first

    def run(
        self, context: BlockContext, transactions: Sequence[Transaction], state: StateView
    ) -> list[TransactionOutcome]:
        outcomes = super().run(context, transactions, state)
        extra = int(context.height >= self._first)
        return [item._replace(gas=Gas(item.gas + extra)) for item in outcomes]


def rebuild(home: DivergedHome, runner: ToyRunner | None = None) -> Path | None:
    with Rebuild(home.place, home.genesis) as work:
        assert work.total == LAST
        assert list(work.run(runner or ToyRunner())) == list(range(1, LAST + 1))
        return work.replace()


def entries(home: DivergedHome) -> list[str]:
    return sorted(entry.name for entry in home.place.root.iterdir())


def test_every_header_is_right_afterwards_and_the_old_database_is_kept(home: DivergedHome) -> None:
    wrong = home.headers()
    assert wrong[:DIVERGED_AT] == home.right[:DIVERGED_AT]
    assert wrong[DIVERGED_AT] != home.right[DIVERGED_AT]
    home.vote(home.record)
    kept = rebuild(home)
    assert kept == home.place.root / OLD_FOLDER
    assert home.headers() == home.right
    assert OLD_FOLDER in entries(home)
    assert NEW_FOLDER not in entries(home)
    # Again: the older one gives way.
    rebuild(home)
    assert home.headers() == home.right


@pytest.mark.parametrize("first", [2, DIVERGED_AT])
def test_a_result_that_differs_again_is_not_taken(home: DivergedHome, first: int) -> None:
    """At a height with a Certificate in the block files, or at the one that halted the node."""
    home.vote(home.record)
    before = home.headers()
    with pytest.raises(StillDiverged) as caught:
        rebuild(home, OtherVersion(first))
    assert caught.value.n == first
    assert caught.value.certified == home.right[first]
    assert home.headers() == before
    assert not {NEW_FOLDER, OLD_FOLDER} & set(entries(home))


def test_no_other_header_takes_the_place_of_one_that_may_be_signed(home: DivergedHome) -> None:
    """No certificate says yet that ours is wrong: signing another would be a contradiction."""
    before = home.headers()
    with pytest.raises(WouldContradict) as caught:
        rebuild(home)
    assert caught.value.n == DIVERGED_AT
    assert home.headers() == before


def test_what_was_executed_after_the_halt_may_change(home: DivergedHome) -> None:
    """Such as blocks that were fetched together with the one that halted it: a replica that has
    halted signs nothing. Once it is mended it signs again, and nothing may change."""
    home.vote(replace(home.record, signed_to=DIVERGED_AT))
    rebuild(home)
    assert home.headers() == home.right
    with pytest.raises(WouldContradict) as caught:
        rebuild(home, OtherVersion(DIVERGED_AT + 1))
    assert caught.value.n == DIVERGED_AT + 1


def test_a_database_that_cannot_be_read_is_no_obstacle(home: DivergedHome) -> None:
    (home.place.ledger / "CURRENT").write_bytes(b"nonsense")
    rebuild(home)
    assert home.headers() == home.right


def test_damaged_block_files_are_said_to_be_damaged(home: DivergedHome) -> None:
    home.vote(home.record)
    segment = next(home.place.blocks.glob("*.log"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    with pytest.raises(BlockFilesDamaged):
        rebuild(home)
    assert not {NEW_FOLDER, OLD_FOLDER} & set(entries(home))


def test_broken_off_while_executing(home: DivergedHome) -> None:
    home.vote(home.record)
    before = home.headers()
    with Rebuild(home.place, home.genesis) as work:
        next(work.run(ToyRunner()))
    assert home.headers() == before
    # As a killed process leaves it.
    work = Rebuild(home.place, home.genesis)
    next(work.run(ToyRunner()))
    work._store.close()
    assert NEW_FOLDER in entries(home)
    rebuild(home)
    assert home.headers() == home.right


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_killed_in_the_swap(
    home: DivergedHome, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    """After any number of its renames the next start has a whole database, or makes one."""
    home.vote(home.record)
    real = Path.rename
    done = 0

    class Killed(Exception):
        pass

    def rename(path: Path, target: Path) -> Path:
        nonlocal done
        if done == renames:
            raise Killed
        done += 1
        return real(path, target)

    before = home.headers()
    work = Rebuild(home.place, home.genesis)
    list(work.run(ToyRunner()))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        if renames < 2:
            with pytest.raises(Killed):
                work.replace()
        else:
            work.replace()
    store = LedgerStore.open(home.place.root, home.genesis)
    for _ in roll_forward(store, ToyRunner()):
        pass
    store.close()
    assert home.headers() == (home.right if renames else before)
