"""Every cap of the dialect, each with its reason.

Theory: gas bounds the sum of the work, these bound a single step of it, so that no one operation
can run or allocate far before its charge is seen. Left out: what a transaction or block may hold
(consensus) and what the state may hold (the host).
"""

from __future__ import annotations

from typing import Final

SOURCE_BYTES_MAX: Final = 61_440
"""A source is stored as one string value; 60 KB leaves room for the record around it."""

BRACKET_DEPTH_MAX: Final = 24
"""CPython's own limit is 200, but its parser backtracks on wrong input; nobody nests by 24."""

EXPRESSION_DEPTH_MAX: Final = 100
"""Operators and brackets that can stack in one tree: far below the recursion limits of the
parsers, compilers and visitors of every interpreter, which differ."""

INDENT_DEPTH_MAX: Final = 16
"""Blocks in blocks; CPython allows 20 loops in loops and 100 indents."""

ELIF_MAX: Final = 40
"""`elif` nests in the syntax tree: the same reason as `EXPRESSION_DEPTH_MAX`."""

SYNTAX_NODES_MAX: Final = 8_000
"""Statements and expressions of a contract: 60 KB of ordinary code have about 6,000, the densest
have ten times that. Each becomes up to eighteen nodes of lowered code, so this bounds what
compiling takes: without it, 60 KB of comprehensions needed more memory than a worker has."""

NUMBER_CHARACTERS_MAX: Final = 100
"""An integer literal of 256 bits has 78 digits; longer ones cost the parser quadratic time."""

FUNCTIONS_MAX: Final = 256
PARAMETERS_MAX: Final = 16
CALL_DEPTH_MAX: Final = 32
"""Frames of one contract; eight contracts calling each other stay well below 1,000 frames."""

REFUSALS_MAX: Final = 50
"""More help nobody; keeps the answer to a hostile source small."""

INTEGER_BITS: Final = 256
"""While computing: hashes and products of two 64-bit amounts fit."""

INTEGER_MAX: Final = 2**INTEGER_BITS - 1
STORED_INTEGER_MIN: Final = -(2**63)
STORED_INTEGER_MAX: Final = 2**63 - 1
"""In arguments, state, events and results: what canonical bytes hold."""

KEY_INTEGER_MAX: Final = 2**63 - 1
"""Integer keys of dicts: CPython hashes modulo 2^61 - 1, so wider keys could all collide."""

RANGE_MAX: Final = 2**62 - 1
"""Bounds of a range: the length of any range then fits a machine word."""

STRING_MAX: Final = 65_536
"""Characters of a string or bytes while computing; bytes of its UTF-8 form once stored."""

LIST_MAX: Final = 10_000
DICT_MAX: Final = 10_000
VALUE_DEPTH_MAX: Final = 24
"""Containers in containers. Canonical bytes hold 32, and up to five stand around a value: those of
a transaction, of a worker's answer by columns, of a receipt's leaf."""

VALUE_NODES_MAX: Final = 20_000
"""Nodes of one argument, result, stored value or event."""

VALUE_CHARACTERS_MAX: Final = 1 << 20
"""Characters in the long strings of one such value: far above what may be stored or returned, far
below what memory holds when it is written out."""

CODE_CHARACTERS_MAX: Final = 64
"""Characters of the code of `require`: codes are for programs, texts belong to clients."""
