"""Annotations as the contract's binary interface.

Theory: an annotation is a union of the value types `None bool int str bytes list dict`, where
`list[T]` and `dict[str, T]` say what is inside. The arguments of a method are checked against it
before its code runs, and the result after; inside the contract annotations are for the reader.
`bool` is not an `int` here, though it is one in Python: at the boundary the two have different
bytes.

Left out: literal types, named records. A parameter without annotation takes any value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

TYPE_NAMES: Final = ("None", "bool", "int", "str", "bytes", "list", "dict")
"""The types an annotation may name. `tuple` is taken too, inside the contract only."""

_PYTHON_TYPES: Mapping[str, type] = {
    "None": type(None),
    "bool": bool,
    "int": int,
    "str": str,
    "bytes": bytes,
    "list": list,
    "dict": dict,
    "tuple": tuple,
}


@dataclass(frozen=True)
class Alternative:
    """One member of a union: a type name and, for `list[T]` and `dict[K, V]`, what is inside."""

    name: str
    inside: tuple[ValueType, ...] = ()

    def __str__(self) -> str:
        if not self.inside:
            return self.name
        return f"{self.name}[{', '.join(str(item) for item in self.inside)}]"

    def accepts(self, value: object) -> bool:
        """True if `value` is of this type, all the way down."""
        if type(value) is not _PYTHON_TYPES[self.name]:
            return False
        if not self.inside:
            return True
        if type(value) is list:
            return all(map(self.inside[0].accepts, value))
        if type(value) is dict:
            key, item = self.inside
            return all(map(key.accepts, value)) and all(map(item.accepts, value.values()))
        return True


@dataclass(frozen=True)
class ValueType:
    """A union of alternatives; none at all means any value."""

    alternatives: tuple[Alternative, ...] = ()

    def __str__(self) -> str:
        return " | ".join(str(alternative) for alternative in self.alternatives) or "any"

    def accepts(self, value: object) -> bool:
        """True if some alternative takes `value`."""
        if not self.alternatives or type(value) in self.plain:
            return True
        return any(item.accepts(value) for item in self.alternatives if item.inside)

    @cached_property
    def plain(self) -> frozenset[type]:
        """The Python types of which any value is taken."""
        return frozenset(_PYTHON_TYPES[item.name] for item in self.alternatives if not item.inside)


ANY: Final = ValueType()


class NoDefault:
    """Marks a parameter that must be given."""


NO_DEFAULT: Final = NoDefault()


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method; `default` is `NO_DEFAULT` if it must be given."""

    name: str
    type: ValueType = ANY
    default: object = NO_DEFAULT


@dataclass(frozen=True)
class Method:
    """What a contract offers: `call` changes state in a transaction, `view` only reads."""

    name: str
    kind: Literal["call", "view"]
    parameters: tuple[Parameter, ...]
    returns: ValueType = ANY

    def __str__(self) -> str:
        parameters = ", ".join(
            f"{item.name}: {item.type}"
            + ("" if item.default is NO_DEFAULT else f" = {item.default!r}")
            for item in self.parameters
        )
        return f"{self.kind} {self.name}({parameters}) -> {self.returns}"
