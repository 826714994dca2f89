"""`tx send`: each row exactly once, whatever is killed, refused or lost on the way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import sender as sender_module
from cli.client import NodeUnreachable
from cli.errors import Refused
from cli.journal import Journal, Outcome, Signed
from cli.rows import Row, read_rows
from cli.sender import Report, Sender
from ledger.keys import SigningKey
from ledger.transaction import SignedTransaction
from ledger.types import Digest

CHAIN = Digest(b"c" * 32)
KEYS = {name: SigningKey.from_seed(name.encode().ljust(32)) for name in ("health", "tourism")}


class Killed(BaseException):
    """Stands for kill -9: nothing may catch it."""


class FakeNetwork:
    """A client and a tracker over a chain in memory.

    `script` says for each POST whether it is lost before ("lost") or after ("deaf") it arrives,
    answered "full", or kills the client afterwards ("kill"); later POSTs go well.
    """

    def __init__(self, script: Sequence[str] = (), bad: frozenset[str] = frozenset()) -> None:
        self.script = list(script)
        self.bad = bad
        self.executed: dict[Digest, SignedTransaction] = {}
        self.calls: list[tuple[str, Any]] = []
        self.expired: set[Digest] = set()

    def post_transactions(self, raw: Sequence[bytes]) -> list[dict[str, Any]]:
        act = self.script.pop(0) if self.script else "ok"
        if act == "lost":
            raise NodeUnreachable(["node"], "lost")
        if act == "full":
            return [{"id": None, "http": 503, "code": "mempool_full"} for _ in raw]
        answers = []
        for item in raw:
            signed = SignedTransaction.decode(item)
            signed.check_signatures()
            known = signed.id in self.executed
            if not known:
                self.executed[signed.id] = signed
                self.calls += [(c.method, tuple(c.args)) for c in signed.transaction.calls]
            answers.append({"id": signed.id.hex(), "http": 200 if known else 202, "code": ""})
        if act == "deaf":
            raise NodeUnreachable(["node"], "no answer")
        if act == "kill":
            raise Killed
        return answers

    def outcomes(self, pending: Sequence[Signed]) -> dict[Digest, Outcome]:
        found: dict[Digest, Outcome] = {}
        for entry in pending:
            signed = self.executed.get(entry.id)
            if signed is not None:
                calls = signed.transaction.calls
                found[entry.id] = Outcome(1, tuple(self._status(str(c.args[0])) for c in calls))  # type: ignore[index]
            elif entry.id in self.expired:
                found[entry.id] = Outcome(None, ())
        return found

    def _status(self, subject: str) -> tuple[str, str]:
        return ("reverted", "BAD_ID") if subject in self.bad else ("ok", "")

    def sleep(self, seconds: float) -> None:
        pass


def write_rows(path: Path, subjects: Sequence[str]) -> list[Row]:
    rows = [
        {
            "contract": "licence",
            "method": "issue",
            "args": [subject],
            "from": "health" if i % 3 else "tourism",
        }
        for i, subject in enumerate(subjects)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_rows(path)


def send(folder: Path, network: FakeNetwork, rows: Sequence[Row], bulk: int = 1) -> Report:
    with Journal(folder / "rows.journal", CHAIN) as journal:
        run = Sender(network, network, journal, CHAIN, KEYS.__getitem__, bulk=bulk)  # type: ignore[arg-type]
        return run.run(rows)


def send_until_done(folder: Path, network: FakeNetwork, rows: Sequence[Row], bulk: int) -> Report:
    while True:
        try:
            return send(folder, network, rows, bulk)
        except (Killed, NodeUnreachable):
            continue


@given(
    st.lists(st.sampled_from(["ok", "lost", "deaf", "full", "kill"]), max_size=8),
    st.integers(1, 4),
    st.lists(st.sampled_from("abcdef"), max_size=12),
)
def test_each_row_is_executed_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, script: list[str], bulk: int, subjects: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("send")
    rows = write_rows(folder / "rows.ndjson", subjects)
    network = FakeNetwork(script)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sender_module, "BATCH_MAX", 2)
        report = send_until_done(folder, network, rows, bulk)
        again = send(folder, network, rows, bulk)
    assert sorted(network.calls) == sorted(("issue", (subject,)) for subject in subjects)
    assert report.committed == len(subjects)
    assert (again.submitted, again.committed, again.unknown) == (0, len(subjects), 0)


def test_one_bad_row_fails_alone_in_a_bulk(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.ndjson", ["a", "b", "c", "d"])
    report = send(tmp_path, FakeNetwork(bad=frozenset({"c"})), rows, bulk=4)
    assert (report.committed, report.failed, report.unknown) == (3, 1, 0)
    assert report.failures == [(3, "reverted", "BAD_ID")]


def test_rows_added_later_are_the_only_ones_sent(tmp_path: Path) -> None:
    network = FakeNetwork()
    send(tmp_path, network, write_rows(tmp_path / "rows.ndjson", ["a", "b"]))
    report = send(tmp_path, network, write_rows(tmp_path / "rows.ndjson", ["a", "b", "a"]))
    assert (report.submitted, report.committed) == (1, 3)


def test_only_rows_proven_expired_are_signed_anew(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.ndjson", ["a", "b"])
    network = FakeNetwork(["lost"])
    with pytest.raises(NodeUnreachable):
        send(tmp_path, network, rows)
    with Journal(tmp_path / "rows.journal", CHAIN) as journal:
        first, second = journal.signed
    network.expired.add(first)
    report = send(tmp_path, network, rows)
    assert second in network.executed
    assert first not in network.executed
    assert report.committed == 2
    assert len(network.executed) == 2


def test_a_torn_last_line_is_dropped_and_damage_is_refused(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.ndjson", ["a"])
    network = FakeNetwork()
    send(tmp_path, network, rows)
    path = tmp_path / "rows.journal"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"id": "12')
    assert send(tmp_path, network, rows).submitted == 0
    path.write_bytes(whole.replace(b'"rows"', b'"rosw"'))
    with pytest.raises(Refused, match="damaged"):
        send(tmp_path, network, rows)


def test_a_journal_of_another_chain_or_in_use_is_refused(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", CHAIN), pytest.raises(Refused, match="in use"):
        Journal(tmp_path / "j", CHAIN)
    with pytest.raises(Refused, match="belongs to chain"):
        Journal(tmp_path / "j", Digest(b"d" * 32))


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        '{"contract": "c", "method": "m", "args": []}',
        '{"contract": "c", "method": "m", "args": [], "from": "k", "more": 1}',
        '{"contract": "c", "method": "m", "args": "x", "from": "k"}',
        '{"contract": "", "method": "m", "args": [], "from": "k"}',
        '{"contract": "c", "method": "m", "args": [1.5], "from": "k"}',
        '{"contract": "c", "method": "m", "args": [NaN], "from": "k"}',
        '{"contract": "c", "method": "m", "args": [9223372036854775808], "from": "k"}',
        '{"contract": "c", "method": "m", "args": [], "from": "k", "from": "l"}',
        '{"contract": "c", "method": "m", "args": ' + "[" * 40 + "]" * 40 + ', "from": "k"}',
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.ndjson"
    path.write_text('\n{"contract": "c", "method": "m", "args": [], "from": "k"}\n' + line + "\n")
    with pytest.raises(Refused, match="line 3: "):
        read_rows(path)
