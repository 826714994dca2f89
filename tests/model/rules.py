"""What an honest key may sign, judged message by message as the others see it.

`Said` is what one validator has signed so far, as far as later messages could contradict it. A
correct replica knows all of it itself, so that it adds no states. The rules, in the words of PBFT
(OSDI '99 §4) and of the three additions of the design:

- one digest per (kind, view, n), one header per height, one VIEW-CHANGE and NEW-VIEW per view;
- after VIEW-CHANGE to v nothing below v, no second VIEW-CHANGE, and no vote before NEW-VIEW;
- a vote in a view only once its first height lo is certified here, and up to hi only for O[n];
- VIEW-CHANGE names, for each height above the certified one, a prepared certificate at least as
  high as the last COMMIT there;
- the verifier accepts what is sent.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

from consensus.messages import (
    KIND_COMMIT,
    KIND_PREPARE,
    Checkpoint,
    Commit,
    NewView,
    Prepare,
    PrePrepare,
    ViewChange,
)
from consensus.replica import Replica
from consensus.verifier import AnySigned, Signed
from ledger.types import Digest
from tests.model.scope import Change, Choice, World


class Broken(AssertionError):
    """A rule does not hold, or agreement is lost. The message says what happened."""


class Facts:
    """Names of what the network holds; the network counts the honest signers of each."""

    PROPOSED = "proposed"
    PREPARED = "prepared"
    COMMITTED = "committed"
    EXECUTED = "executed"
    CHANGED = "changed"
    BEGAN = "began"


@dataclass(frozen=True)
class Said:
    """`votes` are (kind, n, digest) of view `floor`; `commits` the last (n, view, digest) each."""

    floor: int = 0
    votes: frozenset[tuple[int, int, Digest]] = frozenset()
    commits: frozenset[tuple[int, int, Digest]] = frozenset()
    checkpoints: frozenset[tuple[int, Digest]] = frozenset()
    change: Change | None = None
    """Our VIEW-CHANGE to `floor`, until the view began."""
    choice: Choice | None = None
    """Our NEW-VIEW of `floor`."""

    def highest(self, world: World, name: str) -> tuple[AnySigned, ...]:
        """What peers hold of us: a vote of the highest (view, n), a CHECKPOINT of the highest n."""
        held: list[AnySigned] = []
        change = None if self.change is None else world.view_change(name, self.change)
        if self.votes:
            kind, n, digest = max(self.votes, key=lambda vote: vote[1])
            held.append(world.vote(name, kind, self.floor, n, digest))
        elif change is not None:
            held.append(change)
        if self.checkpoints:
            held.append(world.checkpoint(name, *max(self.checkpoints)))
        return tuple(held)

    def settled(self, view: int, in_view_change: bool, h: int) -> Said:
        """Without what can't be contradicted any more, for one who is in `view` and certified h."""
        said = self
        if not in_view_change:
            if view > said.floor:
                said = Said(view, commits=said.commits, checkpoints=said.checkpoints)
            said = replace(said, change=None)
        return replace(
            said,
            votes=frozenset(item for item in said.votes if item[1] > h),
            commits=frozenset(item for item in said.commits if item[0] > h),
            checkpoints=frozenset(item for item in said.checkpoints if item[0] > h),
        )


def hear(
    world: World, replica: Replica, said: Said, signed: Signed[Any], rules: bool
) -> tuple[Said, list[Hashable]]:
    """Judge a message that `replica` sends; return what was said then, and the new facts.

    Raises `Broken` if `rules` are to be judged and one does not hold.
    """
    message = signed.message
    if signed.signer != replica._state.me:
        return said, []
    judge = _Judge(world, replica, said, rules)
    if isinstance(message, PrePrepare | Prepare | Commit):
        return judge.vote(message)
    if isinstance(message, Checkpoint):
        return judge.checkpoint(message)
    if isinstance(message, ViewChange):
        return judge.view_change(signed)
    if isinstance(message, NewView):
        return judge.new_view(signed)
    return said, []


@dataclass
class _Judge:
    world: World
    replica: Replica
    said: Said
    rules: bool

    def demand(self, holds: bool, else_: str) -> None:
        if self.rules and not holds:
            raise Broken(f"an honest replica {else_}")

    def vote(self, message: PrePrepare | Prepare | Commit) -> tuple[Said, list[Hashable]]:
        said, view, n, digest = self.said, int(message.view), int(message.n), message.digest
        what = f"{type(message).__name__}(v{view}, n{n}, {self.world.name(digest)})"
        self.demand(view >= said.floor, f"signs {what} after VIEW-CHANGE to v{said.floor}")
        if view > said.floor:
            said = Said(view, commits=said.commits, checkpoints=said.checkpoints)
        if (message.kind, n, digest) in said.votes:
            return self.said, []
        other = any(kind == message.kind and at == n for kind, at, _ in said.votes)
        self.demand(not other, f"contradicts itself: {what}")
        self._in_view(n, digest, what)
        said = replace(said, votes=said.votes | {(message.kind, n, digest)}, change=None)
        if message.kind == KIND_COMMIT:
            lower = frozenset(item for item in said.commits if item[0] != n)
            said = replace(said, commits=lower | {(n, view, digest)})
            return said, [(Facts.COMMITTED, view, n, digest)]
        facts: list[Hashable] = [(Facts.PREPARED, view, n, digest)]
        if message.kind != KIND_PREPARE:
            facts.append((Facts.PROPOSED, view, n, digest))
        return said, facts

    def _in_view(self, n: int, digest: Digest, what: str) -> None:
        """The rules of a view begun by NEW-VIEW."""
        s = self.replica._state
        self.demand(not s.safety.in_view_change, f"votes while it changes view: {what}")
        self.demand(n > s.h, f"votes at a certified height: {what}")
        if s.safety.new_view is None:
            self.demand(s.view == 0, f"votes without NEW-VIEW: {what}")
            return
        choice = self.world.choice_of(s.safety.new_view)
        self.demand(s.h >= choice.lo, f"votes before reaching lo={choice.lo}: {what}")
        if n <= choice.hi:
            due = dict(choice.proposals).get(n)
            self.demand(due == digest, f"votes for another than O[{n}]: {what}")

    def checkpoint(self, message: Checkpoint) -> tuple[Said, list[Hashable]]:
        n, header = int(message.n), message.header_hash
        if (n, header) in self.said.checkpoints:
            return self.said, []
        other = any(at == n for at, _ in self.said.checkpoints)
        self.demand(not other, f"signs a second header for height {n}")
        said = replace(self.said, checkpoints=self.said.checkpoints | {(n, header)})
        return said, [(Facts.EXECUTED, n, header)]

    def view_change(self, signed: Signed[ViewChange]) -> tuple[Said, list[Hashable]]:
        said, change = self.said, self.world.change_of(signed)
        if change == said.change:
            return said, []
        what = f"sends VIEW-CHANGE to v{change.view}"
        self.demand(change.view > said.floor, f"{what} after it was in v{said.floor}")
        named = {n: view for n, view, _ in change.prepared}
        for n, view, _ in said.commits:
            covered = n <= change.stable_n or named.get(n, -1) >= view
            self.demand(covered, f"{what} without the certificate of its COMMIT(v{view}, n{n})")
        accepted = self.world.view_change(signed.signer, change) is not None
        self.demand(accepted, f"{what} that the verifier refuses")
        commits = frozenset(item for item in said.commits if item[0] > change.stable_n)
        said = Said(change.view, commits=commits, checkpoints=said.checkpoints, change=change)
        return said, [(Facts.CHANGED, change)] if accepted else []

    def new_view(self, signed: Signed[NewView]) -> tuple[Said, list[Hashable]]:
        said, choice = self.said, self.world.choice_of(signed)
        if choice == said.choice:
            return said, []
        what = f"sends NEW-VIEW for v{choice.view}"
        first = said.choice is None and choice.view == said.floor
        self.demand(first, f"{what} a second time or late")
        shown = self.world.shown[choice]
        accepted = self.world.new_view(shown, choice.proposals) is not None
        self.demand(accepted, f"{what} that the verifier refuses")
        said = replace(said, change=None, choice=choice)
        facts: list[Hashable] = [(Facts.BEGAN, choice)] if accepted else []
        facts += [(Facts.PREPARED, choice.view, n, digest) for n, digest in choice.proposals]
        return said, facts
