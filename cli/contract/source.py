"""Reading contracts from files: sources and packages."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cli.errors import Refused
from contracts import package
from contracts.deployment_layout import name_allowed
from contracts.dialect import CompileRefused
from contracts.lint import lint_source, render
from contracts.package import Package

SOURCE_BYTES_SHOWN_MAX: Final = 1 << 20
"""Largest file read; far above the longest source the dialect takes."""

NO_CONTRACTS: Final = ("test_*.py", "*_test.py", "conftest.py", "setup.py")
"""Python files of a project that are no contracts."""


def read_source(file: Path) -> str:
    """The text of `file`. Raises `Refused` if it is not UTF-8."""
    return _text(file, _bytes(file))


def read_contract(place: Path, name: str | None = None) -> Package:
    """The contract in a source file, a package, or a project's folder, which compiles.

    Its name is `name`, else what the package says or what the file is called. Raises `Refused` with
    every refusal of the compiler, and `BadPackage`.
    """
    file = _only_contract(place) if place.is_dir() else place
    data = _bytes(file)
    if package.is_package(data):
        read = Package.decode(data)
        return read if name is None else Package.of(_name(name), read.source)
    source = _text(file, data)
    try:
        return Package.of(_name(name or file.stem), source)
    except CompileRefused:
        shown = render(lint_source(source), source, str(file))
        raise Refused(
            f"{file} is no contract of this dialect\n{shown}",
            "write what is said to the right of each mark",
        ) from None


def _name(name: str) -> str:
    if not name_allowed(name):
        hint = "--name NAME with small letters, digits, - and _, a letter first, and not reserved"
        raise Refused(f"{name[:80]!r} cannot name a contract", hint)
    return name


def _only_contract(folder: Path) -> Path:
    """The one contract of a project; where there are several, the one named like the folder."""
    others = {file for pattern in NO_CONTRACTS for file in folder.glob(pattern)}
    found = sorted(set(folder.glob("*.py")) - others)
    named = [file for file in found if file.stem == folder.resolve().name]
    if len(named or found) != 1:
        what = "several contracts" if found else "no contract"
        raise Refused(f"{folder} holds {what}", "name the file")
    return (named or found)[0]


def _bytes(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(SOURCE_BYTES_SHOWN_MAX + 1)


def _text(file: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(f"{file} is not UTF-8 text", "a contract is Python source in UTF-8") from None
