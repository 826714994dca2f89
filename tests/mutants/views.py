"""Sabotage of SUSPECT, view changes, rotation, time-outs and catching up."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, change, unit

VIEW_CHANGE = "consensus/view_change.py"
NEW_VIEW = "consensus/new_view.py"
TIMERS = "consensus/timers.py"
CATCH_UP = "consensus/catch_up.py"

IN_VIEW_CHANGE = unit("consensus/test_view_change.py")
IN_TIMERS = unit("consensus/test_timers.py")
IN_NEW_VIEW = unit("consensus/test_new_view.py")
IN_CATCH_UP = unit("consensus/test_catch_up.py")

VIEWS: list[Mutant] = [
    # --- SUSPECT ---
    change(
        "f+1 SUSPECTs leave a working view",
        VIEW_CHANGE,
        "    if len(active) >= s.quorum:\n",
        "    if len(active) >= s.weak:\n",
        IN_VIEW_CHANGE,
    ),
    change(
        "one SUSPECT is joined",
        VIEW_CHANGE,
        "elif len(active) >= s.weak and all",
        "elif active and all",
        IN_VIEW_CHANGE,
    ),
    change(
        "a SUSPECT counts on anyone's link",
        VIEW_CHANGE,
        "    peer = s.peers.get(sender)\n    if peer is None or vote.signer != sender:\n",
        "    peer = s.peers.get(vote.signer)\n    if peer is None:\n",
        IN_VIEW_CHANGE,
    ),
    change(
        "a SUSPECT never expires",
        VIEW_CHANGE,
        "        and s.clock_ms - at_ms <= SUSPECT_LIFETIME_MS\n",
        "",
        IN_VIEW_CHANGE,
    ),
    change(
        "a SUSPECT of one far behind counts",
        VIEW_CHANGE,
        "        and suspect.h >= s.h - s.domain.window\n",
        "",
        IN_VIEW_CHANGE,
    ),
    change(
        "a SUSPECT counts against a later view",
        VIEW_CHANGE,
        "        and suspect.view >= s.view\n",
        "",
        IN_VIEW_CHANGE,
    ),
    # --- VIEW-CHANGE, NEW-VIEW ---
    change(
        "the highest of f+1 views is followed",
        VIEW_CHANGE,
        "sorted(ahead.values(), reverse=True)[s.weak - 1]",
        "max(ahead.values())",
        IN_VIEW_CHANGE,
    ),
    change(
        "the lowest VIEW-CHANGE of a signer is kept",
        VIEW_CHANGE,
        "    peer.view_change = vote\n",
        "    peer.view_change = known or vote\n",
        IN_VIEW_CHANGE,
    ),
    change(
        "the primary leads with f+1 VIEW-CHANGEs",
        VIEW_CHANGE,
        "    if len(votes) < s.quorum:\n",
        "    if len(votes) < s.weak:\n",
        IN_VIEW_CHANGE,
    ),
    change(
        "a primary that lags leads at once",
        VIEW_CHANGE,
        "    if s.h < due.lo:\n        return\n",
        "",
        IN_VIEW_CHANGE,
    ),
    change(
        "a gap is skipped instead of filled with NULL",
        NEW_VIEW,
        "        digests.append((n, best[n].digest if n in best else null_digest(n)))\n",
        "        if n in best:\n            digests.append((n, best[n].digest))\n",
        IN_NEW_VIEW,
    ),
    change(
        "lo is the lowest certified height",
        NEW_VIEW,
        "highest = max(changes, key",
        "highest = min(changes, key",
        IN_NEW_VIEW,
    ),
    change(
        "what is certified already is proposed again",
        NEW_VIEW,
        "if prepared.n > lo and (",
        "if (",
        IN_NEW_VIEW,
    ),
    change(
        "a NEW-VIEW for a lower view is taken",
        "consensus/safety.py",
        "if view < self.view or (view == self.view and not self.in_view_change):",
        "if view == self.view and not self.in_view_change:",
        unit("consensus/test_safety.py"),
    ),
    change(
        "a NEW-VIEW's Certificate is not taken",
        VIEW_CHANGE,
        """        checkpoints.certify(s, due.lo_certificate)
    left = s.view
""",
        """        pass
    left = s.view
""",
        IN_VIEW_CHANGE,
    ),
    change(
        "O[n] that are executed are not prepared again",
        VIEW_CHANGE,
        "        if n <= s.h:\n",
        "        if n <= s.executed:\n",
        IN_VIEW_CHANGE,
    ),
    change(
        "two NEW-VIEWs for a view are no evidence",
        VIEW_CHANGE,
        "        s.accuse(current, vote)\n",
        "        pass\n",
        IN_VIEW_CHANGE,
    ),
    change(
        "a peer below our view is not shown the NEW-VIEW",
        VIEW_CHANGE,
        "(status.view, not status.in_view_change) >= (s.view, True)",
        "True",
        IN_VIEW_CHANGE,
    ),
    change(
        "a replayed STATUS counts",
        "consensus/replica.py",
        "if sender is not None and signed.signer == event.sender:",
        "if sender is not None:",
        IN_VIEW_CHANGE,
    ),
    # --- rotation ---
    change(
        "no primary's turn ends after R blocks",
        "consensus/state.py",
        "self.view_lo + self.config.rotation_blocks",
        "self.view_lo + 10**9",
        IN_VIEW_CHANGE,
    ),
    change(
        "planned rotation never happens",
        VIEW_CHANGE,
        '            start(s, view, "planned rotation")\n',
        "            pass\n",
        IN_VIEW_CHANGE,
    ),
    change(
        "rotation hands over to a dead primary",
        VIEW_CHANGE,
        "        if alive:\n",
        "        if True:\n",
        IN_VIEW_CHANGE,
    ),
    change(
        "a turn has no least number of blocks",
        VIEW_CHANGE,
        "if made < s.config.rotation_blocks_min or header",
        "if header",
        IN_VIEW_CHANGE,
    ),
    change(
        "a turn does not end by time",
        VIEW_CHANGE,
        "return header.time_ms - s.view_lo_time_ms >= s.config.rotation_ms",
        "return False",
        IN_VIEW_CHANGE,
    ),
    # --- time-outs ---
    change(
        "the back-off has no bound",
        TIMERS,
        "return min(first << min(k, 32), TIMEOUT_CAP_MS << min(k // (2 * s.validators.n), 32))",
        "return first << min(k, 32)",
        IN_TIMERS,
    ),
    change(
        "the back-off never grows beyond its first bound",
        TIMERS,
        "TIMEOUT_CAP_MS << min(k // (2 * s.validators.n), 32)",
        "TIMEOUT_CAP_MS",
        IN_TIMERS,
    ),
    change(
        "progress does not reset the back-off",
        "consensus/checkpoints.py",
        "    s.failed_views = 0\n",
        "",
        IN_TIMERS,
    ),
    change(
        "regained contact does not reset the back-off",
        TIMERS,
        "        s.failed_views = 0\n",
        "",
        IN_TIMERS,
    ),
    change(
        "a failed view does not raise the back-off",
        VIEW_CHANGE,
        "    if len(active) >= s.quorum:\n        s.failed_views += 1\n",
        "    if len(active) >= s.quorum:\n",
        IN_TIMERS,
    ),
    change(
        "a silent next primary is waited for as long as a slow one",
        TIMERS,
        "if s.safety.in_view_change and _silent(s, s.primary()):",
        "if False:",
        IN_TIMERS,
    ),
    change(
        "the timer runs while the own worker executes",
        TIMERS,
        "    if s.appended > s.executed:\n",
        "    if False:\n",
        IN_TIMERS,
    ),
    change(
        "who waits alone suspects the primary that nobody called",
        VIEW_CHANGE,
        "    message = Suspect(View(s.view - early), s.h, reason)\n",
        "    message = Suspect(s.view, s.h, reason)\n",
        IN_TIMERS,
    ),
    change(
        "the time of a NEW-VIEW runs before a quorum waits for it",
        VIEW_CHANGE,
        "        s.gathered = True\n        s.timer_ms = s.clock_ms\n",
        "        s.gathered = True\n",
        IN_TIMERS,
    ),
    change(
        "a lost vote is not sent again while later ones come",
        TIMERS,
        " or (ticks > 1 and ticks & (ticks - 1) == 0)\n",
        "\n",
        IN_TIMERS,
    ),
    change(
        "a primary that makes no empty block is not suspected",
        TIMERS,
        "owed = waiting or idle or bool",
        "owed = waiting or bool",
        IN_TIMERS,
    ),
    change(
        "a new view gets no time after a long silence",
        TIMERS,
        "    expired = s.clock_ms - s.timer_ms >= timeout_ms(s)\n",
        "    expired = idle or s.clock_ms - s.timer_ms >= timeout_ms(s)\n",
        IN_TIMERS,
    ),
    change(
        "a jump of the wall clock moves the timers",
        "consensus/replica.py",
        "elapsed if 0 <= elapsed <= JUMP_MS else TICK_MS",
        "elapsed",
        unit("consensus/test_timers.py", "consensus/test_replica.py"),
    ),
    change(
        "own votes are not sent again",
        "consensus/state.py",
        "        for vote in self.safety.votes():\n            self.broadcast(vote)\n",
        "",
        IN_TIMERS,
    ),
    change(
        "the own VIEW-CHANGE is not sent again",
        "consensus/state.py",
        "            self.broadcast(self.safety.view_change)\n",
        "            pass\n",
        IN_TIMERS,
    ),
    # --- catching up ---
    change(
        "the height of a STATUS is believed",
        "consensus/replica.py",
        "                sender.status = message\n",
        "                sender.status = message\n                s.safety.certified(message.h)\n",
        IN_CATCH_UP,
    ),
    change(
        "blocks of one that was not asked are taken",
        CATCH_UP,
        "if s.fetch is None or s.fetch.peer != event.sender:",
        "if s.fetch is None:",
        IN_CATCH_UP,
    ),
    change(
        "the same peer is asked for ever",
        CATCH_UP,
        "            s.fetch_peer = (s.fetch_peer + step) % len(names)\n",
        "",
        IN_CATCH_UP,
    ),
    change(
        "a question for blocks never times out",
        CATCH_UP,
        "if s.clock_ms - s.fetch.since_ms < FETCH_TIMEOUT_MS:",
        "if True:",
        IN_CATCH_UP,
    ),
    change(
        "a fetched block's header is not compared after execution",
        "consensus/checkpoints.py",
        "if named is not None and named[0] != event.header_hash:",
        "if False:",
        unit("consensus/test_divergence.py"),
    ),
    change(
        "blocks are fetched without bound while execution lags",
        CATCH_UP,
        "    if s.appended - s.executed >= BACKLOG_MAX:\n        return\n",
        "",
        IN_CATCH_UP,
    ),
    change(
        "a block with a gap before it is taken",
        CATCH_UP,
        "        if n > s.appended + 1:\n            return False\n",
        "        s.appended = Height(n - 1) if n > s.appended + 1 else s.appended\n",
        IN_CATCH_UP,
    ),
]
