"""Credit attestations: the whole sample goes in, every refusal has its code, dispute and repair."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.testing import Chain, library
from devnet import sample

CREDIT = library("credit")
SUBJECT = sample.enterprises()[0].uscc
LIST = "tax-arrears"
ROW = {
    "subject": SUBJECT,
    "list": LIST,
    "grade": "B",
    "evidence": "ab" * 32,
    "expires": "2030-01-01",
}


@pytest.fixture
def credit(chain, departments):
    return chain.deploy(CREDIT)


@pytest.fixture
def issuer(departments):
    return next(iter(departments.values()))


@pytest.fixture
def other(departments):
    """Another department accredited for the same list."""
    return list(departments.values())[1]


@pytest.fixture
def subject(chain):
    return chain.signer("enterprise", organisation=SUBJECT)


def test_every_attestation_of_the_sample_is_made(chain, credit, departments) -> None:
    last = {}
    for each in sample.attestations():
        args = (each.subject, each.list, each.grade, each.evidence, each.expires)
        credit.call("attest", *args, by=departments[each.issuer])
        last[f"credit/{each.list}/{each.subject}"] = {
            "status": "active",
            "grade": each.grade,
            "issuer": each.issuer,
            "evidence": each.evidence,
            "expires": each.expires,
        }
    assert credit.state == last


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"list": "no-such-list"}, "NOT_ISSUER"),
        ({"list": ""}, "BAD_LIST"),
        ({"list": "a/b"}, "BAD_LIST"),
        ({"list": "Tax"}, "BAD_LIST"),
        ({"list": "x" * 65}, "BAD_LIST"),
        ({"list": "--"}, "BAD_LIST"),
        ({"subject": "91350100M000100Y4Z"}, "BAD_USCC"),
        ({"grade": ""}, "BAD_GRADE"),
        ({"evidence": "ab" * 31 + "aG"}, "BAD_EVIDENCE"),
        ({"evidence": "AB" * 32}, "BAD_EVIDENCE"),
        ({"evidence": "ab" * 31}, "BAD_EVIDENCE"),
        ({"expires": "soon"}, "BAD_DATE"),
        ({"expires": "2023-02-29"}, "BAD_DATE"),
        ({"expires": "2023-04-31"}, "BAD_DATE"),
        ({"expires": "2023-13-01"}, "BAD_DATE"),
        ({"expires": "20-23-01-1"}, "BAD_DATE"),
        ({"expires": "2o23-01-01"}, "BAD_DATE"),
    ],
)
def test_what_is_not_attested(chain, credit, issuer, changes, code) -> None:
    with chain.expect_reverted(code):
        credit.call("attest", **ROW | changes, by=issuer)
    assert credit.state == {}
    assert credit.view("status", SUBJECT, LIST) == "absent"
    assert credit.view("show", SUBJECT, LIST) is None


@pytest.mark.parametrize("day", ["2024-02-29", "2000-02-29", "2023-04-30", "2023-12-31"])
def test_days_that_are_hard_to_tell(credit, issuer, day) -> None:
    credit.call("attest", **ROW | {"expires": day}, by=issuer)


def test_who_does_not_attest(chain, credit, issuer, other, subject) -> None:
    with chain.expect_reverted("NOT_ISSUER"):
        credit.call("attest", **ROW, by=subject)
    with chain.expect_reverted("ONE_SIGNER"):
        credit.call("attest", **ROW, by=[issuer, other])


def test_an_attestation_through_its_life(chain, credit, issuer, other, subject) -> None:
    def act(method, signer, reason="reason"):
        return credit.call(method, SUBJECT, LIST, reason, by=signer)

    with chain.expect_reverted("UNKNOWN_ENTRY"):
        act("dispute", subject)
    credit.call("attest", **ROW, by=issuer)
    assert act("dispute", subject).event("disputed") == {"list": LIST, "subject": SUBJECT}
    entry = credit.state[f"credit/{LIST}/{SUBJECT}"]
    assert entry["status"] == "active"
    assert entry["dispute"] == {"by": SUBJECT, "reason": "reason", "made": chain.today}

    for stranger in (subject, other):
        with chain.expect_reverted("NOT_ISSUER"):
            act("repair", stranger)
    with chain.expect_reverted("BAD_REASON"):
        act("repair", issuer, "")
    act("repair", issuer, "mended")
    with chain.expect_reverted("REPAIRED"):
        act("repair", issuer)
    assert credit.view("status", SUBJECT, LIST) == "revoked"

    # Another accredited issuer's attestation replaces the entry, dispute and repair included.
    credit.call("attest", **ROW | {"grade": "A"}, by=other)
    shown = credit.view("show", SUBJECT, LIST)
    assert (shown["grade"], shown["issuer"]) == ("A", other.organisation)
    assert "dispute" not in shown
    assert "reason" not in shown


def test_a_stranger_cannot_dispute(chain, credit, issuer) -> None:
    credit.call("attest", **ROW, by=issuer)
    with chain.expect_reverted("NOT_PARTY"):
        credit.call("dispute", SUBJECT, LIST, "why", by=chain.signer("stranger"))


def test_an_attestation_expires(chain, credit, issuer) -> None:
    credit.call("attest", **ROW | {"expires": "2026-03-31"}, by=issuer)
    chain.advance(to="2026-03-31")
    assert credit.view("status", SUBJECT, LIST) == "active"
    chain.advance(to="2026-04-01")
    assert credit.view("status", SUBJECT, LIST) == "expired"


@pytest.mark.parametrize("method", ["attest", "dispute", "repair"])
@given(data=st.data())
def test_no_argument_is_an_error(method, data) -> None:
    chain = Chain()
    issuer = chain.signer("issuer", f"issuer:credit/{LIST}")
    credit = chain.deploy(CREDIT)
    credit.call("attest", **ROW, by=issuer)
    args = data.draw(
        CREDIT.strategy(
            method, subject=st.just(SUBJECT) | st.text(), list=st.just(LIST) | st.text()
        )
    )
    assert credit.attempt(method, *args, by=issuer).status != "error"
