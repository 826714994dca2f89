"""What compiling a contract gives: code, methods, constants, index fields.

Left out: how it is made (`compiler.py`) and how it runs (`instance.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import CodeType

from contracts.dialect.abi import Method


@dataclass(frozen=True)
class Compiled:
    """A compiled contract. Derived from the source alone: never hashed, stored or sent.

    `code` defines the contract's functions when run in a namespace of guards; `constants` are its
    module constants as immutable values; `index` names the fields declared by `INDEX = (...)`;
    `migrates` says whether there is a `migrate()` for an upgrade to run.
    """

    code: CodeType
    methods: Mapping[str, Method]
    constants: Mapping[str, object]
    index: tuple[str, ...]
    migrates: bool
