"""The linter of the dialect: what the compiler refuses, shown with the line it stands in.

Theory: there is no second opinion. A source without refusals compiles; one with refusals shows
each as line, column, what was refused and what to write instead. Only for names that stand for
nothing the linter adds a guess of its own, from the words of the dialect and of the source.

Left out: advice that is no refusal; terminal colours (the command line adds them).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Final
from unicodedata import east_asian_width

from contracts.dialect import HOST_FUNCTIONS, CompileRefused, Refusal, compile_source
from contracts.dialect.vocabulary import BUILTINS, METHODS

LINE_SHOWN_MAX: Final = 200
"""Longer lines are data; the place says enough."""

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ALIKE: Final = 0.75
"""How much of two names must be the same for one to be the other misspelt."""


def lint_source(text: str) -> list[Refusal]:
    """Every refusal of `text`, in the order of the text; none if it compiles."""
    try:
        compile_source(text)
    except CompileRefused as refused:
        words = dict.fromkeys((*HOST_FUNCTIONS, *BUILTINS, *_WORD.findall(text)))
        return [_with_guess(refusal, words) for refusal in refused.refusals]
    return []


def _with_guess(refusal: Refusal, words: Iterable[str]) -> Refusal:
    """`refusal` with what an unknown name may have meant, unless there is advice already."""
    if not refusal.unknown or refusal.instead:
        return refusal
    known = METHODS if refusal.what.startswith("the unknown method") else words
    others = [word for word in known if word != refusal.unknown]
    found = get_close_matches(refusal.unknown, others, n=1, cutoff=_ALIKE)
    return replace(refusal, instead=f"did you mean `{found[0]}`?") if found else refusal


def render(refusals: Sequence[Refusal], text: str, path: str) -> str:
    """The refusals as a compiler would print them, each with its line and a mark below it.

    licence.py:3:12: a number with a fraction
        price = 1.5
                ^ count in the smallest unit, as an int
    """
    lines = text.replace("\r\n", "\n").split("\n")
    shown = []
    for refusal in refusals:
        shown.append(f"{path}:{refusal.line}:{refusal.column}: {refusal.what}")
        line = lines[refusal.line - 1] if refusal.line <= len(lines) else ""
        stripped = line.strip()
        if stripped and len(line) <= LINE_SHOWN_MAX:
            indent = len(line) - len(line.lstrip())
            mark = " " * _width(line[indent : refusal.column - 1])
            shown.append(f"    {stripped}")
            shown.append(f"    {mark}^ {refusal.instead}".rstrip())
        elif refusal.instead:
            shown.append(f"    {refusal.instead}")
    return "\n".join(shown)


def _width(text: str) -> int:
    """Columns of a terminal that `text` takes: Chinese characters take two."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
