"""`python -m tests.mutants`: try every mutant, print who caught it, fail on a survivor."""

from __future__ import annotations

import sys
import time

import click

from tests.mutants.gate import Gate, GateBroken, Outcome
from tests.mutants.mutant import Layer
from tests.mutants.table import MUTANTS


def _line(outcome: Outcome) -> str:
    caught = outcome.caught_by or ("CANNOT BE TRIED" if outcome.error else "SURVIVED")
    name, layer = outcome.mutant.name, outcome.layer.value
    return f"{name:58} {layer:10} {outcome.seconds:6.1f} s  {caught.removeprefix('tests/')}"


@click.command()
@click.option("--only", multiple=True, help="Mutants whose name holds this.")
@click.option("--layer", "chosen", multiple=True, type=click.Choice([item.value for item in Layer]))
@click.option("--workers", default=2, show_default=True)
def main(only: tuple[str, ...], chosen: tuple[str, ...], workers: int) -> None:
    """Try the mutants of the table; exit 1 if one survives or can't be tried."""
    layers = [item for item in Layer if not chosen or item.value in chosen]
    mutants = [item for item in MUTANTS if not only or any(part in item.name for part in only)]
    begin = time.monotonic()
    with Gate(workers) as gate:
        try:
            gate.check_unbroken(mutants, layers)
        except GateBroken as broken:
            raise click.ClickException(f"the gate is broken: {broken}") from broken
        click.echo(f"the tests pass without a mutant ({time.monotonic() - begin:.0f} s)")
        outcomes = gate.try_all(mutants, layers, lambda outcome: click.echo(_line(outcome)))
    bad = [outcome for outcome in outcomes if outcome.caught_by is None]
    for outcome in bad:
        click.echo(f"\n{_line(outcome)}\n{outcome.error or ''}")
    click.echo(
        f"{len({item.mutant.name for item in outcomes})} mutants, {len(outcomes)} runs, "
        f"{len(bad)} survivors, {time.monotonic() - begin:.0f} s"
    )
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
