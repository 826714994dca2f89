"""Every file of a validator's home, and every way to spoil one: the table of damage.

What a home holds is asked of the home itself, so a file that a later version adds is in the table
at once. `expected` says what a start may answer for each of them; whatever it says, what the node
serves afterwards is compared with what the others serve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cli.errors import EXIT_INTEGRITY, EXIT_REFUSED
from tests.chaos import homes
from tests.chaos.cluster import Cluster

REPAIRED: Final = "repaired"
"""It runs and votes."""

SILENT: Final = "silent"
"""It runs, follows and does not vote, and says why and what to do."""

REFUSED: Final = "refused"
"""It does not start, and says which file is wrong and what to do; nothing was changed."""

UNREAD: Final = ("LOCK", "IN_USE", "LOG", "LOG.old", "node.log")
"""Locks, and what is written for people: nothing in them is ever read back."""

FLIPS: Final = {"flip near its begin": 0.03, "flip in its middle": 0.5, "flip near its end": 0.98}
KINDS: Final = (*FLIPS, "half", "one byte short", "empty", "gone")


@dataclass(frozen=True)
class Damage:
    """One way to spoil one file, named by its path in the home."""

    file: str
    kind: str

    def __str__(self) -> str:
        return f"{self.file}, {self.kind}"

    @property
    def part(self) -> str:
        """What the messages call it: the folder of a log or database, else the file."""
        folder, _, name = self.file.rpartition("/")
        return folder if folder in ("blocks", "ledger", "wal") else name

    def do(self, home: Path) -> None:
        path = home / self.file
        data = path.read_bytes()
        if self.kind == "gone":
            path.unlink()
        elif self.kind in FLIPS:
            homes.flip(path, int(len(data) * FLIPS[self.kind]))
        else:
            left = {"half": len(data) // 2, "one byte short": len(data) - 1, "empty": 0}
            path.write_bytes(data[: left[self.kind]])


def table(home: Path) -> Iterator[Damage]:
    """All that can be done to the home of a stopped node, file by file."""
    for path in sorted(home.rglob("*")):
        if not path.is_file():
            continue
        file = str(path.relative_to(home))
        whole = path.stat().st_size > 1 and path.name not in UNREAD
        for kind in KINDS if whole else ("gone",):
            yield Damage(file, kind)


def expected(damage: Damage) -> dict[str, int]:
    """What a start may answer to `damage`: how it goes on, and the exit code if it ends."""
    file, kind = damage.file, damage.kind
    name = Path(file).name
    refused, stopped = {REFUSED: EXIT_REFUSED}, {REFUSED: EXIT_INTEGRITY}
    repaired, silent = {REPAIRED: 0}, {SILENT: 0}
    if name in UNREAD or file.startswith(("evidence/", "ledger/", "logs/")) or name == "card.json":
        return repaired
    if file.startswith("blocks/"):
        # What ends in an unsynced certificate loses that and no block.
        return repaired | stopped if kind == "one byte short" else stopped
    if file.startswith("wal/"):
        # A clean end is one to ask the others about; they know what was signed behind it.
        if kind == "one byte short":
            return silent | repaired  # the record that ends it need not be a vote
        return silent if kind in ("half", "gone") else stopped
    if name == "consensus.pub" and kind == "gone":
        return repaired  # for people; the private key holds it, too
    if name == "consensus.pub" and kind in FLIPS:
        return repaired | refused  # a digit's case says nothing
    if kind == "one byte short" and name != "genesis.qgen":
        return repaired  # texts, which lose the end of their last line
    if name.startswith("trace-"):
        return repaired
    return refused


def settings_of(home: Path) -> Iterator[tuple[str, str]]:
    """Settings files that a slip may leave, with what the message must name."""
    text = (home / "qiong.toml").read_text("utf-8")
    yield text.replace("organisation", "organization", 1), "organization"
    yield text.replace('organisation = "', 'organisation = "X', 1), "genesis has no such validator"
    yield text.replace('expect_hash = "', 'expect_hash = "zz', 1), "expect_hash"
    yield text.replace("[api]", "[api", 1), "qiong.toml"
    yield text[: text.index("expect_hash") + 5], "qiong.toml"
    yield text.replace("\nlisten", "\nlisen", 1), "lisen"
    yield "", "organisation"


def answers(cluster: Cluster, name: str, height: int) -> dict[str, Any]:
    """What a node says of everything at or below `height` that has only one right answer.

    An answer with a status of its own (a problem) stands as that status.
    """
    found: dict[str, Any] = {}

    def ask(path: str) -> Any:
        status, document = cluster.get(name, path)
        if isinstance(document, dict):
            document.pop("cursor", None)  # whether there is more depends on the head
        found[path] = document if status == 200 else status
        return document if status == 200 else None

    for start in range(0, height + 1, 100):
        ask(f"/v1/blocks?from={start}&limit={min(100, height + 1 - start)}")
    for n in range(1, height + 1, max(1, height // 12)):
        listed = ask(f"/v1/blocks/{n}/transactions?limit=5")
        ask(f"/v1/blocks/{n}/receipts")
        for item in (listed or {}).get("items", []):
            ask(f"/v1/transactions/{item['id']}")
    for contract in ("licence", "credit"):
        listed = ask(f"/v1/state/{contract}?height={height}&limit=100")
        for item in (listed or {}).get("items", [])[:8]:
            ask(f"/v1/state/{contract}/{item['key']}?height={height}")
    return found
