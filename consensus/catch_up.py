"""Catching up by certified blocks: the lagging replica asks, one peer at a time.

What peers say of their heights only starts a question. What counts is a Certificate, checked by
the driver for whole runs of blocks and compared here with what we execute. A peer that claims
heights it cannot show costs one time-out before the next is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from consensus import checkpoints, normal
from consensus.events import BlocksFetched, FetchedBlock
from consensus.messages import FetchBlocks
from consensus.state import Fetch, State
from ledger.certificate import Certificate
from ledger.types import Height

FETCH_TIMEOUT_MS: Final = 1_000
"""Before the next peer is asked: several round trips and the reading of 64 blocks."""

BACKLOG_MAX: Final = 128
"""Blocks appended but not executed beyond which no more are fetched: two answers."""


def fetch_if_behind(s: State, stalled: bool) -> None:
    """Ask for blocks if someone is ahead and votes alone will not (or did not) bring us there.

    `stalled`: nothing moved since the last tick.
    """
    if s.fetch is not None:
        if s.clock_ms - s.fetch.since_ms < FETCH_TIMEOUT_MS:
            return
        s.fetch = None
    if s.appended - s.executed >= BACKLOG_MAX:
        return
    wanted = max(s.certificates, default=s.h)
    claimed = max((peer.status.h for peer in s.peers.values() if peer.status), default=s.h)
    ahead = max(wanted, claimed) - s.h
    waiting = s.safety.in_view_change or not s.ready
    if ahead > s.domain.window or (ahead > 0 and (stalled or (waiting and wanted > s.h))):
        _ask_next(s)


def _first_wanted(s: State) -> Height:
    """The first height for which we have neither certified nor appended a block to compare."""
    fetched = max(s.fetched, default=s.h)
    return Height(max(s.h, fetched if s.appended > s.executed else s.h) + 1)


def _ask_next(s: State) -> None:
    first = _first_wanted(s)
    names = list(s.peers)
    for step in range(1, len(names) + 1):
        name = names[(s.fetch_peer + step) % len(names)]
        status = s.peers[name].status
        if status is not None and status.h >= first:
            s.fetch_peer = (s.fetch_peer + step) % len(names)
            s.fetch = Fetch(name, s.clock_ms)
            s.send(name, FetchBlocks(first))
            return


def on_blocks(s: State, event: BlocksFetched) -> None:
    """Append and execute fetched blocks; certify those executed already."""
    if s.fetch is None or s.fetch.peer != event.sender:
        return
    s.fetch = None
    for block, certificate in _covered(event.blocks):
        if block.n > s.h and (s.halted is not None or not _take(s, block, certificate)):
            return
    # What was decided above these blocks waited for them; nothing else might come to move it.
    normal.append_decided(s)
    if event.blocks:
        fetch_if_behind(s, stalled=False)


def _covered(blocks: Sequence[FetchedBlock]) -> list[tuple[FetchedBlock, Certificate]]:
    """Each block with the first Certificate at or after it; the last block has one."""
    covered: list[tuple[FetchedBlock, Certificate]] = []
    certificate: Certificate | None = None
    for block in reversed(blocks):
        certificate = block.certificate or certificate
        assert certificate is not None, "the driver checks that the last block has one"
        covered.append((block, certificate))
    return covered[::-1]


def _take(s: State, block: FetchedBlock, certificate: Certificate) -> bool:
    """Take one block of a certified chain; False if nothing after it can be taken."""
    n = block.n
    if n <= s.executed:
        own = s.headers[n].hash
        if own != block.header_hash:
            s.halt(n, own, block.header_hash, certificate)
            return False
    else:
        if n > s.appended + 1:
            return False
        s.fetched[n] = (block.header_hash, certificate)
        if n == s.appended + 1:
            normal.append(s, n, block.digest)
        elif s.decided[n] != block.digest:
            # Executing what we decided will give another header than this one, and halt us.
            return False
    if block.certificate is not None:
        checkpoints.certify(s, block.certificate)
    return True
