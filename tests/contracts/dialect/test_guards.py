"""Every guard answers any values with a value or with an error that has a code."""

from __future__ import annotations

import itertools
from types import MappingProxyType
from typing import Any

import pytest

from contracts.dialect import Verdict
from contracts.dialect.errors import INTERPRETER_ERRORS
from contracts.dialect.guards import BINARY, COMPARISONS, GUARDS
from contracts.dialect.vocabulary import BUILTINS, METHODS, Word

TYPES = {
    type(None), bool, int, str, bytes, list, tuple, dict, MappingProxyType, range,
}  # fmt: skip


def values() -> list[Any]:
    """One value of each kind and at each edge, fresh."""
    itself: list[Any] = []
    itself.append(itself)
    return [
        None, True, 0, 3, -1, 2**70, -(2**70), 2**255, "", "ab,é", "1" * 200, b"", b"a\xff", [],
        [2, 1], ["b", "a"], [[1], None], itself, (), ("a", 1), {}, {"a": 1, 2: []},
        MappingProxyType({"a": 1}), range(3), range(2**62 - 1), [("k", 1)],
    ]  # fmt: skip


def _answers(name: str, *operands: Any) -> None:
    try:
        result = GUARDS[name]([100_000], *operands)
    except OverflowError:
        raise AssertionError((name, operands)) from None  # a limit should have come first
    except (*INTERPRETER_ERRORS, Verdict):
        return
    assert type(result) in TYPES, (name, operands)


WORDS = {**{f"{name}()": word for name, word in BUILTINS.items()}, **METHODS}


@pytest.mark.parametrize("name", WORDS)
def test_functions_and_methods(name: str) -> None:
    word: Word = WORDS[name]
    receivers = 0 if name.endswith("()") else 1
    for count in range(word.fewest + receivers, min(word.most, 3) + receivers + 1):
        pool = values() if count < 3 else values()[::3]
        for operands in itertools.product(range(len(pool)), repeat=count):
            fresh = values() if count < 3 else values()[::3]
            _answers(word.guard, *(fresh[index] for index in operands))


@pytest.mark.parametrize("name", [*BINARY.values(), *COMPARISONS.values(), "_get_item"])
def test_operators(name: str) -> None:
    for left, right in itertools.product(range(len(values())), repeat=2):
        fresh = values()
        _answers(name, fresh[left], fresh[right])


@pytest.mark.parametrize("name", ["_slice_items", "_set_item", "_in_place_add", "_delete_item"])
def test_guards_of_statements(name: str) -> None:
    count = {"_slice_items": 4, "_set_item": 3}.get(name, 2)
    step = 4 if count == 4 else 1 if count == 2 else 2
    for operands in itertools.product(range(len(values()[::step])), repeat=count):
        fresh = values()[::step]
        _answers(name, *(fresh[index] for index in operands))


@pytest.mark.parametrize("name", ["_invert", "_sequence", "_fstring", "_check_key", "_build_dict"])
def test_guards_of_one_value(name: str) -> None:
    for value in values():
        _answers(name, value)
