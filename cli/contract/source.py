"""Reading a contract's source from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cli.errors import Refused

SOURCE_BYTES_SHOWN_MAX: Final = 1 << 20
"""Largest file read; far above the longest source the dialect takes."""


def read_source(file: Path) -> str:
    """The text of `file`. Raises `Refused` if it is not UTF-8."""
    with file.open("rb") as opened:
        data = opened.read(SOURCE_BYTES_SHOWN_MAX + 1)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(f"{file} is not UTF-8 text", "a contract is Python source in UTF-8") from None
