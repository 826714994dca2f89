"""Logs: one line an event on stderr, as text for people or JSON for machines.

Text is `TIME LEVEL name: message`; JSON has the same fields, and `error` with the trace if there is
one. A message never holds a secret or a body. Each level of a library below ours is raised to
warning, so that the log tells what this node does and why.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Final

OURS: Final = ("cli", "consensus", "contracts", "devnet", "ledger", "node")


class _Utc(logging.Formatter):
    """Times in UTC to the millisecond."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{moment}.{int(record.msecs):03d}Z"


class _Text(_Utc):
    """A line for people."""

    def format(self, record: logging.LogRecord) -> str:
        # A line of its own starts at the margin: what came from outside cannot forge one.
        return super().format(record).replace("\r", "\\r").replace("\n", "\n    ")


class _Json(_Utc):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "name": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(form: str, level: str) -> None:
    """Send every log to stderr. `form` is ``text`` or ``json``, `level` a lower-case name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Json() if form == "json" else _Text("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())
