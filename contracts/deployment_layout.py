"""Where deployed contracts live: the key layout of the reserved name space `contracts`.

    <name>                   {"status", "owner", "changes", "versions": [version...]}
    history/<name>/<number>  one change: {"action", "height", "organisation", "key", ...}
    source/<hash hex>        the source text
    total/weight             what the code deployed since genesis weighs together

A version is {"number", "from", "source": SHA-256, "dialect", "weight"}; its code runs from the
height `from` on. At any height the version declared last, of those that have started, is in force.
An entry keeps that one and those still planned; the history keeps every version, and every change
of status with who made it and why. Sources are never deleted, so every older block replays with the
code it ran. The compiled form is derived, never stored; `weight` is the gas that compiling took,
0 for what genesis seeds.

`owner` is the organisation that deployed the contract, None for what genesis seeds. The platform's
own contract (`contracts.worker.platform`) writes all this. Standard library only: the worker reads
this layout, the genesis builder and the node write it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from contracts import registry_layout

CONTRACT: Final = "contracts"
"""The platform's contract, whose methods deploy and change the others."""

RESERVED: Final = (CONTRACT, "consensus", "governance")
"""Name spaces of the platform: no contract can bear such a name, so none can write there."""

METHODS: Final = {
    "deploy": ("name", "source"),
    "upgrade": ("name", "source", "from_height"),
    "freeze": ("name", "reason"),
    "unfreeze": ("name",),
    "retire": ("name", "reason"),
}
"""The parameters of each method of the platform's contract."""

ACTIVE: Final = "active"
FROZEN: Final = "frozen"
RETIRED: Final = "retired"
DIALECT: Final = 1

NAME_CHARACTERS_MAX: Final = 64
NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
"""A contract's name: it stands in URLs, in keys and in every call, and looks like no other name."""

TOTAL_KEY: Final = "total/weight"

HISTORY_DIGITS: Final = 6
"""Numbers in keys have leading zeros, so that keys are in the order of the changes."""

Get = Callable[[str], object]
"""The decoded value under a key of `contracts`, None where there is none."""


class Author(NamedTuple):
    """Who makes a change: the signer's organisation, and its key in hex."""

    organisation: str
    key: str


class Deployed(NamedTuple):
    """The version of a contract in force at some height, and the contract's status."""

    number: int
    source_hash: bytes
    dialect: int
    status: str


def name_allowed(name: str) -> bool:
    """Whether a contract may be deployed under this name."""
    return NAME.fullmatch(name) is not None and name not in RESERVED


def could_be(name: str) -> bool:
    """Whether an entry under this key could be a contract's, so that it is worth a look."""
    return len(name) <= NAME_CHARACTERS_MAX and "/" not in name and name not in RESERVED


def source_key(source_hash: bytes) -> str:
    return "source/" + source_hash.hex()


def source_hash(source: str) -> bytes:
    return hashlib.sha256(source.encode()).digest()


def history_prefix(name: str) -> str:
    return f"history/{name}/"


def history_key(name: str, number: int) -> str:
    """Key of change `number` of the contract, counted from 0."""
    return f"{history_prefix(name)}{number:0{HISTORY_DIGITS}d}"


def deployer(registry: Get, signers: Iterable[str]) -> Author | None:
    """The first of `signers` (keys in hex) who may deploy, None if nobody may."""
    for key in signers:
        organisation = registry_layout.organisation_of(registry, key)
        if organisation and registry_layout.has_role(registry, key, registry_layout.DEPLOYER):
            return Author(organisation, key)
    return None


def keeper(registry: Get, signers: Iterable[str], owner: str | None) -> Author | None:
    """The first of `signers` who may change what `owner` deployed: its deployers, and governors."""
    for key in signers:
        organisation = registry_layout.organisation_of(registry, key)
        roles = [registry_layout.GOVERNOR]
        if organisation == owner:
            roles.append(registry_layout.DEPLOYER)
        if organisation and any(registry_layout.has_role(registry, key, role) for role in roles):
            return Author(organisation, key)
    return None


def subject(args: Sequence[object] | Mapping[str, object]) -> tuple[str, str | None]:
    """The name and the source, if any, in the arguments of a call of the platform's contract."""
    named = args if isinstance(args, Mapping) else dict(zip(METHODS["deploy"], args, strict=False))
    name, source = named.get("name"), named.get("source")
    return str(name), source if isinstance(source, str) else None


def in_force(get: Get, name: str, height: int) -> Deployed | None:
    """The version of `name` in force at `height`, whatever its status; None if there is none."""
    if not could_be(name):
        return None
    entry = get(name)
    if not isinstance(entry, dict):
        return None
    for version in reversed(entry["versions"]):
        if version["from"] <= height:
            return Deployed(
                version["number"], version["source"], version["dialect"], entry["status"]
            )
    return None


def new_version(
    number: int, from_height: int, source_hash: bytes, weight: int
) -> dict[str, object]:
    return {
        "number": number,
        "from": from_height,
        "source": source_hash,
        "dialect": DIALECT,
        "weight": weight,
    }


def version_change(
    action: str,
    version: dict[str, object],
    height: int,
    organisation: str | None,
    key: str | None,
) -> dict[str, object]:
    """The history's word of a version declared at `height`; `key` is hex."""
    return {
        "action": action,
        "height": height,
        "organisation": organisation,
        "key": key,
        "version": version["number"],
        "from": version["from"],
        "source": version["source"],
        "dialect": version["dialect"],
    }


def seed_entries(sources: Iterable[tuple[str, str]]) -> list[tuple[str, str, object]]:
    """Genesis entries (contract, key, value) that deploy each (name, source) from height 0 on."""
    entries: list[tuple[str, str, object]] = []
    for name, source in sources:
        digest = source_hash(source)
        version = new_version(1, 0, digest, 0)
        change = version_change("deployed", version, 0, None, None)
        entry = {"status": ACTIVE, "owner": None, "changes": 1, "versions": [version]}
        entries.append((CONTRACT, name, entry))
        entries.append((CONTRACT, history_key(name, 0), change))
        entries.append((CONTRACT, source_key(digest), source))
    return entries
