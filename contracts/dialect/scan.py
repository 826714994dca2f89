"""Scan of a source text before CPython's parser may see it.

Theory: the parser is where interpreters differ. It accepts other f-strings in 3.12 than in 3.11,
knows other names in `\\N{...}`, warns about other escapes, and gives up on depth at other places.
So one pass over the characters, strings and comments told apart, refuses whatever could be taken
by one and not by the other, and bounds length and depth far below every interpreter's own limit.
After it, both parsers either fail or build the same tree.

Inside the braces of an f-string stands one line with no backslash, no comment, no braces, no quote
of the enclosing kind, and no `:`, `!r` or `=` that would format (PEP 701 and the lexical analysis
chapter of the 3.11 reference say what differs).

Left out: everything that needs the grammar (`checker.py`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

from contracts.dialect import limits
from contracts.dialect.errors import Refusal

_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER: Final = re.compile(r"[0-9][A-Za-z0-9_]*")
_INTEGER: Final = re.compile(r"0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|[0-9][0-9_]*")
_OPERATOR_WORDS: Final = frozenset(
    ("and", "or", "not", "if", "else", "in", "is", "for", "await", "yield", "from")
)
_KEYWORDS: Final = frozenset(
    (
        *("and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del"),
        *("elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in"),
        *("is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while"),
        *("with", "yield"),
    )
)
"""None, True and False are values."""

_OPERATORS: Final = frozenset("+-*/%@&|^~<>=!.:")
_CLOSING: Final = {")": "(", "]": "[", "}": "{"}
_PREFIXES: Final = frozenset(("", "f", "r", "b", "rb", "br"))
_ESCAPES: Final = frozenset("\\'\"nrtabfvx\n")
_BIDIRECTIONAL: Final = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
"""They make code read otherwise than it runs (CVE-2021-42574)."""


class _Stop(Exception):
    """The rest of the text can't be read sensibly."""


class _Scanner:
    """One pass. `at` is the position of the next character; `depths` holds one counter of
    stacked operators per open bracket, the statement's own first."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.refusals: list[Refusal] = []
        self.line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.brackets: list[str] = []
        self.depths = [0]
        self.indents: list[list[int]] = [[0, 0]]
        self.deep = False
        self.in_field = False
        self.after_value = False

    def refuse(self, at: int, what: str, instead: str = "") -> None:
        line = bisect_right(self.line_starts, at)
        column = at - self.line_starts[line - 1] + 1
        self.refusals.append(Refusal(line, column, what, instead))
        if len(self.refusals) >= limits.REFUSALS_MAX:
            raise _Stop

    def run(self) -> list[Refusal]:
        try:
            self.characters()
            self.line_start()
            while self.at < len(self.text):
                self.code()
        except _Stop:
            pass
        return self.refusals

    def characters(self) -> None:
        for match in re.finditer(r"[\x00-\x09\x0b-\x1f\x7f\ufeff]", self.text):
            name = "a tab" if match[0] == "\t" else "a control character"
            advice = "indent with four spaces, write \\t in a string"
            self.refuse(match.start(), name, advice if match[0] == "\t" else "")
        for at, character in enumerate(self.text):
            if character in _BIDIRECTIONAL:
                self.refuse(at, "a character that changes the direction of the text")

    def stack(self) -> None:
        """Count one more operator or bracket in the current tree."""
        self.depths[-1] += 1
        if not self.deep and sum(self.depths) > limits.EXPRESSION_DEPTH_MAX:
            self.deep = True
            self.refuse(self.at, "an expression this long", "compute it in steps")

    def code(self) -> None:
        """Read one token outside strings."""
        text, at = self.text, self.at
        character = text[at]
        if character in "\"'":
            self.string("", at)
        elif word := _WORD.match(text, at):
            self.word(word)
        elif character.isdigit() and character.isascii():
            self.number()
        elif character == "\n":
            self.at += 1
            if not self.brackets:
                self.depths = [0]
                self.deep = False
                self.after_value = False
                self.line_start()
        elif character == "#":
            end = text.find("\n", at)
            self.at = len(text) if end < 0 else end
        elif character == "\\":
            self.refuse(at, "a backslash outside a string", "use brackets to continue a line")
            self.at += 1
        elif not character.isascii():
            self.refuse(at, f"the character {character!a} outside a string", "names are ASCII")
            raise _Stop
        else:
            self.punctuation(character)

    def word(self, word: re.Match[str]) -> None:
        following = self.text[word.end() : word.end() + 1]
        if following and following in "\"'" and not self.in_field:
            self.string(word[0], word.end())
            return
        if word[0] == "lambda":
            self.refuse(self.at, "a lambda", "define a function")
            raise _Stop
        if word[0] in _OPERATOR_WORDS:
            self.stack()
        self.value(ends=word[0] not in _KEYWORDS)
        self.at = word.end()

    def value(self, *, ends: bool = True) -> None:
        """Note whether a value ends here. After another one it stacks, for a parser that reports
        `a b c d` goes down one level a name, and gives up with a MemoryError."""
        if ends and self.after_value:
            self.stack()
        self.after_value = ends

    def number(self) -> None:
        start = self.at
        self.value()
        literal = _NUMBER.match(self.text, start)
        assert literal is not None
        self.at = literal.end()
        if len(literal[0]) > limits.NUMBER_CHARACTERS_MAX:
            self.refuse(start, "a number this long", "integers have at most 256 bits")
        elif not _INTEGER.fullmatch(literal[0]):
            self.refuse(start, f"the number {literal[0]}", "only whole numbers are taken")
        elif self.text[self.at : self.at + 1] in ("'", '"'):
            self.refuse(start, "a number that touches a string")

    def punctuation(self, character: str) -> None:
        if character in "([{":
            self.stack()
            self.open(character)
        elif character in _CLOSING:
            self.close(character)
        elif character in ",;":
            self.depths[-1] = 0
        elif character in _OPERATORS:
            self.stack()
        if character != " ":
            self.after_value = character in _CLOSING
        self.at += 1

    def open(self, bracket: str) -> None:
        if len(self.brackets) == limits.BRACKET_DEPTH_MAX:
            self.refuse(self.at, "brackets this deep", "compute it in steps")
            raise _Stop
        self.brackets.append(bracket)
        self.depths.append(0)

    def close(self, bracket: str) -> None:
        if not self.brackets or self.brackets[-1] != _CLOSING[bracket]:
            self.refuse(self.at, f"an unmatched {bracket!r}")
            raise _Stop
        self.brackets.pop()
        self.depths.pop()

    def line_start(self) -> None:
        """At the first column of a logical line: count its blocks and `elif`s."""
        indent = 0
        while self.text[self.at : self.at + 1] == " ":
            self.at += 1
            indent += 1
        if self.text[self.at : self.at + 1] in ("\n", "#", ""):
            return
        while self.indents[-1][0] > indent:
            self.indents.pop()
        if self.indents[-1][0] < indent:
            self.indents.append([indent, 0])
        word = _WORD.match(self.text, self.at)
        if word and word[0] == "elif":
            self.indents[-1][1] += 1
        elif not word or word[0] != "else":
            self.indents[-1][1] = 0
        if len(self.indents) - 1 > limits.INDENT_DEPTH_MAX:
            self.refuse(self.at, "blocks this deep", "move the inner blocks into a function")
            raise _Stop
        if sum(count for _, count in self.indents) > limits.ELIF_MAX:
            self.refuse(self.at, "this many `elif`s", "look it up in a constant dict")
            raise _Stop

    def string(self, prefix: str, quote_at: int) -> None:
        """Read a string whose opening quote stands at `quote_at`."""
        text, start = self.text, self.at
        kind = prefix.lower()
        if kind not in _PREFIXES:
            self.refuse(start, f"a string with the prefix {prefix}", "f, r, b and rb are taken")
            raise _Stop
        quote = text[quote_at]
        mark = quote * 3 if text.startswith(quote * 3, quote_at) else quote
        self.at = quote_at + len(mark)
        while not text.startswith(mark, self.at):
            character = text[self.at : self.at + 1]
            if not character or (character == "\n" and len(mark) == 1):
                self.refuse(
                    start,
                    "a string that is not closed",
                    "close it on its line, or use three quotes",
                )
                raise _Stop
            if character == "\\":
                if "r" not in kind:
                    self.escape(kind)
                self.at += 2
            elif kind == "f" and character in "{}":
                self.brace(quote)
            else:
                self.at += 1
        self.at += len(mark)
        self.after_value = True

    def escape(self, kind: str) -> None:
        following = self.text[self.at + 1 : self.at + 2]
        if following in _ESCAPES or (following in ("u", "U") and kind != "b"):
            return
        if following == "0" and not self.text[self.at + 2 : self.at + 3].isdigit():
            return
        self.refuse(
            self.at,
            f"the escape \\{following}",
            "write \\\\ for a backslash, \\xNN or \\uNNNN for a character",
        )

    def brace(self, quote: str) -> None:
        character = self.text[self.at]
        if self.text.startswith(character * 2, self.at):
            self.at += 2
        elif character == "{":
            self.field(quote)
        else:
            self.refuse(self.at, "a single } in an f-string", "write }}")
            self.at += 1

    def field(self, quote: str) -> None:
        """Read `{...}` of an f-string; both parsers then agree on where it ends."""
        self.stack()
        self.at += 1
        self.after_value = False
        self.depths.append(0)
        outer, self.brackets = self.brackets, []
        self.in_field = True
        while True:
            character = self.text[self.at : self.at + 1]
            if character == "}" and not self.brackets:
                break
            problem = self.field_problem(character, quote)
            if problem is not None:
                instead = "assign the value to a variable first"
                if character == quote:
                    instead = "write the other kind of quote inside"
                self.refuse(self.at, problem, instead)
                raise _Stop
            if character in "\"'":
                self.field_string(character)
            elif character == " ":
                self.at += 1
            else:
                self.code()
        self.in_field = False
        self.after_value = True
        self.brackets = outer
        self.depths.pop()
        self.at += 1

    def field_problem(self, character: str, quote: str) -> str | None:
        """What the two parsers would read differently at this place, if anything."""
        before, after = self.text[self.at - 1], self.text[self.at + 1 : self.at + 2]
        if character in ("", "\n", "\\", "#", "{", "}"):
            return f"{character!r} in the braces of an f-string"
        if character == quote:
            return "the enclosing quote in the braces of an f-string"
        if character in "\"'" and (before.isalnum() or before in "_\"'"):
            return "this string in the braces of an f-string"
        if character == "!" and after != "=":
            return "a conversion in an f-string"
        if self.brackets:
            return None
        if character == ":":
            return "a format specification in an f-string"
        if character == "=" and before not in "=!<>" and after != "=":
            return "`=` in the braces of an f-string"
        return None

    def field_string(self, quote: str) -> None:
        end = self.text.find(quote, self.at + 1)
        inside = self.text[self.at + 1 : end]
        if end < 0 or any(character in "\\{}#\n" for character in inside):
            self.refuse(
                self.at,
                "this string in the braces of an f-string",
                "assign the value to a variable first",
            )
            raise _Stop
        self.at = end + 1


def scan(source: str) -> tuple[str, list[Refusal]]:
    """The text to parse, with `\\n` at line ends, and what was refused in it."""
    try:
        size = len(source.encode())
    except UnicodeEncodeError as error:
        before = source[: error.start]
        line, column = before.count("\n") + 1, error.start - (before.rfind("\n") + 1) + 1
        return source, [Refusal(line, column, "half of a surrogate pair")]
    if size > limits.SOURCE_BYTES_MAX:
        what = f"a source of {size:,} bytes"
        return source, [Refusal(1, 1, what, f"at most {limits.SOURCE_BYTES_MAX:,} are taken")]
    text = source.replace("\r\n", "\n")
    return text, _Scanner(text).run()
