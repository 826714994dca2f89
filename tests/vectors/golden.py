"""Golden vectors: JSON files that pin every byte format.

A test produces its vectors from fixed inputs and compares them with the file. When a format was
changed on purpose, `make vectors` records the files anew; the difference then shows in the review.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

FOLDER = Path(__file__).parent
RECORDING = "QIONG_RECORD_VECTORS"


def check(name: str, produced: object) -> None:
    """Compare `produced` (plain JSON values) with `NAME.json`, or write it when recording."""
    path = FOLDER / f"{name}.json"
    if os.environ.get(RECORDING):
        path.write_text(json.dumps(produced, indent=2, ensure_ascii=False) + "\n")
    recorded = json.loads(path.read_text())
    assert produced == recorded, f"the format of {path.name} changed; if wanted: make vectors"
