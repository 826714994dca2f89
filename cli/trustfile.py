"""Reading the trust file; apart from `verified`, so that checking a proof starts no HTTP client."""

from __future__ import annotations

from pathlib import Path

from cli.errors import Refused
from ledger.trust import TrustAnchor


def read_trust(file: Path) -> TrustAnchor:
    """The trust anchor in `file`. Raises `Refused` if it cannot be read, `TrustInvalid`."""
    try:
        return TrustAnchor.parse(file.read_bytes())
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}", "name the trust file with --trust") from None
