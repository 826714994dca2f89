"""The life of a contract over HTTP: what is admitted, and what the API says of it afterwards."""

import secrets
from typing import Any

from contracts import deployment_layout
from devnet import sample
from ledger.transaction import Call
from ledger.types import Gas

OWNER, OTHER = (entry.uscc for entry in sample.departments()[1:3])
ENTERPRISE = sample.enterprises()[0].uscc
SOURCE = """
INDEX = ("holder",)

@call
def put_down(holder: str) -> None:
    put("thing/" + holder, {"holder": holder})

@view
def holder(name: str) -> dict | None:
    return get("thing/" + name)
"""
NEWER = SOURCE.replace("thing/", "item/")


async def send(api: Any, signer: str, contract: str, method: str, *args: Any) -> tuple[int, Any]:
    """Status and body of a transaction posted and, if it was admitted, committed."""
    signed = api.transaction(
        key=api.key_of(signer),
        calls=(Call(contract, method, list(args)),),
        nonce=secrets.token_bytes(16),
        gas_limit=Gas(100_000),
    )
    posted = {"transaction": signed.raw.hex()}
    status, body, _ = await api.request("POST", "/v1/transactions?wait=committed", json=posted)
    return status, body


async def change(api: Any, signer: str, method: str, *args: Any) -> tuple[int, str]:
    status, body = await send(api, signer, "contracts", method, *args)
    return status, body["calls"][0]["code"] if status == 200 else body["code"]


async def refusal(api: Any, signer: str, contract: str, method: str, *args: Any) -> tuple[int, str]:
    status, body = await send(api, signer, contract, method, *args)
    return status, body["code"]


async def query(api: Any, name: str, method: str, *args: Any) -> tuple[int, Any]:
    posted = {"method": method, "args": list(args)}
    status, body, _ = await api.request("POST", f"/v1/contracts/{name}/query", json=posted)
    return status, body.get("result", body.get("code"))


async def test_a_contract_from_its_deployment_to_its_end(api: Any) -> None:
    assert await change(api, OWNER, "deploy", "things", SOURCE) == (200, "")
    assert (await send(api, ENTERPRISE, "things", "put_down", "me"))[0] == 200
    assert await change(api, OWNER, "upgrade", "things", NEWER, 1_000) == (200, "")
    assert await change(api, OWNER, "upgrade", "things", NEWER) == (200, "")
    assert await change(api, "governor", "freeze", "things", "a bug") == (200, "")
    assert await refusal(api, ENTERPRISE, "things", "put_down", "you") == (409, "frozen")
    _, shown, _ = await api.get("/v1/contracts/things")
    assert (shown["status"], shown["owner"], shown["version"]) == ("frozen", OWNER, 3)
    assert [(each["number"], each["from"]) for each in shown["versions"]] == [(3, 4)]
    assert shown["source"] == NEWER
    history = [(each["action"], each["height"], each["version"]) for each in shown["history"]]
    assert history == [
        ("deployed", 1, 1),
        ("upgraded", 3, 2),
        ("upgraded", 4, 3),
        ("frozen", 5, None),
    ]
    deployed, planned, _, stopped = shown["history"]
    digest = deployment_layout.source_hash(SOURCE).hex()
    assert (deployed["source_hash"], deployed["organisation"]) == (digest, OWNER)
    assert deployed["key"] == api.key_of(OWNER).public.hex()
    assert planned["from"] == 1_000
    assert (stopped["reason"], stopped["key"]) == ("a bug", api.key_of("governor").public.hex())
    _, block, _ = await api.get("/v1/blocks/5")
    assert stopped["time"] == block["time"]


async def test_views_of_a_frozen_contract_answer_those_of_a_retired_one_do_not(api: Any) -> None:
    await change(api, OWNER, "deploy", "things", SOURCE)
    await send(api, ENTERPRISE, "things", "put_down", "me")
    await change(api, OWNER, "freeze", "things", "a bug")
    assert await query(api, "things", "holder", "me") == (200, {"holder": "me"})
    await change(api, OWNER, "retire", "things", "over")
    assert await query(api, "things", "holder", "me") == (409, "retired")
    assert await refusal(api, ENTERPRISE, "things", "put_down", "you") == (409, "retired")
    _, entry, _ = await api.get("/v1/state/things/thing/me")
    assert entry["value"] == {"holder": "me"}
    _, found, _ = await api.get("/v1/search/things?holder=me")
    assert len(found["items"]) == 1
    _, shown, _ = await api.get("/v1/contracts/things")
    assert shown["status"] == "retired"


async def test_who_may_not_change_a_contract_is_refused_at_the_door(api: Any) -> None:
    for signer in (ENTERPRISE, "governor"):
        assert await change(api, signer, "deploy", "things", SOURCE) == (403, "missing_role")
    await change(api, OWNER, "deploy", "things", SOURCE)
    for method, *args in (("upgrade", "things", NEWER), ("freeze", "things", "why"),
                          ("unfreeze", "things"), ("retire", "things", "why")):  # fmt: skip
        for signer in (OTHER, ENTERPRISE):
            assert await change(api, signer, method, *args) == (403, "missing_role")
    assert await change(api, OWNER, "upgrade", "licence", NEWER) == (403, "missing_role")
    assert await change(api, "governor", "freeze", "licence", "why") == (200, "")


async def test_what_is_not_there_is_refused_at_the_door(api: Any) -> None:
    assert await change(api, OWNER, "show", "things") == (404, "unknown_method")
    assert await change(api, OWNER, "upgrade", "things", NEWER) == (404, "unknown_contract")
    for name in ("history/licence/000000", "total/weight", "", 5, None):
        assert await change(api, "governor", "unfreeze", name) == (404, "unknown_contract")
    assert await refusal(api, OWNER, "total/weight", "x") == (404, "unknown_contract")
    assert await query(api, "contracts", "deploy") == (404, "unknown_contract")


async def test_what_only_execution_can_tell_gets_a_receipt(api: Any) -> None:
    assert await change(api, OWNER, "deploy", "Things", SOURCE) == (200, "BAD_NAME")
    assert await change(api, OWNER, "deploy", "things", "import os\n") == (200, "compile_refused")
    assert await change(api, OWNER, "deploy", "things") == (200, "TYPE")


async def test_genesis_is_the_first_line_of_every_history(api: Any) -> None:
    _, shown, _ = await api.get("/v1/contracts/licence")
    (first,) = shown["history"]
    assert (first["action"], first["height"], first["key"]) == ("deployed", 0, None)
    assert (shown["owner"], shown["version"], shown["changes"]) == (None, 1, 1)
