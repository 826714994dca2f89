"""What a peer may cost this node, and how one that lies is kept out.

An honest validator sends a few hundred frames a second, and each of them verifies: messages of
another epoch aside, which are late, and answers that came too late to be of use. Two rules follow.

**What does not verify ends the link.** One such frame proves that the peer is faulty or runs other
software, so its link is closed and no new one is taken for a while. The while doubles with each
offence up to half a minute, and is forgiven in time. Nobody else notices: to us the peer has
crashed, which PBFT bears.

**Everything else has a price.** Bytes, frames, the processor time that verifying takes, questions
and the bytes of their answers are paid from buckets that fill at a fixed rate. They belong to the
peer and not to the link, so that dialling again buys nothing. Who overdraws is read more slowly,
and TCP slows it down in turn; a question too many is not answered. Answers that we asked for are on
our own account, so catching up is not slowed down.

The clock is the caller's, in seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

KEPT_OUT_SECONDS_MIN: Final = 1.0
OFFENCES_MAX: Final = 6
"""The first time out and how often it doubles, to 32 s at most: a handshake and one bad frame each
half minute are nothing, and a peer that was mended is back within that."""

FORGIVEN_SECONDS: Final = 60.0
"""One offence is forgiven after each so many seconds without another."""

BYTES_PER_SECOND: Final = 64 << 20
"""Half of a 1 Gbit/s link, many times a full chain's traffic."""

BYTES_BURST: Final = 128 << 20
"""A few answers of blocks at once, which a catching-up validator asks for itself."""

FRAMES_PER_SECOND: Final = 500
FRAMES_BURST: Final = 2_000
EMPTY_FRAMES: Final = 10
"""Votes are four a height, ticks four a second, relayed batches at most 300; what a pause held back
comes at once. A message without a frame (a ping, once in 5 s) is paid as ten."""

CPU_PER_SECOND: Final = 0.03
CPU_BURST_SECONDS: Final = 0.6
"""Processor time of decoding and verifying: some 350 messages with a signature each, of which an
honest peer sends about 100 in a second of full load. The burst is a NEW-VIEW of 64 validators,
9,000 signatures."""

QUESTIONS_PER_SECOND: Final = 20
QUESTIONS_BURST: Final = 100
"""Blocks, bodies, transactions, own votes. Collecting a body asks four times a second."""

ANSWER_BYTES_PER_SECOND: Final = 4 << 20
ANSWER_BYTES_BURST: Final = 16 << 20
"""Twice what a full chain grows by, from each of the peers that a lagging validator asks in turn;
the burst is four full answers."""

IN_VAIN_SECONDS: Final = 60e-6
"""Processor time of verifying one relayed transaction, billed if it turns out to be executed
already, or not to be allowed. (A full mempool is not the relayer's fault.)"""


class TokenBucket:
    """How long to wait before `amount` more; `rate` a second, `burst` at once."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._updated = now

    def take(self, amount: float, now: float) -> float:
        """Take `amount` tokens at time `now` (seconds) and return the seconds to wait for them."""
        self._fill(now)
        self._tokens -= amount
        return max(0.0, -self._tokens / self._rate)

    def spend(self, amount: float, now: float) -> bool:
        """Take `amount` tokens if the bucket is not overdrawn; whether they were taken."""
        self._fill(now)
        if self._tokens <= 0:
            return False
        self._tokens -= amount
        return True

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._rate)
        self._updated = now


class Allowance:
    """The buckets of one peer."""

    def __init__(self, now: float) -> None:
        self.bytes = TokenBucket(BYTES_PER_SECOND, BYTES_BURST, now)
        self.frames = TokenBucket(FRAMES_PER_SECOND, FRAMES_BURST, now)
        self.cpu = TokenBucket(CPU_PER_SECOND, CPU_BURST_SECONDS, now)
        self.questions = TokenBucket(QUESTIONS_PER_SECOND, QUESTIONS_BURST, now)
        self.answers = TokenBucket(ANSWER_BYTES_PER_SECOND, ANSWER_BYTES_BURST, now)


@dataclass(slots=True)
class _Record:
    offences: int = 0
    last: float = 0.0
    until: float = 0.0


class Conduct:
    """Allowances and offences of all peers. Belongs to the event loop's thread."""

    def __init__(self, peers: Iterable[str]) -> None:
        self._records = {peer: _Record() for peer in peers}
        self._allowances: dict[str, Allowance] = {}
        self.refused: Counter[str] = Counter()
        """What each peer delivered and we threw away; all but late frames are offences, too."""

    def allowance(self, peer: str, now: float) -> Allowance:
        """The buckets of `peer`, full when it is first heard of."""
        found = self._allowances.get(peer)
        if found is None:
            found = self._allowances[peer] = Allowance(now)
        return found

    def offence(self, peer: str, now: float) -> float:
        """Note that `peer` misbehaved; for how many seconds no link is taken from it."""
        record = self._records[peer]
        forgiven = int((now - record.last) / FORGIVEN_SECONDS)
        record.offences = min(max(0, record.offences - forgiven) + 1, OFFENCES_MAX)
        record.last = now
        seconds = KEPT_OUT_SECONDS_MIN * (1 << (record.offences - 1))
        record.until = now + seconds
        return seconds

    def kept_out(self, peer: str, now: float) -> float:
        """For how many seconds more `peer` is kept out; 0 if it is not."""
        return max(0.0, self._records[peer].until - now)
