"""Five hundred drawn runs, the share of the soak that every change pays for.

A failure prints the plan of the run and the command that replays it.
"""

from __future__ import annotations

import pytest

from tests.simulation import soak

SEEDS = 500


@pytest.mark.timeout(900)
def test_a_mix_of_all_faults() -> None:
    summary = soak.run_seeds(range(SEEDS), workers=2)
    assert not summary.failures, "\n\n".join(item.detail for item in summary.failures[:3])
    totals = summary.totals
    assert totals.runs == SEEDS
    seen = (totals.heights, totals.views, totals.crashes, totals.evidence)
    assert all(count > SEEDS for count in seen), f"too little happened: {totals}"


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_a_longer_soak() -> None:
    summary = soak.run_seeds(range(10_000, 20_000), workers=2)
    assert not summary.failures, summary.table()
