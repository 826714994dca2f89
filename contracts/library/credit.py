"""Credit attestations: one entry a list and subject.

An entry stands under `credit/<list>/<subject>` as

    {status, grade, issuer, evidence, expires, dispute, reason}

so that its absence proves "not on the list". A later attestation by any accredited issuer replaces
the entry; the ledger's history keeps both. `status` is active or, once repaired, revoked; `reason`
is that of the repair. A dispute is a field of its own, {by, reason, made}: what is disputed stays in
force until its issuer repairs it. `dispute` and `reason` are missing where there is none.

`evidence` is the SHA-256 of what the attestation rests on, in hex; the evidence itself stays with
the issuer. Subjects are named by their unified social credit code (GB 32100). `expires` is the last
day, YYYY-MM-DD, and may lie in the past (back-filling).

Who may attest holds the role `issuer:credit/<list>`. The organisation that attested may repair;
the subject and the list's issuers may dispute. One signer stands for one organisation.

Codes of `require`:
    ONE_SIGNER     more than one key signed the transaction
    NOT_ISSUER     the signer may not attest on this list, or another organisation attested
    NOT_PARTY      a dispute by neither the subject nor an issuer of the list
    BAD_LIST       the list's name is not 1 to 64 small letters, digits and hyphens
    BAD_USCC       the subject's code has a wrong form or check symbol
    BAD_GRADE      not 1 to 16 letters and digits
    BAD_EVIDENCE   not 64 hexadecimal digits, small letters
    BAD_DATE       not a day of the calendar, written YYYY-MM-DD
    BAD_REASON     empty or longer than 200 characters
    UNKNOWN_ENTRY  the subject is not on the list
    REPAIRED       it was repaired already
"""

INDEX = ("list", "subject", "issuer", "grade", "status", "expires")

REASON_MAX = 200


@call
def attest(subject: str, list: str, grade: str, evidence: str, expires: str) -> None:
    require(len(signers()) == 1, "ONE_SIGNER")
    require(list_valid(list), "BAD_LIST")
    require(has_role("issuer:credit/" + list), "NOT_ISSUER")
    require(uscc_valid(subject), "BAD_USCC")
    require(0 < len(grade) and len(grade) <= 16 and grade.isalnum(), "BAD_GRADE")
    require(digest_valid(evidence), "BAD_EVIDENCE")
    require(date_valid(expires), "BAD_DATE")
    put(
        "credit/" + list + "/" + subject,
        {
            "status": "active",
            "grade": grade,
            "issuer": organisation(),
            "evidence": evidence,
            "expires": expires,
        },
    )
    emit("attested", {"list": list, "subject": subject})


@call
def dispute(subject: str, list: str, reason: str) -> None:
    require(len(signers()) == 1, "ONE_SIGNER")
    entry = standing(list, subject)
    by = organisation()
    require(by == subject or has_role("issuer:credit/" + list), "NOT_PARTY")
    require(reason_valid(reason), "BAD_REASON")
    entry["dispute"] = {"by": by, "reason": reason, "made": date(now())}
    put("credit/" + list + "/" + subject, entry)
    emit("disputed", {"list": list, "subject": subject})


@call
def repair(subject: str, list: str, reason: str) -> None:
    require(len(signers()) == 1, "ONE_SIGNER")
    entry = standing(list, subject)
    require(entry["issuer"] == organisation(), "NOT_ISSUER")
    require(has_role("issuer:credit/" + list), "NOT_ISSUER")
    require(reason_valid(reason), "BAD_REASON")
    entry["status"] = "revoked"
    entry["reason"] = reason
    put("credit/" + list + "/" + subject, entry)
    emit("repaired", {"list": list, "subject": subject})


@view
def show(subject: str, list: str) -> dict | None:
    """The entry as it stands, or None."""
    return get("credit/" + list + "/" + subject)


@view
def status(subject: str, list: str) -> str:
    """In one word: active, revoked, expired (by the last block's time), absent."""
    entry = get("credit/" + list + "/" + subject)
    if entry is None:
        return "absent"
    if entry["status"] == "active" and entry["expires"] < date(now()):
        return "expired"
    return entry["status"]


def standing(list: str, subject: str) -> dict:
    """The entry of `subject`, if it is there and not repaired."""
    entry = get("credit/" + list + "/" + subject)
    require(entry is not None, "UNKNOWN_ENTRY")
    require(entry["status"] == "active", "REPAIRED")
    return entry


def reason_valid(reason: str) -> bool:
    return 0 < len(reason) and len(reason) <= REASON_MAX


def list_valid(name: str) -> bool:
    word = name.replace("-", "")
    return 0 < len(word) and len(name) <= 64 and word.isalnum() and name == name.lower()


def digest_valid(text: str) -> bool:
    return len(text) == 64 and text.strip("0123456789abcdef") == ""
