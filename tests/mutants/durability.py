"""Sabotage of what must be on disk first, of the log itself, and of starting again."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, change, model, simulation, storage, unit

NORMAL = "consensus/normal.py"
VIEW_CHANGE = "consensus/view_change.py"
SAFETY = "consensus/safety.py"
RECOVERY = "consensus/recovery.py"
SEGMENTS = "ledger/storage/segments.py"
WAL = "node/wal.py"

IN_NORMAL = unit("consensus/test_normal.py")
IN_VIEW_CHANGE = unit("consensus/test_view_change.py")
IN_RECOVERY = unit("consensus/test_recovery.py")
IN_DRIVER = storage("node/engine/test_driver.py")
IN_WAL = storage("node/engine/test_wal.py")
IN_SEGMENTS = storage("ledger/storage/test_segments.py")

DURABILITY: list[Mutant] = [
    change(
        "votes that were recorded and not sent wait for a standstill",
        RECOVERY,
        "    s.say_again()\n",
        "",
        IN_RECOVERY,
    ),
    # --- records before messages ---
    change(
        "a PREPARE is not recorded",
        NORMAL,
        "        s.persist(ruling.record)\n        s.broadcast",
        "        s.broadcast",
        IN_NORMAL,
    ),
    change(
        "a PREPARE is sent before it is recorded",
        NORMAL,
        """        s.persist(ruling.record)
        s.broadcast(ruling.vote)
""",
        """        s.broadcast(ruling.vote)
        s.persist(ruling.record)
""",
        IN_NORMAL,
    ),
    change(
        "a PREPARE is recorded before its body",
        NORMAL,
        """        keep_body(s, n, event.digest)
        s.persist(s.safety.anchored(n, s.certificate))
        s.persist(ruling.record)
""",
        """        s.persist(s.safety.anchored(n, s.certificate))
        s.persist(ruling.record)
        keep_body(s, n, event.digest)
""",
        IN_NORMAL,
        model("model/test_model.py::test_one_height_of_four_with_crashes"),
    ),
    change(
        "a proposal is not recorded",
        NORMAL,
        """    s.persist(s.safety.anchored(n, s.certificate))
    s.persist(ruling.record)
""",
        """    s.persist(s.safety.anchored(n, s.certificate))
""",
        IN_NORMAL,
    ),
    change(
        "a COMMIT is sent without its prepared certificate on disk",
        NORMAL,
        """    ruling = s.safety.commit(certificate)
    if ruling is None:
        return
    s.persist(ruling.record)
""",
        """    ruling = s.safety.commit(certificate)
    if ruling is None:
        return
""",
        IN_NORMAL,
    ),
    change(
        "a body is voted on that is not on disk",
        NORMAL,
        "        s.out.append(PersistBody(n, digest))\n",
        "        pass\n",
        IN_NORMAL,
    ),
    change(
        "a VIEW-CHANGE is not recorded",
        VIEW_CHANGE,
        "    s.view_changes += 1\n    s.persist(ruling.record)\n",
        "    s.view_changes += 1\n",
        IN_VIEW_CHANGE,
    ),
    change(
        "the own NEW-VIEW is not recorded",
        VIEW_CHANGE,
        "        s.persist(ruling.record)\n        s.broadcast(ruling.vote)\n",
        "        s.broadcast(ruling.vote)\n",
        IN_VIEW_CHANGE,
    ),
    change(
        "a NEW-VIEW that is voted under is not recorded",
        VIEW_CHANGE,
        "        s.persist(ruling.record)\n        _entered(s, due, left)\n",
        "        _entered(s, due, left)\n",
        IN_VIEW_CHANGE,
    ),
    change(
        "a CHECKPOINT goes out before execution",
        NORMAL,
        "    s.out.append(Execute(n, digest))\n",
        "    s.out.append(Execute(n, digest))\n"
        "    early = s.safety.checkpoint(n, digest)\n"
        "    if early is not None:\n"
        "        s.broadcast(early)\n",
        unit("consensus/test_checkpoints.py"),
    ),
    # --- the driver ---
    change(
        "the driver sends before the sync",
        "node/driver.py",
        "            await self._write(durable)\n",
        '            self._spawn(self._write(durable), "write")\n',
        IN_DRIVER,
    ),
    change(
        "a body need not be on disk before the turn's messages",
        "consensus/effects.py",
        "DURABLE = (Persist, PersistBody, AppendDecided)",
        "DURABLE = (Persist, AppendDecided)",
        IN_NORMAL,
    ),
    change(
        "the driver goes on after a failed write",
        "node/driver.py",
        "            self.fail(error)\n\n    def fail",
        "            pass\n\n    def fail",
        IN_DRIVER,
    ),
    # --- the log on disk ---
    change(
        "the log of votes is not synced",
        WAL,
        "        self._log.sync()\n        self._bytes +=",
        "        self._bytes +=",
        IN_WAL,
    ),
    change(
        "compaction drops the old log before the new is synced",
        WAL,
        "            self._log.sync()\n            self._log.drop_before(first)\n",
        "            self._log.drop_before(first)\n",
        IN_WAL,
    ),
    change(
        "damage inside the log is cut away like a torn tail",
        SEGMENTS,
        '            raise LogCorrupt(self._name, offset, "the payload fails its CRC")\n',
        "            raise _Torn(offset)\n",
        IN_SEGMENTS,
    ),
    change(
        "a torn tail stops the start",
        SEGMENTS,
        "            if not last:\n                raise LogCorrupt",
        "            if True:\n                raise LogCorrupt",
        IN_SEGMENTS,
    ),
    change(
        "a torn tail is not cut off",
        SEGMENTS,
        "            self._folder.truncate(name, torn.offset)\n",
        "",
        IN_SEGMENTS,
    ),
    change(
        "a synced record that reads as zeros is forgotten",
        SEGMENTS,
        "            if _zero_sector(padded, start) and not self._synced_later(\n"
        "                sequence, start + len(padded)\n"
        "            ):\n",
        "            if _zero_sector(padded, start):\n",
        IN_SEGMENTS,
    ),
    change(
        "a record's predecessor is not looked at",
        SEGMENTS,
        "if previous is not None and found_previous != previous:",
        "if False:",
        IN_SEGMENTS,
    ),
    change(
        "a failed sync is tried again",
        SEGMENTS,
        "        if self._failed is not None:\n",
        "        if False:\n",
        IN_SEGMENTS,
    ),
    # --- starting again ---
    change(
        "after a crash another digest is prepared",
        SAFETY,
        "if record.view == self.view and record.n > self.h:",
        "if False:",
        IN_RECOVERY,
    ),
    change(
        "prepared certificates are lost in a crash",
        SAFETY,
        "            self.prepared[certificate.n] = certificate\n",
        "            pass\n",
        IN_RECOVERY,
    ),
    change(
        "after a crash the older prepared certificate wins",
        SAFETY,
        "(known is None or known.view < certificate.view)",
        "known is None",
        unit("consensus/test_safety.py"),
    ),
    change(
        "after a crash a replica is back in the view it left",
        SAFETY,
        "    def restore_view_change(self, vote: Signed[ViewChange]) -> None:\n"
        "        self._leave(vote)\n",
        "    def restore_view_change(self, vote: Signed[ViewChange]) -> None:\n"
        "        self.view_change = vote\n",
        IN_RECOVERY,
    ),
    change(
        "votes are not signed again after a crash",
        RECOVERY,
        "    s.safety.sign_again()\n",
        "",
        IN_RECOVERY,
    ),
    change(
        "restored proposals do not count as the primary's PREPARE",
        RECOVERY,
        "    _restore_proposals(s, verifier)\n    s.ready",
        "    s.ready",
        IN_RECOVERY,
    ),
    change(
        "compaction forgets prepared certificates",
        SAFETY,
        "for n in sorted(self.prepared)]\n        if self.anchor",
        "for n in ()]\n        if self.anchor",
        unit("consensus/test_safety.py"),
    ),
    change(
        "compaction forgets the highest vote",
        SAFETY,
        "        if self.highest is not None:\n            kept.append",
        "        if False:\n            kept.append",
        unit("consensus/test_safety.py"),
    ),
    # --- lost logs ---
    change(
        "a lost log votes",
        RECOVERY,
        "    if s.executed > s.domain.base:\n",
        "    if False:\n",
        IN_RECOVERY,
    ),
    change(
        "a higher vote that a peer shows is ignored",
        RECOVERY,
        "        if _beyond(vote.message, s.known_highest, s.known_executed):\n",
        "        if False:\n",
        IN_RECOVERY,
    ),
    change(
        "one answer is enough to vote",
        RECOVERY,
        "    if len(s.answers) >= s.quorum - 1:\n",
        "    if s.answers:\n",
        IN_RECOVERY,
    ),
    change(
        "a replica votes while it asks",
        "consensus/state.py",
        "self.ready and self.observer is None",
        "self.ready",
        IN_RECOVERY,
    ),
    change(
        "a vote under our key from elsewhere is ignored",
        RECOVERY,
        "if _beyond(signed.message, highest, s.appended) or s.safety.contradicts(signed):",
        "if False:",
        IN_RECOVERY,
    ),
    change(
        "the lowest vote of a peer is remembered for it",
        RECOVERY,
        "position is not None and peer is not None and position > peer.highest_position:",
        "position is not None and peer is not None and peer.highest_vote is None:",
        IN_RECOVERY,
    ),
    change(
        "what peers' logs prove of others is not restored",
        RECOVERY,
        "            note_vote(s, vote)\n",
        "            pass\n",
        IN_RECOVERY,
    ),
    change(
        "a vote beyond the last window of the log brings no Certificate",
        NORMAL,
        """        keep_body(s, n, event.digest)
        s.persist(s.safety.anchored(n, s.certificate))
""",
        """        keep_body(s, n, event.digest)
""",
        IN_RECOVERY,
        simulation("simulation/test_rows_crash.py::test_row_33_a_certificate_lost_with_the_power"),
    ),
    change(
        "the Certificate of the log is not used at start",
        RECOVERY,
        "    if s.safety.anchor is not None:\n",
        "    if False:\n",
        IN_RECOVERY,
        simulation("simulation/test_rows_crash.py::test_row_33_a_certificate_lost_with_the_power"),
    ),
    change(
        "a NEW-VIEW below it takes the log's Certificate away",
        SAFETY,
        "        if record.certificate.n > self._anchored_to:\n",
        "        if True:\n",
        unit("consensus/test_safety.py"),
    ),
    change(
        "compaction drops the log's Certificate",
        SAFETY,
        "            kept.append(self.anchor)\n",
        "            pass\n",
        unit("consensus/test_safety.py"),
    ),
    change(
        "a repaired height is signed a second time",
        SAFETY,
        "if self.diverged is not None and n <= self.diverged.signed_to:",
        "if False:",
        unit("consensus/test_divergence.py"),
    ),
    change(
        "a halt is over with a restart",
        RECOVERY,
        "    elif own.hash != diverged.certified:\n",
        "    elif False:\n",
        unit("consensus/test_divergence.py"),
    ),
]
