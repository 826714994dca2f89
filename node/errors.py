"""Reasons to refuse before anything is changed: the third family beside bad input and bad disks.

A refusal concerns the machine and its files (a key readable by others, a setting nobody knows, a
folder in use), not the ledger. Command-line tools answer it with exit code 3 and the hint.
"""

from __future__ import annotations

from ledger.errors import QiongError


class Refused(QiongError):
    """The tool declines to go on and has changed nothing."""

    code = "refused"
