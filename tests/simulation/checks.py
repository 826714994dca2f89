"""What must hold at every moment of a run, whatever f validators and the network do.

Safety, over all honest validators: one value and one certified header per height; no key says two
things in one place, also across crashes; nothing is sent whose record is not on disk; after a
VIEW-CHANGE no vote below its view; a VIEW-CHANGE shows everything its sender has committed; what a
NEW-VIEW proposes follows from its VIEW-CHANGEs, and up to its hi nothing else gets a vote, none
before the voter has certified its lo; no evidence against the honest; block time goes on and stays
near the clocks; tables are bounded.

Quorum and NEW-VIEW's content are computed here a second time, from the design and not from
`consensus`, so that a fault in the shared function is seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from consensus.catch_up import BACKLOG_MAX
from consensus.messages import (
    BLOCKS_MAX,
    Checkpoint,
    Commit,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    SignedMessage,
    ViewChange,
)
from consensus.state import EVIDENCE_MAX
from consensus.verifier import Signed
from ledger.block import null_digest
from ledger.types import Digest, Height, View
from tests.simulation.chain import Block

if TYPE_CHECKING:
    from tests.simulation.world import World

FUTURE_MS: Final = 500
"""A body's time may lie this far ahead of a clock, doubled with each failed view, at most..."""
FUTURE_DOUBLINGS: Final = 8

PLANNED: Final = "planned rotation"


class Violation(AssertionError):
    """A check failed; the seed in its text replays the run."""


class Stuck(Violation):
    """Something that must happen did not happen in time."""


def quorum_of(n: int) -> int:
    """ceil((n + f + 1) / 2), from the design."""
    f = (n - 1) // 3
    return -(-(n + f + 1) // 2)


class Checker:
    """The memory of one run, kept outside of the nodes: crashes do not touch it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.quorum = quorum_of(len(world.names))
        self._decided: dict[Height, Digest] = {}
        self.certified: dict[Height, tuple[Digest, int]] = {}
        """Header hash, and when the first honest validator knew that it is certified."""
        self._said: dict[tuple[object, ...], Digest | bytes] = {}
        self._left: dict[str, View] = {}
        self._committed: dict[str, dict[Height, View]] = {}
        self._reached: dict[str, Height] = {}
        """Certified heights; a power loss may take certificates, but not what they allowed."""
        self._obliged: dict[tuple[str, View], tuple[Height, dict[Height, Digest]]] = {}
        """Of each view that a validator entered: lo and O."""
        self.unplanned: dict[View, tuple[int, str]] = {}
        """Views that someone honest changed to for another reason than rotation: when, and whose
        view they left."""
        self.planned: dict[View, int] = {}
        self.clock_ahead_ms = 0
        """How far the fastest honest clock is ahead of the world's."""

    @property
    def top(self) -> Height:
        return max(self.certified, default=Height(0))

    def fail(self, what: str, kind: type[Violation] = Violation) -> None:
        world = self._world
        raise kind(f"seed {world.seed}, n {len(world.names)}, at {world.now} ms: {what}")

    # --- results ---

    def decided(self, name: str, n: Height, d: Digest) -> None:
        if self._decided.setdefault(n, d) != d:
            self.fail(f"{name} decided another value at height {n}")

    def saved(self, name: str, n: Height, header_hash: Digest, signers: Iterable[str]) -> None:
        world = self._world
        if len(set(signers) & set(world.names)) != self.quorum:
            self.fail(f"{name} took a certificate of {n} that is not a quorum's")
        first, _ = self.certified.setdefault(n, (header_hash, world.now))
        if first != header_hash:
            self.fail(f"{name} certified another header at height {n}")
        world.totals.heights = max(world.totals.heights, n)

    def reached(self, name: str, n: Height) -> None:
        """`name` certified `n`, whether or not it lives to write that down."""
        self._reached[name] = max(n, self._reached.get(name, n))

    def executed(self, name: str, block: Block, parent: Block | None) -> None:
        if parent is not None and block.time_ms <= parent.time_ms:
            self.fail(f"{name}: the time of block {block.n} does not go on")
        slack = FUTURE_MS << FUTURE_DOUBLINGS
        latest = self._world.wall_ms + self.clock_ahead_ms + slack
        if block.time_ms > latest + self._world.domain.window:
            self.fail(f"{name}: block {block.n} is {block.time_ms - latest} ms too far ahead")

    # --- messages ---

    def sent(self, name: str, signed: Signed[SignedMessage], recorded: bool) -> None:
        """An honest validator sends `signed`; `recorded` says whether its record is on disk."""
        message = signed.message
        if not recorded:
            self.fail(f"{name} sent {message} without its record")
        key: tuple[object, ...]
        if isinstance(message, PrePrepare | Prepare | Commit):
            self._vote(name, message)
            key, value = (name, message.kind, message.view, message.n), message.digest
        elif isinstance(message, ViewChange | NewView):
            key, value = (name, message.kind, message.view), signed.signature
            self._world.totals.views = max(self._world.totals.views, message.view)
            if isinstance(message, ViewChange):
                self._view_change(name, message)
        elif isinstance(message, Checkpoint):
            key, value = (name, message.kind, message.n), message.header_hash
        else:
            return
        if self._said.setdefault(key, value) != value:
            self.fail(f"{name} contradicts itself: {message}")

    def _vote(self, name: str, message: PrePrepare | Prepare | Commit) -> None:
        if message.view < self._left.get(name, 0):
            self.fail(f"{name} votes in view {message.view}, which it left")
        lo, digests = self._obliged.get((name, message.view), (Height(0), {}))
        if self._reached.get(name, 0) < lo:
            self.fail(f"{name} votes in view {message.view} before it has certified {lo}")
        hi = max(digests, default=lo)
        if message.n <= hi and message.digest != digests.get(message.n, message.digest):
            self.fail(f"{name} takes another proposal at {message.n} than its new view's")
        if message.n <= lo:
            self.fail(f"{name} votes at {message.n}, certified before view {message.view} began")
        if isinstance(message, Commit):
            self._committed.setdefault(name, {})[message.n] = message.view

    def _view_change(self, name: str, message: ViewChange) -> None:
        self._left[name] = max(self._left.get(name, View(0)), message.view)
        shown = {item.n: item.view for item in message.prepared}
        for n, view in self._committed.get(name, {}).items():
            if n > message.stable_n and view < message.view and shown.get(n, -1) < view:
                self.fail(f"{name} hides what it committed at height {n} in view {view}")

    def prepared(self, name: str, certificate: PreparedCertificate) -> None:
        """An honest validator took this certificate as a quorum's."""
        if len({signer for signer, _ in certificate.signatures}) != self.quorum:
            self.fail(f"{name} commits at {certificate.n} without a quorum of PREPAREs")

    def new_view(self, name: str, message: NewView) -> None:
        """An honest validator takes part in this view."""
        changes = [change.message for change in message.view_changes]
        if len({change.signer for change in message.view_changes}) != self.quorum:
            self.fail(f"{name} entered view {message.view} without a quorum")
        digests = due(changes)
        if {item.n: item.digest for item in message.proposals} != digests:
            self.fail(f"{name} entered view {message.view}, which proposes what does not follow")
        lo = max(change.stable_n for change in changes)
        self._obliged[(name, message.view)] = (lo, digests)

    def view_started(self, view: View, left: View, reason: str) -> None:
        """Someone honest changed from `left` to `view`."""
        now, primary = self._world.now, self._world.validators.primary(left)
        if reason == PLANNED:
            self.planned.setdefault(view, now)
        else:
            self.unplanned.setdefault(view, (now, primary))

    def unplanned_since(self, moment: int) -> list[tuple[View, str]]:
        """The views that someone changed to since then although nobody planned to, each with the
        primary whose view was left."""
        return [
            (view, primary)
            for view, (at, primary) in self.unplanned.items()
            if view not in self.planned and at >= moment
        ]

    # --- bounds ---

    def bounded(self, node: Any) -> None:
        """Memory of a replica: the bounds of the design, with the reason of each in its line."""
        s = node.replica._state
        window, n = s.domain.window, s.validators.n
        bounds = {
            # Three kinds, own view and two others, 2W heights; CHECKPOINTs 4W ahead.
            "votes": (s.log.size(), n * (2 * window * 3 * 3 + 4 * window)),
            "bodies": (len(s.bodies), 2 * window * (node.views_since_certified + 2)),
            "decided": (len(s.decided), 2 * window + BACKLOG_MAX + BLOCKS_MAX),
            "headers": (len(s.headers), 2 * window + BACKLOG_MAX + BLOCKS_MAX),
            "fetched": (len(s.fetched), BACKLOG_MAX + BLOCKS_MAX),
            "certificates": (len(s.certificates), 4 * window + BACKLOG_MAX + n),
            "checking": (len(s.checking), window),
            # W at a time; a power loss may take the Certificates of up to 2W appended blocks back.
            "accepted": (len(s.safety.accepted), 3 * window),
            "prepared": (len(s.safety.prepared), 3 * window),
            "evidence": (len(s.evidence), EVIDENCE_MAX),
            "peers": (len(s.peers), n - 1),
        }
        for what, (size, bound) in bounds.items():
            if size > bound:
                self.fail(f"{node.name} holds {size} {what}, more than {bound}")


def due(changes: list[ViewChange]) -> dict[Height, Digest]:
    """What these VIEW-CHANGEs oblige a primary to propose (design: O), by the words of the design:
    for lo < n <= hi the d of the highest v_p in any P, else NULL(n).
    """
    lo = max(change.stable_n for change in changes)
    certificates = [item for change in changes for item in change.prepared]
    hi = max([lo, *(item.n for item in certificates)])
    digests: dict[Height, Digest] = {}
    for number in range(lo + 1, hi + 1):
        n = Height(number)
        known = sorted((item.view, item.digest) for item in certificates if item.n == n)
        digests[n] = known[-1][1] if known else null_digest(n)
    return digests
