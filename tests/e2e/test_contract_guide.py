"""The contract guide's commands, run as they stand: from `new` to an upgraded contract."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from cli.contract import starter
from contracts.lint import lint_source, render
from devnet import network

GUIDE = Path(__file__).parents[2] / "docs" / "contract-guide.md"

TOLD = (
    "things.py: nothing to refuse; calls: register, hand_over; views: show",
    "6 passed",
    "things.py     14  100%",
    "things is deployed, owned by 11460000QJWYLF556B",
    "things.register: ok -> reverted BAD_TITLE; gas",
    "1 would end otherwise",
    "better not",
    'get("thing/T-3") -> None',
    "its receipt is the committed one",
    "added    call note(id: str, text: str) -> None",
    "things has version 2, in force from block",
    '"note": "", "since"',
    "refused",
    "frozen  (a thing was registered twice)",
    "unfrozen",
)
"""What the commands print, in this order: what the guide promises of them."""


def snippets(language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )


def test_the_guides_commands_run(tmp_path: Path) -> None:
    script = "\n".join(snippets("sh"))
    clean = {name: text for name, text in os.environ.items() if not name.startswith("QIONG_")}
    clean["PATH"] = f"{Path(sys.executable).parent}:{clean['PATH']}"
    try:
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env=clean,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        network.reset(tmp_path / "things" / "net")
    assert ended.returncode == 0, ended.stdout
    rest = ended.stdout
    for words in TOLD:
        before, found, rest = rest.partition(words)
        assert found, f"{words!r} is not among what follows:\n{before}"


def test_the_guides_example_of_lint_is_what_lint_says() -> None:
    source = starter.files("things")["things.py"].replace("require(", "requires(", 1)
    example = next(text for text in snippets("text") if "did you mean" in text)
    assert render(lint_source(source), source, "things.py") == example.rstrip("\n")
