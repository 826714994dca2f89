"""`qiong node status` says first what somebody must look at, in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cli.node_status import show
from node.api.models import Peer, Status, SuspectAnswer

NOW = datetime(2026, 7, 2, 9, 30, 10, tzinfo=UTC)
PEER = Peer(
    organisation="org-1",
    name="tax",
    connected=True,
    height=97,
    last_seen="2026-07-02T09:30:09.500Z",
    behind=3,
    view=7,
    in_view_change=False,
    refused=2,
    kept_out_seconds=0.0,
)
STATUS = Status(
    name="port",
    organisation="org-0",
    chain_id=bytes(32),
    height=100,
    header_hash=b"\xab" * 32,
    time="2026-07-02T09:30:00.000Z",
    first_height=0,
    executed=101,
    epoch=0,
    view=7,
    primary="tax",
    in_view_change=False,
    view_changes={"planned rotation": 3, "no progress in time": 1},
    failed_views=0,
    peers=[PEER],
    suspects=[],
    evidence=0,
    missing=None,
    mempool_transactions=2,
    mempool_bytes=1_500,
    syncing=False,
    observer=None,
    halted=None,
)


def shown(capsys: pytest.CaptureFixture[str], **changes: Any) -> dict[str, str]:
    """The lines by their first word, of what a pipe would get."""
    show(STATUS.model_copy(update=changes).model_dump(mode="json"), NOW)
    lines = capsys.readouterr().out.splitlines()
    assert not any("\x1b" in line for line in lines)
    return {line.split(" ")[0]: " ".join(line.split()[1:]) for line in lines if line}


def test_a_healthy_node(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys)
    assert lines["node"] == "port (org-0) votes"
    assert lines["block"] == "100, executed 101 abababababababab 2026-07-02T09:30:00.000Z"
    assert lines["view"] == "7, primary tax"
    assert lines["changes"] == "4 since the start: planned rotation (3), no progress in time (1)"
    assert lines["waiting"] == "2 transactions, 1.5 kB"
    assert lines["tax"] == "up 97 3 7 0.5 s ago 2"
    assert not {"failed", "missing", "evidence", "suspect"} & set(lines)


@pytest.mark.parametrize(
    ("changes", "word", "words"),
    [
        ({"halted": "diverged: x", "observer": "y"}, "node", "port (org-0) halted: diverged: x"),
        ({"observer": "asking"}, "node", "port (org-0) follows without voting: asking"),
        ({"syncing": True}, "node", "port (org-0) catching up"),
        ({"in_view_change": True}, "view", "changing to 7, waiting for tax to begin it"),
        ({"primary": "port"}, "view", "7, primary port (this node)"),
        ({"failed_views": 2}, "failed", "2 views in a row came to nothing"),
        (
            {"missing": b"\xcd" * 32},
            "missing",
            "body cdcdcdcdcdcdcdcd of a decided block; asking the others for it",
        ),
        ({"evidence": 2}, "evidence", "2 cases of contradiction; see: qiong evidence list"),
        (
            {
                "suspects": [
                    SuspectAnswer(name="tax", organisation="o", reason="silent", by=["a", "b"])
                ]
            },
            "suspect",
            "tax: silent; told by a, b",
        ),
        (
            {"suspects": [SuspectAnswer(name="tax", organisation="o", reason="liar", by=[])]},
            "suspect",
            "tax: liar",
        ),
        (
            {"peers": [PEER.model_copy(update={"kept_out_seconds": 7.5})]},
            "tax",
            "up 97 3 7 0.5 s ago 2, kept out for 8 s",
        ),
        (
            {"peers": [PEER.model_copy(update={"connected": False, "last_seen": None})]},
            "tax",
            "down - - - never 2",
        ),
    ],
)
def test_what_must_be_looked_at_has_its_own_words(
    capsys: pytest.CaptureFixture[str], changes: dict[str, Any], word: str, words: str
) -> None:
    assert shown(capsys, **changes)[word] == words
