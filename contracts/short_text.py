"""Values as short texts, at a price that does not grow with the value.

For whoever watches a contract's locals line by line: a list of ten thousand items is looked at as
quickly as one of three. Python's notation, cut with an ellipsis.
"""

from __future__ import annotations

from itertools import islice
from types import MappingProxyType
from typing import Final

CHARACTERS_MAX: Final = 80
ITEMS_MAX: Final = 6
DEPTH_MAX: Final = 3


def short_text(value: object, depth: int = DEPTH_MAX) -> str:
    """`value` in one line: `CHARACTERS_MAX` of a string, `ITEMS_MAX` items of a container."""
    if isinstance(value, str | bytes):
        return repr(value[:CHARACTERS_MAX]) + ("…" if len(value) > CHARACTERS_MAX else "")
    if isinstance(value, list | tuple):
        items = [short_text(item, depth - 1) for item in value[: ITEMS_MAX if depth > 0 else 0]]
        opening, closing = "[]" if isinstance(value, list) else "()"
    elif isinstance(value, dict | MappingProxyType):
        pairs = islice(value.items(), ITEMS_MAX if depth > 0 else 0)
        items = [f"{short_text(name)}: {short_text(item, depth - 1)}" for name, item in pairs]
        opening, closing = "{}"
    else:
        return repr(value)
    rest = ["…"] if len(value) > len(items) else []
    return opening + ", ".join(items + rest) + closing
