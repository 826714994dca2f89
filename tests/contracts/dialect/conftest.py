"""Shared set-up: a compiled contract bound to a host of plain dicts."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from contracts.dialect import Instance, Meter, compile_source, instantiate

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def verdicts() -> ModuleType:
    """The script that other interpreters run too."""
    spec = importlib.util.spec_from_file_location("dialect_verdicts", HERE / "verdicts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def instance(verdicts: ModuleType) -> Callable[..., Instance]:
    """`instance(source, gas=300_000, **host)`: ready to invoke."""

    def build(source: str, gas: int = 300_000, **host: Callable[..., Any]) -> Instance:
        functions = {**verdicts.plain_host(), **host}
        return instantiate(compile_source(source), functions, Meter(gas))

    return build


@pytest.fixture
def run(instance: Callable[..., Instance]) -> Callable[..., Any]:
    """`run(body, *args, before="")`: what `def main(a, b, c)` with this body returns."""

    def call(body: str, *args: object, before: str = "") -> Any:
        parameters = ", ".join("abc"[: len(args)])
        lines = "\n    ".join(body.split("\n"))
        source = f"{before}\n@call\ndef main({parameters}):\n    {lines}\n"
        return instance(source).invoke("main", list(args))

    return call
