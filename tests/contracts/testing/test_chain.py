"""The chain in memory: calls, who signs them, time, and where a call failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.testing import CallFailed, Chain, library, load, parse, uscc
from contracts.testing.contract import NotAContract
from contracts.testing.lab import Lab, current, installed
from contracts.testing.report import coverage
from contracts.worker.checkdigits import uscc_valid

NOTES = parse(
    '''"""Notes."""


@call
def write(id: str, text: str = "none") -> str:
    require(text != "bad", "BAD_TEXT")
    require(has_role("issuer:note"), "NOT_ISSUER")
    put("note/" + id, {"text": text, "by": organisation(), "on": date(now()), "at": height()})
    emit("written", {"id": id})
    return sender()


@call
def erase(id: str) -> None:
    delete("note/" + id)


@call
def divide(n: int) -> int:
    return 1 // n


@view
def show(id: str) -> dict | None:
    require(id != "", "NO_ID")
    return get("note/" + id)
''',
    "notes",
)


@pytest.fixture
def chain() -> Chain:
    return Chain(Lab())


@pytest.fixture
def notes(chain):
    return chain.deploy(NOTES)


@pytest.fixture
def bureau(chain):
    return chain.signer("bureau", "issuer:note")


def test_a_call_and_what_it_left(chain, notes, bureau) -> None:
    receipt = notes.call("write", "1", text="hello", by=bureau)
    assert receipt.ok
    assert receipt.result == bureau.key
    assert receipt.event("written") == {"id": "1"}
    entry = {
        "text": "hello",
        "by": bureau.organisation,
        "on": "2026-01-01",
        "at": chain.height,
    }
    assert notes.state == {"note/1": entry}
    assert notes.view("show", "1") == entry
    assert chain.view("notes", "show", id="1") == entry
    notes.call("erase", "1")
    assert notes.state == {}


def test_a_call_that_must_end_ok_tells_where_it_did_not(notes, bureau) -> None:
    with pytest.raises(CallFailed, match=r"notes.write ended reverted BAD_TEXT at notes.py:6, gas"):
        notes.call("write", "1", "bad", by=bureau)
    with pytest.raises(CallFailed, match=r"notes.divide ended error ZERO_DIVISION at notes.py:20"):
        notes.call("divide", 0)
    with pytest.raises(CallFailed, match=r"ended error TYPE before its code ran"):
        notes.call("divide", "text")
    with pytest.raises(CallFailed, match=r"notes.show ended reverted NO_ID at notes.py:25"):
        notes.view("show", "")


def test_expectations_fail_when_they_should(chain, notes, bureau) -> None:
    with chain.expect_reverted("BAD_TEXT"):
        notes.call("write", "1", "bad", by=bureau)
    with chain.expect("error", "ZERO_DIVISION"):
        notes.call("divide", 0)
    with (
        pytest.raises(AssertionError, match="expected reverted BAD_TEXT, but every call ended ok"),
        chain.expect_reverted("BAD_TEXT"),
    ):
        notes.call("write", "1", by=bureau)
    with (
        pytest.raises(AssertionError, match=r"but notes\.write ended"),
        chain.expect_reverted("BAD_TEXT"),
    ):
        notes.call("write", "1")
    with pytest.raises(ZeroDivisionError), chain.expect_reverted("BAD_TEXT"):
        _ = 1 // 0
    assert notes.attempt("divide", 0).code == "ZERO_DIVISION"


def test_one_event_of_a_name_or_none_is_told(notes, bureau) -> None:
    receipt = notes.call("write", "1", by=bureau)
    with pytest.raises(AssertionError, match="emitted 0 events named gone"):
        receipt.event("gone")


def test_arguments_by_name_may_follow_those_by_position(notes, bureau) -> None:
    assert notes.prepare("write", "1", text="x").args == {"id": "1", "text": "x"}
    assert notes.prepare("write", "1", "x").args == ["1", "x"]
    for wrong in (lambda: notes.prepare("write", "1", id="1"), lambda: notes.prepare("x", 1, y=2)):
        with pytest.raises(TypeError, match="do not fit"):
            wrong()
    # What is not a parameter goes to the contract, which refuses it as it would anyone's.
    assert notes.attempt("write", id="1", other=2, by=bureau).code == "TYPE"


def test_several_calls_of_a_transaction(chain, notes, bureau) -> None:
    calls = [notes.prepare("write", "1"), notes.prepare("divide", 0), notes.prepare("divide", 1)]
    receipts = chain.submit(calls, by=bureau)
    assert [(each.status, each.code) for each in receipts] == [
        ("ok", ""),
        ("error", "ZERO_DIVISION"),
        ("ok", ""),
    ]
    assert [len(each.events) for each in receipts] == [1, 0, 0]
    atomic = chain.submit([notes.prepare("write", "2"), *calls[1:]], by=bureau, atomic=True)
    assert [each.code for each in atomic] == ["ATOMIC", "ZERO_DIVISION", "ATOMIC"]
    assert list(notes.state) == ["note/1"]


def test_gas_runs_out_as_it_does_for_everyone(notes, bureau) -> None:
    assert notes.attempt("write", "1", by=bureau, gas=60).code == "OUT_OF_GAS"


def test_signers_and_their_organisations(chain, notes, bureau) -> None:
    with chain.expect_reverted("NOT_ISSUER"):
        notes.call("write", "1")
    clerk = chain.signer("clerk", organisation=bureau)
    assert (clerk.organisation, clerk.key != bureau.key) == (bureau.organisation, True)
    registered = chain.contract("registry").view("show_organisation", bureau.organisation)
    assert (registered["name"], registered["accreditations"]) == ("bureau", ["issuer:note"])
    with chain.expect_reverted("NOT_ISSUER"):
        notes.call("write", "1", by=clerk)
    notes.call("write", "1", by=[clerk, bureau])
    chain.signer("clerk", "issuer:note", organisation=bureau)
    notes.call("write", "2", by=clerk)
    named = chain.signer("company", organisation=uscc("company"))
    assert named.organisation == uscc("company") != uscc("another")
    assert all(uscc_valid(uscc(seed)) for seed in range(100))


def test_time_goes_on_and_never_back(chain) -> None:
    assert chain.today == "2026-01-01"
    height, time_ms = chain.height, chain.time_ms
    chain.advance(days=31)
    assert (chain.height, chain.today) == (height + 1, "2026-02-01")
    chain.advance(to="2026-03-01")
    assert chain.today == "2026-03-01"
    chain.advance()
    assert chain.height == height + 3
    assert chain.time_ms > time_ms
    with pytest.raises(ValueError, match="only goes on"):
        chain.advance(to="2026-02-01")


def test_an_upgrade_migrates_or_nothing_changes(chain, notes, bureau) -> None:
    notes.call("write", "1", "hello", by=bureau)
    broken = parse(NOTES.source + '\n\ndef migrate():\n    require(False, "NOT_YET")\n', "broken")
    with chain.expect_reverted("NOT_YET"):
        notes.upgrade(broken)
    assert notes.contract is NOTES
    with chain.expect("rejected", "missing_role"):
        notes.upgrade(broken, by=bureau)
    migrate = (
        "\n\ndef migrate():\n"
        '    for key in keys("note/", 100):\n'
        "        note = get(key)\n"
        '        note["version"] = 2\n'
        "        put(key, note)\n"
    )
    better = parse(NOTES.source + migrate, "better")
    notes.upgrade(better)
    assert notes.contract is better
    assert notes.view("show", "1")["version"] == 2
    missing = {row.contract: row.missing for row in coverage(chain.lab.record)}
    assert not set(range(28, 33)) & set(missing["better"])
    frozen = chain.call("contracts", "freeze", "notes", "until the audit is done")
    assert frozen.events[0].name == "frozen"
    with chain.expect("rejected", "frozen"):
        notes.call("erase", "1")


def test_the_library_is_there_and_calls_reach_it(chain) -> None:
    asks = parse(
        '@call\ndef ask(id: str) -> str:\n    return call("licence", "status", [id])\n', "asks"
    )
    assert chain.deploy(asks).call("ask", "x").result == "unknown"
    assert chain.contract("licence").view("status", "x") == "unknown"
    assert library("licence") is library("licence")


def test_state_can_be_written_past_the_code(chain, notes) -> None:
    chain.put("notes", "note/9", {"text": "old"})
    assert notes.view("show", "9") == {"text": "old"}


def test_a_source_that_is_no_contract_is_shown_as_lint_shows_it(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text("import json\n")
    with pytest.raises(
        NotAContract, match=r"no contract:\n.*wrong.py:1:1: an import\n    import json\n"
    ):
        load(file)


def test_the_worker_gives_the_same_receipts() -> None:
    def story(lab: Lab) -> list[object]:
        chain = Chain(lab)
        bureau = chain.signer("bureau", "issuer:note")
        notes = chain.deploy(NOTES)
        receipts = [
            notes.attempt("write", "1", by=bureau),
            notes.attempt("write", "1"),
            notes.attempt("divide", 0),
        ]
        chain.signer("author", "issuer:note")
        receipts.append(notes.attempt("write", "2"))
        rows = [(each.status, each.code, each.gas, each.result, each.events) for each in receipts]
        return [*rows, notes.view("show", "1"), notes.state]

    with installed(Lab(worker=True)) as lab:
        assert current() is lab
        in_worker = story(lab)
        one, other = Chain(lab), Chain(lab)
        for chain, text in ((one, "one"), (other, "other")):
            chain.deploy(NOTES)
            chain.put("notes", "note/1", {"text": text})
        # The worker remembers state between calls, but never one chain's for another's.
        assert one.view("notes", "show", "1") == {"text": "one"}
        assert other.view("notes", "show", "1") == {"text": "other"}
    assert in_worker == story(Lab())
    assert current() is not lab
