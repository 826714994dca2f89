"""The table of bad input: one test a row, each ending with an unchanged ledger.

Transactions meet the product's own checks of signature, chain, expiry, contract and role.
"""

import asyncio
import gzip
import io
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import canonical
from ledger.keys import SigningKey
from ledger.state_multiproof import KEYS_MAX
from ledger.storage.errors import StoreCorrupt
from ledger.transaction import Call
from ledger.types import Digest, TimeMs
from node.answers import Admission
from node.api import buckets as buckets_module
from node.api import routes_events, routes_transactions, server, wire
from node.api.buckets import TokenBuckets
from node.api.context import ApiOptions
from node.api.problems import TITLES, Problem
from node.api.wire import parse_json

POST = "/v1/transactions"
JSON = {"Content-Type": "application/json"}
MSGPACK = {"Content-Type": "application/msgpack"}


@pytest.fixture(autouse=True)
async def unchanged(engine: Any) -> AsyncIterator[None]:
    """Nothing was admitted, and the state's root and height are what they were."""
    before = engine.store.head
    yield
    assert engine.store.head == before
    assert engine.submitted == []


def check_problem(status: int, body: Any, headers: Any, expected: int, code: str) -> None:
    """A whole problem document with the expected status and code, and nothing of our insides."""
    assert (status, body["code"]) == (expected, code), body
    assert headers["Content-Type"].startswith("application/problem+json")
    assert set(body) == {"type", "title", "status", "code", "detail", "request_id"}
    assert body["status"] == status
    assert body["code"] in TITLES
    assert "Traceback" not in json.dumps(body)


def status_of(answer: bytes) -> int:
    """The status of a raw answer; aiohttp answers what it could not parse as HTTP/1.0."""
    return int(answer.split(b" ", 2)[1])


async def post(api: Any, data: Any, headers: Any, where: str = POST) -> tuple[int, Any, Any]:
    answer: tuple[int, Any, Any] = await api.request("POST", where, data=data, headers=headers)
    return answer


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b"[1,]", "bad_json"),
        (b"\xff\xfe", "bad_json"),
        (b'"\\ud800"', "bad_json"),
        (b'{"transaction": "00", "transaction": "00"}', "bad_json"),
        (b'{"transaction": NaN}', "bad_json"),
        (b'{"transaction": Infinity}', "bad_json"),
        (b'{"transaction": 1.5}', "bad_json"),
        (b'{"transaction": 1e3}', "bad_json"),
        (b'{"transaction": 9223372036854775808}', "bad_json"),
        (b'{"transaction": -9223372036854775809}', "bad_json"),
        (b'{"transaction": ' + b"9" * 100_000 + b"}", "bad_json"),
        (b"[" * 33 + b"]" * 33, "bad_json"),
        (b"[" * 100_000 + b"]" * 100_000, "bad_json"),
        (b'{"transaction": "00", "more": 1}', "malformed"),
        (b"{}", "malformed"),
        (b'{"transaction": "0g"}', "malformed"),
        (b'{"transaction": "0"}', "malformed"),
        (b'{"transaction": "0 0"}', "malformed"),
        (b'{"transaction": 7}', "malformed"),
        (b"null", "malformed"),
        (b"[]", "malformed"),
        (b"[[]]", "malformed"),
    ],
)
async def test_json_that_is_not_ours(api: Any, data: bytes, code: str) -> None:
    check_problem(*await post(api, data, JSON), 400, code)


async def test_unknown_fields_beside_good_ones(api: Any) -> None:
    good = api.transaction().raw.hex()
    for where, body in (
        (POST, {"transaction": good, "more": 1}),
        ("/v1/simulate", {"transaction": good, "more": 1}),
        ("/v1/contracts/licence/query", {"method": "show", "args": ["x"], "more": 1}),
        ("/v1/proofs/state", [{"contract": "licence", "key": "x", "more": 1}]),
    ):
        check_problem(*await api.request("POST", where, json=body), 400, "malformed")


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [{"contract": "licence", "key": f"licence/{n}"} for n in range(KEYS_MAX + 1)],
        [{"contract": "licence", "key": "x"}] * 2,
    ],
    ids=["none", "too many", "twice"],
)
async def test_keys_that_no_proof_is_made_for(api: Any, keys: list[dict[str, str]]) -> None:
    check_problem(*await api.request("POST", "/v1/proofs/state", json=keys), 400, "malformed")


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\x91", b"\xcb" + bytes(8), b"\xc4\x00\x00", b"\xdc\x00\x01\xc0", b"\x91" * 99],
)
async def test_msgpack_that_is_not_canonical(api: Any, data: bytes) -> None:
    check_problem(*await post(api, data, MSGPACK), 400, "bad_msgpack")


async def test_wire_bytes_that_are_no_transaction(api: Any) -> None:
    for raw in (b"\x92\xc4\x00\x90", b"\x90", bytes(70)):
        status, _, headers = await post(api, canonical.encode(raw), MSGPACK)
        assert status == 400
        assert headers["Content-Type"].startswith("application/problem+json")


@pytest.mark.parametrize(
    "where",
    [
        "/v1/blocks?from=-1",
        "/v1/blocks?from=1.0",
        "/v1/blocks?from=abc",
        "/v1/blocks?from=%D9%A3",
        "/v1/blocks?from=99999999999999999999",
        "/v1/blocks?limit=1000000000",
        "/v1/blocks?limit=101",
        "/v1/blocks?limit=0",
        "/v1/blocks?from=1&from=2",
        "/v1/blocks?colour=1",
        "/v1/blocks/-1",
        "/v1/blocks/01",
        "/v1/state/licence/x?height=-1",
        "/v1/state/licence?height=-1",
        "/v1/state/licence?limit=101",
        "/v1/state/licence?cursor=",
        "/v1/state/licence?field=x",
        "/v1/blocks/0/transactions?cursor=-1",
        "/v1/blocks/0/transactions?limit=0",
        "/v1/proofs/state/licence/x?at=yesterday",
        "/v1/proofs/state/licence/x?at=2026-07-02T09:30:00",
        "/v1/proofs/state/licence/x?at=0&height=0",
        "/v1/proofs/consistency?to=0",
        "/v1/proofs/consistency?from=x",
        "/v1/transactions/xyz",
        "/v1/events?from=x",
    ],
)
async def test_parameters_out_of_range(api: Any, where: str) -> None:
    status, body, headers = await api.get(where)
    assert status == 400
    check_problem(status, body, headers, 400, body["code"])


async def test_bodies_over_a_mebibyte_end_the_connection(api: Any) -> None:
    body = b" " * ((1 << 20) + 1)
    status, answer, headers = await post(api, io.BytesIO(body), JSON)
    check_problem(status, answer, headers, 413, "too_large")
    assert headers["Connection"] == "close"

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * (1 << 16)

    status, answer, headers = await api.request("POST", POST, data=chunks(), headers=JSON)
    check_problem(status, answer, headers, 413, "too_large")
    assert headers["Connection"] == "close"


async def test_compressed_bodies(api: Any) -> None:
    for encoding in ("gzip", "deflate", "br", "zstd"):
        headers = {**JSON, "Content-Encoding": encoding}
        answer = await post(api, gzip.compress(b"{}"), headers)
        check_problem(*answer, 415, "unsupported_type")


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
)
async def test_wrong_types(api: Any, kind: str) -> None:
    check_problem(*await post(api, b"{}", {"Content-Type": kind}), 415, "unsupported_type")


async def test_a_missing_type(api: Any) -> None:
    head = f"POST {POST} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    assert b"415" in (await api.raw(head.encode() + b"{}")).split(b"\r\n")[0]


@pytest.mark.parametrize(
    ("method", "where"),
    [("DELETE", POST), ("GET", POST), ("POST", "/v1/blocks"), ("PUT", "/health")],
)
async def test_wrong_methods(api: Any, method: str, where: str) -> None:
    status, body, headers = await api.request(method, where)
    check_problem(status, body, headers, 405, "method_not_allowed")
    assert headers["Allow"]


async def test_paths_that_are_not_there(api: Any) -> None:
    for where in ("/", "/v2/status", "/v1", "/v1/state/", "/v1/state/licence/"):
        status, body, headers = await api.get(where)
        check_problem(status, body, headers, 404, "not_found")


@pytest.mark.parametrize(
    "target",
    [
        "/v1/state/licence/../x",
        "/v1/state/licence/%2e%2e/x",
        "/v1/state/licence/%2E./x",
        "/v1/state/licence/a%2F..%2Fb",
        "/v1/state/licence/./x",
        "/v1/state/licence/a%00b",
        "/v1/state/licence/a%0d%0ab",
        "/v1/state/licence/a%5c..",
        "/v1/state/licence/%",
        "/v1/state/licence/%zz",
        "/v1/state/licence/%ff%fe",
        "/v1/state/licence/%ed%a0%80",
        "/docs/../../etc/passwd",
        "/" + "a" * 5_000,
    ],
)
async def test_paths_with_two_readings(api: Any, target: str) -> None:
    answer = await api.raw(
        f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    body = answer.partition(b"\r\n\r\n")[2]
    assert status_of(answer) == 400, answer
    assert json.loads(body)["code"] == "bad_path"


async def test_raw_bytes_in_the_target(api: Any) -> None:
    for target in (b"/v1/state/licence/a\x00b", b"/v1/state/licence/\xff\xfe"):
        answer = await api.raw(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status_of(answer) == 400, answer
        assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 2",
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: -1",
        "Content-Length: 2x",
        "Transfer-Encoding: gzip, identity",
    ],
)
async def test_bodies_of_two_lengths(api: Any, head: str) -> None:
    request = f"POST {POST} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{head}\r\n\r\n"
    answer = await api.raw(request.encode() + b"{}\r\n0\r\n\r\n")
    assert status_of(answer) == 400, answer
    assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nA" + b"a" * 9_000 + b": b\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 9_000 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nA: \x00b\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\n A: b\r\n\r\n",
    ],
)
async def test_bytes_that_are_no_request(api: Any, data: bytes) -> None:
    answer = await api.raw(data)
    assert status_of(answer) == 400, answer
    assert b"application/problem+json" in answer
    assert b"Traceback" not in answer


async def test_an_unknown_expectation(api: Any) -> None:
    answer = await api.raw(
        b"GET /health HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nConnection: close\r\n\r\n"
    )
    assert status_of(answer) == 417, answer
    assert b"application/problem+json" in answer


async def test_a_get_with_a_body(api: Any) -> None:
    check_problem(*await api.request("GET", "/health", data=b"x"), 400, "bad_request")


async def refused(api: Any, signed: Any, http: int, code: str) -> None:
    """The transaction is refused alone and in a list, in both forms, and leaves no trace."""
    posted = {"transaction": signed.raw.hex()}
    check_problem(*await api.request("POST", POST, json=posted), http, code)
    check_problem(*await post(api, signed.raw, MSGPACK), http, code)
    _, items, _ = await api.request("POST", POST, json=[posted])
    assert (items[0]["http"], items[0]["code"]) == (http, code)
    _, body, _ = await api.get(f"/v1/transactions/{signed.id.hex()}")
    assert body["status"] == "unknown"


def resigned(signed: Any, signatures: tuple[bytes, ...]) -> Any:
    """The same content with other signatures."""
    raw = canonical.encode([signed.transaction.content, list(signatures)])
    return replace(signed, signatures=signatures, raw=raw)


async def test_a_bad_signature(api: Any) -> None:
    signed, other = api.transaction(0), api.transaction(1)
    await refused(api, resigned(signed, other.signatures), 401, "bad_signature")


async def test_a_signature_with_a_non_canonical_s(api: Any) -> None:
    signed = api.transaction()
    signature = signed.signatures[0]
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(signature[33:], "little") + order
    bad = signature[:33] + s.to_bytes(32, "little")
    await refused(api, resigned(signed, (bad,)), 400, "malformed")


async def test_a_small_order_key(api: Any) -> None:
    signed = api.transaction()
    content = canonical.decode(signed.transaction.content)
    assert isinstance(content, list)
    content[6] = [b"\x01\x01" + bytes(31)]
    raw = canonical.encode([canonical.encode(content), list(signed.signatures)])
    await refused(api, replace(signed, raw=raw), 400, "malformed")


async def test_another_chain(api: Any) -> None:
    await refused(api, api.transaction(chain_id=Digest(bytes(32))), 409, "wrong_chain")


async def test_an_expired_transaction(api: Any) -> None:
    past = TimeMs(time.time_ns() // 1_000_000 - 60_000)
    await refused(api, api.transaction(valid_until_ms=past), 410, "expired")


async def test_an_expiry_too_far_ahead(api: Any) -> None:
    far = TimeMs(time.time_ns() // 1_000_000 + 3_600_000)
    await refused(api, api.transaction(valid_until_ms=far), 400, "too_far_ahead")


async def test_a_transaction_for_an_unknown_contract_or_method(api: Any) -> None:
    call = Call("nothing", "issue", [])
    await refused(api, api.transaction(calls=(call,)), 404, "unknown_contract")
    call = Call("licence", "fly", [])
    await refused(api, api.transaction(calls=(call,)), 404, "unknown_method")


async def test_a_key_without_the_role(api: Any) -> None:
    stranger = SigningKey.from_seed(b"nobody registered this key here.")
    await refused(api, api.transaction(key=stranger), 403, "missing_role")


@pytest.mark.parametrize("code", ["mempool_full", "no_quorum", "syncing"])
async def test_a_node_that_cannot_take_it_now(api: Any, code: str) -> None:
    api.engine.admission = Admission(None, 503, code, "because")
    posted = {"transaction": api.transaction().raw.hex()}
    status, body, headers = await api.request("POST", POST, json=posted)
    check_problem(status, body, headers, 503, code)
    assert int(headers["Retry-After"]) >= 1
    await refused(api, api.transaction(), 503, code)


async def test_heights_above_the_head(api: Any) -> None:
    for where in (
        "/v1/blocks/1",
        "/v1/blocks?from=1",
        "/v1/certificates/1",
        "/v1/validators?height=1",
        "/v1/state/licence/x?height=1",
        "/v1/proofs/state/licence/x?height=1",
        "/v1/trust?height=1",
    ):
        check_problem(*await api.get(where), 404, "not_yet")


async def test_pruned_heights(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ledger.queries import Pruned

    def pruned(*_: object) -> None:
        raise Pruned(0, 7)

    monkeypatch.setattr(api.engine.store, "state_at", pruned)
    check_problem(*await api.get("/v1/state/licence/x?height=0"), 410, "pruned")


async def test_unknown_contracts_and_methods(api: Any) -> None:
    check_problem(*await api.get("/v1/contracts/nothing"), 404, "unknown_contract")
    check_problem(*await api.get("/v1/search/nothing"), 404, "unknown_contract")
    for name, code in (("nothing", "unknown_contract"), ("licence", "unknown_method")):
        answer = await api.request(
            "POST", f"/v1/contracts/{name}/query", json={"method": "fly", "args": []}
        )
        check_problem(*answer, 404, code)


async def test_answers_in_no_form_we_have(api: Any) -> None:
    answer = await api.get("/v1/status", headers={"Accept": "text/html"})
    check_problem(*answer, 406, "not_acceptable")


def test_slow_heads_and_bodies_get_as_long_as_the_table_says() -> None:
    assert (server.HEADER_SECONDS_MAX, wire.BODY_SECONDS_MAX) == (10, 30)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of a fraction of a second, set before the server starts."""
    monkeypatch.setattr(server, "HEADER_SECONDS_MAX", 0.2)
    monkeypatch.setattr(wire, "BODY_SECONDS_MAX", 0.2)


@pytest.mark.usefixtures("hurried")
class TestSlowClients:
    """The autouse `hurried` fixture runs before `api`, which starts the server."""

    async def test_a_head_that_never_ends(self, api: Any) -> None:
        assert await api.raw(b"GET /health HTTP/1.1\r\nHost: x\r\n") == b""

    async def test_a_connection_that_says_nothing(self, api: Any) -> None:
        assert await api.raw(b"") == b""

    async def test_a_body_that_never_ends(self, api: Any) -> None:
        head = f"POST {POST} HTTP/1.1\r\nHost: x\r\n"
        head += "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        answer = await api.raw(head.encode() + b"{")
        assert status_of(answer) == 408, answer


class TestTooMany:
    """Rates and counts of one address."""

    @pytest.fixture
    def options(self, tmp_path: Any) -> ApiOptions:
        return ApiOptions(home=tmp_path, requests_per_second=3, transactions_per_second=2)

    async def test_requests(self, api: Any) -> None:
        answers = [await api.get("/v1/status") for _ in range(9)]
        refused = [answer for answer in answers if answer[0] == 429]
        assert refused
        check_problem(*refused[0], 429, "too_many_requests")
        assert int(refused[0][2]["Retry-After"]) >= 1
        assert (await api.get("/health"))[0] == 200

    async def test_transactions(self, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(api.engine, "admission", Admission(None, 503, "mempool_full"))
        posted = [{"transaction": api.transaction().raw.hex()}] * 5
        statuses = [(await api.request("POST", POST, json=posted))[0] for _ in range(3)]
        assert statuses == [200, 429, 429]


async def test_too_many_connections(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 3)
    held = [await asyncio.open_connection(api.host, api.port) for _ in range(3)]
    try:
        answer = await api.raw(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status_of(answer) == 429, answer
        assert b"Retry-After" in answer
    finally:
        for _, writer in held:
            writer.close()


async def test_damage_is_not_served_and_the_node_says_so(
    api: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line in the log with the way out; clients learn no path of this machine."""

    def damaged(*given: Any) -> Any:
        raise StoreCorrupt("/somewhere/ledger", "block checksum mismatch")

    assert (await api.get("/health"))[0] == 200
    monkeypatch.setattr(api.engine.store, "state_at", damaged)
    status, body, headers = await api.get("/v1/state/licence/x")
    check_problem(status, body, headers, 500, "damaged")
    assert "somewhere" not in json.dumps(body)
    [record] = [record for record in caplog.records if "met damage" in record.message]
    assert "block checksum mismatch" in record.message
    assert "hint: start the node again" in record.message
    assert record.exc_info is None
    status, body, _ = await api.get("/health")
    assert status == 503
    assert "block checksum mismatch" in body["problems"][0]


async def test_too_many_subscriptions(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes_events, "SUBSCRIPTIONS_MAX", 1)
    async with api.session.get(api.url + "/v1/events"):
        check_problem(*await api.get("/v1/events"), 429, "too_many_subscriptions")


async def test_no_certificate_in_time_is_unknown_not_failed(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(tx_id: Any, timeout: float) -> Any:
        return api.engine.transaction_status(tx_id)

    monkeypatch.setattr(api.engine, "wait_committed", never)
    signed = api.transaction()
    posted = {"transaction": signed.raw.hex()}
    status, body, _ = await api.request("POST", POST + "?wait=committed", json=posted)
    assert (status, body["id"], body["status"]) == (202, signed.id.hex(), "accepted")
    api.engine.submitted.clear()


async def test_our_own_errors_show_nothing(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("secret path /etc/shadow")

    monkeypatch.setattr(api.engine, "status", broken)
    status, body, headers = await api.get("/v1/status")
    check_problem(status, body, headers, 500, "internal")
    assert "secret" not in json.dumps(body)


_TEXT = st.text(max_size=20)
_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=8,
)
_FUZZED = (
    POST,
    "/v1/simulate",
    "/v1/contracts/licence/query",
    "/v1/proofs/state",
    "/v1/verify",
)
_PLAUSIBLE = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("transaction", "method", "args", "contract", "key", "proof"), _JUNK),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_fuzzed_bodies_never_give_500(api: Any, data: st.DataObject) -> None:
    where = data.draw(st.sampled_from(_FUZZED))
    headers = data.draw(st.sampled_from((JSON, MSGPACK)))
    body = data.draw(
        st.binary(max_size=60)
        | _JUNK.map(lambda value: json.dumps(value).encode())
        | _PLAUSIBLE.map(lambda value: json.dumps(value).encode())
        | st.lists(_PLAUSIBLE, max_size=2).map(lambda value: json.dumps(value).encode())
    )
    status, answer, _ = await post(api, body, headers, where)
    assert status < 500
    assert b"Traceback" not in json.dumps(str(answer)).encode()


@given(text=st.text(max_size=60) | _JUNK.map(json.dumps))
def test_what_strict_json_takes_has_one_canonical_form(text: str) -> None:
    try:
        value = parse_json(text.encode("utf-8", "surrogatepass"))
    except Problem:
        return
    assert canonical.decode(canonical.encode(value)) == value  # type: ignore[arg-type]


def test_buckets_fill_at_their_rate_and_forget_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limited = TokenBuckets(rate=2, burst=4)
    assert [limited.take("a", 1, 0.0) for _ in range(5)] == [0, 0, 0, 0, 1]
    assert limited.take("b", 1, 0.0) == 0
    assert limited.take("a", 1, 0.5) == 0
    assert limited.take("a", 100, 60.0) == 0  # more than a bucket holds, from a full one
    assert limited.take("a", 1, 61.0) > 1
    monkeypatch.setattr(buckets_module, "BUCKETS_MAX", 3)
    for number in range(10):
        limited.take(f"flood {number}", 1, 62.0)
    assert len(limited) <= 4
    assert TokenBuckets(rate=0, burst=0).take("a", 1_000_000, 0.0) == 0


def test_the_wait_for_a_commit_is_shorter_than_a_clients_patience() -> None:
    from cli.client import TIMEOUT_SECONDS

    assert TIMEOUT_SECONDS > routes_transactions.COMMIT_SECONDS_MAX
