"""Lists by fields, from the indexes of running validators."""

import shutil
import time
from pathlib import Path
from typing import Any

from devnet import network, sample

ROWS = 20


def test_lists_hold_what_was_sent_also_from_an_index_made_anew(devnet: Any, tmp_path: Path) -> None:
    rows = tmp_path / "rows.ndjson"
    first = sample.licences()[0]
    _, found = network.get(devnet.manifest.validators[0], f"/v1/state/licence/licence/{first.id}")
    if not found["present"]:  # no test before this one sent the sample
        limit = ("--only", "licences", "--limit", str(ROWS))
        devnet.run("devnet", "sample", "--out", str(rows), *limit)
        devnet.run("tx", "send", str(rows), "--bulk", "20")
    sent = {f"licence/{row.id}": row for row in sample.licences()[:ROWS]}

    conditions = ["--issuer", first.issuer, "--expires-from", first.expires[:4]]
    found = {}
    while f"licence/{first.id}" not in found:  # an index may be a moment behind
        answer = devnet.run("licence", "list", "--limit", "10000", *conditions)
        found = {item["key"]: item["value"] for item in answer["items"]}
    assert list(found) == sorted(found)
    assert {key for key in found if key in sent} == {
        key
        for key, row in sent.items()
        if row.issuer == first.issuer and row.expires >= first.expires[:4]
    }
    page = devnet.run("licence", "list", *conditions, "--limit", "1")
    (item,) = page["items"]
    assert found[item["key"]] == item["value"]
    if len(found) > 1:
        rest = devnet.run("licence", "list", *conditions, "--cursor", page["cursor"])
        assert item["key"] not in [other["key"] for other in rest["items"]]

    last = devnet.manifest.validators[-1]
    network.kill(devnet.folder, last.name)
    try:
        shutil.rmtree(Path(devnet.folder, last.home, "index"))
    finally:
        network.restart(devnet.folder, last.name)
    asked = f"/v1/search/licence?limit=100&issuer={first.issuer}&expires_from={first.expires[:4]}"
    code, page = 503, None
    while code == 503:  # while the index is being made
        time.sleep(0.05)
        code, page = network.get(last, asked)
    assert code == 200, page
    assert {item["key"]: item["value"] for item in page["items"]} == dict(list(found.items())[:100])
