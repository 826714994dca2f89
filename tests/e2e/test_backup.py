"""`qiong backup` and `db verify` as an operator uses them beside a running node."""

from itertools import islice
from pathlib import Path
from typing import Any

from devnet import network, sample

ROWS = list(islice(sample.credit_calls(), 880, 890))
"""Rows that no other module sends."""


def test_a_running_validator_is_copied_and_made_again(devnet: Any, tmp_path: Path) -> None:
    row = ROWS[0]
    sent = devnet.submit(row["contract"], row["method"], *row["args"], sender=row["from"])
    agreed = devnet.agreed(height_min=sent["height"])
    entry = devnet.manifest.find(agreed.name)
    home, folder, new = str(entry.home), tmp_path / "backup", tmp_path / "new"
    made = devnet.run("backup", "create", "--home", home, "-o", str(folder))
    assert made["height"] >= sent["height"]
    assert made["keys"] is False
    answer = network.get(entry, f"/v1/blocks/{made['height']}")
    assert made["header_hash"] in str(answer)
    chain = devnet.manifest.chain_id
    checked = devnet.run("backup", "verify", str(folder), "--expect-hash", chain)
    assert checked["ok"]
    restored = devnet.run("backup", "restore", str(folder), "--home", str(new))
    assert restored["header_hash"] == made["header_hash"]
    assert restored["bring"] == ["keys/consensus.key", "keys/tls.key"]
    verified = devnet.run("db", "verify", "--home", str(new))
    assert verified["ok"]
    assert (verified["height"], verified["header_hash"]) == (made["height"], made["header_hash"])
