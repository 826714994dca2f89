"""The library contracts shipped with Qiong, as source text.

They are package data in the dialect, never imported: genesis deploys them like any other contract.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

from contracts import deployment_layout

LIBRARY: Final = ("registry", "licence", "credit")


def source(name: str) -> str:
    """Source text of the library contract `name`. Raises `FileNotFoundError` for another name."""
    return resources.files("contracts").joinpath("library", f"{name}.py").read_text("utf-8")


def seed_entries() -> list[tuple[str, str, object]]:
    """Genesis entries that deploy the whole library from height 0 on."""
    return deployment_layout.seed_entries((name, source(name)) for name in LIBRARY)
