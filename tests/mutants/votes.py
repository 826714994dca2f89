"""Sabotage of voting: the normal case, the log of votes, CHECKPOINTs and evidence."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, change, unit

SAFETY = "consensus/safety.py"
NORMAL = "consensus/normal.py"
LOG = "consensus/log.py"
CHECKPOINTS = "consensus/checkpoints.py"
STATE = "consensus/state.py"

IN_SAFETY = unit("consensus/test_safety.py")
IN_NORMAL = unit("consensus/test_normal.py")
IN_CHECKPOINTS = unit("consensus/test_checkpoints.py")

VOTES: list[Mutant] = [
    # --- what may be accepted ---
    change(
        "a second proposal for a height is accepted",
        SAFETY,
        "return accepted.digest == digest if accepted is not None else n > self.hi",
        "return True if accepted is not None else n > self.hi",
        IN_SAFETY,
    ),
    change(
        "the window is one too wide",
        SAFETY,
        "not self.h < n <= self.h + self._domain.window",
        "not self.h < n <= self.h + self._domain.window + 1",
        IN_SAFETY,
    ),
    change(
        "the certified height itself is voted on again",
        SAFETY,
        "not self.h < n <= self.h + self._domain.window",
        "not self.h <= n <= self.h + self._domain.window",
        IN_SAFETY,
    ),
    change(
        "hi is one too low",
        SAFETY,
        "        self.hi = due.hi\n",
        "        self.hi = Height(due.hi - 1)\n",
        unit("consensus/test_safety.py", "consensus/test_view_change.py"),
    ),
    change(
        "a COMMIT needs no accepted proposal of that digest",
        SAFETY,
        "if accepted is None or accepted.digest != certificate.digest:",
        "if accepted is None:",
        IN_SAFETY,
    ),
    change(
        "a COMMIT goes out for a certificate of another view",
        SAFETY,
        "if self.in_view_change or certificate.view != self.view or n <= self.h:",
        "if self.in_view_change or n <= self.h:",
        IN_SAFETY,
    ),
    change(
        "proposals are accepted while the view changes",
        SAFETY,
        "if self.in_view_change or not self.h < n",
        "if not self.h < n",
        IN_SAFETY,
    ),
    change(
        "two headers are signed for a height",
        SAFETY,
        "        if stored is None:\n            stored = self._checkpoints[n]",
        "        if stored is None or stored.message.header_hash != header_hash:\n"
        "            stored = self._checkpoints[n]",
        IN_SAFETY,
    ),
    change(
        "a body is not compared with the digest that was proposed",
        NORMAL,
        "if body.digest != digest or (body.n",
        "if (body.n",
        IN_NORMAL,
    ),
    change(
        "the time of a body is not looked at",
        NORMAL,
        "return oldest <= body.timestamp_ms <= s.now_ms + TIMESTAMP_FUTURE_MS * slack",
        "return True",
        IN_NORMAL,
    ),
    change(
        "the slack of the clock never grows",
        NORMAL,
        "slack = 1 << min(s.failed_views, TIMESTAMP_DOUBLINGS_MAX)",
        "slack = 1",
        IN_NORMAL,
    ),
    change(
        "a body that the driver refused is prepared",
        NORMAL,
        "proposal.message.view != s.view or not event.ok:",
        "proposal.message.view != s.view:",
        IN_NORMAL,
    ),
    change(
        "a height at or below hi is accepted that no NEW-VIEW names",
        SAFETY,
        "return accepted.digest == digest if accepted is not None else n > self.hi",
        "return accepted.digest == digest if accepted is not None else True",
        IN_SAFETY,
    ),
    # --- how many agree ---
    change(
        "f+1 PREPAREs are enough to COMMIT",
        NORMAL,
        "    if len(tally) < s.quorum:\n",
        "    if len(tally) < s.weak:\n",
        IN_NORMAL,
    ),
    change(
        "f+1 COMMITs decide",
        NORMAL,
        "if len(s.log.commits(view, n, digest)) >= s.quorum:",
        "if len(s.log.commits(view, n, digest)) >= s.weak:",
        IN_NORMAL,
    ),
    change(
        "one COMMIT more than a quorum is asked for",
        NORMAL,
        "if len(s.log.commits(view, n, digest)) >= s.quorum:",
        "if len(s.log.commits(view, n, digest)) > s.quorum:",
        IN_NORMAL,
    ),
    change(
        "f+1 CHECKPOINTs certify",
        CHECKPOINTS,
        "        if len(tally) >= s.quorum:\n",
        "        if len(tally) >= s.weak:\n",
        IN_CHECKPOINTS,
    ),
    change(
        "the second of two votes counts as well",
        LOG,
        "            return known if known.message.digest != message.digest else None\n",
        "            if known.message.digest == message.digest:\n                return None\n",
        unit("consensus/test_log.py"),
    ),
    change(
        "the PRE-PREPARE does not count as the primary's PREPARE",
        LOG,
        "counted = KIND_PREPARE if message.kind == KIND_PRE_PREPARE else message.kind",
        "counted = message.kind",
        unit("consensus/test_log.py"),
    ),
    change(
        "COMMITs count only while the view does not change",
        NORMAL,
        "    if message.kind == KIND_COMMIT:\n",
        "    if message.kind == KIND_COMMIT and s.may_vote:\n",
        IN_NORMAL,
    ),
    # --- memory ---
    change(
        "votes of every view are kept",
        LOG,
        "for surplus in others[VIEWS_MAX:]:",
        "for surplus in others[1_000:]:",
        unit("consensus/test_log.py"),
    ),
    change(
        "the lowest other views of a signer are kept",
        LOG,
        "others = sorted({*views, view} - {own_view}, reverse=True)",
        "others = sorted({*views, view} - {own_view})",
        unit("consensus/test_log.py"),
    ),
    change(
        "certified votes are not forgotten",
        LOG,
        "for n in [n for n in self._slots if n <= h]:",
        "for n in [n for n in self._slots if n < h]:",
        unit("consensus/test_log.py"),
    ),
    change(
        "votes are held far ahead of the window",
        NORMAL,
        "    if not s.h < message.n <= s.h + 2 * s.domain.window:\n",
        "    if not s.h < message.n <= s.h + 20 * s.domain.window:\n",
        IN_NORMAL,
    ),
    change(
        "CHECKPOINTs are held one window ahead only",
        CHECKPOINTS,
        "CHECKPOINT_WINDOWS = 4",
        "CHECKPOINT_WINDOWS = 1",
        IN_CHECKPOINTS,
    ),
    # --- evidence ---
    change(
        "evidence is lost",
        STATE,
        "            self.out.append(Evidence(first, second))\n",
        "            pass\n",
        IN_NORMAL,
    ),
    change(
        "evidence is reported again and again",
        STATE,
        "if key not in self.evidence and len",
        "if len",
        IN_NORMAL,
    ),
    change(
        "equivocation raises no suspicion",
        NORMAL,
        "        s.suspicion = REASON_EQUIVOCATION\n",
        "        pass\n",
        IN_NORMAL,
    ),
    change(
        "an honest re-send of a VIEW-CHANGE is evidence",
        "consensus/view_change.py",
        "vote.message.view == known.message.view and vote.message != known.message:",
        "vote.message.view == known.message.view:",
        unit("consensus/test_view_change.py"),
    ),
    # --- results ---
    change(
        "execution is believed out of order",
        CHECKPOINTS,
        "if n != s.executed + 1 or n > s.appended:",
        "if n > s.appended:",
        IN_CHECKPOINTS,
    ),
    change(
        "a diverged header is overwritten",
        CHECKPOINTS,
        "    if own.hash != certificate.header_hash:\n",
        "    if False:\n",
        IN_CHECKPOINTS,
    ),
    change(
        "different headers raise no alarm",
        CHECKPOINTS,
        "    if hopeless or against >= s.weak:\n",
        "    if False:\n",
        IN_CHECKPOINTS,
    ),
    change(
        "one other header is an alarm already",
        CHECKPOINTS,
        "    if hopeless or against >= s.weak:\n",
        "    if hopeless or against >= 1:\n",
        IN_CHECKPOINTS,
    ),
    change(
        "different headers are blamed on the primary",
        "consensus/timers.py",
        "    if s.nondeterminism is not None:\n",
        "    if False:\n",
        IN_CHECKPOINTS,
    ),
    change(
        "a body is given up before its height is certified",
        CHECKPOINTS,
        "    s.executed = n\n",
        "    s.executed = n\n    s.bodies = {d: m for d, m in s.bodies.items() if m > n}\n",
        IN_CHECKPOINTS,
    ),
    change(
        "a decided height is appended without its body",
        NORMAL,
        "        if not s.has_body(n, digest):\n",
        "        if False:\n",
        IN_NORMAL,
    ),
    change(
        "a body that comes with a late proposal does not append its height",
        NORMAL,
        "        on_vote(s, ruling.vote)\n        append_decided(s)\n",
        "        on_vote(s, ruling.vote)\n",
        IN_NORMAL,
    ),
]
