"""What is remembered of roles never outlives a write to them."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import registry_layout
from contracts.registry_layout import NOBODY, Member, Organisation
from contracts.worker.directory import Directory
from contracts.worker.state import LayeredState
from ledger import canonical

KEY = "01" * 33
ROLES = ("issuer:food", "submitter")


class Counting:
    """Committed entries, and how often they were asked for."""

    def __init__(self, entries: dict[tuple[str, str], bytes]) -> None:
        self.entries = entries
        self.asked = 0

    def get(self, contract: str, key: str) -> bytes | None:
        self.asked += 1
        return self.entries.get((contract, key))

    def keys(self, contract: str, prefix: str, limit: int) -> list[str]:
        raise NotImplementedError


def encoded(rows: list[tuple[str, str, Any]]) -> dict[tuple[str, str], bytes]:
    return {(contract, key): canonical.encode(value) for contract, key, value in rows}


def organisation(accreditations: tuple[str, ...]) -> Organisation:
    return Organisation("U", "name", "government", accreditations, (Member(KEY, ROLES),))


@pytest.fixture
def committed() -> Counting:
    seeded = registry_layout.seed_entries([organisation(("issuer:food",))])
    return Counting(encoded(seeded))


@pytest.fixture
def state(committed: Counting) -> LayeredState:
    return LayeredState(committed)


@pytest.fixture
def directory(state: LayeredState) -> Directory:
    made = Directory()
    made.begin(state)
    return made


def test_answers_are_worked_out_once_a_block(
    directory: Directory, state: LayeredState, committed: Counting
) -> None:
    for _ in range(3):
        assert directory.standing(KEY) == ("U", frozenset(ROLES))
        assert directory.standing("other") == NOBODY
    asked = committed.asked
    directory.standing(KEY)
    state.put("a", "k", b"\xc0")
    directory.standing(KEY)
    assert committed.asked == asked
    directory.begin(state)
    directory.standing(KEY)
    assert committed.asked > asked


def test_a_change_of_the_registry_counts_at_once_and_only_while_it_is_kept(
    directory: Directory, state: LayeredState
) -> None:
    assert "issuer:food" in directory.standing(KEY).roles
    changed = encoded(registry_layout.seed_entries([organisation(())]))
    for (contract, key), data in changed.items():
        state.put(contract, key, data)
    assert directory.standing(KEY).roles == {"submitter"}
    state.end_call(keep=False)
    assert directory.standing(KEY).roles == set(ROLES)
    for (contract, key), data in changed.items():
        state.put(contract, key, data)
    state.end_call(keep=True)
    state.end_transaction(keep=True)
    assert directory.standing(KEY).roles == {"submitter"}
