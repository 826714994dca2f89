"""The README's shell snippets, run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

from devnet import network

README = Path(__file__).parents[2] / "README.md"


def test_the_readmes_snippets_run(tmp_path: Path) -> None:
    snippets = re.findall(
        r"^```sh\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(snippets) == 2
    clean = {name: text for name, text in os.environ.items() if not name.startswith("QIONG_")}
    clean["PATH"] = f"{Path(sys.executable).parent}:{clean['PATH']}"
    try:
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(snippets)],
            cwd=tmp_path,
            env=clean,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        network.reset(tmp_path / "my-net")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "valid" in ended.stdout
