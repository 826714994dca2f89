"""What a test run says about the contracts under test: gas of each method, lines that never ran.

Left out: calls that contracts make of each other, which count in the gas of the outer call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median_low

from contracts.testing.contract import Contract
from contracts.testing.lab import Record


@dataclass(frozen=True)
class MethodGas:
    """Gas of the calls of one method that ended ok, None where no call did."""

    contract: str
    file: str
    method: str
    kind: str
    calls: int
    failed: int
    least: int | None
    median: int | None
    most: int | None


@dataclass(frozen=True)
class Coverage:
    """Lines of one contract; `missing` are the first lines of statements that never ran."""

    contract: str
    file: str
    lines: int
    missing: tuple[int, ...]

    @property
    def percent(self) -> int:
        """Rounded down, so that 100 means every line."""
        return 100 * (self.lines - len(self.missing)) // self.lines if self.lines else 100


def gas(record: Record) -> list[MethodGas]:
    """A row for each method of each contract, in the order of the source."""
    rows = []
    for contract, methods in record.methods.items():
        for name, seen in methods.items():
            rows.append(
                MethodGas(
                    contract=contract.name,
                    file=contract.path,
                    method=name,
                    kind=contract.methods[name].kind,
                    calls=len(seen.gas) + seen.failed,
                    failed=seen.failed,
                    least=min(seen.gas, default=None),
                    median=median_low(seen.gas) if seen.gas else None,
                    most=max(seen.gas, default=None),
                )
            )
    return rows


def coverage(record: Record) -> list[Coverage]:
    """A row for each contract."""
    return [_coverage(contract, lines) for contract, lines in record.lines.items()]


def _coverage(contract: Contract, lines: Iterable[int]) -> Coverage:
    statements = contract.statements
    ran = {statements[line] for line in lines if line in statements}
    known = dict.fromkeys(statements.values())
    missing = tuple(line for line in known if line not in ran)
    return Coverage(contract.name, contract.path, len(known), missing)


def gas_lines(rows: Sequence[MethodGas]) -> list[str]:
    """The gas report for people; contracts of one name are told apart by their files."""
    files = {(row.contract, row.file) for row in rows}
    names = [contract for contract, _ in files]
    heads = ("method", "kind", "calls", "failed", "min", "median", "max")
    cells = [
        (
            f"{row.contract if names.count(row.contract) == 1 else row.file}.{row.method}",
            row.kind,
            str(row.calls),
            str(row.failed),
            *("-" if gas is None else f"{gas:,}" for gas in (row.least, row.median, row.most)),
        )
        for row in rows
    ]
    return _columns("<<>>>>>", [heads, *cells])


def coverage_lines(rows: Sequence[Coverage]) -> list[str]:
    """The coverage report for people."""
    heads = ("file", "lines", "ran", "never ran")
    cells = [(row.file, str(row.lines), f"{row.percent}%", _ranges(row.missing)) for row in rows]
    return _columns("<>><", [heads, *cells])


def _ranges(lines: Sequence[int]) -> str:
    """Lines in words, neighbours as a range: `3, 7-9`."""
    spans: list[list[int]] = []
    for line in lines:
        if spans and line == spans[-1][1] + 1:
            spans[-1][1] = line
        else:
            spans.append([line, line])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def _columns(sides: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows with their cells aligned, each column to its side."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
