"""The shipped contracts: the whole sample goes in, and every refusal has its code."""

from contracts import registry_layout
from devnet import sample
from ledger import canonical
from ledger.transaction import Call

LICENCE = sample.licences()[0]
DEPARTMENTS = {entry.uscc: entry.id for entry in sample.departments()}
ISSUER = DEPARTMENTS[LICENCE.issuer]
OTHER = next(name for name in DEPARTMENTS.values() if name != ISSUER)
SUBJECT = sample.enterprises()[0].uscc
EVIDENCE = "ab" * 32


def issue(world, signer=ISSUER, **changes):
    row = {
        "id": LICENCE.id,
        "type": LICENCE.type,
        "holder": LICENCE.holder,
        "issued": LICENCE.issued,
        "expires": LICENCE.expires,
    }
    row.update(changes)
    outcome = world.call(signer, "licence", "issue", *row.values())
    return outcome.status, outcome.code


def change(world, method, *args, signer=ISSUER):
    outcome = world.call(signer, "licence", method, LICENCE.id, *args)
    return outcome.status, outcome.code


def test_every_licence_of_the_sample_is_issued(world) -> None:
    transactions = [
        world.transaction(
            [Call("licence", "issue", [row.id, row.type, row.holder, row.issued, row.expires])],
            DEPARTMENTS[row.issuer],
        )
        for row in sample.licences()
    ]
    outcomes = world.run(*transactions)
    assert {outcome.status for outcome in outcomes} == {"ok"}
    assert max(outcome.gas for outcome in outcomes) < 2_000  # 2,000,000 // 1,000 calls
    for row in sample.licences():
        assert world.value("licence", f"licence/{row.id}") == {
            "type": row.type,
            "holder": row.holder,
            "issuer": row.issuer,
            "issued": row.issued,
            "expires": row.expires,
            "status": "active",
        }


def test_every_attestation_of_the_sample_is_made(world) -> None:
    rows = sample.attestations()
    outcomes = world.run(
        *(
            world.transaction(
                [Call("credit", "attest", [c.subject, c.list, c.grade, c.evidence, c.expires])],
                DEPARTMENTS[c.issuer],
            )
            for c in rows
        )
    )
    assert {outcome.status for outcome in outcomes} == {"ok"}
    last = {(c.list, c.subject): c for c in rows}
    for (name, subject), row in last.items():
        value = world.value("credit", f"credit/{name}/{subject}")
        assert value == {
            "status": "active",
            "grade": row.grade,
            "issuer": row.issuer,
            "evidence": row.evidence,
            "expires": row.expires,
        }


def test_a_licence_is_refused_with_a_code(world) -> None:
    assert issue(world, OTHER) == ("reverted", "NOT_ISSUER")
    assert issue(world, "enterprise") == ("reverted", "NOT_ISSUER")
    assert issue(world, holder=LICENCE.holder[:-1] + "0") == ("reverted", "BAD_USCC")
    wrong = "0" if LICENCE.id[-1] != "0" else "1"
    for bad in (
        LICENCE.id[:-1] + wrong,
        LICENCE.id.removeprefix("1."),
        LICENCE.id.replace(".", ""),
        LICENCE.id + ".1",
        LICENCE.id[:35] + "." + LICENCE.id[35] + LICENCE.id[37:],
        "",
    ):
        assert issue(world, id=bad) == ("reverted", "BAD_ID"), bad
    assert issue(world, issued="2027-01-02", expires="2027-01-01") == ("reverted", "BAD_PERIOD")
    assert issue(world, type=3) == ("error", "TYPE")
    assert world.value("licence", f"licence/{LICENCE.id}") is None
    assert issue(world) == ("ok", "")
    assert issue(world) == ("reverted", "ALREADY_ISSUED")


def test_dates_are_days_of_the_calendar(world) -> None:
    good = ["2024-02-29", "2000-02-29", "2023-04-30", "2023-12-31", "0001-01-01"]
    bad = [
        "2023-02-29", "1900-02-29", "2023-04-31", "2023-13-01", "2023-00-10", "2023-01-00",
        "2023-01-32", "0000-01-01", "2023-1-01", "20230101", "2023/01/01", "2023-01-01 ",
        "-023-01-01", "２０２３-01-01", "", "2024-02-30", "2023-06-31", "20-23-01-1",
    ]  # fmt: skip
    for date in bad:
        assert issue(world, issued=date) == ("reverted", "BAD_DATE"), date
    for date in good:
        outcome = issue(world, issued=date, expires="9999-12-31", holder="wrong")
        assert outcome == ("reverted", "BAD_USCC")
        world.entries.pop(("licence", f"licence/{LICENCE.id}"), None)
        assert issue(world, issued=date, expires="9999-12-31") == ("ok", ""), date


def test_a_licence_through_its_life(world) -> None:
    assert change(world, "suspend", "audit") == ("reverted", "UNKNOWN_LICENCE")
    issue(world, expires="2030-01-01")
    assert world.view("licence", "status", LICENCE.id).result == "active"
    assert change(world, "suspend", "audit", signer=OTHER) == ("reverted", "NOT_ISSUER")
    assert change(world, "suspend", "") == ("reverted", "BAD_REASON")
    assert change(world, "suspend", "x" * 201) == ("reverted", "BAD_REASON")
    assert change(world, "resume", "why") == ("reverted", "NOT_SUSPENDED")
    assert change(world, "suspend", "audit") == ("ok", "")
    assert change(world, "suspend", "audit") == ("reverted", "NOT_ACTIVE")
    assert change(world, "renew", "2031-01-01") == ("reverted", "NOT_ACTIVE")
    assert world.view("licence", "status", LICENCE.id).result == "suspended"
    assert change(world, "resume", "audit done") == ("ok", "")
    assert change(world, "renew", "2030-01-01") == ("reverted", "BAD_PERIOD")
    assert change(world, "renew", "2031-02-30") == ("reverted", "BAD_DATE")
    assert change(world, "renew", "2031-01-01") == ("ok", "")
    assert change(world, "revoke", "closed") == ("ok", "")
    for method, argument in (("resume", "x"), ("revoke", "x"), ("renew", "2032-01-01")):
        assert change(world, method, argument) == ("reverted", "REVOKED")
    shown = world.view("licence", "show", LICENCE.id).result
    assert (shown["status"], shown["reason"], shown["expires"]) == (
        "revoked",
        "closed",
        "2031-01-01",
    )


def test_a_past_last_day_is_recorded_and_reads_as_expired(world) -> None:
    assert issue(world, issued="2001-01-01", expires="2002-01-01") == ("ok", "")
    assert world.view("licence", "status", LICENCE.id).result == "expired"
    assert world.view("licence", "status", "nothing").result == "unknown"


def test_two_signers_cannot_mix_their_rights(world) -> None:
    args = [LICENCE.id, LICENCE.type, LICENCE.holder, LICENCE.issued, LICENCE.expires]
    both = world.transaction([Call("licence", "issue", list(args))], OTHER, ISSUER)
    assert world.run(both)[0].code == "ONE_SIGNER"


def attest(world, signer=ISSUER, **changes):
    row = {
        "subject": SUBJECT,
        "list": "tax-arrears",
        "grade": "B",
        "evidence": EVIDENCE,
        "expires": "2030-01-01",
    }
    row.update(changes)
    outcome = world.call(signer, "credit", "attest", *row.values())
    return outcome.status, outcome.code


def test_an_attestation_is_refused_with_a_code(world) -> None:
    assert attest(world, "enterprise") == ("reverted", "NOT_ISSUER")
    assert attest(world, list="no-such-list") == ("reverted", "NOT_ISSUER")
    for name in ("", "a/b", "Tax", "x" * 65, "--"):
        assert attest(world, list=name) == ("reverted", "BAD_LIST"), name
    assert attest(world, subject="91350100M000100Y4Z") == ("reverted", "BAD_USCC")
    assert attest(world, grade="") == ("reverted", "BAD_GRADE")
    assert attest(world, evidence=EVIDENCE[:-1] + "G") == ("reverted", "BAD_EVIDENCE")
    assert attest(world, evidence=EVIDENCE.upper()) == ("reverted", "BAD_EVIDENCE")
    assert attest(world, evidence="ab" * 31) == ("reverted", "BAD_EVIDENCE")
    assert attest(world, expires="soon") == ("reverted", "BAD_DATE")
    assert world.view("credit", "status", SUBJECT, "tax-arrears").result == "absent"


def test_an_attestation_through_its_life(world) -> None:
    def act(method: str, signer: str, reason: str = "reason") -> tuple[str, str]:
        outcome = world.call(signer, "credit", method, SUBJECT, "tax-arrears", reason)
        return outcome.status, outcome.code

    assert act("dispute", "enterprise") == ("reverted", "UNKNOWN_ENTRY")
    assert attest(world) == ("ok", "")
    assert act("dispute", "enterprise") == ("ok", "")
    value = world.value("credit", f"credit/tax-arrears/{SUBJECT}")
    assert value["status"] == "active"
    assert value["dispute"] == {"by": SUBJECT, "reason": "reason", "made": "2026-01-01"}
    assert act("repair", "enterprise") == ("reverted", "NOT_ISSUER")
    assert act("repair", OTHER) == ("reverted", "NOT_ISSUER")
    assert act("repair", ISSUER, "") == ("reverted", "BAD_REASON")
    assert act("repair", ISSUER, "mended") == ("ok", "")
    assert act("repair", ISSUER) == ("reverted", "REPAIRED")
    assert world.view("credit", "status", SUBJECT, "tax-arrears").result == "revoked"
    # Another accredited issuer's attestation replaces the entry, dispute and repair included.
    assert attest(world, OTHER, grade="A") == ("ok", "")
    shown = world.view("credit", "show", SUBJECT, "tax-arrears").result
    assert shown["grade"] == "A"
    assert shown["issuer"] == next(u for u, name in DEPARTMENTS.items() if name == OTHER)
    assert "dispute" not in shown
    assert "reason" not in shown


def test_a_stranger_cannot_dispute(world) -> None:
    attest(world)
    world.register("stranger", sample.enterprises()[1].uscc, ())
    outcome = world.call("stranger", "credit", "dispute", SUBJECT, "tax-arrears", "why")
    assert (outcome.status, outcome.code) == ("reverted", "NOT_PARTY")


def test_the_registry_is_read_only_and_tells_what_counts(world) -> None:
    key = world.keys[ISSUER].hex()
    assert world.view("registry", "organisation_of", key).result == LICENCE.issuer
    assert world.view("registry", "organisation_of", "00").result is None
    role = registry_layout.issuer_role(LICENCE.type)
    assert world.view("registry", "accredited", LICENCE.issuer, role).result is True
    assert world.view("registry", "accredited", SUBJECT, role).result is False
    roles = world.view("registry", "roles", key).result
    assert "submitter" in roles
    assert role in roles

    organisation = ("registry", registry_layout.organisation_key(LICENCE.issuer))
    value = canonical.decode(world.entries[organisation])
    world.entries[organisation] = canonical.encode({**value, "accreditations": []})
    assert world.view("registry", "roles", key).result == ["submitter"]
    assert issue(world) == ("reverted", "NOT_ISSUER")
    world.entries[organisation] = canonical.encode({**value, "status": "suspended"})
    assert issue(world) == ("rejected", "missing_role")
    assert world.call(ISSUER, "registry", "show_key", key).code in {"missing_role"}
