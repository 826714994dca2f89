"""Gas: the meter and the price list.

Theory: one gas stands for about 20 ns of the slowest interpreter we support. Each basic block of
a contract charges the sum of its nodes once, on entry, before any of it runs (`lower.py`). What
depends on sizes is charged by the guard that does the work, before it does it. Both read only the
syntax tree and the values, so the gas of a call is the same on every interpreter.

`tests/benchmarks/dialect_gas.py` measures nanoseconds per gas of every guard at its worst input.

Left out: how a transaction's gas is shared among its calls (the runner does that).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from contracts.dialect.errors import OutOfGas

Cell: TypeAlias = list[int]
"""A one-element list holding the gas that is left: the cheapest thing that compiled code, the
guards and the host can share."""


class Meter:
    """Gas of one call. `cell` stays the same object for the life of the meter."""

    __slots__ = ("cell", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.cell: Cell = [limit]

    @property
    def used(self) -> int:
        """Gas used so far; all of the limit once it ran out."""
        return min(self.limit, self.limit - self.cell[0])

    @property
    def left(self) -> int:
        """Gas left; 0 once it ran out."""
        return max(0, self.cell[0])

    def charge(self, amount: int) -> None:
        """Take `amount` gas. Raises OutOfGas."""
        self.cell[0] -= amount
        if self.cell[0] < 0:
            raise OutOfGas

    def reset(self, limit: int) -> None:
        """Begin another call with `limit` gas; instances of this meter stay valid."""
        self.limit = limit
        self.cell[0] = limit


def charge(cell: Cell, amount: int) -> None:
    """`Meter.charge` for guards, which hold the cell only."""
    cell[0] -= amount
    if cell[0] < 0:
        raise OutOfGas


def exhausted() -> None:
    """What compiled code calls when a block's charge went below zero."""
    raise OutOfGas


# The syntax tree: charged per basic block.
BLOCK: Final = 2
"""Entering a basic block: the charge itself."""
NODE: Final = 1
"""Any expression or statement that has no price of its own."""
OPERATOR: Final = 3
"""An arithmetic operator or a comparison that goes through a guard."""
SUBSCRIPT: Final = 3
BUILTIN: Final = 4
METHOD: Final = 5
CALL: Final = 6
"""A call of the contract's own function, a comprehension included."""
COLLECT: Final = 3
"""One item collected by a comprehension."""
ITERATE: Final = 2
"""One turn of a loop, and its start."""

# Sizes: charged by the guards. A shift by n prices 2**n units at 1 gas.
CHARACTERS_SHIFT: Final = 6
"""64 characters written: bounds time, and memory at 4 bytes a character."""
SHORT: Final = 1 << CHARACTERS_SHIFT
"""Shorter strings cost what a node costs, and their lengths need no sum."""
COMPARED_SHIFT: Final = 8
"""256 characters compared or hashed."""
READ_SHIFT: Final = 4
"""16 characters searched through, or counted."""
ENCODED_SHIFT: Final = 3
"""8 characters beyond ASCII encoded to UTF-8 or decoded."""
STRIPPED_SHIFT: Final = 2
"""4 comparisons of a character with those to strip."""
COMPARISON: Final = 6
"""One item compared by `min`, `max` or a sort, beside its size."""
SEARCH_SHIFT: Final = 9
"""Character times character of a search at its worst (512)."""
ITEMS_SHIFT: Final = 2
"""4 items of a list copied or read."""
MOVED_SHIFT: Final = 6
"""64 items moved within a list."""
PIECE: Final = 1
"""One new short string cut from another."""
ENTRY: Final = 2
"""One entry of a dict copied or built."""
VALUE_NODE: Final = 4
"""One node of a value that is copied, checked or compared in depth."""
SORT_SHIFT: Final = 2
"""4 comparisons of a sort, by size compared."""

# Compiling, paid by whoever deploys: by the source, then by what it is lowered to.
COMPILED_BYTE: Final = 16
"""One byte of source scanned, parsed and checked: 60 KB cost half a transaction's gas."""
LOWERED: Final = 90
"""One statement or expression lowered to six nodes at most, and these assembled."""
LOWERED_BLOCK: Final = 315
"""The charge in front of a block: 21 nodes."""
LOWERED_FUNCTION: Final = 90
LOWERED_COMPREHENSION: Final = 450
"""A function of its own with its loops, blocks aside: 30 nodes."""

# The host: base price of each function; the host itself charges what grows with its work.
HOST: Final[Mapping[str, int]] = {
    "get": 20,
    "put": 50,
    "delete": 30,
    "keys": 30,
    "emit": 40,
    "sender": 5,
    "signers": 10,
    "organisation": 8,
    "has_role": 20,
    "now": 4,
    "height": 4,
    "call": 100,
    "sha256": 20,
    "uscc_valid": 15,
    "mod_37_36_valid": 15,
    "licence_id_valid": 15,
    "date_valid": 15,
    "date": 15,
    "require": 4,
}
STATE_BYTES_SHIFT: Final = 4
"""16 bytes of canonical value read or written by the host."""
KEY_LISTED: Final = 6
"""One key returned by `keys`."""
HASHED_SHIFT: Final = 5
"""32 bytes hashed."""
