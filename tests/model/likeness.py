"""When two states of a replica are one for the model, and how to copy one.

Everything a `Replica` holds counts, new fields too, but for what is named here: who it is, time and
counters, what others said (the network holds that, and it comes again), and signatures inside
certificates (there was a quorum; which one is nobody's business).
"""

from __future__ import annotations

import copy
from collections.abc import Hashable
from typing import Any, Final

from consensus.log import VoteLog
from consensus.messages import NewView, PreparedCertificate, ViewChange
from consensus.replica import Replica
from consensus.state import Peer, State
from consensus.verifier import Signed
from ledger.certificate import Certificate

VOLATILE: Final = frozenset(
    (
        *("config", "domain", "validators", "me", "key", "quorum", "weak", "safety", "log", "out"),
        *("now_ms", "clock_ms", "timer_ms", "last_tick_ms", "last_block_ms", "view_lo_time_ms"),
        *("peers", "answers", "known_highest", "known_executed", "evidence", "nondeterminism"),
        *("own_suspect", "own_suspect_ms", "suspicion", "in_contact"),
        *("position", "held", "still_ticks", "gathered"),
        *("view_changes", "failed_views", "fetch", "fetch_peer", "body_peer", "body_asked_ms"),
    )
)
"""What a replica knows beyond the protocol's state: who it is, time, and what others said."""

OWN: Final = frozenset(("_domain", "_me", "_key", "highest"))
"""Of `Safety`; `highest` is judged when a replica recovers."""

DEAD_IN_VIEW_CHANGE: Final = frozenset(("view_lo", "ready", "hi"))
"""Of the view that was left; NEW-VIEW sets them again."""


def protocol_state(replica: Replica, last_view: int | None = None) -> dict[str, Hashable]:
    """Equal for replicas that behave equally. In `last_view` older certificates are of no use."""
    s = replica._state
    dead = DEAD_IN_VIEW_CHANGE if s.safety.in_view_change else frozenset()
    kept = {key: _plain(value) for key, value in vars(s).items() if key not in VOLATILE | dead}
    # Headers below the certified one only date a primary's turn, and the model has no time.
    kept["headers"] = _plain({n: item for n, item in s.headers.items() if n >= s.h})
    kept["decided"] = _plain({n: item for n, item in s.decided.items() if n > s.appended})
    for key, value in vars(s.safety).items():
        if key not in OWN | dead:
            kept["safety." + key] = _plain(value)
    if s.view == last_view and not s.safety.in_view_change:
        new = {n: item for n, item in s.safety.prepared.items() if item.view == last_view}
        kept["safety.prepared"] = _plain(new)
    return kept


def _plain(value: Any) -> Hashable:
    """A value without signatures: a certificate counts for what it says."""
    if isinstance(value, dict):
        return tuple(sorted((key, _plain(item)) for key, item in value.items()))
    if isinstance(value, Signed):
        message = value.message
        if isinstance(message, ViewChange | NewView):
            return value.signature
        return (value.signer, message.kind, *message.to_value())
    if isinstance(value, PreparedCertificate):
        return (value.n, value.view, value.digest)
    if isinstance(value, Certificate):
        return (value.n, value.header_hash)
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    return value


def clone(replica: Replica) -> Replica:
    """A replica in the same state that has heard nothing from others."""
    old = replica._state
    new = copy.copy(replica)
    state: State = copy.copy(old)
    state.safety = _copied(old.safety)
    for key, value in vars(old).items():
        if isinstance(value, dict):
            setattr(state, key, dict(value))
    state.log = VoteLog()
    state.peers = {name: Peer() for name in old.peers}
    state.out = []
    new._state = state
    return new


def _copied(safety: Any) -> Any:
    new = copy.copy(safety)
    for key, value in vars(safety).items():
        if isinstance(value, dict):
            items = value.items()
            setattr(new, key, {k: dict(v) if isinstance(v, dict) else v for k, v in items})
    return new
