"""What operators are told: whom to distrust and why, who lags, why a view changed."""

from __future__ import annotations

from dataclasses import replace

from consensus.effects import ViewEntered
from consensus.messages import Envelope, Prepare
from consensus.replica import PeerStatus, ReplicaStatus
from ledger.hashing import sha256
from ledger.types import Epoch, Height, Signature, View
from node.conduct import Conduct
from node.evidence import Case
from node.status import peer_statuses, suspects_of, view_line

NAMES = {f"org-{i}": name for i, name in enumerate(("port", "tax", "health", "tourism"))}
REPLICA = ReplicaStatus(
    view=View(5),
    primary="org-1",
    in_view_change=False,
    certified=Height(20),
    executed=Height(21),
    appended=Height(21),
    view_changes=0,
    failed_views=0,
    suspicions=(),
    missing=None,
    observer=None,
    halted=None,
    nondeterminism=None,
    evidence=0,
    peers={"org-2": PeerStatus(Height(15), Height(16), View(4), True, silent_ms=700)},
)
TIMEOUT, JOINED = "no progress in time", "others suspect the primary"


class Links:
    def __init__(self) -> None:
        self.conduct = Conduct(NAMES)
        self.conduct.refused["org-3"] = 9

    def kept_out(self, organisation: str) -> float:
        return 4.0 if organisation == "org-3" else 0.0

    def connected(self, organisation: str) -> bool:
        return organisation == "org-2"


def case_of(name: str, view: int) -> Case:
    votes = (Prepare(View(view), Height(1), sha256(bytes([i]))) for i in range(2))
    return Case.of(*(Envelope(Epoch(0), name, vote, Signature(bytes(65))) for vote in votes))


def test_the_primary_is_suspected_with_reasons_and_accusers() -> None:
    said = (("org-0", TIMEOUT), ("org-3", JOINED), ("org-2", TIMEOUT))
    found = suspects_of(replace(REPLICA, suspicions=said), [], NAMES)
    assert [(item.name, item.reason, item.by) for item in found] == [
        ("tax", TIMEOUT, ("port", "health")),
        ("tax", JOINED, ("tourism",)),
    ]


def test_whoever_contradicted_itself_is_suspected_once() -> None:
    cases = [case_of("org-3", 0), case_of("org-3", 1), case_of("org-0", 0)]
    found = suspects_of(REPLICA, cases, NAMES)
    assert [(item.name, item.by) for item in found] == [("tourism", ()), ("port", ())]
    assert "(PREPARE)" in found[0].reason


def test_lag_is_counted_from_our_certified_block() -> None:
    others = {name: word for name, word in NAMES.items() if name != "org-0"}
    found = peer_statuses(REPLICA, Height(20), others, Links(), now_ms=10_000)
    tax, health, tourism = found
    assert (health.connected, health.behind, health.last_seen_ms) == (True, 5, 9_300)
    assert (health.view, health.in_view_change) == (4, True)
    assert (tax.connected, tax.behind, tax.last_seen_ms, tax.view) == (False, None, None, None)
    assert (tourism.refused, health.refused) == (9, 0)
    assert (tourism.kept_out_seconds, health.kept_out_seconds) == (4.0, 0.0)
    ahead = peer_statuses(REPLICA, Height(3), others, Links(), now_ms=10_000)
    assert ahead[1].behind == 0


def test_one_line_says_why_the_view_changed() -> None:
    entered = ViewEntered(
        View(6),
        "org-2",
        True,
        TIMEOUT,
        View(5),
        (("org-0", TIMEOUT), ("org-3", JOINED)),
        blockless_ms=1_250,
    )
    assert view_line(entered, NAMES) == (
        "view 5 -> 6, primary health: no progress in time; "
        "wanted by port, tourism (others suspect the primary); no block for 1.2 s"
    )
    planned = replace(entered, reason="planned rotation", by=())
    assert view_line(planned, NAMES) == "view 5 -> 6, primary health: planned rotation"
    arrived = replace(entered, in_view_change=False, reason="new view from height 9", by=())
    here = "in view 6, primary health: new view from height 9"
    assert view_line(arrived, NAMES) == here + ", straight from view 5"
    assert view_line(replace(arrived, left=View(6)), NAMES) == here
