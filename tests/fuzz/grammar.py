"""Random contracts from a grammar: programs that compile, and mostly run for a while.

A production is a text with holes, `{i}` for an integer, `{s}` for a string and so on; one time in
`ODD` a hole is filled with something of another type. Every built-in, method, operator and host
function occurs, so that each guard meets values that its neighbours produce.

Left out: what the compiler refuses (`mutate.py` makes that).
"""

from __future__ import annotations

import random
import re
from typing import Final

ODD: Final = 25
DEPTH_MAX: Final = 4

INTEGERS: Final = (
    "0", "1", "2", "3", "7", "16", "63", "64", "255", "256", "1000", "9999", "10000", "10001",
    "65535", "65536", "65537", "(2 ** 61 - 1)", "(2 ** 62)", "(2 ** 63 - 1)", "(2 ** 63)",
    "(-(2 ** 63))", "(2 ** 255)", "(2 ** 256 - 1)", "(-1)", "(-7)", "n", "i", "j", "SMALL", "BIG",
)  # fmt: skip
STRINGS: Final = (
    "''", "'a'", "'ab'", "' a b '", "'a/1'", "'main'", "'other'", "'琼海'", "'ﬁ'", "'\\x00'",
    "'12'", "'-7'", "'K'", "'x' * 63", "'x' * 64", "'a' * 4096", "'é' * 9000", "s", "t", "NAME",
)  # fmt: skip

PRODUCTIONS: Final[dict[str, tuple[str, ...]]] = {
    "i": (
        "({i} + {i})", "({i} - {i})", "({i} * {i})", "({i} // {i})", "({i} % {i})", "({i} ** {i})",
        "({i} << {i})", "({i} >> {i})", "({i} & {i})", "({i} | {i})", "({i} ^ {i})", "(-{i})",
        "(~{i})", "len({c})", "sum({l})", "sum({l}, {i})", "min({l})", "max({i}, {i})", "abs({i})",
        "int({s})", "int({b})", "{c}.index({x})", "{c}.count({x})", "{s}.find({s})",
        "{s}.rfind({s}, {i}, {i})", "{l}[{i}]", "{d}.get({k}, {i})", "{y}[{i}]", "{l}.pop()",
        "{l}.pop({i})", "({i} if {b} else {i})", "now()", "height()", "helper({i})",
    ),
    "s": (
        "({s} + {s})", "({s} * {i})", "str({i})", "{s}[{i}]", "{s}[{i}:{i}]", "{s}[::{i}]",
        "{s}.upper()", "{s}.lower()", "{s}.strip()", "{s}.strip({s})", "{s}.lstrip({s})",
        "{s}.rstrip({s})", "{s}.join({l})", "{s}.join({s}.split({s}))", "{s}.replace({s}, {s})",
        "{s}.replace({s}, {s}, {i})", "{s}.removeprefix({s})", "{s}.removesuffix({s})",
        "{s}.zfill({i})", "{s}.ljust({i}, {s})", "{s}.rjust({i})", "{y}.decode()", "{y}.hex()",
        "f\"{{{p}}}-{{{p}}}\"", "sender()", "date({i})", "sha256({s})", "sha256({y})",
        "({s} if {b} else {s})", "min({s}, {s})",
    ),
    "b": (
        "({i} < {i})", "({x} == {x})", "({x} != {x})", "({s} <= {s})", "({l} > {l})",
        "({x} in {c})", "({x} not in {c})", "({b} and {b})", "({b} or {b})", "(not {x})",
        "({x} is None)", "({i} < {i} <= {i})", "any({l})", "all({l})", "bool({x})",
        "{s}.startswith({s})", "{s}.endswith({s})", "{s}.isdigit()", "{s}.isalnum()",
        "{s}.isspace()", "{s}.isascii()", "has_role({s})", "uscc_valid({s})",
        "mod_37_36_valid({s})",
    ),
    "l": (
        "[]", "[{x}, {x}]", "[{i}, {i}, {i}]", "({l} + {l})", "({l} * {i})", "{l}[{i}:{i}]",
        "{l}[::{i}]", "sorted({l})", "sorted({l}, reverse={b})", "list({c})", "list(range({i}))",
        "list(enumerate({l}, {i}))", "list(zip({l}, {c}))", "{s}.split({s})", "{s}.split()",
        "{s}.rsplit({s}, {i})", "[{x} for j in {c}]", "[{i} for j in range({i}) if {b}]",
        "[[j, q] for j in {l} for q in {l}]", "{d}.keys()", "{d}.values()", "{d}.items()",
        "{l}.copy()", "keys({s}, {i})", "signers()", "[{l}] * {i}",
    ),
    "d": (
        "{{}}", "{{{k}: {x}}}", "{{'a': {x}, 'b': {x}}}", "{{str(j): {x} for j in {l}}}",
        "{{{k}: {i} for j in range({i})}}", "dict({d})", "dict([({k}, {x})])", "{d}.copy()",
        "TABLE",
    ),
    "y": ("b''", "b'\\xff\\x00'", "{s}.encode()", "({y} + {y})", "({y} * {i})", "{y}[{i}:{i}]"),
    "k": ("{s}", "{s}", "{i}"),
    "c": ("{l}", "{s}", "{d}", "range({i})", "range({i}, {i}, {i})", "{y}", "({x}, {x})"),
    "p": ("n", "i", "s", "len(l)", "NAME", "d.get('a')", "str(n)", "i + n", "SMALL"),
    "x": (
        "{i}", "{s}", "{b}", "{l}", "{d}", "{y}", "None", "{d}[{k}]", "{l}[{i}]", "get({s})",
        "{d}.setdefault({k}, {x})", "{d}.pop({k}, {x})", "({x}, {x})",
        "call('other', 'main', [{i}])", "call({s}, {s}, {l})", "organisation()", "max({l})",
    ),
}  # fmt: skip

LEAVES: Final[dict[str, tuple[str, ...]]] = {
    "i": INTEGERS,
    "s": STRINGS,
    "b": ("True", "False", "(n > 2)"),
    "l": ("l", "m", "[1, 2]", "[]", "['a', 'b']", "PAIR"),
    "d": ("d", "TABLE", "{}"),
    "y": ("y", "b'ab'"),
    "k": ("'a'", "'b'", "s", "i"),
    "c": ("l", "s", "d", "range(n)", "PAIR"),
    "p": ("n", "s"),
    "x": ("n", "s", "l", "d", "None", "y", "True"),
}

STATEMENTS: Final = (
    "i = {i}", "j = {i}", "s = {s}", "t = {s}", "l = {l}", "m = {l}", "d = {d}", "y = {y}",
    "i += {i}", "i *= {i}", "s += {s}", "s *= {i}", "l += {l}", "l *= {i}", "l.append({x})",
    "l.append(l)", "d['a'] = d", "l.extend({c})", "l.insert({i}, {x})", "l.remove({x})",
    "l.reverse()", "l.sort()", "l.sort(reverse={b})", "l.clear()", "l[{i}] = {x}", "del l[{i}]",
    "d[{k}] = {x}", "d[{k}] += {i}", "del d[{k}]", "d.update({d})", "d.clear()", "i, j = {l}",
    "i = j = {i}", "put({s}, {x})", "delete({s})", "emit({s}, {d})", "require({b}, {s})",
    "return {x}", "{x}",
)  # fmt: skip

BLOCKS: Final = (
    "if {b}:", "for j in {c}:", "for i, t in {l}:", "while {b}:", "for j in range({i}):",
)  # fmt: skip

HEAD: Final = """SMALL = 5
BIG = 2 ** 200
NAME = "name"
PAIR = (1, "b")
TABLE = {"a": 1, "b": (1, 2)}

def helper(n):
    i = j = 1
    s = t = "h"
    l = m = [n]
    d = {"a": n}
    y = b"h"
"""
MAIN: Final = """
@call
def main(n: int):
    i = j = 2
    s = t = "text"
    l = [3, 1, 2]
    m = ["b", "a"]
    d = {"a": 1}
    y = b"bytes"
"""


def program(rng: random.Random) -> str:
    """The text of a contract with a method `main(n: int)`."""
    helper = _body(rng, rng.randrange(3)).replace("helper(", "abs(")
    return (
        f"{HEAD}{helper}    return n\n{MAIN}{_body(rng, rng.randrange(1, 9))}    return [n, i, s]\n"
    )


def _body(rng: random.Random, size: int) -> str:
    lines: list[str] = []
    indent = 1
    for _ in range(size):
        if rng.randrange(4) == 0 and indent < 5:
            lines.append("    " * indent + _fill(rng, rng.choice(BLOCKS), 2))
            indent += 1
            lines.append("    " * indent + _fill(rng, rng.choice(STATEMENTS), DEPTH_MAX))
        else:
            lines.append("    " * indent + _fill(rng, rng.choice(STATEMENTS), DEPTH_MAX))
            indent = rng.randint(1, indent)
    return "".join(f"{line}\n" for line in lines)


def _fill(rng: random.Random, text: str, depth: int) -> str:
    def expression(hole: re.Match[str]) -> str:
        kind = hole[1]
        if kind != "p" and rng.randrange(ODD) == 0:
            kind = rng.choice("isbldyx")
        if depth <= 0 or rng.randrange(3) == 0:
            return rng.choice(LEAVES[kind])
        return _fill(rng, rng.choice(PRODUCTIONS[kind]), depth - 1)

    filled = re.sub(r"\{([isbldykcpx])\}", expression, text)
    return filled.replace("{{", "{").replace("}}", "}") if "{{" in text else filled
