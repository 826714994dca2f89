"""CHECKPOINTs: agreeing on the result, which certifies it.

PBFT's checkpoint with interval 1 (OSDI '99 §4.3). A quorum of signatures on one header is the
block's Certificate: it moves the window, lets votes be forgotten, and is what clients, lagging
replicas and light clients trust. A replica whose own header is another halts; it neither hides the
difference nor overwrites its ledger, and stays halted until that was repaired (`recovery`).
"""

from __future__ import annotations

from consensus.config import HeaderSummary
from consensus.effects import Alarm, AlarmKind, SaveCertificate
from consensus.events import Executed
from consensus.log import quorum_of
from consensus.messages import Checkpoint
from consensus.state import State
from consensus.verifier import Signed
from ledger.certificate import Certificate
from ledger.types import Digest, Height

CHECKPOINT_WINDOWS = 4
"""CHECKPOINTs are taken this many windows ahead: they show how far others are, and are small."""


def on_executed(s: State, event: Executed) -> None:
    n = event.n
    if n != s.executed + 1 or n > s.appended:
        return
    s.executed = n
    s.headers[n] = HeaderSummary(event.header_hash, event.time_ms)
    s.last_block_ms = s.timer_ms = s.clock_ms
    named = s.fetched.pop(n, None)
    if named is not None and named[0] != event.header_hash:
        s.halt(n, event.header_hash, *named)
        return
    if n > s.h and s.observer is None:
        send_checkpoint(s, n)
    certificate = s.certificates.pop(n, None)
    if certificate is not None:
        certify(s, certificate)
    settle(s, n)


def send_checkpoint(s: State, n: Height) -> None:
    vote = s.safety.checkpoint(n, s.headers[n].hash)
    if vote is not None:
        s.broadcast(vote)
        s.log.add_checkpoint(vote)


def on_checkpoint(s: State, vote: Signed[Checkpoint]) -> None:
    n = vote.message.n
    if not s.h < n <= s.h + CHECKPOINT_WINDOWS * s.domain.window:
        return
    earlier = s.log.add_checkpoint(vote)
    if earlier is not None:
        s.accuse(earlier, vote)
        return
    settle(s, n)


def settle(s: State, n: Height) -> None:
    """Certify `n` if a quorum signed one header; raise the alarm if none can get a quorum."""
    if n <= s.h or s.halted is not None:
        return
    tallies = s.log.checkpoints(n)
    for header_hash, tally in tallies.items():
        if len(tally) >= s.quorum:
            signatures = quorum_of(tally, s.quorum)
            certify(s, Certificate(s.domain.epoch, n, header_hash, signatures))
            return
    _check_determinism(s, n, {digest: len(tally) for digest, tally in tallies.items()})


def _check_determinism(s: State, n: Height, counts: dict[Digest, int]) -> None:
    if s.nondeterminism is not None and s.nondeterminism >= n:
        return
    total = sum(counts.values())
    open_votes = s.validators.n - total
    hopeless = total >= s.quorum and max(counts.values()) + open_votes < s.quorum
    own = s.headers.get(n)
    against = 0 if own is None else total - counts.get(own.hash, 0)
    if hopeless or against >= s.weak:
        s.nondeterminism = n
        other = max(counts, key=lambda digest: (counts[digest], digest))
        detail = f"{len(counts)} different headers, none certified"
        own_hash = None if own is None else own.hash
        s.out.append(Alarm(AlarmKind.NONDETERMINISM, n, own_hash, other, detail))


def certify(s: State, certificate: Certificate) -> None:
    """Take a verified Certificate: as our certified height if executed, else to compare later."""
    n = certificate.n
    if n <= s.h or s.halted is not None:
        return
    if n > s.executed:
        s.certificates.setdefault(n, certificate)
        return
    own = s.headers[n]
    if own.hash != certificate.header_hash:
        s.halt(n, own.hash, certificate.header_hash, certificate)
        return
    s.out.append(SaveCertificate(certificate))
    s.certificate = certificate
    s.h_hash = certificate.header_hash
    s.safety.certified(n)
    _forget(s, n)
    s.timer_ms = s.clock_ms
    s.failed_views = 0
    if s.nondeterminism is not None and s.nondeterminism <= n:
        s.nondeterminism = None


def _forget(s: State, h: Height) -> None:
    s.log.forget(h)
    s.bodies = {digest: n for digest, n in s.bodies.items() if n > h}
    # A view is entered a few heights late: its turn counts from the same header at everyone.
    oldest = h - CHECKPOINT_WINDOWS * s.domain.window
    s.headers = {n: header for n, header in s.headers.items() if n >= oldest}
    s.decided = {n: digest for n, digest in s.decided.items() if n > h}
    s.checking = {n: item for n, item in s.checking.items() if n > h}
    s.certificates = {n: item for n, item in s.certificates.items() if n > h}
