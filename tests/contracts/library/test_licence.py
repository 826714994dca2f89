"""Licences: the whole sample goes in, every refusal has its code, and a life from issue to end."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.testing import Chain, library, uscc
from devnet import sample
from ledger.transaction import CALLS_MAX, TRANSACTION_GAS_MAX

LICENCE = library("licence")
ROW = sample.licences()[0]
WRONG_CHECK = ROW.id[:-1] + ("0" if ROW.id[-1] != "0" else "1")


@pytest.fixture
def licence(chain, departments):
    return chain.deploy(LICENCE)


@pytest.fixture
def issuer(departments):
    return departments[ROW.issuer]


@pytest.fixture
def other(departments):
    """A department that issues other types."""
    return next(each for code, each in departments.items() if code != ROW.issuer)


def row(**changes):
    """The sample's first licence as named arguments of `issue`."""
    names = ("id", "type", "holder", "issued", "expires")
    return {name: getattr(ROW, name) for name in names} | changes


def test_every_licence_of_the_sample_fits_a_batch(chain, licence, departments) -> None:
    for code, department in departments.items():
        rows = [each for each in sample.licences() if each.issuer == code]
        calls = [
            licence.prepare("issue", each.id, each.type, each.holder, each.issued, each.expires)
            for each in rows
        ]
        assert len(calls) <= CALLS_MAX
        receipts = chain.submit(calls, by=department)
        assert {receipt.status for receipt in receipts} == {"ok"}
        assert max(receipt.gas for receipt in receipts) < TRANSACTION_GAS_MAX // CALLS_MAX
    assert licence.state == {
        f"licence/{each.id}": {
            "type": each.type,
            "holder": each.holder,
            "issuer": each.issuer,
            "issued": each.issued,
            "expires": each.expires,
            "status": "active",
        }
        for each in sample.licences()
    }


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"type": "no-such-type"}, "NOT_ISSUER"),
        ({"id": WRONG_CHECK}, "BAD_ID"),
        ({"id": ROW.id.removeprefix("1.")}, "BAD_ID"),
        ({"id": ROW.id.replace(".", "")}, "BAD_ID"),
        ({"id": ROW.id + ".1"}, "BAD_ID"),
        ({"id": ROW.id[:35] + "." + ROW.id[35] + ROW.id[37:]}, "BAD_ID"),
        ({"id": ""}, "BAD_ID"),
        ({"holder": ROW.holder[:-1] + "0"}, "BAD_USCC"),
        ({"issued": "2027-01-02", "expires": "2027-01-01"}, "BAD_PERIOD"),
    ],
)
def test_what_is_not_issued(chain, licence, issuer, changes, code) -> None:
    with chain.expect_reverted(code):
        licence.call("issue", **row(**changes), by=issuer)
    assert licence.state == {}


def test_who_does_not_issue(chain, licence, issuer, other) -> None:
    for stranger in (other, chain.signer("enterprise")):
        with chain.expect_reverted("NOT_ISSUER"):
            licence.call("issue", **row(), by=stranger)
    with chain.expect_reverted("ONE_SIGNER"):
        licence.call("issue", **row(), by=[other, issuer])
    with chain.expect("error", "TYPE"):
        licence.call("issue", **row(type=3), by=issuer)
    assert licence.state == {}


def test_an_identifier_is_taken_for_good(chain, licence, issuer) -> None:
    assert licence.call("issue", **row(), by=issuer).event("issued") == {"id": ROW.id}
    with chain.expect_reverted("ALREADY_ISSUED"):
        licence.call("issue", **row(), by=issuer)
    licence.call("revoke", ROW.id, "closed", by=issuer)
    with chain.expect_reverted("ALREADY_ISSUED"):
        licence.call("issue", **row(), by=issuer)


def test_an_accreditation_taken_away_counts_at_once(chain, licence, issuer) -> None:
    key = f"organisation/{ROW.issuer}"
    entry = chain.state("registry")[key]
    chain.put("registry", key, entry | {"accreditations": []})
    with chain.expect_reverted("NOT_ISSUER"):
        licence.call("issue", **row(), by=issuer)
    chain.put("registry", key, entry | {"status": "suspended"})
    with chain.expect("rejected", "missing_role"):
        licence.call("issue", **row(), by=issuer)


@given(st.dates().map(date.isoformat))
def test_every_day_of_the_calendar_is_a_date(day) -> None:
    receipt = issued_on(day)
    assert receipt.ok, receipt


@pytest.mark.parametrize(
    "text",
    [
        "2023-02-29", "1900-02-29", "2023-04-31", "2023-13-01", "2023-00-10", "2023-01-00",
        "2023-01-32", "0000-01-01", "2023-1-01", "20230101", "2023/01/01", "2023-01-01 ",
        "-023-01-01", "２０２３-01-01", "", "2024-02-30", "2023-06-31", "20-23-01-1",
    ],
)  # fmt: skip
def test_nothing_else_is_a_date(text) -> None:
    assert issued_on(text).code == "BAD_DATE"


@given(st.text("0123456789-", min_size=9, max_size=11))
def test_a_date_is_what_python_takes_for_one(text) -> None:
    try:
        right = date.fromisoformat(text).isoformat() == text
    except ValueError:
        right = False
    assert issued_on(text).code == ("" if right else "BAD_DATE")


def issued_on(text):
    chain = Chain()
    issuer = chain.signer("issuer", f"issuer:{ROW.type}")
    licence = chain.deploy(LICENCE)
    return licence.attempt("issue", **row(issued=text, expires="9999-12-31"), by=issuer)


def test_a_licence_through_its_life(chain, licence, issuer, other) -> None:
    with chain.expect_reverted("UNKNOWN_LICENCE"):
        licence.call("suspend", ROW.id, "audit", by=issuer)
    licence.call("issue", **row(expires="2030-01-01"), by=issuer)
    assert licence.view("status", ROW.id) == "active"
    with chain.expect_reverted("NOT_ISSUER"):
        licence.call("suspend", ROW.id, "audit", by=other)
    for reason in ("", "x" * 201):
        with chain.expect_reverted("BAD_REASON"):
            licence.call("suspend", ROW.id, reason, by=issuer)
    with chain.expect_reverted("NOT_SUSPENDED"):
        licence.call("resume", ROW.id, "why", by=issuer)

    receipt = licence.call("suspend", ROW.id, "audit", by=issuer)
    assert receipt.event("suspended") == {"id": ROW.id, "reason": "audit"}
    assert licence.view("status", ROW.id) == "suspended"
    with chain.expect_reverted("NOT_ACTIVE"):
        licence.call("suspend", ROW.id, "audit", by=issuer)
    with chain.expect_reverted("NOT_ACTIVE"):
        licence.call("renew", ROW.id, "2031-01-01", by=issuer)
    licence.call("resume", ROW.id, "audit done", by=issuer)

    with chain.expect_reverted("BAD_PERIOD"):
        licence.call("renew", ROW.id, "2030-01-01", by=issuer)
    with chain.expect_reverted("BAD_DATE"):
        licence.call("renew", ROW.id, "2031-02-30", by=issuer)
    licence.call("renew", ROW.id, "2031-01-01", by=issuer)

    licence.call("revoke", ROW.id, "closed", by=issuer)
    for method, argument in (("resume", "x"), ("revoke", "x"), ("renew", "2032-01-01")):
        with chain.expect_reverted("REVOKED"):
            licence.call(method, ROW.id, argument, by=issuer)
    shown = licence.view("show", ROW.id)
    assert (shown["status"], shown["reason"]) == ("revoked", "closed")
    assert shown["expires"] == "2031-01-01"


def test_an_issuer_that_lost_its_role_changes_nothing(chain, licence, issuer) -> None:
    licence.call("issue", **row(), by=issuer)
    chain.signer(issuer.name, organisation=issuer)
    with chain.expect_reverted("NOT_ISSUER"):
        licence.call("revoke", ROW.id, "closed", by=issuer)


def test_a_licence_holds_through_its_last_day(chain, licence, issuer) -> None:
    licence.call("issue", **row(issued="2026-01-01", expires="2026-06-30"), by=issuer)
    chain.advance(to="2026-06-30")
    assert licence.view("status", ROW.id) == "active"
    chain.advance(days=1)
    assert licence.view("status", ROW.id) == "expired"
    assert licence.view("status", "nothing") == "unknown"


def test_a_past_last_day_is_recorded(licence, issuer) -> None:
    licence.call("issue", **row(issued="2001-01-01", expires="2002-01-01"), by=issuer)
    assert licence.view("status", ROW.id) == "expired"


@pytest.mark.parametrize("method", ["issue", "suspend", "resume", "revoke", "renew"])
@given(data=st.data())
def test_no_argument_is_an_error(method, data) -> None:
    chain = Chain()
    issuer = chain.signer("issuer", f"issuer:{ROW.type}", organisation=uscc("issuer"))
    licence = chain.deploy(LICENCE)
    licence.call("issue", **row(), by=issuer)
    ours = st.just(ROW.id) | st.text()
    known = {"type": st.just(ROW.type) | st.text()} if method == "issue" else {}
    args = data.draw(LICENCE.strategy(method, id=ours, **known))
    assert licence.attempt(method, *args, by=issuer).status != "error"
