"""The linter of the dialect: what the compiler refuses, shown with the line it stands in.

Theory: there is no second opinion. A source without refusals compiles; one with refusals shows
each as line, column, what was refused and what to write instead.

Left out: advice that is no refusal; terminal colours (the command line adds them).
"""

from __future__ import annotations

from collections.abc import Sequence

from contracts.dialect import CompileRefused, Refusal, compile_source


def lint_source(text: str) -> list[Refusal]:
    """Every refusal of `text`, in the order of the text; none if it compiles."""
    try:
        compile_source(text)
    except CompileRefused as refused:
        return list(refused.refusals)
    return []


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
        stripped = line.lstrip(" ")
        if stripped and len(line) <= 200:
            mark = " " * max(0, refusal.column - 1 - (len(line) - len(stripped)))
            shown.append(f"    {stripped}")
            shown.append(f"    {mark}^ {refusal.instead}".rstrip())
        elif refusal.instead:
            shown.append(f"    {refusal.instead}")
    return "\n".join(shown)
