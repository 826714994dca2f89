"""All 2,000 licences and 1,000 credit attestations of the sample, through four validators."""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from devnet import network, sample


def _send(devnet: Any, path: Path, *options: str, code: int = 0) -> Any:
    return devnet.run("tx", "send", str(path), *options, code=code)


def _height(devnet: Any) -> int:
    _, answer = network.get(devnet.manifest.validators[0], "/v1/status")
    return int(answer["height"])


def _counts(answer: Any) -> dict[str, int]:
    return {name: answer[name] for name in ("submitted", "committed", "failed", "unknown")}


def test_every_row_ends_exactly_once_though_the_sender_is_killed(
    devnet: Any, tmp_path: Path
) -> None:
    path = tmp_path / "rows.ndjson"
    devnet.run("devnet", "sample", "--out", str(path), "--only", "licences")
    sender = subprocess.Popen(
        devnet.command("tx", "send", str(path), "--json"),
        env=devnet.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    height = devnet.agreed().height
    while _height(devnet) < height + 2 and sender.poll() is None:
        time.sleep(0.01)
    sender.send_signal(signal.SIGKILL)
    sender.wait()
    answer = _send(devnet, path)
    assert {**_counts(answer), "submitted": 0} == {
        "submitted": 0,
        "committed": 2000,
        "failed": 0,
        "unknown": 0,
    }
    again = _counts(_send(devnet, path))
    assert again == {"submitted": 0, "committed": 2000, "failed": 0, "unknown": 0}
    devnet.agreed(height_min=height)


def test_bulk_credits_with_one_wrong_check_digit(devnet: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.ndjson"
    rows = list(sample.credit_calls())
    wrong = {**rows[5], "args": ["91350100M000100Y4Z", *rows[5]["args"][1:]]}
    sample.write_rows([*rows, wrong], path)  # type: ignore[list-item]
    answer = _send(devnet, path, "--bulk", "100", code=1)
    assert _counts(answer) == {"submitted": 1001, "committed": 1000, "failed": 1, "unknown": 0}
    states = network.status(devnet.manifest)
    assert len(states) == 4
    agreed = devnet.agreed()
    assert agreed.header_hash is not None


def test_a_credit_entry_reads_back_as_it_was_attested(devnet: Any) -> None:
    last = {(row.list, row.subject): row for row in sample.attestations()}
    (name, subject), row = next(iter(last.items()))
    key = f"credit/{name}/{subject}"
    code, answer = network.get(devnet.manifest.validators[1], f"/v1/state/credit/{key}")
    assert code == 200
    text = json.dumps(answer)
    assert row.evidence in text
    assert row.expires in text
