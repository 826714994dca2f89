"""Everything the core knows as plain values, and back: for traces.

One rule for all of it. None, booleans, integers, strings and bytes stand for themselves; anything
else is a list whose first item says what it is: a tuple, a list, a dict in its order, a member of
an enumeration, or an object of one of the classes listed here with its fields in their order. A
signed message is its own bytes, and reading it verifies it again, so `Signed` keeps its meaning.

This is the form of a diagnosis, not of the wire: it follows the classes and changes with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from types import ModuleType
from typing import Any, Final

from consensus import config, effects, events, log, messages, records, safety, state, verifier
from consensus.verifier import Signed
from ledger import canonical
from ledger.block import Body
from ledger.certificate import Certificate
from ledger.errors import FieldError
from ledger.validators import Validator, ValidatorSet

_TUPLE: Final = "tuple"
_LIST: Final = "list"
_DICT: Final = "dict"
_SIGNED: Final = "signed"


def to_plain(value: object) -> canonical.Value:
    """`value` as canonical values. Raises `FieldError` for what is none of ours: a bug."""
    if value is None or isinstance(value, bool | int | str | bytes):
        return value
    if isinstance(value, Signed):
        return [_SIGNED, value.encode()]
    if isinstance(value, tuple):
        return [_TUPLE, *map(to_plain, value)]
    if isinstance(value, list):
        return [_LIST, *map(to_plain, value)]
    if isinstance(value, dict):
        return [_DICT, *([to_plain(key), to_plain(item)] for key, item in value.items())]
    name = type(value).__name__
    if _CLASSES.get(name) is not type(value):
        raise FieldError("trace", "a value of the core", value)
    if isinstance(value, Enum):
        return [name, value.name]
    return [name, *(to_plain(getattr(value, field)) for field in _FIELDS[name])]


def from_plain(value: object, read: Callable[[bytes], object]) -> Any:
    """What `to_plain` was given; `read` verifies a signed message.

    Raises `FieldError`, and what `read` raises.
    """
    if not isinstance(value, list):
        return value
    if not value or not isinstance(value[0], str):
        raise FieldError("trace", "a tagged list", value)
    tag, items = value[0], value[1:]
    if tag == _SIGNED and len(items) == 1 and isinstance(items[0], bytes):
        signed = read(items[0])
        if isinstance(signed, Signed):
            return signed
    if tag == _TUPLE:
        return tuple(from_plain(item, read) for item in items)
    if tag == _LIST:
        return [from_plain(item, read) for item in items]
    if tag == _DICT and all(isinstance(item, list) and len(item) == 2 for item in items):
        return {from_plain(key, read): from_plain(item, read) for key, item in items}
    kind = _CLASSES.get(tag)
    if kind is not None and issubclass(kind, Enum) and items and items[0] in kind.__members__:
        return kind[items[0]]
    if kind is None or issubclass(kind, Enum) or len(items) != len(_FIELDS[tag]):
        raise FieldError("trace", "a value of the core", tag)
    made = kind.__new__(kind)
    for field, item in zip(_FIELDS[tag], items, strict=True):
        # Past `__init__`: records, messages and the mutable parts of the state are made alike.
        object.__setattr__(made, field, from_plain(item, read))
    return made


def _of(module: ModuleType) -> Iterator[type]:
    """The dataclasses and enumerations that `module` defines."""
    for item in vars(module).values():
        ours = isinstance(item, type) and item.__module__ == module.__name__
        if ours and (is_dataclass(item) or issubclass(item, Enum)):
            yield item


_MODULES: Final = (config, effects, events, messages, records, safety, state)
_CLASSES: Final[dict[str, type]] = {
    kind.__name__: kind
    for kind in (
        *(kind for module in _MODULES for kind in _of(module)),
        Body,
        Certificate,
        Validator,
        ValidatorSet,
        verifier.Domain,
        log._Slot,
    )
}


def _fields_of(kind: type) -> tuple[str, ...]:
    if is_dataclass(kind):
        return tuple(field.name for field in fields(kind))
    return tuple(kind.__slots__) if hasattr(kind, "__slots__") else ()


_FIELDS: Final = {name: _fields_of(kind) for name, kind in _CLASSES.items()}
