"""The mutants of the design's own table, each with the layer that found it in the prototype."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant, change, model, seeds, simulation, unit

SAFETY = "consensus/safety.py"
NORMAL = "consensus/normal.py"
VIEW_CHANGE = "consensus/view_change.py"

NOT_READY = "if s.ready or s.safety.in_view_change or s.h < s.view_lo:"

DESIGN: list[Mutant] = [
    change(
        "VIEW-CHANGE omits the prepared certificates",
        SAFETY,
        "prepared = tuple(self.prepared[n] for n in sorted(self.prepared) if n > self.h)",
        "prepared = ()",
        unit("consensus/test_safety.py"),
        model(
            "model/test_model.py::test_row_14_a_view_change_that_hides_a_certificate_changes_nothing"
        ),
        seeds(4, 0, 39),
    ),
    change(
        "a quorum is 2f+1",
        "ledger/validators.py",
        "return (n + faults_tolerated(n) + 2) // 2",
        "return 2 * faults_tolerated(n) + 1",
        unit("ledger/test_validators.py"),
        model("model/test_model.py::test_one_height_of_five"),
        seeds(5, 0, 9),
    ),
    change(
        "NEW-VIEW is not recomputed by backups",
        "consensus/verifier.py",
        "if due.digests != tuple((item.n, item.digest) for item in new_view.proposals):",
        "if False:",
        unit("consensus/test_verifier.py"),
        model("model/test_model.py::test_two_heights_of_four_at_once"),
        simulation("simulation/test_rows_views.py::test_row_15_another_o_or_two_new_views"),
    ),
    change(
        "no write-ahead log: recovery finds nothing",
        "consensus/recovery.py",
        "        if record.epoch == s.domain.epoch:\n            _take_record",
        "        if record.epoch != s.domain.epoch:\n            _take_record",
        unit("consensus/test_recovery.py"),
        model("model/test_model.py::test_one_height_of_four_with_crashes"),
        seeds(4, 0, 39),
    ),
    change(
        "the certificate of the lowest view is chosen",
        "consensus/new_view.py",
        "known is None or prepared.view > known.view",
        "known is None or prepared.view < known.view",
        unit("consensus/test_new_view.py"),
        model(
            "model/test_model.py::test_row_13_new_view_takes_the_prepared_value_of_the_highest_view"
        ),
        simulation(
            "simulation/test_rows_views.py::test_row_13_of_two_prepared_values_the_later_view_wins"
        ),
    ),
    Mutant(
        "return to the old view after VIEW-CHANGE",
        (
            Edit(
                SAFETY,
                """        self.view = vote.message.view
        self.in_view_change = True
        self.view_change = vote
        self.new_view = None
        self.accepted.clear()
        self._votes.clear()
        self._raise_highest(self.view, Height(0))
""",
                """        self.view_change = vote
        self._raise_highest(vote.message.view, Height(0))
""",
            ),
        ),
        (
            unit("consensus/test_safety.py"),
            model("model/test_model.py::test_two_heights_of_four_at_once"),
            seeds(4, 0, 39),
        ),
    ),
    change(
        "the prepared certificate is dropped at execution",
        "consensus/checkpoints.py",
        "    s.executed = n\n",
        "    s.executed = n\n    s.safety.prepared.pop(n, None)\n",
        unit("consensus/test_view_change.py"),
        model("model/test_model.py::test_one_height_of_four_and_every_state_can_go_on[0]"),
        seeds(4, 0, 19),
    ),
    Mutant(
        "one vote is enough to join a view change",
        (
            Edit(VIEW_CHANGE, "if len(ahead) >= s.weak:", "if ahead:"),
            Edit(
                VIEW_CHANGE,
                "sorted(ahead.values(), reverse=True)[s.weak - 1]",
                "max(ahead.values())",
            ),
        ),
        (
            unit("consensus/test_view_change.py"),
            simulation(
                "simulation/test_rows_views.py::test_row_17_a_storm_of_f_nodes_at_most_doubles_the_rate"
            ),
        ),
    ),
    Mutant(
        "a proposal at or below lo is accepted, and voted on before lo is reached",
        (
            Edit(SAFETY, "if accepted is not None else n > self.hi", "if accepted else True"),
            Edit(NORMAL, "not max(s.h, s.safety.hi) < n", "not s.h < n"),
            Edit(VIEW_CHANGE, NOT_READY, "if s.ready or s.safety.in_view_change:"),
        ),
        (unit("consensus/test_view_change.py"), seeds(4, 0, 39)),
    ),
    change(
        "votes are given before lo is reached",
        VIEW_CHANGE,
        NOT_READY,
        "if s.ready or s.safety.in_view_change:",
        unit("consensus/test_view_change.py"),
        model("model/test_model.py::test_two_heights_of_four_executed_apart_from_certified[0]"),
        seeds(4, 0, 39),
    ),
    change(
        "NEW-VIEW's pre-prepares are not rebuilt from its record",
        "consensus/recovery.py",
        '        s.safety.enter(cast("Signed[NewView]", signed), due)\n',
        '        s.safety.enter(cast("Signed[NewView]", signed), due)\n'
        "        s.safety.accepted.clear()\n"
        "        s.safety.new_view = None\n",
        unit("consensus/test_recovery.py"),
        simulation(
            "simulation/test_rows_views.py::test_a_new_view_record_stands_for_its_pre_prepares"
        ),
    ),
    change(
        "a PRE-PREPARE just beyond the window is dropped",
        NORMAL,
        "    if not s.h < message.n <= s.h + 2 * s.domain.window:\n",
        "    windows = 1 if message.kind == KIND_PRE_PREPARE else 2\n"
        "    if not s.h < message.n <= s.h + windows * s.domain.window:\n",
        unit("consensus/test_normal.py"),
        simulation("simulation/test_load.py::test_proposals_just_beyond_a_window_are_kept"),
    ),
]
