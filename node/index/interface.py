"""What every database of the index does, and how it fails.

One writer, the thread of `node.index.service`; `search` may be called from other threads meanwhile.
All that one `apply` brings becomes visible at once, with its height: a search sees the index as it
was at one height and never in between, and after a crash the index stands at some height exactly.

A database that does not answer is `IndexUnavailable`: try again later. One whose content cannot be
trusted is `IndexDamaged`: `reset` it and make it anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ledger.errors import QiongError
from ledger.types import Digest, Height
from node.index.values import Condition

FORM: Final = 1
"""Counts up when tables or encoded values change; an index of another form is made anew."""

SEARCH_SECONDS_MAX: Final = 5.0
"""Longest search: it fails, rather than keep a database busy for one client."""


class IndexUnavailable(QiongError):
    """The database does not answer, or not in time. Nothing else of the node depends on it."""

    code = "index_unavailable"
    hint = "ask another node, or again later; proofs and single entries need no index"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the query index is not available: {reason}")


class IndexDamaged(QiongError):
    """The database contradicts itself or the ledger; it is made anew."""

    code = "index_unavailable"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the query index is damaged: {reason}")


class SearchTooSlow(QiongError):
    """A search that took longer than `SEARCH_SECONDS_MAX`."""

    code = "search_too_slow"
    hint = "narrow it: a field that must equal something is found at once"

    def __init__(self) -> None:
        super().__init__(f"the search took more than {SEARCH_SECONDS_MAX:g} seconds")


class IndexBehind(QiongError):
    """The index has not got to where it could answer this."""

    code = "index_behind"
    hint = "ask again shortly, or ask another node"


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """The index now: its database, the height it has got to, and why it is not in order if so."""

    database: str
    height: Height | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an index stands: after block `height`, with the fields it has of each contract.

    `height` is None for one that holds nothing yet.
    """

    height: Height | None
    fields: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Change:
    """The new indexed values of an entry (`values.row_of`); None if there is no such entry."""

    contract: str
    key: str
    row: Mapping[str, bytes] | None


@dataclass(frozen=True, slots=True)
class Found:
    """The keys that a search found, in the order of their UTF-8, after block `height`."""

    height: Height
    keys: tuple[str, ...]


class Index(Protocol):
    """One database of the index."""

    @property
    def database(self) -> str:
        """What it is, in one word."""
        ...

    def open(self, chain_id: Digest) -> Standing:
        """Connect, and begin empty unless what is there is of this form and chain.

        To be called again after any error. Raises `IndexUnavailable`, `IndexDamaged`.
        """
        ...

    def look(self) -> Standing | None:
        """Where it stands, None if there is none; changes nothing, needs no `open`, and may be
        asked while a node uses it. Raises as `open`."""
        ...

    def apply(
        self,
        height: Height,
        fields: Mapping[str, tuple[str, ...]],
        cleared: Collection[str],
        changes: Iterable[Change],
    ) -> None:
        """Go to `height` in one step: forget all entries of `cleared`, then take `changes`.

        `fields` are those of every contract at that height. `changes` may be more than fit into
        memory, and no two are of one entry. Raises `IndexUnavailable`, `IndexDamaged`.
        """
        ...

    def search(
        self,
        contract: str,
        fields: tuple[str, ...],
        conditions: Sequence[Condition],
        after: str | None,
        limit: int,
    ) -> Found:
        """The first `limit` keys beyond `after` whose entries meet all `conditions`.

        `fields` are what the caller takes the contract's to be. Raises `IndexBehind` where the
        index has others, or nothing yet; `SearchTooSlow`, `IndexUnavailable`, `IndexDamaged`.
        """
        ...

    def reset(self, *, keep: bool) -> None:
        """Remove what is there, so that `open` begins empty; `keep` a damaged file for whoever
        looks for the cause. Raises as `open`."""
        ...

    def close(self) -> None:
        """Give everything up; never raises."""
        ...
