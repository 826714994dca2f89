"""`qiong proof get` and `verify`: what a node sends is checked, and written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli import client
from cli.client import Answer
from cli.prooffile import QR_BYTES_MAX
from ledger.proof_builders import build_header_proof
from ledger.proof_format import ParentAnchor, Proof
from ledger.proof_text import PREFIX, to_text
from ledger.state_multiproof import KEYS_MAX
from tests.cli.command import Ended, run
from tests.cli.qr import read_code
from tests.ledger.test_proof_kinds import ABSENT, NAMES, consistency, states_proof, story

Give = Callable[[bytes], list[dict[str, Any]]]
LICENCE = "licence/licence/0"


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A trust file, and no node that could be asked."""
    monkeypatch.delenv("QIONG_NODE", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("trust.json").write_text(json.dumps(story().trust().to_json()))
    monkeypatch.setenv("QIONG_TRUST", "trust.json")


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Give:
    """Sets what every node answers; gives the queries that it was asked."""

    def give(data: bytes) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []

        def answer(self: object, where: str, *body: object, accept: str, **query: Any) -> Answer:
            asked.append({"where": where, "body": body, **query})
            return Answer("http://node", 200, data)

        monkeypatch.setattr(client.Client, "get", answer)
        monkeypatch.setattr(client.Client, "post_json", answer)
        return asked

    return give


def state(key: str = "licence/0", height: int = 2, at: bool = False) -> bytes:
    chain = story()
    anchor = ParentAnchor(chain.headers[height + 1], chain.certificate(height + 1)) if at else None
    return chain.state_proof(height, "licence", key, anchor)


def verify(data: bytes, *options: str) -> Ended:
    Path("judged").write_bytes(data)
    return run("proof", "verify", "judged", *options)


# --- QR codes ------------------------------------------------------------------------------------


def test_a_code_is_read_back_by_another_decoder_and_verifies(node: Give) -> None:
    node(state())
    ended = run("licence", "proof", "0", "-o", "a.qproof", "--qr", "a.png", "--json")
    assert ended.exit_code == 0, ended.stderr
    code = read_code(Path("a.png"))
    assert (str(code.format), code.ec_level) == ("QR Code", "L")
    assert code.text == to_text(state())
    assert json.loads(ended.stdout)["bytes"] == len(state())
    for scanned in (code.text.encode(), code.bytes, f"{code.text}\n".encode()):
        judged = verify(scanned, "--licence", "0", "--json")
        assert (judged.exit_code, json.loads(judged.stdout)["verdict"]) == (0, "valid")
    assert verify(Path("a.qproof").read_bytes()).exit_code == 0
    assert verify(code.text[:-3].encode()).exit_code == 1
    assert verify(code.text.replace(PREFIX, "QIONG2:").encode()).exit_code == 1


def test_the_largest_proof_of_a_licence_fits_a_code(node: Give) -> None:
    """1.8 kB among four validators, which `tests/ledger/test_proofs.py` holds it to."""
    data = state() + bytes(1_800 - len(state()))
    node(data)
    ended = untrusting("licence", "proof", "0", "-o", "a.qproof", "--qr", "a.png", "--json")
    assert (ended.exit_code, json.loads(ended.stdout)["qr_version"]) == (0, 32)
    assert read_code(Path("a.png")).text == to_text(data)


def untrusting(*arguments: object) -> Ended:
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("QIONG_TRUST")
        return run(*arguments)


def test_a_proof_too_large_for_a_code_is_refused_before_anything_is_written(node: Give) -> None:
    node(bytes(QR_BYTES_MAX + 1))
    ended = untrusting("proof", "get", "state", "a", "b", "-o", "a.qproof", "--qr", "a.png")
    assert (ended.exit_code, ended.stdout) == (3, "")
    assert f"{QR_BYTES_MAX + 1} bytes, and a QR code holds {QR_BYTES_MAX}" in ended.stderr
    assert "hint: leave out --qr" in ended.stderr
    assert not Path("a.qproof").exists()
    assert not Path("a.png").exists()
    node(bytes(QR_BYTES_MAX))
    ended = untrusting("proof", "get", "state", "a", "b", "-o", "a.qproof", "--qr", "a.png")
    assert ended.exit_code == 0
    assert read_code(Path("a.png")).text == to_text(bytes(QR_BYTES_MAX))


# --- what a node sends ---------------------------------------------------------------------------


def get(*arguments: object) -> Ended:
    return run("proof", "get", *arguments, "-o", "a.qproof")


def test_a_height_and_a_time_are_asked_for_and_checked(node: Give) -> None:
    time_ms = story().headers[2].time_ms
    asked = node(state(at=True))
    moment = "2026-01-01T08:00:02.500+08:00"
    ended = get("state", "licence", "licence/0", "--at", moment)
    assert ended.exit_code == 0, ended.stderr
    assert asked[0]["at"] == time_ms + 500
    assert asked[0]["since"] == 0
    for wrong in ("2026-01-01T08:00:01.999+08:00", "2026-01-01T00:00:03Z"):
        ended = get("state", "licence", "licence/0", "--at", wrong)
        assert (ended.exit_code, "given time" in ended.stderr) == (5, True)
    asked = node(state())
    assert get("state", "licence", "licence/0", "--height", 2).exit_code == 0
    assert asked[0]["height"] == 2
    ended = get("state", "licence", "licence/0", "--height", 3)
    assert (ended.exit_code, "proved height 2, not 3" in ended.stderr) == (5, True)
    ended = get("state", "licence", "licence/0", "--at", moment)
    assert (ended.exit_code, "next header" in ended.stderr) == (5, True)
    assert get("state", "licence", "licence/9").exit_code == 5


def test_licence_and_credit_proofs_take_a_time(node: Give) -> None:
    asked = node(state(at=True))
    moment = ("--at", "2026-01-01T08:00:02+08:00", "-o", "a.qproof")
    assert run("licence", "proof", "0", *moment).exit_code == 0
    assert asked[0]["at"] == story().headers[2].time_ms
    node(states_proof(NAMES))
    assert run("credit", "proof", "x", "--list", "a", *moment).exit_code == 5
    ended = run("licence", "proof", "0", *moment, "--height", "2")
    assert (ended.exit_code, "not both" in ended.stderr) == (2, True)


def keys_file(names: list[tuple[str, str]]) -> Path:
    file = Path("keys.ndjson")
    file.write_text("".join(json.dumps({"contract": c, "key": k}) + "\n" for c, k in names))
    return file


def test_many_keys_are_fetched_in_one_file_and_judged_one_by_one(node: Give) -> None:
    names = [*NAMES, ABSENT]
    asked = node(states_proof(names))
    for words in ([], ["state"]):
        ended = get(*words, "--batch", keys_file(names), "--height", 2)
        assert ended.exit_code == 0, ended.stderr
    assert asked[1] == asked[0]
    assert asked[0]["body"] == ([{"contract": c, "key": k} for c, k in names],)
    assert asked[0]["height"] == 2
    judged = run("proof", "verify", "a.qproof", "--json")
    verdicts = {row["subject"]: row["verdict"] for row in json.loads(judged.stdout)}
    assert (judged.exit_code, len(verdicts)) == (6, 6)
    assert verdicts["licence/licence/1"] == "revoked"
    assert verdicts[LICENCE] == "valid"
    spoken = run("proof", "verify", "a.qproof")
    assert spoken.stdout.startswith("6 keys  ")
    assert "1 revoked" in spoken.stdout
    one = run("proof", "verify", "a.qproof", "--licence", "0", "--json")
    assert (one.exit_code, [row["subject"] for row in json.loads(one.stdout)]) == (0, [LICENCE])
    none = run("proof", "verify", "a.qproof", "--licence", "7", "--json")
    assert (none.exit_code, json.loads(none.stdout)[0]["verdict"]) == (1, "invalid")


@pytest.mark.parametrize("given", [NAMES[:-1], [*NAMES, ABSENT], [*NAMES[:-1], ABSENT]])
def test_other_keys_than_asked_for_are_a_lie(node: Give, given: list[tuple[str, str]]) -> None:
    node(states_proof(given))
    ended = get("--batch", keys_file(NAMES))
    assert (ended.exit_code, "other keys" in ended.stderr) == (5, True)
    assert not Path("a.qproof").exists()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "1 to 100 keys, got 0"),
        ('{"contract": "a"}\n\n{"contract": "a", "key": 1}\nx', "line 1: expected an object"),
        ('{"contract": "a", "key": ""}', "line 1: key must be a name"),
        ('{"contract": "a", "key": "b"}\n' * 2, "a/b stands in it twice"),
        ("".join(f'{{"contract": "a", "key": "{n}"}}\n' for n in range(KEYS_MAX + 1)), "got 101"),
    ],
)
def test_a_file_of_keys_that_no_proof_is_asked_for(node: Give, lines: str, said: str) -> None:
    asked = node(b"")
    Path("keys.ndjson").write_text(lines)
    ended = get("--batch", "keys.ndjson")
    assert (ended.exit_code, said in ended.stderr, "hint:" in ended.stderr) == (3, True, True)
    assert asked == []


@pytest.mark.parametrize(
    "words",
    [
        ["state"],
        ["state", "licence"],
        ["state", "licence", "k", "--batch", "keys.ndjson"],
        ["state", "licence", "--batch", "keys.ndjson"],
        ["state", "licence", "k", "--at", "yesterday"],
        ["state", "licence", "k", "--at", "2026-07-02T09:30:00"],
        ["state", "licence", "k", "--at", "0001-01-01T00:00:00+00:00"],
        ["consistency", "5", "4"],
    ],
)
def test_words_that_do_not_fit(words: list[str]) -> None:
    keys_file(NAMES)
    assert get(*words).exit_code == 2


def test_a_history_is_fetched_and_judged(node: Give) -> None:
    asked = node(consistency(2, 8))
    assert get("consistency", 2).exit_code == 0
    assert get("consistency", 2, 8).exit_code == 0
    assert [(each["from_"], each["to"]) for each in asked] == [(2, None), (2, 8)]
    judged = run("proof", "verify", "a.qproof", "--json")
    assert (judged.exit_code, json.loads(judged.stdout)["subject"]) == (0, "headers 2 to 8")
    for first, second in ((3, 8), (2, 7)):
        ended = get("consistency", first, second)
        assert (ended.exit_code, "instead of" in ended.stderr) == (5, True)
    node(build_header_proof(story().headers[8], story().certificate(8)))
    assert get("consistency", 2).exit_code == 5


# --- verify --------------------------------------------------------------------------------------


def test_headers_that_are_not_adjacent_are_refused() -> None:
    moment = ("--at", "2026-01-01T00:00:03.500Z")
    assert verify(state("licence/1", 3, at=True), *moment).exit_code == 3
    assert verify(state("licence/1", 1, at=True), "--at", "2026-01-01T00:00:01.5Z").exit_code == 0
    proof, chain = Proof.decode(state("licence/1", 1, at=True)), story()
    later = ParentAnchor(chain.headers[4], chain.certificate(4))
    ended = verify(replace(proof, anchor=later).encode(), *moment)
    assert (ended.exit_code, "not adjacent" in ended.stdout) == (1, True)


def test_no_verdict_is_no_verdict_of_a_licence() -> None:
    """3 would say revoked: what keeps it from judging ends it with 2."""
    Path("bad.json").write_text("{}")
    data = state()
    for options in (("--trust", "none.json"), ("--trust", "bad.json"), ("--trust", ".")):
        ended = verify(data, *options)
        assert (ended.exit_code, ended.stdout, "hint:" in ended.stderr) == (2, "", True)
    Path("judged").write_bytes(data)
    ended = untrusting("proof", "verify", "judged")
    assert (ended.exit_code, "none is named" in ended.stderr) == (2, True)
    assert run("proof", "verify", "missing").exit_code == 2
    Path("qiong.toml").write_text("[client]\ncolour = 1\n")
    assert verify(data).exit_code == 2


def test_the_first_line_says_what_and_as_of_when() -> None:
    ended = verify(state("licence/1"))
    first = ended.stdout.splitlines()[0]
    assert first.startswith("licence/licence/1  revoked, as of 2026-01-01T00:00:02.000Z (")
    assert first.endswith(" days ago)")
    assert verify(state(), "--max-age", "24h").exit_code == 4
    assert verify(state("licence/NEVER"), "--expect", "absent").exit_code == 0
    assert verify(b"no proof").stdout.startswith("no proof  invalid")
