"""The small model check: no fork, no broken message rule, no halted chain, in any order of events.

What is covered, completely: every behaviour of the honest replicas (the product's code) under an
asynchronous network that loses, delays, repeats and reorders, with f liars of whom one leads the
first view, one the second, or none, for

- n = 4, one height, deciding, executing and certifying apart: every state; one in a hundred is
  continued fairly and must decide; once more with crashes anywhere and lost Certificates;
- n = 4, two heights one after the other (W = 1), executed and certified apart: every state (the
  liar leads one of the views; a liar that leads none is left to the soak);
- n = 4, two heights at once (W = 2), the order alone; n = 5 and 7, one height, the order alone;
- n = 4, one height and three views, the order alone.

Two values per height and view where there is one height, else one and what NEW-VIEWs make of it.

Not covered: time (time-outs are free choices), fetching (a body or block is there once asked for),
what a replica holds of others' votes between turns and how it bounds that, SUSPECT, rotation, the
join of f+1, epochs. Simulation covers those. The soak (`slow`) takes larger scopes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import pytest

from tests.model.explore import EveryState, NowOrNever, Report
from tests.model.scope import BASE_HASH, Scope

LEDGER = Scope(heights=1)
ORDER = Scope(heights=1, execution=False)
IN_TURN = Scope(window=1, values=(1, 1))
AT_ONCE = Scope(window=2, values=(1, 1), execution=False)

SOAK_S = int(os.environ.get("QIONG_MODEL_SECONDS", "300"))
"""Time for one scope of the soak; a search that needs longer counts as far as it came."""


def holds(report: Report) -> None:
    assert report.broken is None, report
    assert report.complete, report


@pytest.mark.parametrize("liar", [0, 1, 3])
def test_one_height_of_four_and_every_state_can_go_on(liar: int) -> None:
    report = EveryState(replace(LEDGER, byzantine=(liar,)), continue_every=100).run()
    holds(report)
    assert report.continued > 50


def test_one_height_of_four_with_crashes() -> None:
    scope = replace(LEDGER, values=(1,), byzantine=(1,), crash=True)
    report = EveryState(scope, continue_every=100).run()
    holds(report)
    assert report.continued > 50


@pytest.mark.parametrize("liar", [0, 1])
def test_two_heights_of_four_executed_apart_from_certified(liar: int) -> None:
    holds(EveryState(replace(IN_TURN, byzantine=(liar,))).run())


@pytest.mark.parametrize("liar", [0, 1, 3])
def test_two_heights_of_four_at_once(liar: int) -> None:
    holds(NowOrNever(replace(AT_ONCE, byzantine=(liar,))).run())


@pytest.mark.parametrize("liar", [0, 1, 4])
def test_one_height_of_five(liar: int) -> None:
    scope = replace(ORDER, n=5, byzantine=(liar,))
    holds(EveryState(scope, continue_every=100).run())


@pytest.mark.parametrize("liars", [(0, 1), (0, 6), (1, 6), (5, 6)])
def test_one_height_of_seven(liars: tuple[int, int]) -> None:
    holds(NowOrNever(replace(ORDER, n=7, byzantine=liars)).run())


def test_row_13_new_view_takes_the_prepared_value_of_the_highest_view() -> None:
    """P holds d1 of v0 and d2 of v1: in every reachable NEW-VIEW for v2 O is d2."""
    search = NowOrNever(replace(ORDER, views=3, byzantine=(2,)))
    holds(search.run())
    attacks = 0
    for shown, due in search.world.dues.items():
        prepared = {(view, digest) for change in shown for _, view, digest in change.prepared}
        if len({digest for _, digest in prepared}) == 2:
            attacks += 1
            assert due == ((1, max(prepared)[1]),)
    assert attacks > 0


@pytest.mark.parametrize("liar", [0, 1, 3])
def test_row_14_a_view_change_that_hides_a_certificate_changes_nothing(liar: int) -> None:
    """A liar hides what it prepared: O is what any other VIEW-CHANGE shows, and nothing forks."""
    search = NowOrNever(replace(ORDER, byzantine=(liar,)))
    holds(search.run())
    hidden = 0
    for shown, due in search.world.dues.items():
        prepared = {digest for change in shown for _, _, digest in change.prepared}
        if prepared and any(not change.prepared for change in shown):
            hidden += 1
            assert [digest for _, digest in due] == list(prepared)
    assert hidden > 0


SOAK = {
    "n4-two-heights-at-once": Scope(values=(2, 1)),
    "n4-two-heights-in-turn": Scope(window=1),
    "n4-two-heights-crashes": Scope(window=1, values=(1, 1), crash=True),
    "n4-three-views": Scope(views=3, heights=1),
    "n5-one-height": Scope(n=5, heights=1),
    "n5-two-heights-at-once": Scope(n=5, values=(1, 1), execution=False),
    "n5-three-views": Scope(n=5, views=3, heights=1, execution=False),
    "n7-one-height": Scope(n=7, heights=1),
    "n7-two-heights-at-once": Scope(n=7, values=(1, 1), execution=False),
}


@pytest.mark.slow
@pytest.mark.timeout(4 * SOAK_S)
@pytest.mark.parametrize("name", SOAK)
def test_larger_scopes(name: str, record_property: Callable[[str, object], None]) -> None:
    """Each with its liars in every place; a search that is cut short must have found nothing."""
    scope = SOAK[name]
    places = (*range(scope.views), scope.n - 1)
    casts = list(combinations(places, (scope.n - 1) // 3))
    reports: list[str] = []
    for liars in casts:
        search = (NowOrNever if not scope.execution else EveryState)(
            replace(scope, byzantine=liars), continue_every=500
        )
        report = search.run(SOAK_S / len(casts))
        reports.append(str(report))
        assert report.broken is None, report
    record_property("searched", reports)


def test_the_search_without_superfluous_steps_misses_nothing_that_the_full_one_finds() -> None:
    """Both searches meet the same NEW-VIEWs, and so the same ways for a view to begin."""
    for liar in (0, 1, 3):
        scope = replace(ORDER, byzantine=(liar,))
        full, reduced = EveryState(scope), NowOrNever(scope)
        holds(full.run())
        holds(reduced.run())
        assert set(full.world.shown) == set(reduced.world.shown)
        assert any(choice.lo_hash == BASE_HASH for choice in reduced.world.shown)
