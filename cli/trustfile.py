"""Reading and writing the trust file; apart from `verified`, so that checking a proof starts no
HTTP client."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from cli.errors import Refused
from ledger.trust import TrustAnchor


def read_trust(file: Path) -> TrustAnchor:
    """The trust anchor in `file`. Raises `Refused` if it cannot be read, `TrustInvalid`."""
    try:
        return TrustAnchor.parse(file.read_bytes())
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}", "name the trust file with --trust") from None


def replace_trust(file: Path, trust: TrustAnchor) -> None:
    """Put `trust` in the place of what `file` holds: whole, or not at all. Raises `OSError`."""
    place = file.resolve()
    mode = place.stat().st_mode
    descriptor, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(json.dumps(trust.to_json(), indent=2, ensure_ascii=False) + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        fresh.chmod(mode)
        fresh.replace(place)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
