"""Strategies from annotations: they draw what the boundary takes, and all kinds of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from contracts.testing import Chain, parse
from contracts.testing.lab import Lab

TYPES = parse(
    """LEAST = 3


@call
def plain(a: int, b: str, c: bytes, d: bool, e: None) -> None:
    return None


@call
def nested(a: list[int], b: dict[str, list[str]], c: list, d: dict, e: int | str | None) -> None:
    return None


@call
def loose(a, b: int = LEAST) -> None:
    return None
"""
)


LAB = Lab()


@pytest.mark.parametrize("method", ["plain", "nested", "loose"])
@given(data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_every_argument_passes_the_boundary(method, data) -> None:
    args = data.draw(TYPES.strategy(method))
    receipt = Chain(LAB).deploy(TYPES).attempt(method, *args)
    assert receipt.ok, receipt


def drawn(strategy: SearchStrategy[Any], count: int = 60) -> list[Any]:
    """Many values of `strategy`, the same in every run."""
    seen: list[Any] = []

    @settings(max_examples=count, derandomize=True, database=None)
    @given(strategy)
    def draw(value: Any) -> None:
        seen.append(value)

    draw()
    return seen


def test_the_edges_are_drawn_too() -> None:
    integers = [args[0] for args in drawn(TYPES.strategy("plain"), 300)]
    assert max(integers) > 2**62
    assert min(integers) < -(2**62)
    assert {type(args[4]) for args in drawn(TYPES.strategy("nested"))} == {int, str, type(None)}
    loose = drawn(TYPES.strategy("loose"), 150)
    assert any(b == 3 for _, b in loose)
    assert {type(a) for a, _ in loose} == {type(None), bool, int, str, bytes, list, dict}


def test_a_parameter_can_have_a_strategy_of_its_own() -> None:
    assert {args[0] for args in drawn(TYPES.strategy("plain", a=st.just(7)))} == {7}
    with pytest.raises(LookupError, match="plain has no parameter z; it has a, b, c, d, e"):
        TYPES.strategy("plain", z=st.just(7))
    with pytest.raises(LookupError, match="main has no method gone; it has plain, nested, loose"):
        TYPES.strategy("gone")
