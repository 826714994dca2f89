"""Votes received, and how many agree.

One vote per (kind, view, n, signer): the first counts, a second with another digest is evidence.
Memory is bounded: heights outside the watermarks are refused by the caller and dropped as the
window moves, and per height and signer there is room for the replica's own view and the two
highest others. (Votes of other views can still decide: COMMITs count in any view.)

The PRE-PREPARE of a primary is filed as its PREPARE as well (OSDI '99 §4.2).
"""

from __future__ import annotations

from typing import Final, TypeAlias, cast

from consensus.messages import (
    KIND_COMMIT,
    KIND_PRE_PREPARE,
    KIND_PREPARE,
    Checkpoint,
    PrePrepare,
    Vote,
)
from consensus.verifier import Signed
from ledger.types import Digest, Height, Signature, View

VIEWS_MAX: Final = 2
"""Views beside the replica's own that are kept per height, kind and signer."""

Tally: TypeAlias = dict[str, Signature]


class _Slot:
    """All votes for one height."""

    __slots__ = ("first", "tallies", "views")

    def __init__(self) -> None:
        self.first: dict[tuple[int, View, str], Signed[Vote]] = {}
        self.tallies: dict[tuple[int, View, Digest], Tally] = {}
        self.views: dict[tuple[int, str], list[View]] = {}

    def drop(self, kind: int, view: View, signer: str) -> None:
        vote = self.first.pop((kind, view, signer))
        counted = KIND_PREPARE if kind == KIND_PRE_PREPARE else kind
        tally = self.tallies[(counted, view, vote.message.digest)]
        del tally[signer]
        if not tally:
            del self.tallies[(counted, view, vote.message.digest)]


class VoteLog:
    """The votes above the certified height."""

    def __init__(self) -> None:
        self._slots: dict[Height, _Slot] = {}
        self._checkpoints: dict[Height, dict[str, Signed[Checkpoint]]] = {}

    def add(self, vote: Signed[Vote], own_view: View) -> Signed[Vote] | None:
        """File `vote`. Returns the earlier vote that it contradicts, and then does not count it."""
        message, signer = vote.message, vote.signer
        slot = self._slots.get(message.n)
        if slot is None:
            slot = self._slots[message.n] = _Slot()
        key = (message.kind, message.view, signer)
        known = slot.first.get(key)
        if known is not None:
            return known if known.message.digest != message.digest else None
        if not self._make_room(slot, message.kind, message.view, signer, own_view):
            return None
        slot.first[key] = vote
        counted = KIND_PREPARE if message.kind == KIND_PRE_PREPARE else message.kind
        tally = slot.tallies.setdefault((counted, message.view, message.digest), {})
        tally[signer] = vote.signature
        return None

    def _make_room(self, slot: _Slot, kind: int, view: View, signer: str, own_view: View) -> bool:
        """Keep the two highest views beside `own_view`; False if `view` is not among them."""
        views = slot.views.setdefault((kind, signer), [])
        others = sorted({*views, view} - {own_view}, reverse=True)
        for surplus in others[VIEWS_MAX:]:
            if surplus == view:
                return False
            views.remove(surplus)
            slot.drop(kind, surplus, signer)
        views.append(view)
        return True

    def pre_prepare(self, view: View, n: Height, primary: str) -> Signed[PrePrepare] | None:
        """The first PRE-PREPARE of `primary` at (view, n)."""
        slot = self._slots.get(n)
        vote = None if slot is None else slot.first.get((KIND_PRE_PREPARE, view, primary))
        return cast("Signed[PrePrepare] | None", vote)

    def prepares(self, view: View, n: Height, digest: Digest) -> Tally:
        """Signatures of the PREPAREs, and of the PRE-PREPARE, for (view, n, digest)."""
        slot = self._slots.get(n)
        return slot.tallies.get((KIND_PREPARE, view, digest), {}) if slot is not None else {}

    def commits(self, view: View, n: Height, digest: Digest) -> Tally:
        slot = self._slots.get(n)
        return slot.tallies.get((KIND_COMMIT, view, digest), {}) if slot is not None else {}

    def add_checkpoint(self, vote: Signed[Checkpoint]) -> Signed[Checkpoint] | None:
        """As `add`, for CHECKPOINTs."""
        votes = self._checkpoints.setdefault(vote.message.n, {})
        known = votes.setdefault(vote.signer, vote)
        return known if known.message.header_hash != vote.message.header_hash else None

    def checkpoints(self, n: Height) -> dict[Digest, Tally]:
        """CHECKPOINT signatures for height `n` by header hash and signer."""
        tallies: dict[Digest, Tally] = {}
        for signer, vote in self._checkpoints.get(n, {}).items():
            tallies.setdefault(vote.message.header_hash, {})[signer] = vote.signature
        return tallies

    def checkpoint_heights(self) -> list[Height]:
        """Heights for which any CHECKPOINT is filed."""
        return list(self._checkpoints)

    def forget(self, h: Height) -> None:
        """Drop everything at or below `h`."""
        for n in [n for n in self._slots if n <= h]:
            del self._slots[n]
        for n in [n for n in self._checkpoints if n <= h]:
            del self._checkpoints[n]

    def size(self) -> int:
        """How many votes are held, for tests of the bound."""
        votes = sum(len(slot.first) for slot in self._slots.values())
        return votes + sum(len(votes) for votes in self._checkpoints.values())


def quorum_of(tally: Tally, quorum: int) -> tuple[tuple[str, Signature], ...]:
    """The first `quorum` signers of `tally` in ascending order, as certificates carry them."""
    return tuple(sorted(tally.items())[:quorum])
