"""`qiong bench`: what Qiong costs on this machine."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any, Final

import click

from cli import output
from cli.settings import json_option
from contracts.worker.executor import CALL_GAS_MAX
from devnet.bench import calibration, contracts, gas_rows

SHOWN: Final = 12
"""Rows of the calibration shown without --json: the dearest for their gas."""


@click.command("bench")
@click.option("--contracts", "calls", is_flag=True, help="Calls of the library's contracts.")
@click.option(
    "--calibrate",
    is_flag=True,
    help="With --contracts: processor time per gas of everything a contract can do. About a"
    " minute; ends with 1 if a price is too low.",
)
@click.option("--runs", type=click.IntRange(1, 100), default=contracts.RUNS, show_default=True)
@click.option(
    "--insecure-contracts", "insecure", is_flag=True, help="Without a locked-down worker."
)
@json_option
def bench_command(calls: bool, calibrate: bool, runs: int, insecure: bool, as_json: bool) -> int:
    """Measure on this machine; a busy one gives higher figures.

    --contracts runs the sample's licences and attestations in blocks of 500 transactions and shows
    processor time a transaction, in microseconds, of the validator and its worker together.
    """
    if not calls:
        raise click.UsageError("say what to measure: --contracts")
    document: dict[str, Any] = {"load": list(os.getloadavg())}
    document["calls"] = [_call(cost) for cost in _measured(runs, insecure)]
    if not as_json:
        _show_calls(document)
    code = 0
    if calibrate:
        found = _calibrated(insecure)
        document["calibration"] = _calibration(found)
        code = 1 if found.underpriced or found.slow else 0
        if not as_json:
            _show_calibration(found)
    output.data(document, as_json, [])
    return code


def _measured(runs: int, insecure: bool) -> list[contracts.CallCost]:
    with output.progress("runs", runs) as steps:
        return contracts.measure(runs, insecure=insecure, progress=steps.advance)


def _calibrated(insecure: bool) -> calibration.Calibration:
    with output.progress("prices", len(gas_rows.ROWS)) as steps:
        return calibration.calibrate(insecure=insecure, progress=steps.advance)


def _call(cost: contracts.CallCost) -> dict[str, object]:
    figures = {
        name: round(value, 1) if isinstance(value, float) else value
        for name, value in asdict(cost).items()
    }
    return {**figures, "per_second": cost.per_second}


def _calibration(found: calibration.Calibration) -> dict[str, object]:
    return {
        "median_ns_per_gas": round(found.median, 1),
        "rows": [
            {
                "name": row.name,
                "ns_per_gas": round(row.nanoseconds, 1),
                "ratio": round(found.ratio(row), 2),
                "call_ms": round(row.seconds * 1e3, 1),
            }
            for row in found.rows
        ],
    }


def _show_calls(document: dict[str, Any]) -> None:
    output.table(
        ("call", "gas", "µs", "validator", "pipe", "worker", "calls/s"),
        (
            (
                call["method"],
                f"{call['gas']:.0f}",
                call["total"],
                call["validator"],
                call["pipe"],
                call["worker"],
                call["per_second"],
            )
            for call in document["calls"]
        ),
    )
    output.message(
        f"processor time a transaction in blocks of {contracts.BATCH}, medians;"
        f" load of this machine {document['load'][0]:.1f}"
    )


def _show_calibration(found: calibration.Calibration) -> None:
    output.table(
        ("price", "ns/gas", "x median", "ms a call"),
        (
            (
                row.name,
                f"{row.nanoseconds:.0f}",
                f"{found.ratio(row):.1f}",
                f"{row.seconds * 1e3:.0f}",
            )
            for row in found.rows[:SHOWN]
        ),
    )
    output.message(
        f"the dearest {SHOWN} of {len(found.rows)}; median {found.median:.0f} ns per gas; a call of"
        f" {CALL_GAS_MAX:,} gas takes {max(row.seconds for row in found.rows) * 1e3:.0f} ms at most"
    )
    for row in found.underpriced:
        output.message(f"too cheap: {row.name}, {found.ratio(row):.1f} times the median")
    for row in found.slow:
        output.message(f"too slow: {row.name}, {row.seconds * 1e3:.0f} ms a call")
