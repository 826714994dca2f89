"""Paths: decoded once, refused when they could mean two things.

Keys may hold `/` and travel percent-encoded, so a proxy or a client might normalise what it should
not. A path is therefore refused if any segment, as it is written or once decoded, is `.` or `..`,
if an escape is broken or decodes to a control character, or if the result is not UTF-8. What stays
has one reading. `%252e` decodes once, to the three characters `%2e`.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from node.api.problems import Problem

PATH_BYTES_MAX: Final = 4_096
"""Longest path: a key of 1,024 bytes, each one escaped, fits."""

_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2})")
_UNWANTED: Final = re.compile(r"[\x00-\x1f\x7f\\]")


def check_path(raw: str) -> None:
    """Check the path of a request target as it came, without its query. Raises `Problem` 400."""
    if len(raw) > PATH_BYTES_MAX:
        raise Problem(400, "bad_path", f"a path has at most {PATH_BYTES_MAX} bytes", close=True)
    if not raw.startswith("/"):
        raise Problem(400, "bad_path", "a path starts with a slash")
    if _ESCAPE.search(raw):
        raise Problem(400, "bad_path", "a % without two hexadecimal digits")
    try:
        decoded = unquote_to_bytes(raw).decode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise Problem(400, "bad_path", "not UTF-8") from None
    if _UNWANTED.search(decoded):
        raise Problem(400, "bad_path", "a control character or backslash")
    if any(segment in (".", "..") for segment in decoded.split("/")):
        raise Problem(400, "bad_path", "a segment is '.' or '..'")
