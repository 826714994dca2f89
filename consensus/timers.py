"""The tick: time-outs, STATUS, and saying again what may have been lost.

One timer. It runs while something is owed: a waiting transaction, a height in flight, a view
change, an empty block after the idle period. When it expires the replica works on, and SUSPECTs
each tick; only a quorum of those moves anyone. The time-out doubles with each failed view to 8 s,
then once in 2n views, so a row of f faulty primaries cannot push it to hours, and progress or
regained contact resets it.
"""

from __future__ import annotations

from typing import Final

from consensus import catch_up, normal, recovery, view_change
from consensus.config import TICK_MS
from consensus.events import Tick
from consensus.messages import REASON_TIMEOUT, Status
from consensus.state import State
from ledger.types import TimeMs

TIMEOUT_CAP_MS: Final = 8_000
"""T's bound for the first 2n failed views."""

CONTACT_MS: Final = 4 * TICK_MS
"""A peer heard from within this is in contact: three of its STATUS may be lost."""


def timeout_ms(s: State) -> int:
    """T(k) = min(T0 * 2^k, 8 s * 2^(k // 2n)); T0 while we wait for a primary that is silent."""
    first = s.config.timeout_ms
    if s.safety.in_view_change and _silent(s, s.primary()):
        return first
    k = s.failed_views
    return min(first << min(k, 32), TIMEOUT_CAP_MS << min(k // (2 * s.validators.n), 32))


def _silent(s: State, organisation: str) -> bool:
    peer = s.peers.get(organisation)
    if peer is None:
        return False
    return peer.heard_ms is None or s.clock_ms - peer.heard_ms > CONTACT_MS


def on_tick(s: State, event: Tick) -> None:
    _contact(s)
    _timer(s, event.waiting)
    missing = normal.missing_body(s)
    status = Status(s.h, s.executed, s.view, s.safety.in_view_change, missing)
    s.broadcast(s.sign(status))
    stalled = _stalled(s)
    if s.observer is not None:
        recovery.ask_own_vote(s)
    elif stalled:
        s.say_again()
    normal.ask_for_body(s)
    catch_up.fetch_if_behind(s, stalled)
    s.last_tick_ms = s.clock_ms


def _contact(s: State) -> None:
    """Regaining contact with a quorum starts the time-outs afresh (a healed partition)."""
    silent = sum(1 for organisation in s.peers if _silent(s, organisation))
    in_contact = s.validators.n - silent >= s.quorum
    if in_contact and not s.in_contact:
        s.failed_views = 0
        s.timer_ms = s.clock_ms
    s.in_contact = in_contact


def _timer(s: State, waiting: bool) -> None:
    if s.appended > s.executed:
        # Our own worker is the slow one.
        s.timer_ms = TimeMs(s.timer_ms + s.clock_ms - s.last_tick_ms)
        return
    idle = s.clock_ms - s.last_block_ms >= s.config.idle_block_ms
    owed = waiting or idle or bool(s.safety.accepted) or s.executed > s.h or bool(s.decided)
    if not owed and not s.safety.in_view_change and s.ready:
        s.timer_ms = s.clock_ms
    if s.nondeterminism is not None:
        return
    expired = s.clock_ms - s.timer_ms >= timeout_ms(s)
    others = [name for name, _ in view_change.active_suspects(s) if name != s.me]
    if expired or len(others) >= s.weak:
        view_change.suspect(s, REASON_TIMEOUT)


def _stalled(s: State) -> bool:
    """Whether something may have been lost: what we said, or a block that the others have.

    Nothing moved since the last tick, and no vote came; or votes come, and for 2, 4, 8... ticks no
    height of ours. What was lost is among the oldest then, and a primary that goes on proposing
    must not keep it back until the window is full.
    """
    position = (s.h, s.executed, s.appended, s.view, s.safety.in_view_change)
    same, held = position == s.position, s.held
    s.still_ticks = s.still_ticks + 1 if same and held else 0
    s.position, s.held = position, s.log.size()
    ticks = s.still_ticks
    return (same and s.held == held) or (ticks > 1 and ticks & (ticks - 1) == 0)
