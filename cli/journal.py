"""The journal of `tx send`: what makes a killed run safe to repeat.

Beside FILE stands FILE.journal, lines of JSON. The first names the chain. Then a line per signed
transaction, {"rows", "id", "valid_until_ms", "raw"}, written and synced *before* its bytes are
posted; and a line per outcome, {"id", "height", "calls"} or {"id", "expired": true}, written once
it is final. A row is named by the digest of its content and of how often the same content stood
above it in FILE, so a row added to FILE later is new and all others keep their place.

A run that was killed left either no line for a row, which then was never posted, or the very bytes
to send again: the id is the same, so it executes once. Only a row whose transaction is proven
expired is signed anew. A last line cut short by the kill is dropped; it was not synced, so nothing
followed from it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from cli.errors import Refused
from ledger.types import Digest

FORMAT: Final = "qiong-journal/1"


@dataclass(frozen=True, slots=True)
class Signed:
    """A transaction as it was signed for `rows` (row digests in hex, one per call)."""

    rows: tuple[str, ...]
    id: Digest
    valid_until_ms: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """A final outcome: `height` and one (status, code) per call, or `expired`."""

    height: int | None
    calls: tuple[tuple[str, str], ...]

    @property
    def expired(self) -> bool:
        return self.height is None


class Journal:
    """An open journal, locked against a second run. Use as a context manager."""

    def __init__(self, path: Path, chain_id: Digest) -> None:
        """Open or make the journal of one file for one chain.

        Raises `Refused` if another run holds it, it belongs to another chain, or it is damaged.
        """
        self.path = path
        self.signed: dict[Digest, Signed] = {}
        self.outcomes: dict[Digest, Outcome] = {}
        self._by_row: dict[str, Digest] = {}
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise Refused(f"{path} is in use by another run", "wait until it ends") from None
        try:
            self._load(chain_id)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def of_row(self, row: str) -> Signed | None:
        """The newest transaction signed for a row."""
        tx_id = self._by_row.get(row)
        return None if tx_id is None else self.signed[tx_id]

    def add_signed(self, entries: Iterable[Signed]) -> None:
        """Write and sync; only then may the bytes be posted."""
        batch = list(entries)
        self._write(
            [
                {
                    "rows": list(entry.rows),
                    "id": entry.id.hex(),
                    "valid_until_ms": entry.valid_until_ms,
                    "raw": entry.raw.hex(),
                }
                for entry in batch
            ]
        )
        for entry in batch:
            self._remember(entry)

    def add_outcomes(self, outcomes: dict[Digest, Outcome]) -> None:
        """Write final outcomes. Losing one is harmless: it is asked for again."""
        self._write([_outcome_line(tx_id, outcome) for tx_id, outcome in outcomes.items()])
        self.outcomes.update(outcomes)

    def _remember(self, entry: Signed) -> None:
        self.signed[entry.id] = entry
        for row in entry.rows:
            self._by_row[row] = entry.id

    def _write(self, lines: Sequence[dict[str, Any]]) -> None:
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        self._file.write(text.encode())
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def _load(self, chain_id: Digest) -> None:
        self._file.seek(0)
        data = self._file.read()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            self._file.truncate(len(whole))
        lines = whole.splitlines()
        if not lines:
            self._write([{"format": FORMAT, "chain_id": chain_id.hex()}])
            _sync_folder(self.path.parent)
            return
        try:
            first = json.loads(lines[0])
            if first["format"] != FORMAT:
                raise ValueError("another format")
            if first["chain_id"] != chain_id.hex():
                raise Refused(
                    f"{self.path} belongs to chain {first['chain_id'][:16]}..., "
                    f"this is {chain_id.hex()[:16]}...",
                    "send to the network of that chain, or move the journal away to begin anew",
                )
            for line in lines[1:]:
                self._take(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(
                f"{self.path} is damaged: {error}",
                "it says which rows were sent; restore it, or check by `qiong licence list`",
            ) from None

    def _take(self, line: dict[str, Any]) -> None:
        tx_id = Digest(bytes.fromhex(line["id"]))
        if "raw" in line:
            raw = bytes.fromhex(line["raw"])
            self._remember(Signed(tuple(line["rows"]), tx_id, int(line["valid_until_ms"]), raw))
        elif line.get("expired"):
            self.outcomes[tx_id] = Outcome(None, ())
        else:
            calls = tuple((str(status), str(code)) for status, code in line["calls"])
            self.outcomes[tx_id] = Outcome(int(line["height"]), calls)


def _outcome_line(tx_id: Digest, outcome: Outcome) -> dict[str, Any]:
    if outcome.expired:
        return {"id": tx_id.hex(), "expired": True}
    return {"id": tx_id.hex(), "height": outcome.height, "calls": [list(c) for c in outcome.calls]}


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
