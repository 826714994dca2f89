"""A contract as its author wrote it: the source, its methods, and strategies for their arguments.

Left out: running it (`chain.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from contracts import shipped
from contracts.dialect import CompileRefused, Method, compile_source
from contracts.dialect.lines import statement_lines
from contracts.lint import lint_source, render
from ledger.errors import InvalidInput

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

LOADED_MAX: Final = 256
"""Contracts kept compiled, so that a thousand examples of a property compile theirs once."""


class NotAContract(InvalidInput):
    """The compiler refused the source; the message shows each place."""

    code = "compile_refused"
    hint = "`qiong contract lint` shows the same"

    def __init__(self, path: str, source: str) -> None:
        self.path = path
        refusals = render(lint_source(source), source, path)
        super().__init__(f"{path} is no contract:\n{refusals}")


NotAContract.__module__ = "contracts.testing"  # as pytest then shows it


@dataclass(frozen=True, eq=False)
class Contract:
    """One source. Equal sources from one path are one object, so reports count them together."""

    name: str
    path: str
    source: str
    methods: Mapping[str, Method]

    def __repr__(self) -> str:
        return f"<contract {self.name} of {self.path}>"

    @cached_property
    def statements(self) -> Mapping[int, int]:
        """Every line of code that can run, and the first line of its statement."""
        return statement_lines(self.source)

    def strategy(
        self, method: str, **parameters: SearchStrategy[Any]
    ) -> SearchStrategy[tuple[Any, ...]]:
        """Argument lists of `method`, of every value that its annotations take.

        `parameters` replace the strategies of those named. Raises `LookupError` for a method or a
        parameter that is not there.
        """
        from contracts.testing.strategies import arguments

        found = self.methods.get(method)
        if found is None:
            raise LookupError(
                f"{self.name} has no method {method}; it has {', '.join(self.methods)}"
            )
        return arguments(found, parameters)


def load(path: str | Path) -> Contract:
    """The contract in the file `path`; write `Path(__file__).with_name(...)` for a neighbour.

    Raises `NotAContract`, and `OSError` if there is no such file.
    """
    __tracebackhide__ = True
    file = Path(path)
    return _compiled(file.stem, _shown(file), file.read_text("utf-8"))


def library(name: str) -> Contract:
    """The contract `name` of the library that every network has from its first block on."""
    return _compiled(name, f"library/{name}.py", shipped.source(name))


def parse(source: str, name: str = "main") -> Contract:
    """The contract whose source is the text `source`. Raises `NotAContract`."""
    return _compiled(name, f"{name}.py", source)


@lru_cache(LOADED_MAX)
def _compiled(name: str, path: str, source: str) -> Contract:
    __tracebackhide__ = True
    try:
        compiled = compile_source(source)
    except CompileRefused:
        raise NotAContract(path, source) from None
    return Contract(name, path, source, compiled.methods)


def _shown(file: Path) -> str:
    """The path as short as it can be said where the tests run."""
    try:
        return str(file.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(file)
