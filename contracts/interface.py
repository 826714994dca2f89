"""What a contract offers, as data, and how two of its versions differ.

The annotations of methods are the interface (`contracts.dialect.abi`). It is derived from the
source, here as on every validator; a package carries it for eyes and tools that have no compiler.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, cast

from contracts.dialect import NO_DEFAULT, Compiled, Method, Parameter
from ledger import canonical

ADDED: Final = "added"
REMOVED: Final = "removed"
CHANGED: Final = "changed"


class Difference(NamedTuple):
    """One method that differs, as it reads before and after; empty where it is not there."""

    kind: Literal["added", "removed", "changed"]
    before: str
    after: str

    @property
    def breaking(self) -> bool:
        """Whether who called the method before may have to call it otherwise."""
        return self.kind != ADDED

    def __str__(self) -> str:
        if self.kind == CHANGED:
            return f"changed  {self.before}\n     to  {self.after}"
        return f"{self.kind:8} {self.before or self.after}"


def interface(compiled: Compiled) -> dict[str, canonical.Value]:
    """Methods in the order of the source, fields that can be searched, and whether an upgrade to
    this source migrates."""
    return {
        "methods": [_method(method) for method in compiled.methods.values()],
        "index": list(compiled.index),
        "migrates": compiled.migrates,
    }


def difference(before: Compiled, after: Compiled) -> list[Difference]:
    """The methods that are not the same, removed and changed ones first."""
    old = {name: str(method) for name, method in before.methods.items()}
    new = {name: str(method) for name, method in after.methods.items()}
    changed = [
        Difference(CHANGED, text, new[name])
        for name, text in old.items()
        if name in new and new[name] != text
    ]
    removed = [Difference(REMOVED, text, "") for name, text in old.items() if name not in new]
    added = [Difference(ADDED, "", text) for name, text in new.items() if name not in old]
    return [*removed, *changed, *added]


def _method(method: Method) -> dict[str, canonical.Value]:
    return {
        "name": method.name,
        "kind": method.kind,
        "parameters": [_parameter(parameter) for parameter in method.parameters],
        "returns": str(method.returns),
    }


def _parameter(parameter: Parameter) -> dict[str, canonical.Value]:
    described: dict[str, canonical.Value] = {
        "name": parameter.name,
        "type": str(parameter.type),
    }
    if parameter.default is not NO_DEFAULT:
        described["default"] = cast(canonical.Value, parameter.default)
    return described
