"""Why a node does not vote; receipts of a block; what nobody certified is shown as such."""

from __future__ import annotations

from typing import Any

import pytest

from ledger import merkle
from ledger.block import BlockHeader
from ledger.certificate import Certificate
from ledger.types import Digest, Epoch, Height, Signature
from node.standing import Divergence, SignedHeader, Standing

OWN, CERTIFIED = Digest(b"\x01" * 32), Digest(b"\x02" * 32)
DIVERGENCE = Divergence(
    Height(7),
    OWN,
    CERTIFIED,
    Certificate(Epoch(0), Height(7), CERTIFIED, (("org", Signature(b"\x01" + bytes(64))),)),
)


def standing(**changes: Any) -> Standing:
    values: dict[str, Any] = {
        "state": "voting",
        "reason": "in step with a quorum",
        "organisation": "org",
        "name": "name",
        "height": Height(6),
        "executed": Height(8),
        "decided": Height(9),
        "highest": Height(12),
    }
    return Standing(**{**values, **changes})


@pytest.mark.parametrize(
    "now",
    [
        standing(),
        standing(state="diverged", divergence=DIVERGENCE),
        standing(
            state="nondeterminism",
            disputed=Height(7),
            headers=(SignedHeader(OWN, ("a",)), SignedHeader(CERTIFIED, ("b", "c"))),
        ),
    ],
)
async def test_why_says_where_the_node_stands(api: Any, now: Standing) -> None:
    api.engine.standing = lambda: now
    status, body, _ = await api.get("/v1/why")
    assert status == 200
    assert Standing.from_json(body) == now
    assert body == now.to_json()


async def issued(api: Any, rows: int) -> None:
    for row in range(rows):
        raw = api.transaction(row).raw.hex()
        status, _, _ = await api.request("POST", "/v1/transactions", json={"transaction": raw})
        assert status == 202
    api.engine.commit()


async def test_receipts_of_a_block_lead_to_the_root_of_its_header(api: Any) -> None:
    await issued(api, 3)
    status, body, _ = await api.get("/v1/blocks/1/receipts")
    assert status == 200
    header = BlockHeader.decode(bytes.fromhex(body["header"]))
    leaves = [bytes.fromhex(item["receipt"]) for item in body["receipts"]]
    assert header.hash.hex() == body["hash"]
    assert merkle.root(leaves) == header.receipts_root
    assert [item["index"] for item in body["receipts"]] == [0, 1, 2]
    assert {item["status"] for item in body["receipts"]} == {"ok"}
    assert (await api.get("/v1/blocks/2/receipts"))[0] == 404


async def test_an_uncertified_block_is_shown_nowhere_else(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await issued(api, 1)
    monkeypatch.setattr(api.engine.store, "save_certificate", lambda certificate: None)
    raw = api.transaction(1).raw.hex()
    await api.request("POST", "/v1/transactions", json={"transaction": raw})
    api.engine.commit()
    status, body, _ = await api.get("/v1/uncertified/2")
    assert (status, body["certified"], len(body["receipts"])) == (200, False, 1)
    status, calls, _ = await api.get("/v1/uncertified/2/0")
    assert (status, calls["certified"]) == (200, False)
    assert [call["status"] for call in calls["calls"]] == ["ok"]
    assert calls["transaction"] == body["receipts"][0]["transaction"]
    for where in ("/v1/blocks/2", "/v1/blocks/2/receipts"):
        assert (await api.get(where))[0] == 404
    # And what is certified, or not executed, is not shown here.
    for where in ("/v1/uncertified/1", "/v1/uncertified/3", "/v1/uncertified/2/1"):
        status, body, _ = await api.get(where)
        assert (status, body["code"]) == (404, "not_found")
    assert (await api.get("/v1/uncertified/-1"))[0] == 400
