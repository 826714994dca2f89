"""Where deployed contracts live: the key layout of the reserved name space `contracts`.

    <name>               {"status", "versions": [{"from": height, "source": SHA-256, "dialect"}...]}
    source/<hash hex>    the source text

An upgrade appends a version and names the height at which it starts, so every older block replays
with the source it ran. The compiled form is derived, never stored. Standard library only: the
worker reads this layout, the genesis builder and the node write it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

CONTRACT: Final = "contracts"

RESERVED: Final = (CONTRACT, "consensus", "governance")
"""Name spaces of the platform: no contract can bear such a name, so none can write there."""

ACTIVE: Final = "active"
DIALECT: Final = 1

Get = Callable[[str], object]
"""The decoded value under a key of `contracts`, None where there is none."""


class Deployed(NamedTuple):
    """The version of a contract in force at some height."""

    source_hash: bytes
    dialect: int


def source_key(source_hash: bytes) -> str:
    return "source/" + source_hash.hex()


def source_hash(source: str) -> bytes:
    return hashlib.sha256(source.encode()).digest()


def in_force(get: Get, name: str, height: int) -> Deployed | None:
    """The version of `name` that runs at `height`; None if there is none or it is not active."""
    if name in RESERVED:
        return None
    entry = get(name)
    if not isinstance(entry, dict) or entry["status"] != ACTIVE:
        return None
    for version in reversed(entry["versions"]):
        if version["from"] <= height:
            return Deployed(version["source"], version["dialect"])
    return None


def seed_entries(sources: Iterable[tuple[str, str]]) -> list[tuple[str, str, object]]:
    """Genesis entries (contract, key, value) that deploy each (name, source) from height 0 on."""
    entries: list[tuple[str, str, object]] = []
    for name, source in sources:
        digest = source_hash(source)
        version = {"from": 0, "source": digest, "dialect": DIALECT}
        entries.append((CONTRACT, name, {"status": ACTIVE, "versions": [version]}))
        entries.append((CONTRACT, source_key(digest), source))
    return entries
