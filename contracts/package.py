"""A contract in one file, to hand over and to deploy: `NAME.qcontract`.

The canonical map {"dialect", "format", "interface", "name", "source", "source_hash"}. The same
source and name give the same bytes everywhere, so two people can compare packages by their hashes,
and the source's hash with what is deployed. Reading one believes none of it: the hash and the
interface are worked out again from the source.

Left out: signatures. Who deploys signs the transaction, and the chain keeps who it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contracts import deployment_layout
from contracts.dialect import Compiled, CompileRefused, compile_source
from contracts.interface import interface
from ledger import canonical
from ledger.errors import InvalidInput

FORMAT: Final = "qiong-contract/1"

SIZE_MAX: Final = 1 << 20
"""Largest file read; the source has 60 KB at most, and its interface is not much longer."""

FIRST_BYTES: Final = range(0x80, 0xC0)
"""With one of these begins a package, being a map of few keys, and no text in UTF-8 at all."""


class BadPackage(InvalidInput):
    """A file is no package, or it says what its source does not bear out."""

    code = "bad_package"
    hint = "make it anew from the source: `qiong contract package FILE -o NAME.qcontract`"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"no contract package: {reason}")


@dataclass(frozen=True)
class Package:
    """A source that compiles, and the name it is meant for."""

    name: str
    source: str
    compiled: Compiled

    @classmethod
    def of(cls, name: str, source: str) -> Package:
        """Raises `BadPackage` for a name no contract can have, `CompileRefused`."""
        if not deployment_layout.name_allowed(name):
            raise BadPackage(f"{name[:80]!r} cannot name a contract")
        return cls(name, source, compile_source(source))

    @property
    def source_hash(self) -> bytes:
        return deployment_layout.source_hash(self.source)

    def encode(self) -> bytes:
        return canonical.encode(
            {
                "dialect": deployment_layout.DIALECT,
                "format": FORMAT,
                "interface": interface(self.compiled),
                "name": self.name,
                "source": self.source,
                "source_hash": self.source_hash,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Package:
        """Read a package and check everything it says. Raises `BadPackage`, `DecodingError`."""
        value = canonical.decode(data)
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise BadPackage(f"its format is not {FORMAT}")
        name, source = value.get("name"), value.get("source")
        if not isinstance(name, str) or not isinstance(source, str):
            raise BadPackage("it lacks a name or a source")
        try:
            package = cls.of(name, source)
        except CompileRefused:
            raise BadPackage("its source is no contract of this dialect") from None
        if package.encode() != data:
            raise BadPackage("its hash, dialect or interface is not that of its source")
        return package


def is_package(data: bytes) -> bool:
    """Whether the bytes are a package rather than a source text, by their beginning."""
    return bool(data) and data[0] in FIRST_BYTES
