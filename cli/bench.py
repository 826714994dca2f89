"""`qiong bench`: what Qiong costs on this machine."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from cli import output
from cli.settings import json_option
from contracts.worker.executor import CALL_GAS_MAX
from devnet.bench import calibration, contracts, gas_rows, state

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
@click.option("--state", "states", is_flag=True, help="The state as it grows.")
@click.option(
    "--keys",
    type=click.IntRange(1_000, 100_000_000),
    multiple=True,
    default=state.SIZES,
    show_default=True,
    help="With --state: how many keys; may be given several times. Ten million take about twenty"
    " minutes and 4 GB of disk.",
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --state: where to put the ledgers for as long as it takes; a disk, or syncing is"
    " free.  [default: where temporary files are]",
)
@click.option("--runs", type=click.IntRange(1, 100), default=contracts.RUNS, show_default=True)
@click.option(
    "--insecure-contracts", "insecure", is_flag=True, help="Without a locked-down worker."
)
@json_option
def bench_command(
    calls: bool,
    calibrate: bool,
    states: bool,
    keys: tuple[int, ...],
    folder: Path | None,
    runs: int,
    insecure: bool,
    as_json: bool,
) -> int:
    """Measure on this machine; a busy one gives higher figures.

    --contracts runs the sample's licences and attestations in blocks of 500 transactions and shows
    processor time a transaction, in microseconds, of the validator and its worker together.

    --state makes ledgers of ten thousand, a million and ten million licences on disk and shows
    what changes and proofs cost in each.
    """
    if calls == states:
        raise click.UsageError("say what to measure: --contracts or --state")
    document: dict[str, Any] = {"load": list(os.getloadavg())}
    if states:
        document["state"] = [_state(size, folder) for size in keys]
        if not as_json:
            _show_states(document)
        output.data(document, as_json, [])
        return 0
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


def _state(keys: int, folder: Path | None) -> dict[str, object]:
    with output.progress(f"{keys:,} keys", keys) as steps:
        return asdict(state.measure(keys, folder, steps.advance))


def _show_states(document: dict[str, Any]) -> None:
    output.table(
        (
            "keys", "cold", "tree", "block", "path B", "proof B", "proofs/s", "start s",
            "opened MB", "used MB", "disk B/key",
        ),
        (
            (
                f"{cost['keys']:,}",
                f"{cost['cold_us']:.1f}",
                f"{cost['tree_us']:.1f}",
                f"{cost['block_us']:.1f}",
                f"{cost['path_bytes']:.0f}, max {cost['path_bytes_max']}",
                f"max {cost['proof_bytes_max']}",
                f"{cost['proofs_per_second']:.0f}",
                f"{cost['start_seconds']:.1f}",
                f"{cost['opened_mb']:.0f}",
                f"{cost['used_mb']:.0f}",
                f"{cost['disk_bytes']:.0f}",
            )
            for cost in document["state"]
        ),
    )  # fmt: skip
    output.message(
        f"cold, tree and block: µs of processor time a changed key in batches of {state.BATCH:,};"
        f" load of this machine {document['load'][0]:.1f}"
    )


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
