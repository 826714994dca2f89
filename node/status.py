"""A validator for its operators: one snapshot of where it stands, one line why a view changed.

The engine's parts know organisations and numbers; people know names and reasons. Everything here is
made of what those parts hold when somebody asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from consensus.effects import ViewEntered
from consensus.replica import ReplicaStatus
from ledger.types import Height, TimeMs
from node.answers import PeerStatus, Suspect
from node.conduct import Conduct
from node.evidence import Case


class Link(Protocol):
    """What the links know of a peer."""

    @property
    def conduct(self) -> Conduct: ...

    def connected(self, organisation: str) -> bool: ...

    def kept_out(self, organisation: str) -> float: ...


def suspects_of(
    replica: ReplicaStatus, evidence: Sequence[Case], names: Mapping[str, str]
) -> tuple[Suspect, ...]:
    """Whom there is reason to distrust: the view's primary, and whoever contradicted itself."""
    found: list[Suspect] = []
    for reason in dict.fromkeys(reason for _, reason in replica.suspicions):
        by = tuple(names[name] for name, given in replica.suspicions if given == reason)
        found.append(Suspect(replica.primary, names[replica.primary], reason, by))
    cases: dict[str, list[Case]] = {}
    for case in evidence:
        cases.setdefault(case.organisation, []).append(case)
    for organisation, held in cases.items():
        kinds = ", ".join(dict.fromkeys(case.kind for case in held))
        reason = f"contradicted itself under its signature ({kinds}); see the evidence"
        found.append(Suspect(organisation, names[organisation], reason, ()))
    return tuple(found)


def peer_statuses(
    replica: ReplicaStatus,
    certified: Height,
    names: Mapping[str, str],
    links: Link,
    now_ms: int,
) -> tuple[PeerStatus, ...]:
    """Every other validator in `names`; `certified` is our own certified height."""
    found: list[PeerStatus] = []
    for organisation, name in names.items():
        said = replica.peers.get(organisation)
        found.append(
            PeerStatus(
                organisation=organisation,
                name=name,
                connected=links.connected(organisation),
                height=Height(0) if said is None else said.h,
                last_seen_ms=None if said is None else TimeMs(now_ms - said.silent_ms),
                behind=None if said is None else max(0, certified - said.h),
                view=None if said is None else said.view,
                in_view_change=said is not None and said.in_view_change,
                refused=links.conduct.refused[organisation],
                kept_out_seconds=links.kept_out(organisation),
            )
        )
    return tuple(found)


def view_line(entered: ViewEntered, names: Mapping[str, str]) -> str:
    """One line for the log: from which view to which, who leads, why, who wanted it."""
    primary = names[entered.primary]
    if not entered.in_view_change:
        since = "" if entered.left == entered.view else f", straight from view {entered.left}"
        return f"in view {entered.view}, primary {primary}: {entered.reason}{since}"
    line = f"view {entered.left} -> {entered.view}, primary {primary}: {entered.reason}"
    if not entered.by:
        return line
    told = ", ".join(
        names[name] if reason == entered.reason else f"{names[name]} ({reason})"
        for name, reason in entered.by
    )
    return f"{line}; wanted by {told}; no block for {entered.blockless_ms / 1000:.1f} s"
