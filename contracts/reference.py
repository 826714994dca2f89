"""The reference tables of the dialect, generated from the code that enforces them.

Theory: a table copied by hand is wrong after the next change. `docs/contract-reference.md` holds
each table between markers, and a test fails when they differ; `python -m contracts.reference`
rewrites them.

Left out: the prose around the tables, and what they say in words (`reference_words.py`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from contracts import reference_words as words
from contracts.dialect import HOST_FUNCTIONS, NO_DEFAULT, HostFunction, gas, limits
from contracts.dialect.vocabulary import BUILTINS, METHODS, Word
from contracts.worker import executor, host
from ledger import transaction

DOCUMENT: Final = "docs/contract-reference.md"

_BLOCK: Final = re.compile(r"<!-- table: (\w+) -->\n.*?<!-- end -->", re.DOTALL)
_KINDS: Final = ("str", "bytes", "list", "dict", "any")
_MODULES: Final = {
    "dialect": limits,
    "executor": executor,
    "gas": gas,
    "host": host,
    "transaction": transaction,
}


def _value(name: str) -> int:
    """The number that the code calls `module.NAME`."""
    module, _, attribute = name.partition(".")
    value = getattr(_MODULES[module], attribute)
    assert isinstance(value, int)
    return value


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _signature(function: HostFunction) -> str:
    parameters = ", ".join(
        f"{item.name}: {item.type}" + ("" if item.default is NO_DEFAULT else f" = {item.default!r}")
        for item in function.parameters
    )
    return f"`{function.name}({parameters})`".replace("|", "\\|")


def _host() -> str:
    rows = (
        (
            _signature(function) + (" *" if function.changes_state else ""),
            words.HOST[name],
            str(gas.HOST[name]),
        )
        for name, function in HOST_FUNCTIONS.items()
    )
    return _table(("function", "what it does", "gas"), rows)


def _arguments(word: Word) -> str:
    counts = str(word.fewest) if word.fewest == word.most else f"{word.fewest} to {word.most}"
    return counts + "".join(f", `{keyword}=`" for keyword in word.keywords)


def _builtins() -> str:
    rows = ((f"`{name}`", _arguments(word)) for name, word in BUILTINS.items())
    return _table(("function", "arguments"), rows)


def _methods() -> str:
    rows = (("several" if kind == "any" else kind, _methods_of(kind)) for kind in _KINDS)
    return _table(("of", "methods"), rows)


def _methods_of(kind: str) -> str:
    names = [name for name, word in METHODS.items() if word.guard.startswith(f"_{kind}_")]
    return ", ".join(f"`{name}`" for name in names)


def _limits() -> str:
    rows = ((f"{_value(name):,}", text) for name, text in words.LIMITS.items())
    return _table(("at most", "of"), rows)


def _prices() -> str:
    ticks = ((text, f"{_value(name) / gas.TICKS:g}") for name, text in words.TICKS.items())
    whole = ((text, str(_value(name))) for name, text in words.PRICES.items())
    return _table(("what", "gas"), (*ticks, *whole))


def _sizes() -> str:
    rows = ((str(1 << _value(name)), text) for name, text in words.SIZES.items())
    return _table(("1 gas for each", "of"), rows)


def _statuses() -> str:
    return _table(
        ("status", "means"), ((f"`{status}`", text) for status, text in words.STATUSES.items())
    )


def _codes() -> str:
    rows = (
        (f"`{status}`", f"`{code}`", text)
        for status, codes in words.CODES.items()
        for code, text in codes.items()
    )
    return _table(("status", "code", "means"), rows)


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "host": _host,
    "builtins": _builtins,
    "methods": _methods,
    "statuses": _statuses,
    "codes": _codes,
    "limits": _limits,
    "prices": _prices,
    "sizes": _sizes,
}
"""Each table by the name that its marker bears."""


def with_tables(document: str) -> str:
    """`document` with every table made anew. Raises ValueError unless each is there once."""
    if sorted(_BLOCK.findall(document)) != sorted(TABLES):
        raise ValueError(f"the document has not one marker for each of {', '.join(TABLES)}")
    return _BLOCK.sub(
        lambda found: f"<!-- table: {found[1]} -->\n\n{TABLES[found[1]]()}\n\n<!-- end -->",
        document,
    )


if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else DOCUMENT)
    path.write_text(with_tables(path.read_text("utf-8")), "utf-8")
