"""What it takes to execute a block again: its transactions, and entries as of a height."""

from typing import Any

import pytest

from devnet import sample
from ledger.transaction import Call, SignedTransaction
from node.api import routes_past


async def commit(api: Any, *rows: int) -> list[SignedTransaction]:
    signed = [api.transaction(row) for row in rows]
    await api.engine.submit([each.raw for each in signed])
    api.engine.commit()
    return signed


async def walk(api: Any, where: str) -> list[Any]:
    """All items of all pages."""
    items: list[Any] = []
    cursor = ""
    while True:
        status, page, _ = await api.get(where + cursor)
        assert status == 200, page
        items += page["items"]
        if page["cursor"] is None:
            return items
        cursor = f"&cursor={page['cursor']}"


async def test_the_transactions_of_a_block_are_as_they_were_signed(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = await commit(api, 0, 1, 2)
    where = "/v1/blocks/1/transactions?limit="
    expected = [
        {"index": i, "id": each.id.hex(), "transaction": each.raw.hex()}
        for i, each in enumerate(signed)
    ]
    assert await walk(api, where + "2") == expected
    monkeypatch.setattr(routes_past, "PAGE_BYTES", 1)
    _, page, _ = await api.get(where + "100")
    assert (len(page["items"]), page["cursor"]) == (1, 1)
    assert await walk(api, where + "100") == expected


async def test_a_transaction_without_a_receipt_is_left_out(api: Any) -> None:
    late = api.transaction(3, valid_until_ms=1)
    signed = api.transaction(4)
    api.engine.pending = {late.id: late, signed.id: signed}
    api.engine.commit()
    items = await walk(api, "/v1/blocks/1/transactions?limit=10")
    assert [(item["index"], item["transaction"]) for item in items] == [(0, signed.raw.hex())]


async def test_blocks_without_any(api: Any) -> None:
    for where in ("/v1/blocks/0/transactions", "/v1/blocks/1/transactions"):
        status, page, _ = await api.get(where)
        assert status == (200 if "/0/" in where else 404), page
    assert page["code"] == "not_yet"


async def test_entries_as_of_a_height(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await commit(api, 0, 1)
    await commit(api, 2, 3, 4)
    keys = ["licence/" + sample.licences()[row].id for row in range(5)]
    for height, rows in ((0, 0), (1, 2), (2, 5)):
        where = f"/v1/state/licence?prefix=licence%2F&height={height}&limit=2"
        items = await walk(api, where)
        assert [item["key"] for item in items] == sorted(keys[:rows])
        assert all(item["value"]["status"] == "active" for item in items)
    assert await walk(api, "/v1/state/licence?prefix=other&limit=2") == []
    monkeypatch.setattr(routes_past, "PAGE_BYTES", 1)
    assert len((await api.get("/v1/state/licence?limit=5"))[1]["items"]) == 1
    assert len(await walk(api, "/v1/state/licence?limit=5")) == 5
    status, body, _ = await api.get("/v1/state/licence?height=9")
    assert (status, body["code"]) == (404, "not_yet")


async def test_a_revoked_entry_is_listed_as_it_was_before(api: Any) -> None:
    await commit(api, 0)
    licence = sample.licences()[0]
    call = Call("licence", "revoke", [licence.id, "closed"])
    signed = api.transaction(0, calls=(call,), nonce=bytes(16))
    await api.engine.submit([signed.raw])
    api.engine.commit()
    seen = [
        (await walk(api, f"/v1/state/licence?height={height}&limit=9"))[0]["value"]["status"]
        for height in (1, 2)
    ]
    assert seen == ["active", "revoked"]
