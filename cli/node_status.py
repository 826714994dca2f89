"""`qiong node status` for a person: the verdict first, then the view, then who lags.

What is as it should be is plain; what somebody must look at is yellow, what has stopped is red.
Colours show on a terminal only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

GOOD: Final = "green"
LOOK: Final = "yellow"
BAD: Final = "bold red"

WIDTH: Final = 200
"""Columns where the output is no terminal."""

STALE_SECONDS: Final = 5
"""A peer speaks four times a second; one silent for this long is down or cut off."""

SHOWN_DIGITS: Final = 16


def show(document: dict[str, Any], now: datetime | None = None) -> None:
    """Print the answer of `/v1/status` on stdout."""
    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else WIDTH, highlight=False, soft_wrap=True)
    for label, text in _lines(document):
        console.print(Text.assemble((f"{label:10}", "bold"), text))
    console.print()
    console.print(_peers(document, now or datetime.now(UTC)))


def _lines(document: dict[str, Any]) -> Iterator[tuple[str, Text]]:
    yield (
        "node",
        Text.assemble(f"{document['name']} ({document['organisation']}) ", _state(document)),
    )
    certified, executed = document["height"], document["executed"]
    ahead = f", executed {executed}" if executed != certified else ""
    header = document["header_hash"][:SHOWN_DIGITS]
    yield "block", Text(f"{certified}{ahead}  {header}  {document['time']}")
    yield "view", _view(document)
    changes = document["view_changes"]
    reasons = ", ".join(f"{reason} ({count})" for reason, count in changes.items())
    yield "changes", Text(f"{sum(changes.values())} since the start" + _after(": ", reasons))
    if document["failed_views"]:
        words = f"{document['failed_views']} views in a row came to nothing"
        yield "failed", Text(words, LOOK)
    if document["missing"] is not None:
        body = document["missing"][:SHOWN_DIGITS]
        yield "missing", Text(f"body {body} of a decided block; asking the others for it", LOOK)
    kilobytes = document["mempool_bytes"] / 1000
    yield "waiting", Text(f"{document['mempool_transactions']} transactions, {kilobytes:.1f} kB")
    if document["evidence"]:
        words = f"{document['evidence']} cases of contradiction; see: qiong evidence list"
        yield "evidence", Text(words, BAD)
    for suspect in document["suspects"]:
        told = _after("; told by ", ", ".join(suspect["by"]))
        yield "suspect", Text.assemble((suspect["name"], LOOK), f": {suspect['reason']}{told}")


def _state(document: dict[str, Any]) -> Text:
    if document["halted"] is not None:
        return Text(f"halted: {document['halted']}", BAD)
    if document["observer"] is not None:
        return Text(f"follows without voting: {document['observer']}", LOOK)
    if document["syncing"]:
        return Text("catching up", LOOK)
    return Text("votes", GOOD)


def _view(document: dict[str, Any]) -> Text:
    view, primary = document["view"], document["primary"]
    if document["in_view_change"]:
        return Text(f"changing to {view}, waiting for {primary} to begin it", LOOK)
    leads = " (this node)" if primary == document["name"] else ""
    return Text(f"{view}, primary {primary}{leads}")


def _peers(document: dict[str, Any], now: datetime) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("PEER", "LINK", "BLOCK", "BEHIND", "VIEW", "LAST HEARD", "REFUSED"):
        justify: Any = "left" if column in ("PEER", "LINK") else "right"
        grid.add_column(column, no_wrap=True, justify=justify)
    for peer in document["peers"]:
        heard = peer["last_seen"] is not None
        grid.add_row(
            peer["name"],
            Text("up", GOOD) if peer["connected"] else Text("down", BAD),
            str(peer["height"]) if heard else "-",
            _marked(str(peer["behind"]), peer["behind"] > 0) if heard else "-",
            _marked(str(peer["view"]), peer["view"] != document["view"]) if heard else "-",
            _heard(peer["last_seen"], now) if heard else Text("never", LOOK),
            _refused(peer),
        )
    return grid


def _heard(moment: str, now: datetime) -> Text:
    seconds = max(0.0, (now - datetime.fromisoformat(moment)).total_seconds())
    return _marked(f"{seconds:.1f} s ago", seconds > STALE_SECONDS)


def _refused(peer: dict[str, Any]) -> Text:
    out = peer["kept_out_seconds"]
    words = f", kept out for {out:.0f} s" if out > 0 else ""
    return _marked(f"{peer['refused']}{words}", peer["refused"] > 0)


def _marked(words: str, strange: bool) -> Text:
    return Text(words, LOOK if strange else "")


def _after(words: str, told: str) -> str:
    return words + told if told else ""
