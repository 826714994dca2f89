"""A node that lies is caught: nothing is called committed, active or absent without its proof."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cli.client import Answer, Client
from cli.errors import NotProven
from cli.verified import Checker
from ledger import canonical, merkle
from ledger.hashing import sha256
from ledger.proof_builders import build_transaction_proof
from ledger.receipt import CallOutcome, Event
from ledger.types import Gas
from tests.ledger.proof_chain import Chain, make_receipts

CALLS = (CallOutcome("ok", "", Gas(210), {"issued": True}),)
EVENTS = (Event(0, "licence", "issued", {"id": "1"}),)
ENTRY = {"status": "active", "expires": "2099-12-31"}
TX = sha256(b"tx 0")
FAILED = sha256(b"tx 1")
KEY = "licence/1"


@cache
def chain() -> Chain:
    built = Chain()
    built.add({("licence", KEY): None})
    receipts = [
        replace(receipt, events_root=merkle.root([event.leaf() for event in EVENTS]))
        for receipt in make_receipts(3, CALLS)
    ]
    built.add({("licence", KEY): ENTRY, ("credit", "credit/a/x"): ENTRY}, receipts)
    built.add({("licence", KEY): {**ENTRY, "status": "revoked"}})
    return built


def transaction_proof(index: int) -> bytes:
    return build_transaction_proof(
        chain().receipts[1], index, chain().headers[1], chain().certificate(1)
    )


def status_document(**changes: Any) -> bytes:
    document: dict[str, Any] = {
        "status": "committed",
        "height": 1,
        "calls": [{"status": "ok", "code": "", "gas": 210, "result": {"issued": True}}],
        "events": [{"call_index": 0, "contract": "licence", "name": "issued", "data": {"id": "1"}}],
    }
    return canonical.encode(document | changes)


class FakeClient(Client):
    """Answers every path by the longest prefix that is known."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self._nodes = ("http://node",)
        self._answers = answers

    def get(self, where: str, accept: str = "application/json", **query: object) -> Answer:
        known = max((p for p in self._answers if where.startswith(p)), key=len)
        return Answer("http://node", 200, self._answers[known])


def checker(folder: Path, status: bytes, transaction: bytes, state: bytes = b"") -> Checker:
    trust = folder / "trust.json"
    trust.write_text(json.dumps(chain().trust().to_json()))
    answers = {
        "/v1/transactions/": status,
        "/v1/proofs/transaction/": transaction,
        "/v1/proofs/state/": state,
    }
    return Checker(FakeClient(answers), trust)


def test_an_honest_node_is_believed(tmp_path: Path) -> None:
    view = checker(tmp_path, status_document(), transaction_proof(0)).transaction(TX)
    assert (view.status, view.height, view.calls, view.events) == ("committed", 1, CALLS, EVENTS)
    assert view.assurance == "verified at height 1"


CALL = {"status": "ok", "code": "", "gas": 210, "result": {"issued": True}}

LIES: dict[str, Callable[[], tuple[bytes, bytes]]] = {
    "no proof at all": lambda: (status_document(), b""),
    "the proof of another transaction": lambda: (status_document(), transaction_proof(2)),
    "a proof with a flipped byte": lambda: (
        status_document(),
        transaction_proof(0)[:-1] + bytes([transaction_proof(0)[-1] ^ 1]),
    ),
    "failed instead of committed": lambda: (status_document(status="failed"), transaction_proof(0)),
    "another result": lambda: (
        status_document(calls=[CALL | {"result": {"issued": False}}]),
        transaction_proof(0),
    ),
    "another gas": lambda: (status_document(calls=[CALL | {"gas": 1}]), transaction_proof(0)),
    "a call more": lambda: (status_document(calls=[CALL, CALL]), transaction_proof(0)),
    "an event left out": lambda: (status_document(events=[]), transaction_proof(0)),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_about_a_transaction_is_caught(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotProven):
        checker(tmp_path, *LIES[name]()).transaction(TX)


def test_committed_for_a_failed_transaction_is_caught(tmp_path: Path) -> None:
    with pytest.raises(NotProven):
        checker(tmp_path, status_document(), transaction_proof(1)).transaction(FAILED)


def test_the_height_is_the_proof_s_not_the_node_s(tmp_path: Path) -> None:
    view = checker(tmp_path, status_document(height=9), transaction_proof(0)).transaction(TX)
    assert view.height == 1


def state_of(folder: Path, proof: bytes) -> Any:
    return checker(folder, b"", b"", proof).state("licence", KEY)


def test_an_entry_is_what_its_proof_says(tmp_path: Path) -> None:
    assert state_of(tmp_path, chain().state_proof(0, "licence", KEY)).verdict == "absent"
    active = state_of(tmp_path, chain().state_proof(1, "licence", KEY))
    assert (active.verdict, active.value, active.verified) == ("valid", ENTRY, True)
    assert state_of(tmp_path, chain().state_proof(2, "licence", KEY)).verdict == "revoked"


@pytest.mark.parametrize(
    ("contract", "key"), [("credit", "credit/a/x"), ("licence", "licence/2"), ("credit", KEY)]
)
def test_a_proof_of_another_entry_or_absence_is_caught(
    tmp_path: Path, contract: str, key: str
) -> None:
    with pytest.raises(NotProven):
        state_of(tmp_path, chain().state_proof(1, contract, key))


def test_without_a_trust_file_the_node_is_named_as_the_source(tmp_path: Path) -> None:
    answers = {"/v1/transactions/": status_document()}
    view = Checker(FakeClient(answers), None).transaction(TX)
    assert "unverified: said by http://node" in view.assurance
