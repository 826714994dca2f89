"""A state with history, changed by plain writes, and a model that answers searches by looking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts import deployment_layout as layout
from ledger import canonical
from ledger.canonical import Value
from ledger.execution import StateKey
from ledger.hashing import sha256
from ledger.state_rows import Entry
from ledger.state_store import StateStore
from ledger.storage.memory import MemoryStore
from ledger.types import Height
from node.index.values import Condition, between, changed, equal

CHAIN = sha256(b"chain")


@dataclass(frozen=True)
class Question:
    """What a search asks for, in the words of a client; None where nothing is asked."""

    equals: Mapping[str, str] = field(default_factory=dict)
    ranges: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    heights: tuple[int | None, int | None] | None = None

    @property
    def conditions(self) -> list[Condition]:
        return [
            *(equal(name, text) for name, text in self.equals.items()),
            *(between(name, *ends) for name, ends in self.ranges.items()),
            *([] if self.heights is None else [changed(*self.heights)]),
        ]

    def fits(self, value: Value, height: int) -> bool:
        found = value if isinstance(value, dict) else {}
        return (
            all(_written(found.get(name)) == text for name, text in self.equals.items())
            and all(_between(found.get(name), *ends) for name, ends in self.ranges.items())
            and (self.heights is None or _within(height, *self.heights))
        )


def _written(value: Value) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, int | str) else None


def _between(value: Value, low: str | None, high: str | None) -> bool:
    if isinstance(value, str):
        return (low is None or low <= value) and (high is None or value <= high)
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    ends = [text for text in (low, high) if text is not None]
    if any(not text.removeprefix("-").isdecimal() or str(int(text)) != text for text in ends):
        return False
    return _within(value, *(None if text is None else int(text) for text in (low, high)))


def _within(number: int, low: int | None, high: int | None) -> bool:
    return (low is None or low <= number) and (high is None or number <= high)


class World:
    """A ledger's state as `node.index.ledger_source.Ledger` reads it, and the model beside it."""

    def __init__(self) -> None:
        self._store = StateStore(MemoryStore(), Height(-1), 4)
        self.certified_height = Height(-1)
        self.first_height = Height(0)
        self.model: dict[StateKey, tuple[Value, int]] = {}
        self.fields: dict[str, tuple[str, ...]] = {}
        self.block({})

    def block(
        self,
        writes: Mapping[StateKey, Value],
        declared: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        """A block that writes values (None deletes), and deploys contracts with an INDEX."""
        n = Height(self.certified_height + 1)
        rows = {
            name: None if value is None else canonical.encode(value)
            for name, value in writes.items()
        }
        for contract, index in (declared or {}).items():
            source = f"INDEX = {index!r}\n"
            for _, key, value in layout.seed_entries([(contract, source)]):
                rows[layout.CONTRACT, key] = canonical.encode(value)  # type: ignore[arg-type]
            self.fields[contract] = index
        batch: dict[bytes, bytes | None] = {}
        change = self._store.change(rows)
        self._store.stage(batch, n, rows, change)
        self._store.adopt(batch, n, rows, change)
        for name, data in writes.items():
            self.model.pop(name, None)
            if data is not None:
                self.model[name] = data, n
        self.certified_height = n

    def search(self, contract: str, question: Question) -> list[str]:
        found = [
            key
            for (name, key), (value, height) in self.model.items()
            if name == contract and question.fits(value, height)
        ]
        return sorted(found, key=str.encode)

    def state_at(self, contract: str, key: str, n: Height) -> bytes | None:
        return self._store.get_at(contract, key, n)

    def keys_at(
        self, contract: str, prefix: str, limit: int, n: Height, after: str | None = None
    ) -> list[str]:
        return self._store.keys_at(contract, prefix, limit, n, after)

    def entry_at(self, contract: str, key: str, n: Height) -> Entry | None:
        return self._store.entry_at(contract, key, n)

    def entries_at(
        self, contract: str, limit: int, n: Height, after: str | None = None
    ) -> list[Entry]:
        return self._store.entries_at(contract, limit, n, after)

    def changed(self, n: Height) -> list[StateKey]:
        return self._store.changed(n)
