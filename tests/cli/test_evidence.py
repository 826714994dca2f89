"""`qiong evidence`: what a node says is checked, a file is judged without any network."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli import client
from cli.client import Answer
from consensus.messages import Commit, Envelope, SignedMessage
from ledger.hashing import sha256
from ledger.keys import SigningKey
from ledger.trust import TrustAnchor
from ledger.types import Digest, Epoch, Height, Signature, View
from ledger.validators import Validator, ValidatorSet
from node.evidence import Case, of_cases
from tests.cli import command
from tests.cli.command import Ended

NAMES = [f"org-{i}" for i in range(4)]
KEYS = {name: SigningKey.from_seed(name.encode().ljust(32)) for name in NAMES}
CHAIN = sha256(b"chain")


def case_of(name: str, chain_id: Digest = CHAIN) -> Case:
    def signed(message: SignedMessage) -> Envelope[SignedMessage]:
        envelope = Envelope(Epoch(0), name, message, Signature(bytes(65)))
        return replace(envelope, signature=KEYS[name].sign(envelope.signed_bytes(chain_id)))

    return Case.of(*(signed(Commit(View(2), Height(9), sha256(bytes([i])))) for i in range(2)))


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    validators = ValidatorSet.of(Validator(name, key.public) for name, key in KEYS.items())
    anchor = TrustAnchor(CHAIN, Epoch(0), Height(0), sha256(b"header"), validators, ())
    file = tmp_path / "trust.json"
    file.write_text(json.dumps(anchor.to_json()))
    return file


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """None but what a test names."""
    for name in ("QIONG_NODE", "QIONG_TRUST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def run(*arguments: object) -> Ended:
    """`qiong evidence ARGUMENTS`."""
    return command.run("evidence", *arguments)


def verify(data: bytes, trust: Path) -> tuple[int, Any]:
    file = trust.parent / "case.qevidence"
    file.write_bytes(data)
    ended = run("verify", file, "--trust", trust, "--json")
    return ended.exit_code, json.loads(ended.stdout)


def test_a_proof_says_who_did_what(trust: Path) -> None:
    code, document = verify(of_cases(CHAIN, [case_of("org-2"), case_of("org-1")]).encode(), trust)
    assert (code, document["verdict"]) == (0, "proven")
    assert document["organisations"] == ["org-1", "org-2"]
    assert [case["kind"] for case in document["cases"]] == ["COMMIT", "COMMIT"]
    text = run("verify", trust.parent / "case.qevidence", "--trust", trust).stdout
    assert "proven      org-1 signed two different COMMITs in view 2 for block 9" in text
    assert "An honest validator never signs both" in text


def test_one_forged_case_spoils_the_file(trust: Path) -> None:
    good, bad = case_of("org-1"), case_of("org-2")
    forged = replace(bad, second=replace(bad.second, signature=Signature(b"\x01" * 65)))
    code, document = verify(of_cases(CHAIN, [good, forged]).encode(), trust)
    assert (code, document["verdict"]) == (5, "invalid")
    assert "org-2 did not sign both" in document["reason"]
    assert document["organisations"] == ["org-1"]


def test_another_chain_is_untrusted_and_other_bytes_are_invalid(trust: Path) -> None:
    other = sha256(b"other")
    data = of_cases(other, [case_of("org-1", other)]).encode()
    code, document = verify(data, trust)
    assert (code, document["verdict"]) == (5, "untrusted")
    # Said to be of the trust file's chain, it is a forgery.
    code, document = verify(of_cases(CHAIN, [case_of("org-1", other)]).encode(), trust)
    assert (code, document["verdict"], document["organisations"]) == (5, "invalid", [])
    for noise in (b"", b"\xc0", data[:-1], data + b"\x00"):
        code, document = verify(noise, trust)
        assert (code, document["verdict"], document["cases"]) == (5, "invalid", [])


def test_usage(trust: Path) -> None:
    assert run("verify", trust.parent / "nothing", "--trust", trust).exit_code == 2
    assert run("verify", trust).exit_code == 2


def test_checking_needs_no_network_code() -> None:
    script = (
        "import sys, cli.evidence; sys.exit('aiohttp' in sys.modules or 'asyncio' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-P", "-c", script], check=False).returncode == 0


# --- what a node says ---


class Node(client.Client):
    """Answers `/v1/evidence` with `cases`, two a page."""

    cases: tuple[Case, ...] = ()

    def __init__(self, nodes: object) -> None:
        self._nodes = ("http://node",)

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def get(self, where: str, accept: str = "application/json", **query: object) -> Answer:
        start = query["cursor"]
        assert where == "/v1/evidence"
        assert isinstance(start, int)
        items = [
            {
                "organisation": case.organisation,
                "name": case.organisation.upper(),
                "first": case.first.encode().hex(),
                "second": case.second.encode().hex(),
            }
            for case in self.cases[start : start + 2]
        ]
        end = start + len(items)
        cursor = end if end < len(self.cases) else None
        page = {"chain_id": CHAIN.hex(), "items": items, "cursor": cursor}
        return Answer("http://node", 200, json.dumps(page).encode())


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> type[Node]:
    monkeypatch.setattr(client, "Client", Node)
    monkeypatch.setattr(Node, "cases", tuple(case_of(name) for name in NAMES[:3]))
    return Node


def test_what_is_exported_verifies(node: type[Node], trust: Path) -> None:
    file = trust.parent / "all.qevidence"
    ended = run("export", "-o", file, "--json")
    assert json.loads(ended.stdout)["organisations"] == NAMES[:3]
    assert verify(file.read_bytes(), trust)[1]["organisations"] == NAMES[:3]


def test_list_says_whose_word_it_is(node: type[Node], trust: Path) -> None:
    ended = run("list")
    assert ended.exit_code == 0
    assert "unverified  ORG-0 (org-0) signed two different COMMITs" in ended.stdout
    assert "said by http://node" in ended.stderr
    ended = run("list", "--trust", trust, "--json")
    rows = json.loads(ended.stdout)["cases"]
    assert [(row["name"], row["verdict"]) for row in rows] == [
        (name.upper(), "proven") for name in NAMES[:3]
    ]


def test_a_node_that_accuses_falsely_is_not_believed(
    node: type[Node], trust: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    false = case_of("org-0", sha256(b"another chain"))
    monkeypatch.setattr(Node, "cases", (case_of("org-1"), false))
    assert run("list", "--trust", trust).exit_code == 5
    ended = run("export", "-o", "out.qevidence", "--trust", trust)
    assert ended.exit_code == 5
    assert not Path("out.qevidence").exists()
    same = Case(false.first, false.first)
    monkeypatch.setattr(Node, "cases", (same,))
    ended = run("list")
    assert (ended.exit_code, "the same message twice" in ended.stderr) == (5, True)


def test_no_evidence(node: type[Node], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "cases", ())
    assert "no evidence against anybody" in run("list").stderr
    assert run("export", "-o", "out.qevidence").exit_code == 3
