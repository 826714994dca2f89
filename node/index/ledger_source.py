"""What the index reads from the ledger: which contracts there are, what they declare, what changed.

Everything is read as of a certified height, so a step of the follower is a function of two heights,
whatever the chain does meanwhile. A contract's fields are those that the version in force in the
next block declares, as the API takes them to be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol

from contracts import deployment_layout as layout
from contracts.dialect.outline import outline
from ledger import canonical
from ledger.execution import StateKey
from ledger.state_rows import Entry
from ledger.types import Height
from node.index.interface import Change
from node.index.values import indexed, row_of

PAGE: Final = 500
"""Entries read at once."""

NAMES_PAGE: Final = 32
"""Contracts listed at once; a page that ends in a history is mostly thrown away."""

_LAST: Final = "\U0010ffff"
"""The highest character: beyond every key that goes on otherwise."""


class Ledger(Protocol):
    """The part of `ledger.queries.ChainReader` that is read."""

    @property
    def certified_height(self) -> Height: ...

    @property
    def first_height(self) -> Height: ...

    def state_at(self, contract: str, key: str, n: Height) -> bytes | None: ...

    def keys_at(
        self, contract: str, prefix: str, limit: int, n: Height, after: str | None = None
    ) -> list[str]: ...

    def entry_at(self, contract: str, key: str, n: Height) -> Entry | None: ...

    def entries_at(
        self, contract: str, limit: int, n: Height, after: str | None = None
    ) -> list[Entry]: ...

    def changed(self, n: Height) -> list[StateKey]: ...


class LedgerSource:
    """`ledger` as the follower asks it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._declared: dict[bytes, tuple[str, ...]] = {}

    @property
    def certified_height(self) -> Height:
        """How far an index can follow."""
        return self._ledger.certified_height

    @property
    def first_height(self) -> Height:
        """An index that stands here or above can follow."""
        return self._ledger.first_height

    def changed(self, n: Height) -> list[StateKey]:
        """The (contract, key) that block `n` wrote or deleted."""
        return self._ledger.changed(n)

    def fields(self, height: Height) -> dict[str, tuple[str, ...]]:
        """The indexed fields of every contract that is deployed at `height`."""
        found: dict[str, tuple[str, ...]] = {}
        for name in self._names(height):
            deployed = layout.in_force(lambda key: self._read(key, height), name, height + 1)
            if deployed is not None:
                found[name] = self.fields_of(deployed, height)
        return found

    def fields_of(self, deployed: layout.Deployed, height: Height) -> tuple[str, ...]:
        """The indexed fields that a version deployed at `height` declares; from any thread."""
        known = self._declared.get(deployed.source_hash)
        if known is None:
            source = str(self._read(layout.source_key(deployed.source_hash), height))
            known = self._declared[deployed.source_hash] = indexed(outline(source).index)
        return known

    def changes(
        self,
        written: Mapping[StateKey, Height],
        fields: Mapping[str, tuple[str, ...]],
        height: Height,
    ) -> Iterator[Change]:
        """What became, at `height`, of entries and the blocks that wrote them last."""
        for (contract, key), block in written.items():
            data = self._ledger.state_at(contract, key, height)
            yield _change(contract, key, block, data, fields[contract])

    def entries(
        self,
        contract: str,
        fields: tuple[str, ...],
        height: Height,
        pause: Callable[[], None],
    ) -> Iterator[Change]:
        """Every entry of `contract` at `height`; `pause` is called between two pages."""
        after: str | None = None
        while page := self._ledger.entries_at(contract, PAGE, height, after):
            for entry in page:
                yield _change(contract, entry.key, entry.written, entry.value, fields)
            after = page[-1].key
            pause()

    def _names(self, height: Height) -> Iterator[str]:
        """Names of contracts, without walking over their histories and sources."""
        after: str | None = None
        while keys := self._ledger.keys_at(layout.CONTRACT, "", NAMES_PAGE, height, after):
            for key in keys:
                folder, slash, _ = key.partition("/")
                after = folder + slash + _LAST if slash else key
                if slash:
                    break
                yield key

    def _read(self, key: str, height: Height) -> canonical.Value:
        data = self._ledger.state_at(layout.CONTRACT, key, height)
        return None if data is None else canonical.decode(data)


def _change(
    contract: str, key: str, written: Height, data: bytes | None, fields: Iterable[str]
) -> Change:
    row = None if data is None else row_of(canonical.decode(data), written, fields)
    return Change(contract, key, row)
