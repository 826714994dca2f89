"""What the log can say of a view change: from where, who wanted it and why, after how long."""

from __future__ import annotations

import pytest

from consensus.effects import Effect, ViewEntered
from consensus.messages import (
    REASON_CENSORSHIP,
    REASON_EQUIVOCATION,
    REASON_JOINED,
    REASON_TIMEOUT,
    Suspect,
)
from ledger.types import Height, View
from tests.consensus.group import Group, Solo, of


@pytest.fixture
def group() -> Group:
    return Group()


@pytest.fixture
def backup(group: Group) -> Solo:
    return Solo(group, "org-01")


def told(group: Group, backup: Solo, name: str, reason: int) -> list[Effect]:
    return backup.receive(group.sign(name, Suspect(View(0), Height(0), reason)))


@pytest.mark.parametrize(
    ("reasons", "gravest"),
    [
        ((REASON_TIMEOUT, REASON_EQUIVOCATION), "the primary contradicted itself"),
        ((REASON_CENSORSHIP, REASON_TIMEOUT), "the primary passed over an organisation"),
        ((REASON_TIMEOUT, REASON_TIMEOUT), "no progress in time"),
    ],
)
def test_a_quorum_of_suspects_is_named_with_each_ones_reason(
    group: Group, backup: Solo, reasons: tuple[int, int], gravest: str
) -> None:
    backup.live(500)
    assert not of(told(group, backup, "org-02", reasons[0]), ViewEntered)
    assert [name for name, _ in backup.replica.status.suspicions] == ["org-02"]
    (entered,) = of(told(group, backup, "org-03", reasons[1]), ViewEntered)
    assert (entered.left, entered.view, entered.reason) == (0, 1, gravest)
    by = dict(entered.by)
    assert list(by) == ["org-02", "org-03", "org-01"]
    assert by["org-01"] == "others suspect the primary"
    assert entered.blockless_ms == 500
    assert backup.replica.status.suspicions == (), "they were about the view that was left"


def test_unknown_and_joined_reasons_have_words(group: Group, backup: Solo) -> None:
    told(group, backup, "org-02", 0)
    (entered,) = of(told(group, backup, "org-03", REASON_JOINED), ViewEntered)
    assert entered.reason == "others suspect the primary"
    assert dict(entered.by)["org-02"] == "no reason given"


def test_following_others_names_them(group: Group, backup: Solo) -> None:
    backup.receive(group.view_change("org-02", 7))
    (entered,) = of(backup.receive(group.view_change("org-03", 3)), ViewEntered)
    assert (entered.left, entered.view) == (0, 3)
    assert entered.by == (("org-02", "left for view 7"), ("org-03", "left for view 3"))


def test_a_new_view_says_where_it_came_from(group: Group, backup: Solo) -> None:
    (entered,) = of(backup.receive(group.new_view(2)), ViewEntered)
    assert (entered.in_view_change, entered.left, entered.view) == (False, 0, 2)
