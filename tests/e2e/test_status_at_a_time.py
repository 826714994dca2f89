"""Proofs as people use them: fetched from a running network, judged by the offline verifier alone.

A licence of its own is issued and revoked; what it was at each time is proven from files. Commands
run in this process, to save the time of starting each.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest

from contracts.worker.checkdigits import licence_id_valid
from devnet import sample
from ledger.proof_format import ParentAnchor, Proof
from ledger.trust import TrustAnchor
from tests.cli.command import run
from tests.cli.qr import read_code

Qiong = Callable[..., Any]
Verify = Callable[..., tuple[int, Any]]


def _own_licence() -> sample.Licence:
    """A sample licence under a number that the sample does not have, in force for years."""
    template = sample.licences()[0]
    *fields, _, _ = template.id.split(".")
    stem = ".".join([*fields, "777"])
    symbols = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*"
    number = next(f"{stem}.{s}" for s in symbols if licence_id_valid(f"{stem}.{s}"))
    return replace(template, id=number, issued="2026-01-01", expires="2099-12-31")


LICENCE = _own_licence()
KEY = f"licence/{LICENCE.id}"
ISSUER = next(entry.id for entry in sample.departments() if entry.uscc == LICENCE.issuer)


@pytest.fixture(scope="module")
def qiong(devnet: Any) -> Iterator[Qiong]:
    """`qiong ARGUMENTS --json` with the network's settings: the answer."""

    def call(*arguments: object, code: int = 0) -> Any:
        ended = run(*arguments, "--json")
        assert ended.exit_code == code, (arguments, ended.stderr)
        return json.loads(ended.stdout) if ended.stdout else None

    with pytest.MonkeyPatch.context() as patched:
        for name, value in devnet.environment.items():
            if name.startswith("QIONG_"):
                patched.setenv(name, value)
        yield call


@pytest.fixture(scope="module")
def times(qiong: Qiong) -> list[datetime]:
    """When the licence was issued and when revoked; a later block makes both times provable."""
    signed = ("--from", ISSUER, "--wait")
    issued = [LICENCE.id, LICENCE.type, LICENCE.holder, LICENCE.issued, LICENCE.expires]
    qiong("tx", "submit", "licence", "issue", json.dumps(issued), *signed)
    qiong("licence", "revoke", LICENCE.id, "--reason", "given up", "--from", ISSUER)
    # Refused by the contract, and included all the same: a block after the revocation.
    late = json.dumps([LICENCE.id, "too late"])
    qiong("tx", "submit", "licence", "suspend", late, *signed, code=1)
    changes = qiong("licence", "history", LICENCE.id)
    return sorted(datetime.fromisoformat(change["time"]) for change in changes)


@pytest.fixture
def verify(qiong: Qiong, monkeypatch: pytest.MonkeyPatch) -> Verify:
    """`qiong proof verify` where nothing can be connected to: its exit code and its answer."""

    def refuse(*arguments: object, **options: object) -> NoReturn:
        raise AssertionError("the verifier opened a socket")

    def verified(file: Path, *options: object) -> tuple[int, Any]:
        with monkeypatch.context() as patched:
            patched.setattr(socket, "socket", refuse)
            ended = run("proof", "verify", file, "--json", *options)
        return ended.exit_code, json.loads(ended.stdout)

    return verified


def test_a_proof_says_what_was_true_at_its_time(
    qiong: Qiong, times: list[datetime], tmp_path: Path, verify: Verify
) -> None:
    issued, revoked = times
    instant = timedelta(milliseconds=1)
    for number, (moment, code, verdict) in enumerate(
        [
            (issued - instant, 6, "absent"),
            (issued, 0, "valid"),
            (revoked - instant, 0, "valid"),
            (revoked, 3, "revoked"),
        ]
    ):
        at = ("--at", moment.isoformat())
        file = tmp_path / f"{number}.qproof"
        qiong("licence", "proof", LICENCE.id, "-o", str(file), *at)
        ended, said = verify(file, "--licence", LICENCE.id, *at)
        assert (ended, said["verdict"]) == (code, verdict)
    before, after = tmp_path / "2.qproof", tmp_path / "3.qproof"
    assert verify(before, "--at", revoked.isoformat())[0] == 1, "the next block has begun"
    proof, later = Proof.decode(before.read_bytes()), Proof.decode(after.read_bytes()).anchor
    assert isinstance(later, ParentAnchor)
    apart = tmp_path / "apart.qproof"
    apart.write_bytes(replace(proof, anchor=later).encode())
    ended, said = verify(apart, "--at", revoked.isoformat())
    assert (ended, said["verdict"], "not adjacent" in said["reason"]) == (1, "invalid", True)


def test_a_time_that_no_later_block_bounds_is_refused(qiong: Qiong, tmp_path: Path) -> None:
    file = tmp_path / "a.qproof"
    qiong(
        "proof", "get", "state", "licence", KEY, "--at", "2099-01-01T00:00:00Z", "-o", str(file),
        code=3,
    )  # fmt: skip
    assert not file.exists()


def test_many_keys_in_one_file(
    qiong: Qiong, times: list[datetime], tmp_path: Path, verify: Verify
) -> None:
    keys = [KEY, "licence/NEVER", "licence/NOR-THIS"]
    batch, file = tmp_path / "keys.ndjson", tmp_path / "many.qproof"
    batch.write_text("".join(json.dumps({"contract": "licence", "key": k}) + "\n" for k in keys))
    qiong("proof", "get", "--batch", str(batch), "-o", str(file))
    code, rows = verify(file)
    said = {row["subject"]: row["verdict"] for row in rows}
    assert (code, len(rows)) == (6, 3)
    assert said == {
        f"licence/{KEY}": "revoked",
        "licence/licence/NEVER": "absent",
        "licence/licence/NOR-THIS": "absent",
    }
    code, rows = verify(file, "--licence", LICENCE.id)
    assert (code, len(rows)) == (3, 1)


def test_a_code_on_paper(
    qiong: Qiong, times: list[datetime], tmp_path: Path, verify: Verify
) -> None:
    file, code = tmp_path / "a.qproof", tmp_path / "a.png"
    told = qiong("licence", "proof", LICENCE.id, "-o", str(file), "--qr", str(code))
    assert told["bytes"] == file.stat().st_size < 1_800
    scanned = tmp_path / "scanned.txt"
    scanned.write_text(read_code(code).text + "\n")
    assert verify(scanned, "--licence", LICENCE.id)[1]["verdict"] == "revoked"


def test_the_chain_goes_on_from_its_genesis(
    qiong: Qiong, times: list[datetime], tmp_path: Path, verify: Verify
) -> None:
    file = tmp_path / "history.qproof"
    for first in ("0", "1"):
        qiong("proof", "get", "consistency", first, "-o", str(file))
        code, said = verify(file)
        assert (code, said["claim"]) == (0, "consistency")
        assert said["subject"] == f"headers {first} to {said['height']}"


def test_one_epoch_leaves_nothing_to_follow(devnet: Any, qiong: Qiong) -> None:
    before = devnet.manifest.trust.read_bytes()
    told = qiong("trust", "update")
    fingerprint = TrustAnchor.parse(before).fingerprint.hex()
    assert (told["updated"], told["fingerprint"]) == (False, fingerprint)
    assert devnet.manifest.trust.read_bytes() == before
