"""`qiong trust update` follows what verifies, and leaves the trust file alone otherwise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli import client
from cli.client import Answer
from ledger.proof_builders import build_consistency_proof
from ledger.proof_format import Handover
from ledger.trust import TrustAnchor
from tests.cli.command import Ended, run
from tests.ledger.proof_chain import Council
from tests.ledger.test_proofs import three_epochs


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """None but what a test names."""
    for name in ("QIONG_NODE", "QIONG_TRUST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    """The trust file at genesis."""
    file = tmp_path / "trust.json"
    file.write_text(json.dumps(three_epochs().trust(0).to_json()))
    return file


def proof(handovers: Sequence[Handover], first: int = 0) -> bytes:
    """What a node would answer to `trust update`."""
    chain = three_epochs()
    return build_consistency_proof(
        chain.headers[first], chain.headers[7], chain.read, chain.certificate(7), handovers
    )


def update(trust: Path, data: bytes, *options: str) -> Ended:
    file = trust.with_name("proof.qproof")
    file.write_bytes(data)
    return run("trust", "update", "--trust", trust, "--proof", file, *options)


def test_hand_overs_are_followed_and_both_fingerprints_told(trust: Path) -> None:
    chain = three_epochs()
    trust.chmod(0o640)
    ended = update(trust, proof(chain.handovers), "--json")
    assert ended.exit_code == 0, ended.stderr
    assert json.loads(ended.stdout) == {
        "updated": True,
        "former_fingerprint": chain.trust(0).fingerprint.hex(),
        "fingerprint": chain.trust(7).fingerprint.hex(),
        "epoch": 2,
        "height": 7,
    }
    assert TrustAnchor.parse(trust.read_bytes()) == chain.trust(7)
    assert trust.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in trust.parent.iterdir()) == ["proof.qproof", "trust.json"]
    shown = json.loads(run("trust", "show", "--trust", trust, "--json").stdout)
    assert shown["fingerprint"] == chain.trust(7).fingerprint.hex()


def test_a_node_is_asked_for_what_is_missing(trust: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = three_epochs()
    asked: list[tuple[str, dict[str, Any]]] = []

    def get(self: object, where: str, accept: str = "", **query: Any) -> Answer:
        asked.append((where, query))
        return Answer("http://node", 200, proof(chain.handovers[1:], 4))

    monkeypatch.setattr(client.Client, "get", get)
    trust.write_text(json.dumps(chain.trust(4).to_json()))
    ended = run("trust", "update", "--trust", trust)
    assert ended.exit_code == 0, ended.stderr
    assert asked == [("/v1/proofs/consistency", {"from_": 4, "since": 4})]
    for anchor in (chain.trust(4), chain.trust(7)):
        assert anchor.fingerprint.hex() in ended.stdout
    assert "followed 1 hand-over from http://node" in ended.stderr


def test_nothing_to_follow(trust: Path) -> None:
    chain = three_epochs()
    trust.write_text(json.dumps(chain.trust(6).to_json()))
    before = trust.read_bytes()
    ended = update(trust, proof([], 6))
    assert (ended.exit_code, trust.read_bytes()) == (0, before)
    assert "nothing to follow" in ended.stderr


def test_what_does_not_verify_changes_nothing(trust: Path) -> None:
    first, second = three_epochs().handovers
    liars = Council.of(4, first=20)
    before = trust.read_bytes()
    for data in (
        b"",
        proof([]),
        proof([first]),
        proof([second, first]),
        proof([replace(first, next_validators=liars.validators), second]),
        proof([replace(first, signatures=first.signatures[:-1]), second]),
        proof([first, second])[:-1] + b"\x00",
    ):
        ended = update(trust, data, "--json")
        assert (ended.exit_code, ended.stdout) == (5, ""), ended.stderr
        assert "hint: nothing was changed" in ended.stderr
        assert trust.read_bytes() == before


def test_a_folder_that_cannot_be_written_keeps_the_file(
    trust: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", fails)
    before = trust.read_bytes()
    ended = update(trust, proof(three_epochs().handovers))
    assert (ended.exit_code, trust.read_bytes()) == (3, before)
    assert "No space left" in ended.stderr
    assert sorted(path.name for path in trust.parent.iterdir()) == ["proof.qproof", "trust.json"]


def test_without_a_trust_file_there_is_nothing_to_update() -> None:
    ended = run("trust", "update")
    assert (ended.exit_code, "no trust file" in ended.stderr) == (3, True)
