"""Where system tools are that tests need."""

import shutil
from pathlib import Path


def find(tool: str) -> str | None:
    """The path of a tool; Debian keeps those of PostgreSQL out of the PATH, by version."""
    found = shutil.which(tool)
    if found is None:
        versions = Path("/usr/lib/postgresql").glob(f"*/bin/{tool}")
        found = max(map(str, versions), default=None)
    return found
