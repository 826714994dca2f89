"""Who is who and who may do what: organisations, their keys, roles and accreditations.

    organisation/<uscc>   {name, class, status, accreditations}
    key/<public key hex>  {organisation, roles}

Genesis seeds these entries. Nothing changes them yet: there is no call, so every change is denied.
`has_role` in every contract reads this very store. A role counts when the key holds it, its
organisation is active and, for a role `issuer:<type>`, the organisation is accredited for it.
"""


@view
def organisation_of(key: str) -> str | None:
    """USCC of the organisation that the key (hex) belongs to, or None."""
    member = get("key/" + key)
    return None if member is None else member["organisation"]


@view
def show_organisation(uscc: str) -> dict | None:
    """{name, class, status, accreditations}, or None."""
    return get("organisation/" + uscc)


@view
def show_key(key: str) -> dict | None:
    """{organisation, roles}, or None."""
    return get("key/" + key)


@view
def roles(key: str) -> list:
    """The roles that count for the key (hex)."""
    member = get("key/" + key)
    if member is None:
        return []
    entry = get("organisation/" + member["organisation"])
    if entry is None or entry["status"] != "active":
        return []
    accredited = entry["accreditations"]
    return [role for role in member["roles"] if not role.startswith("issuer:") or role in accredited]


@view
def accredited(uscc: str, role: str) -> bool:
    """Whether the organisation is active and accredited for `issuer:<type>`."""
    entry = get("organisation/" + uscc)
    return entry is not None and entry["status"] == "active" and role in entry["accreditations"]
