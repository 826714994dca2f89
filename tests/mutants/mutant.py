"""What a mutant is: one sabotage of the sources, and the layers that must notice it.

A mutant replaces text that stands exactly once in its file. If it does not, the table has fallen
behind the sources and the gate fails; nothing is mutated by guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Layer(Enum):
    """Where tests look from. A mutant names the layers that must see it."""

    UNIT = "unit"
    """`tests/consensus`, `tests/ledger`: one rule at a time."""
    MODEL = "model"
    """`tests/model`: every order of events in a small scope."""
    SIMULATION = "simulation"
    """`tests/simulation`: seeded runs with liars, crashes and bad links."""
    STORAGE = "storage"
    """`tests/node/engine`, `tests/ledger/storage`: the driver's order and the log on disk."""


@dataclass(frozen=True)
class Edit:
    """Replace `old`, which stands once in `file`, by `new`."""

    file: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        """Raises `Misplaced` unless `old` stands in the file exactly once."""
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        found = text.count(self.old)
        if found != 1:
            raise Misplaced(self, found)
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


class Misplaced(Exception):
    """An edit whose old text is not found exactly once."""

    def __init__(self, edit: Edit, found: int) -> None:
        self.edit = edit
        self.found = found
        super().__init__(f"{edit.file}: found {found} times, not once: {edit.old!r}")


@dataclass(frozen=True)
class Seeds:
    """Drawn runs of `n` validators, from seed `first` to `last`."""

    n: int
    first: int
    last: int


@dataclass(frozen=True)
class Catch:
    """`layer` must notice: one of `tests` (pytest node ids) fails, or one of the drawn runs."""

    layer: Layer
    tests: tuple[str, ...] = ()
    seeds: Seeds | None = None


@dataclass(frozen=True)
class Mutant:
    """`name` says what the saboteur did."""

    name: str
    edits: tuple[Edit, ...]
    catches: tuple[Catch, ...]


def unit(*tests: str) -> Catch:
    """Tests named below `tests/`, as `consensus/test_log.py::test_x`."""
    return _catch(Layer.UNIT, tests)


def model(*tests: str) -> Catch:
    return _catch(Layer.MODEL, tests)


def simulation(*tests: str) -> Catch:
    return _catch(Layer.SIMULATION, tests)


def storage(*tests: str) -> Catch:
    return _catch(Layer.STORAGE, tests)


def seeds(n: int, first: int, last: int) -> Catch:
    """Drawn runs of the simulation."""
    return Catch(Layer.SIMULATION, seeds=Seeds(n, first, last))


def _catch(layer: Layer, tests: tuple[str, ...]) -> Catch:
    return Catch(layer, tuple(f"tests/{test}" for test in tests))


def change(name: str, file: str, old: str, new: str, *catches: Catch) -> Mutant:
    """A mutant of one edit."""
    return Mutant(name, (Edit(file, old, new),), catches)
