"""The benchmark of contracts measures what it says, and prices leave nothing out."""

from __future__ import annotations

import json
from types import CodeType

import pytest
from click.testing import CliRunner

from cli.main import cli
from contracts.dialect import HOST_FUNCTIONS, compile_source
from contracts.dialect.guards import GUARDS
from devnet.bench import calibration, gas_rows

COMPILING_ONLY = {"_check_key"}
"""Guards that compiled code never calls: constants are computed with them."""

ENDING_ONLY = {"_exhausted", "_revert"}
"""Guards that end a call."""

LOCALS = ("n", "s", "t", "x", "y", "d", "e", "b", "c", "i")


def names_in(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= names_in(constant)
    return names


def measured_by(body: str) -> set[str]:
    """Guards and host functions that the body of a row calls, its set-up aside."""
    lines = "\n".join("        " + line for line in body.split("\n"))
    source = f"{gas_rows.HELPERS}@call\ndef main({', '.join(LOCALS)}):\n    while True:\n{lines}\n"
    return names_in(compile_source(source).code)


def test_everything_that_a_contract_can_do_has_a_row() -> None:
    measured = set().union(*(measured_by(body) for _, body in gas_rows.ROWS.values()))
    assert set(GUARDS) - measured == COMPILING_ONLY
    host = {f"_host_{name}" for name in HOST_FUNCTIONS if name != "require"}
    assert host - measured == set()
    assert measured >= ENDING_ONLY


@pytest.mark.parametrize("name", ["pass", "get record", "list keys", "call contract"])
def test_a_row_spends_a_calls_gas(name: str) -> None:
    found = calibration.calibrate([name])
    assert [row.name for row in found.rows] == [name]
    assert found.median == found.rows[0].nanoseconds > 0


def test_a_row_that_ends_early_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gas_rows.ROWS, "wrong", ("", "n.upper()"))
    with pytest.raises(calibration.RowFailed, match="wrong: error TYPE"):
        calibration.calibrate(["pass", "wrong"])


def test_a_price_far_below_its_cost_is_told() -> None:
    rows = [calibration.RowCost(str(ns), ns, ns * 3e-4) for ns in (400.0, 151.0, 149.0, 50.0, 50.0)]
    found = calibration.Calibration([*rows, calibration.RowCost("cheap", 1.0, 0.0)])
    assert found.median == 99.5
    assert [row.name for row in found.underpriced] == ["400.0"]
    assert [row.name for row in found.slow] == ["400.0"]


def test_the_library_is_measured() -> None:
    done = CliRunner().invoke(cli, ["bench", "--contracts", "--runs", "1", "--json"])
    assert done.exit_code == 0, done.output
    calls = {call["method"]: call for call in json.loads(done.stdout)["calls"]}
    assert list(calls) == ["licence.issue", "licence.suspend", "licence.revoke", "credit.attest"]
    for call in calls.values():
        assert 130 <= call["gas"] <= 450
        assert call["total"] > call["worker"] > 0
        assert call["per_second"] > 0


def test_what_to_measure_is_said() -> None:
    done = CliRunner().invoke(cli, ["bench"])
    assert done.exit_code == 2
    assert "--contracts" in done.stderr


def test_the_state_is_measured_on_a_real_ledger() -> None:
    result = CliRunner().invoke(cli, ["bench", "--state", "--keys", "1000", "--json"])
    assert result.exit_code == 0, result.output
    (cost,) = json.loads(result.stdout)["state"]
    assert cost["keys"] == 1_000
    # A path has the sixteen levels of the top at most that are not empty: ten for a thousand keys.
    assert 9 * 32 < cost["path_bytes"] <= cost["path_bytes_max"] < cost["proof_bytes_max"] < 1_800
    assert min(cost.values()) > 0
