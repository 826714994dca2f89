"""A short hunt, and that hunts find what they look for; `python -m tests.fuzz` goes on for long."""

from __future__ import annotations

from contextlib import closing

import pytest

from contracts.worker import executor
from tests.contracts.hostile.engines import Input
from tests.fuzz import hunt as hunting
from tests.fuzz.hunt import Engines, Finding, Inputs, Summary, hunt
from tests.fuzz.minimise import minimised

INPUTS = 40
SOURCE = "@call\ndef main(n: int):\n    x = n\n    y = [x, x]\n    put('a', y)\n    return y\n"


def test_a_short_hunt_finds_nothing() -> None:
    summary = hunt(7, INPUTS, measure=False)
    assert summary.findings == []
    assert summary.inputs == INPUTS > summary.compiled > 5
    assert len(summary.statuses) > 3


def test_a_seed_replays_its_inputs() -> None:
    first, second = iter(Inputs(3)), iter(Inputs(3))
    assert [next(first) for _ in range(50)] == [next(second) for _ in range(50)]


def test_a_difference_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers are other processes, so a change of this one's prices is a difference."""
    with closing(Engines(measure=False)) as engines:
        assert not isinstance(engines.judge(Input(SOURCE, [3]), Summary()), Finding)
        monkeypatch.setattr(executor, "CALL_GAS", executor.CALL_GAS + 1)
        finding = engines.judge(Input(SOURCE, [3]), Summary())
        assert isinstance(finding, Finding)
        assert finding.kind == "differs"


def test_a_dead_worker_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Engines(measure=False)) as engines:
        monkeypatch.setattr(engines.sandbox, "_seconds_max", 0.0)
        finding = engines.judge(Input(SOURCE, [3]), Summary())
        assert isinstance(finding, Finding)
        assert finding.kind == "crash"


def test_too_much_time_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hunting, "CPU_SECONDS_MAX", 0.0)
    with closing(Engines(measure=True)) as engines:
        finding = engines.judge(Input(SOURCE, [3]), Summary())
        assert isinstance(finding, Finding)
        assert finding.kind == "slow"


def test_a_finding_is_cut_down_to_what_matters() -> None:
    small = minimised(Input(SOURCE, [9]), lambda given: "put" in given.source)
    assert small == Input("put", [3])
