"""Who may do what: the key layout of the contract `registry`, in one place.

    organisation/<uscc>   {"name", "class", "status", "accreditations": [role...]}
    key/<public key hex>  {"organisation": uscc, "roles": [role...]}

A role counts when the signer's key holds it, its organisation is active and, for an application
role `issuer:<...>`, the organisation is accredited for it: an administrator can hand its own
organisation's accreditations to its own keys, and no more. Everything else is denied.

Used by the worker's `has_role`, the node's API and the genesis builder alike, so standard library
only, and over decoded values: each caller brings its own decoder. Left out: who may change these
entries; that is the contract's own code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

CONTRACT: Final = "registry"

READER: Final = "reader"
SUBMITTER: Final = "submitter"
DEPLOYER: Final = "deployer"
ADMIN: Final = "admin"
GOVERNOR: Final = "governor"
PLATFORM_ROLES: Final = (READER, SUBMITTER, DEPLOYER, ADMIN, GOVERNOR)

ISSUER_PREFIX: Final = "issuer:"
ACTIVE: Final = "active"

Get = Callable[[str], object]
"""The decoded value under a key of `registry`, None where there is none."""


class Member(NamedTuple):
    """A key of an organisation: `key` is its hex, algorithm byte included."""

    key: str
    roles: tuple[str, ...]


class Organisation(NamedTuple):
    """A department or enterprise as genesis seeds it; `accreditations` are `issuer:` roles."""

    uscc: str
    name: str
    organisation_class: str
    accreditations: tuple[str, ...]
    members: tuple[Member, ...]


class Standing(NamedTuple):
    """The organisation that a key belongs to, None for nobody's, and the roles that count."""

    organisation: str | None
    roles: frozenset[str]


NOBODY: Final = Standing(None, frozenset())


def organisation_key(uscc: str) -> str:
    return "organisation/" + uscc


def member_key(key: str) -> str:
    return "key/" + key


def issuer_role(subject: str) -> str:
    """The role that issues licences of type `subject`, or attests on `credit/<list>`."""
    return ISSUER_PREFIX + subject


def organisation_value(organisation: Organisation) -> dict[str, object]:
    return {
        "name": organisation.name,
        "class": organisation.organisation_class,
        "status": ACTIVE,
        "accreditations": sorted(organisation.accreditations),
    }


def member_value(uscc: str, roles: Iterable[str]) -> dict[str, object]:
    return {"organisation": uscc, "roles": sorted(roles)}


def seed_entries(organisations: Iterable[Organisation]) -> list[tuple[str, str, dict[str, object]]]:
    """Genesis entries (contract, key, value) for `organisations` and their keys."""
    entries: list[tuple[str, str, dict[str, object]]] = []
    for organisation in organisations:
        key = organisation_key(organisation.uscc)
        entries.append((CONTRACT, key, organisation_value(organisation)))
        for member in organisation.members:
            value = member_value(organisation.uscc, member.roles)
            entries.append((CONTRACT, member_key(member.key), value))
    return entries


def organisation_of(get: Get, key: str) -> str | None:
    """USCC of the organisation that `key` belongs to, None for a key nobody registered."""
    return organisation_in(get(member_key(key)))


def organisation_in(member: object) -> str | None:
    """USCC named by the decoded entry of a member, None where there is no entry."""
    return str(member["organisation"]) if isinstance(member, dict) else None


def standing(get: Get, key: str) -> Standing:
    """What the key `key` (hex) stands for now."""
    member = get(member_key(key))
    if not isinstance(member, dict):
        return NOBODY
    uscc = str(member["organisation"])
    organisation = get(organisation_key(uscc))
    if not isinstance(organisation, dict) or organisation["status"] != ACTIVE:
        return Standing(uscc, frozenset())
    accredited = organisation["accreditations"]
    return Standing(
        uscc,
        frozenset(
            role
            for role in member["roles"]
            if not role.startswith(ISSUER_PREFIX) or role in accredited
        ),
    )


def has_role(get: Get, key: str, role: str) -> bool:
    """Whether the key `key` (hex) may act as `role` now."""
    return role in standing(get, key).roles
