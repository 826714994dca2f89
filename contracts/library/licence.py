"""Electronic licences: issue, suspend, resume, renew, revoke.

A licence stands under `licence/<id>` as

    {type, holder, issuer, issued, expires, status, reason}

`status` is active, suspended or revoked; `reason` is that of the last change of status and is
missing before the first. `id` is a GB/T 36904 identifier: the root 1.2.156.3005.2, then five
fields, whose last symbol checks all others by ISO 7064 MOD 37,36. Holders are named by their
unified social credit code (GB 32100). Dates are YYYY-MM-DD; a licence holds through the end of its
last day, UTC+8, and a last day in the past is recorded all the same (back-filling). No personal
data belongs into `reason`: it stays on the chain.

Who may issue holds the role `issuer:<type>`. A licence is changed by the organisation that issued
it, by a key that still holds that role. One signer stands for one organisation, so that nobody's
accreditation can serve another's licence.

Codes of `require`:
    ONE_SIGNER        more than one key signed the transaction
    NOT_ISSUER        the signer may not issue this type, or another organisation issued the licence
    BAD_ID            no GB/T 36904 identifier, or its check symbol is wrong
    BAD_USCC          the holder's code has a wrong form or check symbol
    BAD_DATE          not a day of the calendar, written YYYY-MM-DD
    BAD_PERIOD        the last day comes before the first, or a renewal before the last day so far
    BAD_REASON        empty or longer than 200 characters
    ALREADY_ISSUED    the identifier is taken, for good
    UNKNOWN_LICENCE   nobody issued it
    NOT_ACTIVE        to be suspended or renewed it must be active
    NOT_SUSPENDED     to be resumed it must be suspended
    REVOKED           it was revoked, for good
"""

INDEX = ("type", "holder", "issuer", "status", "expires")

REASON_MAX = 200


@call
def issue(id: str, type: str, holder: str, issued: str, expires: str) -> None:
    require(len(signers()) == 1, "ONE_SIGNER")
    require(has_role("issuer:" + type), "NOT_ISSUER")
    require(licence_id_valid(id), "BAD_ID")
    require(uscc_valid(holder), "BAD_USCC")
    require(date_valid(issued) and date_valid(expires), "BAD_DATE")
    require(issued <= expires, "BAD_PERIOD")
    key = "licence/" + id
    require(get(key) is None, "ALREADY_ISSUED")
    put(
        key,
        {
            "type": type,
            "holder": holder,
            "issuer": organisation(),
            "issued": issued,
            "expires": expires,
            "status": "active",
        },
    )
    emit("issued", {"id": id})


@call
def suspend(id: str, reason: str) -> None:
    licence = own_licence(id)
    require(licence["status"] == "active", "NOT_ACTIVE")
    change(id, licence, "suspended", reason)


@call
def resume(id: str, reason: str) -> None:
    licence = own_licence(id)
    require(licence["status"] == "suspended", "NOT_SUSPENDED")
    change(id, licence, "active", reason)


@call
def revoke(id: str, reason: str) -> None:
    change(id, own_licence(id), "revoked", reason)


@call
def renew(id: str, expires: str) -> None:
    licence = own_licence(id)
    require(licence["status"] == "active", "NOT_ACTIVE")
    require(date_valid(expires), "BAD_DATE")
    require(licence["expires"] < expires, "BAD_PERIOD")
    licence["expires"] = expires
    put("licence/" + id, licence)
    emit("renewed", {"id": id, "expires": expires})


@view
def show(id: str) -> dict | None:
    """The licence as it stands, or None."""
    return get("licence/" + id)


@view
def status(id: str) -> str:
    """In one word: active, suspended, revoked, expired (by the last block's time), unknown."""
    licence = get("licence/" + id)
    if licence is None:
        return "unknown"
    if licence["status"] == "active" and licence["expires"] < date(now()):
        return "expired"
    return licence["status"]


def own_licence(id: str) -> dict:
    """The licence `id`, if the signer may change it."""
    require(len(signers()) == 1, "ONE_SIGNER")
    licence = get("licence/" + id)
    require(licence is not None, "UNKNOWN_LICENCE")
    require(licence["issuer"] == organisation(), "NOT_ISSUER")
    require(has_role("issuer:" + licence["type"]), "NOT_ISSUER")
    require(licence["status"] != "revoked", "REVOKED")
    return licence


def change(id: str, licence: dict, status: str, reason: str) -> None:
    require(0 < len(reason) and len(reason) <= REASON_MAX, "BAD_REASON")
    licence["status"] = status
    licence["reason"] = reason
    put("licence/" + id, licence)
    emit(status, {"id": id, "reason": reason})
