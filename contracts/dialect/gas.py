"""Gas: the meter and the price list.

Theory: one gas stands for about 50 ns of a processor that is not the newest. Each basic block of
a contract charges the sum of its nodes once, on entry, before any of it runs (`lower.py`). What
depends on sizes is charged by the guard that does the work, before it does it. Both read only the
syntax tree and the values, so the gas of a call is the same on every interpreter.

`qiong bench --contracts --calibrate` measures nanoseconds per gas of everything at its worst input.

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
        left = self.cell[0]
        return self.limit - left if left > 0 else self.limit

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


# The syntax tree: charged per basic block, in ticks. The sum of a block is rounded up to gas.
TICKS: Final = 4
"""Ticks of one gas."""
BLOCK: Final = 2
"""Entering a basic block: the charge itself."""
NODE: Final = 1
"""Any expression or statement that has no price of its own."""
OPERATOR: Final = 5
"""An arithmetic operator or a comparison that goes through a guard."""
HARD_OPERATOR: Final = 22
"""A power, a shift, `*=`."""
SUBSCRIPT: Final = 4
SLICE: Final = 28
BUILTIN: Final = 11
METHOD: Final = 6
CALL: Final = 6
"""A call of the contract's own function, a comprehension included."""
COLLECT: Final = 5
"""One item collected by a comprehension."""
ITERATE: Final = 2
"""One turn of a loop, and its start."""
DISPLAYED: Final = 2
"""A list or dict written out, and each entry of a dict."""
COMPUTED_KEY: Final = 11
"""One more for an entry whose key is no literal."""


def of_ticks(ticks: int) -> int:
    """The gas that `ticks` are, rounded up."""
    return -(-ticks // TICKS)


# Sizes: charged by the guards, in gas. A shift by n prices 2**n units at 1 gas.
CHARACTERS_SHIFT: Final = 6
"""64 characters written. A character takes up to 4 bytes, so all the gas of a call keeps 77 MB of
them at most: a worker has 256 (`tests/contracts/hostile/memory.txt`)."""
SHORT: Final = 256
"""Shorter strings cost what a node costs, and their lengths need no sum."""
COMPARED_SHIFT: Final = 10
"""1,024 characters compared or hashed."""
ORDERED_SHIFT: Final = 8
"""256 characters of which it is asked which string comes first."""
READ_SHIFT: Final = 5
"""32 characters searched through, counted or turned around."""
CLASSIFIED_SHIFT: Final = 7
"""128 characters looked at by `isalpha` and its like."""
ENCODED_SHIFT: Final = 5
"""32 characters beyond ASCII encoded to UTF-8 or decoded."""
STRIPPED_SHIFT: Final = 4
"""16 comparisons of a character with those to strip."""
DIGITS_SHIFT: Final = 3
"""8 digits of an integer read or written."""
COMPARISON: Final = 4
"""One item compared by `min`, `max` or a sort, beside its size."""
SEARCH_SHIFT: Final = 11
"""Character times character of a search at its worst (2,048)."""
ITEMS_SHIFT: Final = 3
"""8 items of a list copied as they are."""
EACH_SHIFT: Final = 2
"""4 items of a list looked at, or made."""
MOVED_SHIFT: Final = 8
"""256 items moved within a list."""
ENTRIES_SHIFT: Final = 1
"""2 entries of a dict copied or built, strings joined, integers added up."""
PIECE: Final = 1
"""One string cut out of another by `split` or `rsplit`."""
NUMBERED: Final = 1
"""One pair of `enumerate`: a tuple, its number and, of a string, a character of its own."""
VALUE_NODE: Final = 1
"""One node of a value that is copied and checked."""
CONTAINER_NODES: Final = 8
"""Nodes that a list or dict counts for, beside what it holds."""
COMPARED_NODE: Final = 2
"""One node of values compared in depth."""
SOUGHT: Final = 3
"""One item compared with a list or dict that is looked for."""
SORT_SHIFT: Final = 4
"""16 comparisons of a sort, by size compared."""

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
    "put": 30,
    "delete": 12,
    "keys": 20,
    "emit": 25,
    "sender": 4,
    "signers": 5,
    "organisation": 6,
    "has_role": 6,
    "now": 4,
    "height": 4,
    "call": 60,
    "sha256": 15,
    "uscc_valid": 15,
    "mod_37_36_valid": 10,
    "licence_id_valid": 35,
    "date_valid": 8,
    "date": 20,
    "require": 1,
}
STATE_BYTES_SHIFT: Final = 5
"""32 bytes of a value read from the state, beside its nodes."""
KEY_LISTED: Final = 6
"""One key returned by `keys`."""
HASHED_SHIFT: Final = 5
"""32 bytes hashed."""
CHECKED_SHIFT: Final = 1
"""2 symbols of a text that a check digit stands for."""
