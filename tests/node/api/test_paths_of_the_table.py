"""Every path of the interface answers, in JSON and msgpack, and proofs verify."""

import json
from dataclasses import replace
from typing import Any

import pytest

from consensus.messages import Envelope, Prepare
from ledger import canonical
from ledger.block import BlockHeader
from ledger.certificate import Certificate
from ledger.proofs import verify, verify_each
from ledger.trust import TrustAnchor
from ledger.types import Epoch, Height, View
from node.answers import Suspect
from node.api.app import ROUTES
from node.evidence import Case, read_message

MSGPACK = {"Accept": "application/msgpack"}


async def issued(api: Any, rows: int = 1) -> Any:
    """Issue licences through the API and certify them; the last transaction."""
    signed = None
    for row in range(rows):
        signed = api.transaction(row)
        status, body, _ = await api.request(
            "POST", "/v1/transactions", json={"transaction": signed.raw.hex()}
        )
        assert (status, body["status"]) == (202, "accepted")
    api.engine.commit()
    return signed


async def test_health_ready_and_metrics(api: Any) -> None:
    api.engine.suspects = (
        Suspect("org", "tourism", "no progress in time", ("port",)),
        Suspect("org", "tourism", "others suspect the primary", ("tax",)),
    )
    for where in ("/health", "/ready"):
        status, body, _ = await api.get(where)
        assert status == 200, body
    status, body, _ = await api.get("/metrics")
    assert status == 200
    for name in (
        "qiong_height 0.0",
        "qiong_view 0.0",
        "qiong_suspects 1.0",
        'qiong_suspect{name="tourism"} 1.0',
        "qiong_evidence 0.0",
        "qiong_failed_views 0.0",
        "qiong_in_view_change 0.0",
        "qiong_missing_body 0.0",
        "qiong_voting 1.0",
        "qiong_observer 0.0",
        "qiong_halted 0.0",
        'qiong_view_changes_total{reason="planned rotation"} 2.0',
        'qiong_peer_refused_frames_total{peer="tourism"}',
        'qiong_peer_heard_timestamp_seconds{peer="tourism"} 1.0',
        'qiong_primary{name="market-supervision"} 1.0',
        "qiong_disk_free_bytes",
        'qiong_peer_lag_blocks{peer="tourism"} 0.0',
        'path="/health",status="200"',
    ):
        assert name in body.decode()


async def test_evidence_is_served_with_all_that_a_verifier_needs(api: Any) -> None:
    genesis = api.engine.genesis
    organisations = genesis.validator_set.organisations
    for organisation in organisations[:3]:
        envelopes = []
        for digest in (bytes(32), b"\x01" * 32):
            claim = Envelope(Epoch(0), organisation, Prepare(View(3), Height(1), digest), bytes(65))
            data = claim.signed_bytes(genesis.chain_id)
            envelopes.append(replace(claim, signature=api.consensus_key(organisation).sign(data)))
        api.engine.evidence.append(Case.of(*envelopes))
    status, page, _ = await api.get("/v1/evidence?limit=2")
    assert (status, page["cursor"]) == (200, 2)
    status, last, _ = await api.get("/v1/evidence?cursor=2")
    assert (status, last["cursor"]) == (200, None)
    chain_id = bytes.fromhex(page["chain_id"])
    for item, organisation in zip(page["items"] + last["items"], organisations, strict=False):
        shown = [item[name] for name in ("organisation", "kind", "epoch", "view", "height")]
        assert shown == [organisation, "PREPARE", 0, 3, 1]
        assert item["words"].startswith("signed two different PREPAREs in view 3 for block 1")
        case = Case.of(*(read_message(bytes.fromhex(item[name])) for name in ("first", "second")))
        case.verify(chain_id, Epoch(0), genesis.validator_set)
    assert (await api.get("/v1/evidence?cursor=9"))[1]["items"] == []
    assert (await api.get("/v1/evidence?limit=0"))[0] == 400


async def test_health_is_red_when_voting_stopped_or_the_disk_is_full(api: Any) -> None:
    api.engine.halted = "our header differs from the certified one"
    status, body, _ = await api.get("/health")
    assert status == 503
    assert "voting has stopped" in body["problems"][0]


async def test_health_is_red_below_the_floor_of_free_space(api: Any) -> None:
    from dataclasses import replace

    from node.api.context import API

    shared = api.app[API]
    shared.options = replace(shared.options, free_bytes_min=1 << 60)
    status, body, _ = await api.get("/health")
    assert (status, body["healthy"]) == (503, False)


async def test_not_ready_says_why(api: Any) -> None:
    from node.answers import Readiness

    api.engine.readiness = Readiness(False, "syncing")
    status, body, _ = await api.get("/ready")
    assert (status, body["reason"]) == (503, "syncing")


async def test_status_and_validators(api: Any) -> None:
    api.engine.commit()
    api.engine.suspects = (Suspect("org", "tourism", "no progress in time", ("port",)),)
    status, body, _ = await api.get("/v1/status")
    assert status == 200
    assert body["suspects"] == [
        {"name": "tourism", "organisation": "org", "reason": "no progress in time", "by": ["port"]}
    ]
    assert body["view_changes"] == {"planned rotation": 2}
    assert [peer["refused"] for peer in body["peers"]] == [0, 1, 2]
    assert body["height"] == 1
    assert body["header_hash"] == api.engine.store.header(1).hash.hex()
    assert len(body["peers"]) == 3
    status, body, _ = await api.get("/v1/validators?height=1")
    assert status == 200
    assert body["quorum"] == 3
    assert {entry["class"] for entry in body["validators"]} == {"government", "enterprise"}


async def test_blocks_come_in_pages(api: Any) -> None:
    for _ in range(5):
        api.engine.commit()
    status, page, _ = await api.get("/v1/blocks?from=1&limit=2")
    assert status == 200
    assert [item["height"] for item in page["items"]] == [1, 2]
    status, page, _ = await api.get(f"/v1/blocks?from={page['cursor']}&limit=100")
    assert [item["height"] for item in page["items"]] == [3, 4, 5]
    assert page["cursor"] is None
    status, headers, _ = await api.get("/v1/headers?from=1&limit=4")
    assert (status, headers["cursor"]) == (200, 5)
    decoded = [BlockHeader.decode(bytes.fromhex(item)) for item in headers["items"]]
    assert [header.hash.hex() for header in decoded][2:] == [
        item["hash"] for item in page["items"][:2]
    ]
    status, headers, _ = await api.get("/v1/headers?from=5")
    assert (len(headers["items"]), headers["cursor"]) == (1, None)
    status, block, _ = await api.get("/v1/blocks/5")
    assert block["hash"] == page["items"][2]["hash"]
    status, block, _ = await api.get("/v1/blocks/0")
    assert (status, block["height"]) == (200, 0)


async def test_certificates_verify(api: Any) -> None:
    api.engine.commit()
    status, body, _ = await api.get("/v1/certificates/1")
    assert status == 200
    certificate = Certificate.decode(bytes.fromhex(body["certificate"]))
    certificate.verify(api.engine.genesis.chain_id, api.engine.genesis.validator_set)
    status, body, _ = await api.get("/v1/certificates/0")
    assert (status, body["code"]) == (404, "not_found")


async def test_a_transaction_goes_its_way(api: Any) -> None:
    signed = await issued(api)
    status, body, _ = await api.get(f"/v1/transactions/{signed.id.hex()}")
    assert status == 200
    assert (body["status"], body["height"]) == ("committed", 1)
    assert body["calls"][0]["status"] == "ok"
    assert body["events"]
    status, raw, _ = await api.get(f"/v1/transactions/{signed.id.hex()}", headers=MSGPACK)
    document = canonical.decode(raw)
    assert document["id"] == signed.id
    status, block, _ = await api.get("/v1/blocks/1")
    assert block["transaction_ids"] == [signed.id.hex()]


async def test_unknown_transactions_are_unknown(api: Any) -> None:
    status, body, _ = await api.get("/v1/transactions/" + "00" * 32)
    assert (status, body["status"]) == (200, "unknown")


async def test_the_same_transaction_again_has_the_same_id_and_status(api: Any) -> None:
    signed = api.transaction()
    posted = {"transaction": signed.raw.hex()}
    _, first, _ = await api.request("POST", "/v1/transactions", json=posted)
    status, again, _ = await api.request("POST", "/v1/transactions", json=posted)
    assert (status, again) == (200, first)
    api.engine.commit()
    root = api.engine.store.head.state_root
    status, again, _ = await api.request("POST", "/v1/transactions", json=posted)
    assert (status, again["id"], again["status"]) == (200, signed.id.hex(), "committed")
    api.engine.commit()
    assert api.engine.store.head.state_root == root


async def test_a_role_missed_at_execution_is_a_failed_receipt(api: Any) -> None:
    from devnet import sample

    other = next(row.issuer for row in sample.licences() if row.issuer != api.issuer(0))
    signed = api.transaction(key=api.key_of(other))
    status, body, _ = await api.request(
        "POST", "/v1/transactions?wait=committed", json={"transaction": signed.raw.hex()}
    )
    assert (status, body["status"]) == (200, "failed")
    assert body["calls"][0]["code"] == "NOT_ISSUER"


async def test_waiting_for_the_commit(api: Any) -> None:
    signed = api.transaction()
    status, body, _ = await api.request(
        "POST", "/v1/transactions?wait=committed", json={"transaction": signed.raw.hex()}
    )
    assert (status, body["status"]) == (200, "committed")


async def test_lists_get_one_answer_an_item(api: Any) -> None:
    good, other = api.transaction(0), api.transaction(1)
    for body, headers in (
        (canonical.encode([good.raw, b"nonsense", other.raw]), "application/msgpack"),
        (
            json.dumps([{"transaction": r.hex()} for r in (good.raw, b"nonsense", other.raw)]),
            "application/json",
        ),
    ):
        status, items, _ = await api.request(
            "POST", "/v1/transactions", data=body, headers={"Content-Type": headers}
        )
        assert status == 200
        assert [item["http"] for item in items] in ([202, 400, 202], [200, 400, 200])
        assert items[0]["id"] == good.id.hex()
        assert items[1]["id"] is None


async def test_single_transactions_in_every_form(api: Any) -> None:
    for row, body in enumerate((lambda raw: raw, canonical.encode)):
        signed = api.transaction(row)
        status, answer, _ = await api.request(
            "POST",
            "/v1/transactions",
            data=body(signed.raw),
            headers={"Content-Type": "application/msgpack"},
        )
        assert (status, answer["id"]) == (202, signed.id.hex())
        assert api.engine.submitted[-1] == signed.raw


async def test_state_history_and_search(api: Any, licence_key: Any) -> None:
    await issued(api, rows=3)
    where = f"licence/{licence_key(0)}"
    status, body, _ = await api.get(f"/v1/state/{where}")
    assert status == 200
    assert body["present"]
    assert body["value"]["status"] == "active"
    status, body, _ = await api.get(f"/v1/state/{where}?height=0")
    assert (status, body["present"], body["value"]) == (200, False, None)
    status, body, _ = await api.get(f"/v1/history/{where}")
    assert [item["height"] for item in body["items"]] == [1]
    holder = body["items"][0]["value"]["holder"]
    status, body, _ = await api.get(f"/v1/search/licence?holder={holder}")
    assert status == 200
    assert licence_key(0) in [item["key"] for item in body["items"]]
    status, body, _ = await api.get("/v1/search/licence?limit=2")
    assert len(body["items"]) == 2
    first = body["cursor"]
    status, body, _ = await api.get(f"/v1/search/licence?limit=2&cursor={first}")
    assert len(body["items"]) == 1
    assert body["cursor"] is None
    status, body, _ = await api.get("/v1/search/licence?colour=blue")
    assert (status, body["code"]) == (400, "bad_parameter")


async def test_keys_with_slashes_travel_encoded_or_not(api: Any, licence_key: Any) -> None:
    await issued(api)
    key = licence_key(0)
    for written in (key, key.replace("/", "%2F"), key.replace("/", "%2f")):
        status, body, _ = await api.get(f"/v1/state/licence/{written}")
        assert (status, body["key"], body["present"]) == (200, key, True)


async def test_escapes_are_decoded_once(api: Any) -> None:
    status, body, _ = await api.get("/v1/state/licence/%252e%252e%2Fx")
    assert (status, body["key"]) == (200, "%2e%2e/x")


async def test_contracts_and_queries(api: Any) -> None:
    status, body, _ = await api.get("/v1/contracts/licence")
    assert status == 200
    assert "def issue" in body["source"]
    status, body, _ = await api.request(
        "POST", "/v1/contracts/licence/query", json={"method": "show", "args": ["nobody"]}
    )
    assert status == 200
    assert body["status"] in ("ok", "reverted")


async def test_simulation_keeps_nothing(api: Any) -> None:
    signed = api.transaction()
    status, body, _ = await api.request(
        "POST", "/v1/simulate", json={"transaction": signed.raw.hex()}
    )
    assert (status, body["status"]) == (200, "ok")
    assert body["gas"] > 0
    status, body, _ = await api.get(f"/v1/transactions/{signed.id.hex()}")
    assert body["status"] == "unknown"


async def test_proofs_verify_offline(api: Any, licence_key: Any) -> None:
    signed = await issued(api, rows=2)
    _, document, _ = await api.get("/v1/trust")
    trust = TrustAnchor.from_json(document)
    key = licence_key(0)
    for accept in ("application/octet-stream", "application/msgpack"):
        status, proof, _ = await api.get(
            f"/v1/proofs/state/licence/{key}?since=0", headers={"Accept": accept}
        )
        assert status == 200
        assert verify(proof, trust, key=key).verdict in ("valid", "expired")
    status, body, _ = await api.get(f"/v1/proofs/state/licence/{key}")
    assert bytes.fromhex(body["proof"]) == proof
    assert body["claim"]["value"]["status"] == "active"
    status, proof, _ = await api.get("/v1/proofs/state/licence/licence%2Fnobody", headers=MSGPACK)
    assert verify(proof, trust).verdict == "absent"
    where = f"/v1/proofs/transaction/{signed.id.hex()}"
    status, proof, _ = await api.get(where + "?call=0", headers=MSGPACK)
    assert verify(proof, trust).verdict == "valid"
    status, body, _ = await api.get(where + "?call=7")
    assert (status, body["code"]) == (404, "not_found")


async def test_the_status_at_a_time_is_proven_with_the_next_header(
    api: Any, licence_key: Any
) -> None:
    from node.api.models import iso_time

    await issued(api)
    api.engine.commit()
    _, document, _ = await api.get("/v1/trust")
    time_ms = api.engine.store.header(1).time_ms
    for at in (str(time_ms), iso_time(time_ms)):
        status, proof, _ = await api.get(
            f"/v1/proofs/state/licence/{licence_key(0)}?at={at}", headers=MSGPACK
        )
        assert status == 200, proof
        verdict = verify(proof, TrustAnchor.from_json(document), at_ms=time_ms)
        assert verdict.verdict in ("valid", "expired")


async def test_one_proof_of_many_keys_and_the_nodes_own_opinion(api: Any, licence_key: Any) -> None:
    await issued(api, rows=2)
    api.engine.commit()
    _, document, _ = await api.get("/v1/trust")
    trust = TrustAnchor.from_json(document)
    keys = [{"contract": "licence", "key": licence_key(row)} for row in (0, 1, 2)]
    status, body, _ = await api.request("POST", "/v1/proofs/state", json=keys)
    assert status == 200, body
    claimed = {entry["key"]: entry["value"] for entry in body["claim"]["entries"]}
    assert claimed.keys() == {key["key"] for key in keys}
    assert claimed[licence_key(2)] is None
    proof = bytes.fromhex(body["proof"])
    said = {verdict.subject: verdict.verdict for verdict in verify_each(proof, trust)}
    assert said.pop(f"licence/{licence_key(2)}") == "absent"
    assert set(said.values()) <= {"valid", "expired"}
    assert len(said) == 2
    for opinion in (
        {"json": {"proof": body["proof"]}},
        {"data": proof, "headers": {"Content-Type": "application/octet-stream"}},
    ):
        status, verdict, _ = await api.request("POST", "/v1/verify", **opinion)
        assert (status, verdict["verdict"], len(verdict["each"])) == (200, "absent", 3)
    status, octets, _ = await api.request(
        "POST", "/v1/proofs/state?since=0", json=keys, headers=MSGPACK
    )
    assert octets == proof


async def test_many_keys_at_a_height_and_at_a_time(api: Any, licence_key: Any) -> None:
    await issued(api, rows=2)
    api.engine.commit()
    _, document, _ = await api.get("/v1/trust")
    trust = TrustAnchor.from_json(document)
    keys = [{"contract": "licence", "key": licence_key(row)} for row in (0, 1)]
    time_ms = api.engine.store.header(0).time_ms
    for when in ("height=0", f"at={time_ms}"):
        status, proof, _ = await api.request(
            "POST", f"/v1/proofs/state?{when}", json=keys, headers=MSGPACK
        )
        assert status == 200, proof
        at_ms = time_ms if when.startswith("at") else None
        assert {each.verdict for each in verify_each(proof, trust, at_ms=at_ms)} == {"absent"}


async def test_a_time_without_a_later_block_is_not_yet_provable(api: Any, licence_key: Any) -> None:
    await issued(api)
    newest = api.engine.store.header(api.engine.store.certified_height)
    where = f"/v1/proofs/state/licence/{licence_key(0)}"
    status, body, _ = await api.get(f"{where}?at={newest.time_ms + 5}")
    assert (status, body["code"]) == (404, "not_yet")
    status, body, _ = await api.get(f"{where}?at=1")
    assert (status, body["code"]) == (400, "before_genesis")


@pytest.mark.parametrize(("first", "second"), [(0, 3), (1, 3), (2, 3), (3, 3), (0, 0)])
async def test_the_chain_is_proven_to_have_only_grown(api: Any, first: int, second: int) -> None:
    for _ in range(3):
        api.engine.commit()
    trust = api.engine.store.trust_anchor(Height(0))
    where = f"/v1/proofs/consistency?from={first}&to={second}"
    status, proof, _ = await api.get(where, headers=MSGPACK)
    assert status == 200, proof
    verdict = verify(proof, trust)
    assert (verdict.verdict, verdict.subject) == ("valid", f"headers {first} to {second}")
    status, body, _ = await api.get(where)
    assert (body["claim"]["kind"], body["claim"]["earlier"]) == ("consistency", first)
    assert (status, body["height"]) == (200, second)


async def test_events_are_streamed_and_resumed(api: Any) -> None:
    await issued(api, rows=2)
    seen = []
    for last in (None, "1.0"):
        headers = {} if last is None else {"Last-Event-ID": last}
        where = api.url + "/v1/events?from=1"
        async with api.session.get(where, headers=headers) as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            lines = [await response.content.readline() for _ in range(3)]
        seen.append(lines[0].decode().strip())
        assert json.loads(lines[2].decode().removeprefix("data: "))["contract"] == "licence"
    assert seen == ["id: 1.0", "id: 1.1"]


async def test_the_description_covers_every_path_and_loads_nothing(api: Any) -> None:
    status, document, _ = await api.get("/openapi.json")
    assert status == 200
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {route.path for route in ROUTES}
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in document["components"]["schemas"]
    status, page, headers = await api.get("/docs")
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    for outside in (b"http://", b"https://", b"<script", b"@import", b"src="):
        assert outside not in page


async def test_every_get_path_also_answers_head(api: Any) -> None:
    for where in ("/health", "/v1/status", "/v1/blocks", "/docs"):
        status, body, _ = await api.request("HEAD", where)
        assert (status, body) == (200, b"")
