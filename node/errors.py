"""Reasons to refuse before anything is changed: the third family beside bad input and bad disks.

A refusal concerns the machine and its files (a key readable by others, a setting nobody knows, a
folder in use), not the ledger. Command-line tools answer it with exit code 3 and the hint.
"""

from __future__ import annotations

from typing import Final

from ledger.errors import QiongError

WAY_OUT: Final = "`qiong node why` explains it and names the way out"
"""Hint of every alarm."""


class Refused(QiongError):
    """The tool declines to go on and has changed nothing."""

    code = "refused"


def in_words(error: Exception) -> str:
    """What ended something, in one line: code, message, and the way out if there is one."""
    code = getattr(error, "code", type(error).__name__)
    hint = getattr(error, "hint", "")
    return f"{code}: {error}" + (f" (hint: {hint})" if hint else "")
