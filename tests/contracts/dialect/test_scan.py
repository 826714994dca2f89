"""The scan refuses what two parsers could read differently, at its place."""

from __future__ import annotations

import ast
import contextlib
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.dialect import compile_source, limits
from contracts.dialect.scan import scan


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("x = 'a\\d'", 1, 7),
        ("x = 1\n\ty", 2, 1),
        ("# 琼\nx = é", 2, 5),
        ("x = f'{a!r}'", 1, 9),
        ("x = f'{a:>3}'", 1, 9),
        ("x = f'{a=}'", 1, 9),
        ("x = 1.5e3", 1, 7),
        ("x = (1]", 1, 7),
        ("x = 'a", 1, 5),
        ("x = u'a'", 1, 5),
        ("x = '\\N{DASH}'", 1, 6),
    ],
)
def test_a_refusal_has_its_place(text: str, line: int, column: int) -> None:
    refusal = scan(text)[1][0]
    assert (refusal.line, refusal.column) == (line, column)


@pytest.mark.parametrize(
    "text",
    [
        "x = f\"{d['a']} {{b}} {a != b} {a == b} {f(x, y=1)} {a[1:2]} {'é'}\"",
        "x = 'é\\n\\t\\x41\\u0041\\0'  # 琼",
        'x = """a\n"b" \'c\'\n"""',
        "x = r'\\d' + rb'\\w'.decode()",
        "x = [\n    1,\n    2,\n]",
        "x = 'a' 'b'\r\ny = 2\r\n",
        "x = 0xff + 0b11 + 0o17 + 1_000",
        "x = '#' + 'a\\\nb'",
    ],
)
def test_ordinary_text_passes(text: str) -> None:
    text, refusals = scan(text)
    assert refusals == []
    ast.parse(text)


def test_the_size_is_bounded_in_bytes() -> None:
    room = limits.SOURCE_BYTES_MAX - 2
    assert scan("# " + "a" * room)[1] == []
    assert scan("# " + "a" * (room + 1))[1] != []
    assert scan("# " + "琼" * (room // 3 + 1))[1] != []


def test_half_a_surrogate_pair_has_its_place() -> None:
    (refusal,) = scan("x = 1\ny = '\ud800'")[1]
    assert (refusal.line, refusal.column) == (2, 6)


tokens = st.sampled_from(
    ["(", ")", "[", "]", "{", "}", "a", "1", ".", ",", ":", "+", "-", "not ", "if ", "else ", "in ",
     "'", '"', "f'", "f\"", "\\", "\n", "    ", "=", "!", "<", "#", "'''", "lambda ", "for ", "é"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(tokens, max_size=40).map("".join))
def test_what_passes_never_exhausts_the_parser(text: str) -> None:
    text, refusals = scan(text)
    if refusals:
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            ast.parse(text)
        except SyntaxError:
            return
    assert caught == []  # nothing that one parser warns of and a later one refuses


@pytest.mark.parametrize("piece", ["y ", "match ", "1 ", "y 1 ", "y() ", "f'' y ", "None ", "not "])
@pytest.mark.parametrize("before", ["", "x = ", "x = (", "def f(n):\n    "])
def test_values_in_a_row_stack(before: str, piece: str) -> None:
    """CPython goes down a level for each to tell what is wrong, and runs out of stack."""
    many = limits.SOURCE_BYTES_MAX // len(piece) - 10
    assert scan(before + piece * many)[1][0].what == "an expression this long"
    for count in range(1, 200):
        text, refusals = scan(before + piece * count)
        if not refusals:
            with contextlib.suppress(SyntaxError):
                ast.parse(text)


def _depth(node: ast.AST) -> int:
    return 1 + max(map(_depth, ast.iter_child_nodes(node)), default=0)


@pytest.mark.parametrize(
    "piece", ["-", "not ", "a + ", "(", "[", "a[", "f(", "a if b else ", "{1: "]
)
def test_depth_is_bounded_before_parsing(piece: str) -> None:
    closing = {"(": ")", "[": "]", "{": "}"}
    shut = "".join(closing.get(character, "") for character in piece)
    accepted = 0
    for count in range(1, 300):
        text, refusals = scan("x = " + piece * count + "a" + shut * count)
        if not refusals:
            accepted = count
            assert _depth(ast.parse(text)) < 220
    assert 5 < accepted < 120


def test_the_deepest_source_leaves_room_on_the_stack() -> None:
    """RecursionError is never a verdict, so no source that passes may come near to it."""
    chain = "".join(f"    elif n == {i}:\n        n\n" for i in range(limits.ELIF_MAX - 1))
    blocks = "".join("    " * (i + 2) + "if n:\n" for i in range(limits.INDENT_DEPTH_MAX - 2))
    deepest = "    " * limits.INDENT_DEPTH_MAX + "n = " + " + ".join(["n"] * 98) + "\n"
    source = f"@call\ndef main(n):\n    if n:\n        n\n{chain}    else:\n{blocks}{deepest}"

    def below(frames: int) -> None:
        if frames:
            below(frames - 1)
        else:
            compile_source(source)

    below(200)
