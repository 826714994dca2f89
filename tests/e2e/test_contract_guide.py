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
    "things is deployed, owned by 11460000QJWYLF556B",
    "its receipt is the committed one",
    "better not",
    "added call note(id: str, text: str) -> None",
    '"note": "", "since"',
    "refused",
    "frozen (a thing was registered twice)",
    "unfrozen",
)
"""Beside the guide's own samples of output: what its commands print, in this order."""


def alike(text: str) -> str:
    """`text` without its numbers and its alignment: prices may change, sentences may not."""
    return re.sub(r"[ \n]+", " ", re.sub(r"[0-9][0-9,.]*", "#", text))


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
    printed = alike(ended.stdout)
    for sample in snippets("text"):
        for line in sample.splitlines():
            assert "did you mean" in sample or alike(line) in printed, line
    for words in map(alike, TOLD):
        before, found, printed = printed.partition(words)
        assert found, f"{words!r} is not among what follows: {before}"


def test_the_guides_example_of_lint_is_what_lint_says() -> None:
    source = starter.files("things")["things.py"].replace("require(", "requires(", 1)
    example = next(text for text in snippets("text") if "did you mean" in text)
    assert render(lint_source(source), source, "things.py") == example.rstrip("\n")
