"""Files of rows: `tx send FILE`, and tables of licences or credit entries turned into such rows.

Whatever the file looked like, what is sent and journalled are the same rows, so killing and
repeating is safe for all of them (`cli.sender`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from cli import output
from cli.client import Client
from cli.compose import compose
from cli.errors import EXIT_FAILED, EXIT_NETWORK, CommandError, Refused
from cli.journal import Journal
from cli.keys import keyring
from cli.rows import Row, number_rows, parse_json
from cli.sender import Report, Sender
from cli.settings import Settings
from cli.verified import Checker
from ledger.transaction import CALLS_MAX, Call

FAILURES_SHOWN: Final = 10

F = TypeVar("F", bound=Callable[..., Any])


def bulk_option(function: F) -> F:
    return click.option(
        "--bulk",
        type=click.IntRange(1, CALLS_MAX),
        default=1,
        show_default=True,
        metavar="N",
        help="Sign N rows of one sender at once; each still succeeds or fails alone.",
    )(function)


def file_options(function: F) -> F:
    """`--file`, `--dry-run`, `--results` and `--bulk` of commands that issue."""
    decorated = bulk_option(function)
    decorated = click.option(
        "--results",
        type=click.Path(path_type=Path),
        help="Write the outcome of every row to this CSV file.",
    )(decorated)
    decorated = click.option(
        "--dry-run", is_flag=True, help="Say what each row would do; send nothing."
    )(decorated)
    return click.option(
        "--file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Issue every row of this CSV or NDJSON file.",
    )(decorated)


def send_table(
    settings: Settings,
    file: Path,
    contract: str,
    method: str,
    columns: Sequence[str],
    key: str,
    bulk: int,
    dry_run: bool,
    results: Path | None,
) -> int:
    """Call `contract.method` once a row of `file` with its `columns`, signed by `key`."""
    calls = [Call(contract, method, values) for values in read_table(file, columns)]
    rows = number_rows((call, key) for call in calls)
    if dry_run:
        return _simulate(settings, rows, results)
    return send_rows(settings, rows, journal_of(file), bulk=bulk, results=results)


def journal_of(file: Path) -> Path:
    """Where the journal of `file` stands."""
    return file.with_name(file.name + ".journal")


def read_table(file: Path, columns: Sequence[str]) -> list[list[Any]]:
    """Rows of a CSV file with a header, or of NDJSON objects, as values in `columns`' order.

    Columns of other names are ignored: they are the department's own. Raises `Refused`.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(f"{file} is not UTF-8 text", "save it as UTF-8") from None
    try:
        rows = _csv_rows(text) if file.suffix.lower() == ".csv" else _ndjson_rows(text)
    except ValueError as error:
        raise Refused(f"{file}: {error}", "nothing was sent") from None
    wanted = []
    for number, row in rows:
        missing = [name for name in columns if row.get(name) in (None, "")]
        if missing:
            raise Refused(
                f"{file}: line {number}: no {missing[0]!r}",
                f"nothing was sent; the columns are {', '.join(columns)}",
            )
        wanted.append([row[name] for name in columns])
    return wanted


def _csv_rows(text: str) -> list[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None


def _ndjson_rows(text: str) -> list[tuple[int, dict[str, Any]]]:
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"line {number}: expected an object")
        rows.append((number, row))
    return rows


def send_rows(
    settings: Settings,
    rows: Sequence[Row],
    journal_path: Path,
    *,
    bulk: int = 1,
    gas: int | None = None,
    results: Path | None = None,
) -> int:
    """Send `rows` to the end and print the report; return the exit code."""
    ring = keyring(settings)
    for name in sorted({row.sender for row in rows}):
        ring.key(name)
    with Client(settings.nodes) as client:
        checker = Checker(client, settings.trust)
        with (
            Journal(journal_path, checker.chain_id) as journal,
            output.progress("sending", len(rows)) as steps,
        ):
            run = Sender(
                client,
                checker,
                journal,
                checker.chain_id,
                ring.key,
                bulk=bulk,
                gas=gas,
                advance=steps.advance,
            )
            try:
                report = run.run(rows)
            except CommandError as error:
                error.hint = f"run the same command again: {journal_path} knows what was sent"
                raise
        if results is not None:
            _write_results(results, rows, report)
        _print_report(report, settings, checker.assurance)
    if report.unknown:
        return EXIT_NETWORK
    return EXIT_FAILED if report.failed else 0


def _print_report(report: Report, settings: Settings, assurance: str) -> None:
    document = report.to_json()
    output.data(
        document,
        settings.json,
        [f"{name:10} {value}" for name, value in document.items()],
    )
    _print_failures(report)
    if report.unknown:
        output.message("hint: run the same command again; unknown rows are asked for, not doubled")
    if not settings.json:
        output.message(assurance)


def _print_failures(report: Report) -> None:
    for number, status, code in report.failures[:FAILURES_SHOWN]:
        output.message(f"row {number}: {status} {code}".rstrip())
    if report.failed > FAILURES_SHOWN:
        output.message(f"and {report.failed - FAILURES_SHOWN} more failed")


def _write_results(path: Path, rows: Sequence[Row], report: Report) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "contract", "method", "args", "status", "code"])
        for number, (row, outcome) in enumerate(zip(rows, report.outcomes, strict=True), 1):
            args = json.dumps(output.plain(row.call.args), ensure_ascii=False)
            writer.writerow([number, row.call.contract, row.call.method, args, *outcome])


def _simulate(settings: Settings, rows: Sequence[Row], results: Path | None) -> int:
    """Ask a node what each row would do now; nothing is sent and nothing is kept."""
    ring = keyring(settings)
    report = Report()
    with Client(settings.nodes) as client, output.progress("simulating", len(rows)) as steps:
        chain_id = Checker(client, settings.trust).chain_id
        for row in rows:
            signed = compose(chain_id, [row.call], [ring.key(row.sender)])
            answer = client.post_json("/v1/simulate", {"transaction": signed.raw.hex()}).json()
            report.outcomes.append((str(answer["status"]), str(answer["code"])))
            steps.advance()
    document = {"would_commit": report.committed, "would_fail": report.failed}
    output.data(document, settings.json, [f"{k:13} {v}" for k, v in document.items()])
    _print_failures(report)
    if results is not None:
        _write_results(results, rows, report)
    return EXIT_FAILED if report.failed else 0
