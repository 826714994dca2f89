"""Hypothesis strategies for the arguments of a method, read from its annotations.

Theory: annotations are the interface, so they say which values can reach the code at all; whatever
else is refused at the boundary. A strategy draws from all of these, edges included: a test that
passes says something about every caller, not about the polite ones.

Left out: values larger than a few hundred nodes. The caps have tests of their own, and a contract
meets them on its own account only where it loops.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from contracts.dialect import NO_DEFAULT, Alternative, Method, ValueType
from contracts.dialect.limits import STORED_INTEGER_MAX, STORED_INTEGER_MIN

_ITEMS_MAX: Final = 5
_LEAVES_MAX: Final = 10

_PLAIN: Final[Mapping[str, SearchStrategy[Any]]] = {
    "None": st.none(),
    "bool": st.booleans(),
    "int": st.integers(STORED_INTEGER_MIN, STORED_INTEGER_MAX),
    "str": st.text(),
    "bytes": st.binary(),
}


def arguments(
    method: Method, replaced: Mapping[str, SearchStrategy[Any]]
) -> SearchStrategy[tuple[Any, ...]]:
    """Positional arguments of `method`. Raises `LookupError` for a parameter it does not have."""
    names = [parameter.name for parameter in method.parameters]
    for name in replaced:
        if name not in names:
            raise LookupError(f"{method.name} has no parameter {name}; it has {', '.join(names)}")
    drawn: list[SearchStrategy[Any]] = []
    for parameter in method.parameters:
        strategy = replaced.get(parameter.name)
        if strategy is None:
            strategy = values(parameter.type)
            if parameter.default is not NO_DEFAULT:
                strategy = st.just(parameter.default) | strategy
        drawn.append(strategy)
    return st.tuples(*drawn)


@lru_cache(256)
def values(expected: ValueType) -> SearchStrategy[Any]:
    """Every value that the annotation `expected` takes."""
    if not expected.alternatives:
        return _anything()
    return st.one_of(*map(_alternative, expected.alternatives))


def _alternative(alternative: Alternative) -> SearchStrategy[Any]:
    if alternative.name == "list":
        item = values(alternative.inside[0]) if alternative.inside else _anything()
        return st.lists(item, max_size=_ITEMS_MAX)
    if alternative.name == "dict":
        item = values(alternative.inside[1]) if alternative.inside else _anything()
        return st.dictionaries(st.text(), item, max_size=_ITEMS_MAX)
    return _PLAIN[alternative.name]


@lru_cache(1)
def _anything() -> SearchStrategy[Any]:
    plain = st.one_of(*_PLAIN.values())
    nested = st.recursive(
        plain,
        lambda inner: (
            st.lists(inner, max_size=_ITEMS_MAX)
            | st.dictionaries(st.text(), inner, max_size=_ITEMS_MAX)
        ),
        max_leaves=_LEAVES_MAX,
    )
    # Recursion alone would draw hardly any plain values.
    return st.one_of(*_PLAIN.values(), nested)
