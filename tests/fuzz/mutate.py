"""Mutations of contract texts: what a hostile author, a careless one and a broken disk would make.

Tokens are moved, doubled, replaced by words the dialect knows or must never know; lines and blocks
are repeated; two contracts are joined; characters come in that parsers treat each in their own way.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Final

from contracts.dialect import HOST_FUNCTIONS
from contracts.dialect.vocabulary import BUILTINS, METHODS

SIZE_MAX: Final = 70_000
"""A little more than the dialect takes."""

TOKEN: Final = re.compile(
    r"[A-Za-z_]\w*|\d+|'[^'\n]*'|\"[^\"\n]*\"|\*\*|//|<<|>>|[<>=!]=|[ \n]+|.", re.S
)

WORDS: Final = (
    *BUILTINS, *METHODS, *HOST_FUNCTIONS,
    "__class__", "__builtins__", "__import__", "__globals__", "_gas", "_add", "_exhausted",
    "_result", "_items", "_t1", "_host_put", "eval", "exec", "open", "getattr", "type", "super",
    "print", "object", "lambda", "yield", "await", "async", "try", "except", "finally", "raise",
    "class", "global", "nonlocal", "import", "from", "with", "match", "case", "type", "del",
    "pass", "return", "not", "and", "or", "is", "in", "if", "else", "elif", "for", "while",
    "break", "continue", "None", "True", "main", "n", "call", "view", "self", "format", "INDEX",
)  # fmt: skip
SYMBOLS: Final = (
    "(", ")", "[", "]", "{", "}", ".", ",", ":", ";", "=", ":=", "->", "*", "**", "@", "+", "-",
    "//", "%", "<<", "==", "!", "!=", "<", "~", "|", "\\", "#", "'", '"', "'''", 'f"', "b'", "rb'",
    "f'{n!r}'", "f'{n:>9}'", 'f"{n=}"', "'\\N{DASH}'", "'\\ud800'", "0x", "1_0", "1e9", "1j",
    "9" * 90, "2 ** 256", "10 ** 9", "'a' * 65536", "\n", "\n    ", "    ", "\t",
)  # fmt: skip
CHARACTERS: Final = (
    "\x00", "\r", "\f", "\x1a", "\ufeff", "\u202e", "\u2028", "\u00a0", "\u0301", "é", "ｎ", "ﬁ",
    "琼", "\U0001d427", "\x85", "²", "٣",
)  # fmt: skip

Mutation = Callable[[random.Random, str, Sequence[str]], str]


def mutated(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """`text` after one to six mutations; `others` give what is joined to it."""
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        text = rng.choice(MUTATIONS)(rng, text, others)[:SIZE_MAX]
    return text


def _tokens(rng: random.Random, text: str, _: Sequence[str]) -> str:
    tokens = TOKEN.findall(text) or [""]
    at, other = rng.randrange(len(tokens)), rng.randrange(len(tokens))
    match rng.randrange(5):
        case 0:
            del tokens[at]
        case 1:
            tokens.insert(at, tokens[other])
        case 2:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        case 3:
            tokens[at] = rng.choice(WORDS)
        case _:
            tokens.insert(at, rng.choice(SYMBOLS))
    return "".join(tokens)


def _replace_like(rng: random.Random, text: str, _: Sequence[str]) -> str:
    """A name for a name, an integer for an integer: most of these still compile."""
    found = list(re.finditer(r"\b[a-z]\w*\b|\b\d+\b", text))
    if not found:
        return text
    hole = rng.choice(found)
    numbers = ("0", "1", "64", "10001", "65536", "2 ** 63", "2 ** 256", "10 ** 12", "-1")
    like = numbers if hole[0].isdigit() else (*BUILTINS, *METHODS, *HOST_FUNCTIONS, "n", "i", "s")
    return text[: hole.start()] + rng.choice(like) + text[hole.end() :]


def _lines(rng: random.Random, text: str, _: Sequence[str]) -> str:
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines[at:at] = [lines[at]] * rng.choice((1, 3, 50))
        case 2:
            lines[at] = "    " + lines[at]
        case _:
            lines.insert(at, rng.choice(lines))
    return "\n".join(lines)


def _join(rng: random.Random, text: str, others: Sequence[str]) -> str:
    other = rng.choice(others)
    cut, start = rng.randrange(len(text) + 1), rng.randrange(len(other) + 1)
    return text[:cut] + other[start : start + rng.choice((5, 40, 4000))] + text[cut:]


def _character(rng: random.Random, text: str, _: Sequence[str]) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(CHARACTERS) + text[at + rng.randrange(2) :]


def _repeat(rng: random.Random, text: str, _: Sequence[str]) -> str:
    """One piece many times over: depth, length, and whatever is quadratic in either."""
    at = rng.randrange(len(text) + 1)
    piece = text[at : at + rng.choice((1, 2, 5, 12))]
    return text[:at] + piece * rng.choice((10, 30, 100, 3000)) + text[at:]


MUTATIONS: Final[tuple[Mutation, ...]] = (
    _tokens, _tokens, _tokens, _replace_like, _replace_like, _replace_like, _lines, _join,
    _character, _repeat,
)  # fmt: skip
