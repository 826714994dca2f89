"""Every fault that is due has a test in each of its layers, or the table says so."""

from __future__ import annotations

from pathlib import Path

from tests import faults


def test_every_due_fault_has_its_tests() -> None:
    assert [
        f"{row.number} {layer}" for row, layer in faults.missing(faults.cells_of(faults.TESTS))
    ] == []


def test_every_test_of_a_row_names_a_row_that_there_is() -> None:
    numbers = {row.number for row in faults.ROWS}
    assert {number for number, _ in faults.cells_of(faults.TESTS)} <= numbers


def test_a_due_row_without_a_test_fails(tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "simulation"
    folder.mkdir(parents=True)
    (folder / "test_x.py").write_text("def test_row_15_two_new_views() -> None: ...\n")
    cells = faults.cells_of(tmp_path / "tests")
    assert cells == {(15, "S"): ["tests/simulation/test_x.py::test_row_15_two_new_views"]}
    lacking = {(row.number, layer) for row, layer in faults.missing(cells)}
    assert (15, "S") not in lacking
    assert (1, "S") in lacking
    lines, good = faults.table(cells, {}, [])
    assert not good
    assert any("MISSING" in line for line in lines)


def test_a_failed_or_forgotten_test_fails_the_table() -> None:
    cells = {
        (row.number, layer): [f"f.py::test_row_{row.number:02}_{layer}"]
        for row in faults.ROWS
        for layer in row.layers
    }
    outcomes = {node: "passed" for nodes in cells.values() for node in nodes}
    assert faults.table(cells, outcomes, "SMP")[1]
    for spoilt in ("failed", None):
        changed = dict(outcomes)
        if spoilt is None:
            del changed["f.py::test_row_13_M"]
        else:
            changed["f.py::test_row_13_M"] = spoilt
        assert not faults.table(cells, changed, "SMP")[1]
