"""Simulations: what a transaction would do, on whom it waits, and whom it makes wait (nobody)."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.registry_layout import member_key
from contracts.runner import ExecutionStopped
from devnet import sample
from ledger import canonical
from ledger.keys import SigningKey
from ledger.types import Digest
from node import views
from node.api.turns import TURNS_MAX
from node.views import Views, ViewsBusy

WHERE = "/v1/simulate"


class Held:
    """A viewer that answers when it is let go."""

    def __init__(self, runner: Any) -> None:
        self.runner = runner
        self.go = threading.Event()
        self.asked = 0

    def _wait(self) -> None:
        self.asked += 1
        assert self.go.wait(60)

    def query(self, *args: Any) -> Any:
        self._wait()
        return self.runner.query(*args)

    def simulate(self, *args: Any) -> Any:
        self._wait()
        return self.runner.simulate(*args)


@pytest.fixture
async def held(api: Any) -> AsyncIterator[Held]:
    """The engine's viewer, held."""
    engine = api.engine
    viewer = Held(engine.viewer)
    engine.views.close()
    engine.views = Views(engine.store, viewer)
    yield viewer
    viewer.go.set()


def unsigned(api: Any, row: int = 0, **changes: Any) -> dict[str, Any]:
    """Issuing a licence of the sample by its right department, not signed."""
    (call,) = api.transaction(row).transaction.calls
    signer = api.key_of(api.issuer(row)).public
    document = {
        "calls": [{"contract": call.contract, "method": call.method, "args": call.args}],
        "signers": [signer.hex()],
    }
    return {**document, **changes}


async def simulate(api: Any, document: Any, code: int = 200) -> Any:
    status, body, headers = await api.request("POST", WHERE, json=document)
    assert status == code, body
    if code in (429, 503):
        assert int(headers["Retry-After"]) >= 1
    return body


async def test_a_simulation_is_what_execution_then_does(api: Any) -> None:
    """Signed or not: the same outcome, the same writes, and nothing is kept."""
    signed = api.transaction(gas_limit=300_000)
    before = api.engine.store.head
    body = await simulate(api, {"transaction": signed.raw.hex()})
    other = await simulate(api, unsigned(api))
    assert {**other, "time": ""} == {**body, "time": ""}
    assert api.engine.store.head == before
    assert (await api.get(f"/v1/transactions/{signed.id.hex()}"))[1]["status"] == "unknown"
    await api.engine.submit([signed.raw])
    api.engine.commit()
    _, done, _ = await api.get(f"/v1/transactions/{signed.id.hex()}")
    assert (body["calls"], body["events"]) == (done["calls"], done["events"])
    assert (body["height"], body["status"], body["gas"]) == (0, "ok", done["gas"])
    (write,) = body["writes"]
    _, entry, _ = await api.get(f"/v1/state/licence/{write['key']}")
    assert write == {
        "contract": "licence", "key": "licence/" + sample.licences()[0].id,
        "present": True, "value": entry["value"],
    }  # fmt: skip


async def test_reads_are_what_the_outcome_hangs_on(api: Any) -> None:
    body = await simulate(api, unsigned(api))
    reads = {(item["contract"], item["key"]): item for item in body["reads"]}
    licence = reads["licence", "licence/" + sample.licences()[0].id]
    assert (licence["present"], licence["value"]) == (False, None)
    signer = api.key_of(api.issuer(0)).public
    assert "submitter" in reads["registry", member_key(signer.hex())]["value"]["roles"]
    assert not any(contract == "contracts" for contract, _ in reads)
    assert body["listings"] == []


async def test_whoever_may_not_would_be_refused(api: Any) -> None:
    stranger = SigningKey.from_seed(b"s" * 32).public.hex()
    body = await simulate(api, unsigned(api, signers=[stranger]))
    assert (body["status"], body["code"], body["gas"]) == ("rejected", "missing_role", 0)
    wrong = next(row for row in range(99) if api.issuer(row) != api.issuer(0))
    body = await simulate(api, unsigned(api, signers=unsigned(api, wrong)["signers"]))
    assert (body["status"], body["code"], body["writes"]) == ("reverted", "NOT_ISSUER", [])


async def test_the_gas_limit_counts(api: Any) -> None:
    body = await simulate(api, unsigned(api, gas_limit=60))
    assert (body["status"], body["gas"], body["writes"]) == ("out_of_gas", 60, [])


async def test_in_msgpack(api: Any) -> None:
    signed = api.transaction()
    kind = {"Content-Type": "application/msgpack", "Accept": "application/msgpack"}
    forms = (signed.raw, {"transaction": signed.raw})
    for value in forms:
        status, body, _ = await api.request(
            "POST", WHERE, data=canonical.encode(value), headers=kind
        )
        assert (status, canonical.decode(body)["status"]) == (200, "ok")


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"calls": []}, 400, "malformed"),
    ({"calls": [{"contract": "licence"}]}, 400, "malformed"),
    ({"calls": [{"contract": "licence", "method": "issue", "args": "x"}]}, 400, "malformed"),
    ({"calls": [{"contract": "", "method": "issue"}]}, 400, "malformed"),
    ({"calls": [{"contract": "x" * 300, "method": "issue"}]}, 400, "malformed"),
    ({"calls": [{"contract": "licence", "method": "issue"}] * 1_001}, 400, "malformed"),
    ({"signers": []}, 400, "malformed"),
    ({"signers": ["00"]}, 400, "malformed"),
    ({"signers": [7]}, 400, "malformed"),
    ({"signers": ["00" * 33] * 2}, 400, "malformed"),
    ({"gas_limit": -1}, 400, "malformed"),
    ({"gas_limit": 2_000_001}, 400, "malformed"),
    ({"gas_limit": "7"}, 400, "malformed"),
    ({"atomic": 1}, 400, "malformed"),
    ({"nonce": "00"}, 400, "malformed"),
]


async def test_bad_input(api: Any) -> None:
    for changes, code, problem in BAD:
        body = await simulate(api, unsigned(api, **changes), code)
        assert body["code"] == problem, changes


async def test_other_shapes_and_another_chain(api: Any) -> None:
    for document in ([], [unsigned(api)], 7, {}, {"transaction": "00"}):
        assert (await simulate(api, document, 400))["code"] in ("malformed", "not_canonical")
    signed = api.transaction(chain_id=Digest(b"\x01" * 32))
    body = await simulate(api, {"transaction": signed.raw.hex()}, 409)
    assert body["code"] == "wrong_chain"


async def test_an_answer_has_an_end(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "ANSWER_BYTES_MAX", 100)
    body = await simulate(api, unsigned(api), 400)
    assert body["code"] == "answer_too_large"


async def test_a_flood_from_one_address_meets_its_share_and_blocks_go_on(
    held: Held, api: Any
) -> None:
    tasks = [asyncio.create_task(simulate(api, unsigned(api))) for _ in range(TURNS_MAX)]
    while held.asked < 1 or api.engine.views.waiting < TURNS_MAX:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert (await simulate(api, unsigned(api), 429))["code"] == "too_many_requests"
    status, body, _ = await api.request(
        "POST", "/v1/contracts/licence/query", json={"method": "show", "args": ["x"]}
    )
    assert (status, body["code"]) == (429, "too_many_requests")
    signed = api.transaction(5)
    await api.engine.submit([signed.raw])
    assert api.engine.commit() == 1
    assert (await api.get(f"/v1/transactions/{signed.id.hex()}"))[1]["status"] == "committed"
    assert held.asked == 1
    held.go.set()
    assert {body["status"] for body in await asyncio.gather(*tasks)} == {"ok"}
    assert (await simulate(api, unsigned(api)))["status"] == "ok"


async def test_the_line_is_short_and_other_threads_stay_free(held: Held, api: Any) -> None:
    engine, call = api.engine, ("licence", "show", ["x"])
    tasks = [asyncio.create_task(engine.views.query(*call)) for _ in range(views.WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(ViewsBusy):
        await engine.views.query(*call)
    # Whoever holds the loop's default threads holds up evidence and peers that catch up.
    assert await asyncio.wait_for(asyncio.to_thread(lambda: 7), 30) == 7
    held.go.set()
    await asyncio.gather(*tasks)
    assert held.asked == views.WAITING_MAX


async def test_who_waits_too_long_is_sent_away_unheard(
    held: Held, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "WAIT_SECONDS_MAX", 0.02)
    bodies = [simulate(api, unsigned(api), 503) for _ in range(3)]
    assert {body["code"] for body in await asyncio.gather(*bodies)} == {"views_busy"}
    assert held.asked == 1


async def test_a_lost_worker_is_no_verdict(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*args: Any) -> Any:
        raise ExecutionStopped(1, 1, "no answer in time")

    monkeypatch.setattr(api.engine.viewer, "simulate", lost)
    monkeypatch.setattr(api.engine.viewer, "query", lost)
    assert (await simulate(api, unsigned(api), 503))["code"] == "view_lost"
    status, body, _ = await api.request(
        "POST", "/v1/contracts/licence/query", json={"method": "show", "args": ["x"]}
    )
    assert (status, body["code"]) == (503, "view_lost")


async def test_the_description_tells_both_forms(api: Any) -> None:
    _, document, _ = await api.get("/openapi.json")
    operation = document["paths"][WHERE]["post"]
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    forms = {each["$ref"].rpartition("/")[2] for each in schema["anyOf"]}
    assert forms == {"TransactionInput", "UnsignedInput"}
    assert {"409", "429", "503"} <= set(operation["responses"])
