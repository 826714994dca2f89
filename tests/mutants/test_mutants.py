"""The gate itself: every mutant still applies, and some are really tried.

`make mutants` tries all of them; the slow test below does the same.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.mutants.design import DESIGN
from tests.mutants.gate import ROOT, Gate, GateBroken, Tree
from tests.mutants.mutant import Edit, Layer, Misplaced, Mutant, change, unit
from tests.mutants.table import MUTANTS

QUICK = (
    "a second proposal for a height is accepted",
    "the certificate of the lowest view is chosen",
    "one nested signature is skipped",
)

HARMLESS = change(
    "a comment is added",
    "consensus/log.py",
    "class VoteLog:\n",
    "# Nothing changed.\nclass VoteLog:\n",
    unit("consensus/test_log.py"),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_still_applies(mutant: Mutant, tmp_path: Path) -> None:
    for file in {edit.file for edit in mutant.edits}:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, tmp_path / file)
    for edit in mutant.edits:
        before = (tmp_path / edit.file).read_text(encoding="utf-8")
        edit.apply(tmp_path)
        after = (tmp_path / edit.file).read_text(encoding="utf-8")
        assert after != before
        compile(after, edit.file, "exec")
    for test in [test for catch in mutant.catches for test in catch.tests]:
        file, _, name = test.partition("::")
        source = (ROOT / file).read_text(encoding="utf-8")
        assert not name or f"def {name.partition('[')[0]}(" in source, test


def test_names_are_unique_and_every_layer_is_put_to_the_proof() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names) >= len(DESIGN) + 25
    assert all(mutant.catches for mutant in MUTANTS)
    assert {catch.layer for mutant in MUTANTS for catch in mutant.catches} == set(Layer)
    for mutant in DESIGN:
        assert any(catch.layer is Layer.SIMULATION for catch in mutant.catches), mutant.name


@pytest.mark.timeout(300)
def test_a_few_are_caught_and_a_harmless_change_is_not() -> None:
    mutants = [mutant for mutant in MUTANTS if mutant.name in QUICK]
    assert len(mutants) == len(QUICK)
    with Gate() as gate:
        gate.check_unbroken(mutants, [Layer.UNIT])
        outcomes = gate.try_all([*mutants, HARMLESS], [Layer.UNIT])
    caught = {outcome.mutant.name: outcome.caught_by for outcome in outcomes}
    assert caught.pop(HARMLESS.name) is None, "the gate sees faults where there are none"
    assert all(caught.values()), caught


def test_a_mutant_without_its_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text("twice twice", encoding="utf-8")
    for old in ("twice", "never"):
        with pytest.raises(Misplaced):
            Edit("file.py", old, "x").apply(tmp_path)


@pytest.mark.timeout(120)
def test_tests_that_can_not_be_run_break_the_gate(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    with pytest.raises(GateBroken):
        tree.run(unit("consensus/test_log.py::test_that_does_not_exist"))


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_every_mutant_is_caught() -> None:
    with Gate(2) as gate:
        gate.check_unbroken(MUTANTS, list(Layer))
        outcomes = gate.try_all(MUTANTS, list(Layer))
    survivors = [
        f"{outcome.mutant.name} ({outcome.layer.value}) {outcome.error or ''}"
        for outcome in outcomes
        if outcome.caught_by is None
    ]
    assert survivors == []
