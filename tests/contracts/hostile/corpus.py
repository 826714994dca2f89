"""The corpus of hostile contracts: one text a category, each contract under a heading

    ### name: status code

as it ends when it is called as `main(3)` with 300,000 gas: `qiong contract run FILE main '[3]'`.
They are no files of their own, for many are no Python, and some no text that an editor would keep.

    python -m tests.contracts.hostile.corpus DIR        writes them as DIR/<category>/<name>.py
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

HERE: Final = Path(__file__).parent
HEADING: Final = "### "


class Entry(NamedTuple):
    category: str
    name: str
    status: str
    code: str
    source: str

    @property
    def compiles(self) -> bool:
        return self.code != "compile_refused"

    @property
    def admitted(self) -> bool:
        """Whether a node takes a call of it: the others are refused before they cost anything."""
        return self.status != "rejected"


@cache
def corpus() -> dict[str, Entry]:
    """All entries by name."""
    found: dict[str, Entry] = {}
    for path in sorted(HERE.glob("*.txt")):
        for part in path.read_bytes().decode("utf-8").split("\n" + HEADING)[1:]:
            head, _, source = part.partition("\n")
            name, _, expected = head.partition(": ")
            status, _, code = expected.partition(" ")
            assert name not in found, name
            found[name] = Entry(path.stem, name, status, code, source)
    return found


def extract(folder: Path) -> int:
    """Write every contract as a file; their number."""
    for entry in corpus().values():
        file = folder / entry.category / f"{entry.name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(entry.source.encode("utf-8"))
    return len(corpus())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.contracts.hostile.corpus DIR")
    print(extract(Path(sys.argv[1])), "contracts written")  # noqa: T201
