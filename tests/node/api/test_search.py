"""`GET /v1/search`: what may be asked, how pages hang together, what a node without index says."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from node.api.pages import parse_time
from node.index.interface import IndexStatus, IndexUnavailable
from node.index.sqlite import SqliteIndex
from node.metrics import Metrics
from tests.node.api.test_contracts import OWNER, change, send

WHERE = "/v1/search/licence"


async def issued(api: Any, rows: int, first: int = 0) -> list[Any]:
    """Licences of the sample, each in a block of its own; the values that they have."""
    for row in range(first, first + rows):
        await api.engine.submit([api.transaction(row).raw])
        api.engine.commit()
    _, page, _ = await api.get(f"{WHERE}?limit=100")
    return list(page["items"])


async def keys(api: Any, question: str) -> list[str]:
    """All keys that are found, three a page."""
    found: list[str] = []
    cursor = ""
    while True:
        status, page, _ = await api.get(f"{WHERE}?limit=3&{question}{cursor}")
        assert status == 200, page
        found += [item["key"] for item in page["items"]]
        if page["cursor"] is None:
            return found
        cursor = f"&cursor={page['cursor']}"


async def test_several_fields_and_ranges_at_once(api: Any) -> None:
    items = await issued(api, 12)
    values = {item["key"]: item["value"] for item in items}
    one = items[4]["value"]
    expires = sorted(value["expires"] for value in values.values())
    low, high = expires[3], expires[8]
    within = [key for key in values if low <= values[key]["expires"] <= high]
    assert 0 < len(within) < 12
    assert await keys(api, f"expires_from={low}&expires_to={high}") == within
    same = [key for key in within if values[key]["type"] == one["type"]]
    kind = quote(one["type"])
    assert await keys(api, f"expires_from={low}&expires_to={high}&type={kind}") == same
    assert await keys(api, f"holder={one['holder']}&status=active&type={kind}") == [
        key for key in values if values[key]["holder"] == one["holder"]
    ]
    assert await keys(api, "status=revoked") == []
    assert await keys(api, f"expires_from={high}&expires_to={low}") == []


async def test_when_an_entry_was_changed_last(api: Any) -> None:
    items = await issued(api, 6)
    by_height = {item["changed_height"]: item["key"] for item in items}
    assert sorted(by_height) == [1, 2, 3, 4, 5, 6]
    found = await keys(api, "changed_height_from=2&changed_height_to=4")
    assert sorted(found) == sorted(by_height[height] for height in (2, 3, 4))
    times = {}
    for height in (2, 4):
        _, block, _ = await api.get(f"/v1/blocks/{height}")
        times[height] = parse_time(block["time"], "time")
    assert found == await keys(api, f"changed_time_from={times[2]}&changed_time_to={times[4]}")
    between = f"changed_time_from={times[2] + 1}&changed_time_to={times[4] - 1}"
    assert set(await keys(api, between)) <= set(found) - {by_height[2], by_height[4]}
    assert await keys(api, "changed_time_to=1") == []
    assert len(await keys(api, "changed_time_from=1")) == 6
    assert len(await keys(api, "changed_time_from=1970-01-01T08%3A00%3A00%2B08%3A00")) == 6


async def test_pages_have_no_gap_and_nothing_twice_while_the_chain_goes_on(api: Any) -> None:
    first = {item["key"] for item in await issued(api, 7)}
    found: list[str] = []
    heights: list[int] = []
    cursor = ""
    for row in range(7, 30):
        status, page, _ = await api.get(f"{WHERE}?limit=2&status=active{cursor}")
        assert status == 200
        found += [item["key"] for item in page["items"]]
        heights.append(page["height"])
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
        await api.engine.submit([api.transaction(row).raw])
        api.engine.commit()
    assert found == sorted(set(found))
    assert first <= set(found)
    assert heights == sorted(set(heights))
    assert page["certified_height"] == heights[-1]


async def test_a_cursor_belongs_to_its_question(api: Any) -> None:
    await issued(api, 3)
    _, page, _ = await api.get(f"{WHERE}?limit=1&status=active")
    cursor = page["cursor"]
    for where in (f"{WHERE}?status=revoked", WHERE, "/v1/search/credit?status=active"):
        mark = "&" if "?" in where else "?"
        status, problem, _ = await api.get(f"{where}{mark}cursor={cursor}")
        assert (status, problem["code"]) == (400, "bad_parameter")
        assert "another question" in problem["detail"]
    for wrong in ("x", "%00", "AAAA", cursor[:-3], cursor + "%C3%BC", "A" * 5_000):
        status, problem, _ = await api.get(f"{WHERE}?status=active&cursor={wrong}")
        if status == 200:
            # Cut inside the key, it is another place in the same order.
            assert wrong == cursor[:-3]
            continue
        assert (status, problem["code"]) == (400, "bad_parameter")


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("colour=blue", "type, holder, issuer, status, expires"),
        ("colour_from=blue", "type, holder, issuer, status, expires"),
        ("expires_since=2026-01-01", "no indexed field"),
        ("status=active&status=revoked", "given twice"),
        (f"holder={'9' * 513}", "at most 512 bytes"),
        ("changed_height_from=-1", "changed_height_from"),
        ("changed_time_to=yesterday", "changed_time_to"),
        ("limit=101", "limit"),
    ],
)
async def test_what_cannot_be_asked_is_refused(api: Any, question: str, words: str) -> None:
    status, problem, _ = await api.get(f"{WHERE}?{question}")
    assert (status, problem["code"]) == (400, "bad_parameter")
    assert words in problem["detail"]


SOURCE = """
INDEX = ("valid", "valid_from", "changed_height", "limit")


@call
def put_down(key: str, valid: int, valid_from: str) -> None:
    put(key, {"valid": valid, "valid_from": valid_from, "changed_height": 77, "limit": 5})
"""


async def test_a_declared_field_comes_before_a_range(api: Any) -> None:
    assert await change(api, OWNER, "deploy", "things", SOURCE) == (200, "")
    for key, valid, start in (("a", 5, "2026"), ("b", 12, "2027"), ("c", -3, "9")):
        await send(api, OWNER, "things", "put_down", key, valid, start)

    async def found(question: str) -> str:
        _, page, _ = await api.get(f"/v1/search/things?{question}")
        return "".join(item["key"] for item in page["items"])

    assert await found("valid_from=9") == "c"
    assert await found("valid_to=5") == "ac"
    assert await found("valid_from_from=2026&valid_from_to=2027") == "ab"
    assert await found("valid_to=5&valid_from=2026") == "a"
    assert await found("changed_height=77") == "abc"
    assert await found("changed_height_from=70&limit=2") == "ab"


async def test_a_node_without_an_index_says_so(api: Any) -> None:
    api.engine.keeps_index = False
    status, problem, headers = await api.get(WHERE)
    assert (status, problem["code"]) == (503, "index_off")
    assert headers["Retry-After"]


async def test_an_index_out_of_reach_is_503_and_tells_clients_no_details(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await issued(api, 1)

    def lost(*asked: object) -> None:
        raise IndexUnavailable("connect to 10.0.0.7 failed")

    monkeypatch.setattr(SqliteIndex, "search", lost)
    status, problem, _ = await api.get(WHERE)
    assert (status, problem["code"]) == (503, "index_unavailable")
    assert "10.0.0.7" not in str(problem)


async def test_metrics_tell_how_far_the_index_is(api: Any, tmp_path: Path) -> None:
    await issued(api, 2)
    now = replace(api.engine.status(), index=api.engine.index.status)
    text = Metrics(lambda: now, tmp_path).render().decode()
    for line in ("qiong_index_usable 1.0", "qiong_index_height 2.0", "qiong_index_lag_blocks 0.0"):
        assert line in text
    lost = replace(now, index=IndexStatus("sqlite", None, "no disk"))
    assert "qiong_index_usable 0.0" in Metrics(lambda: lost, tmp_path).render().decode()
