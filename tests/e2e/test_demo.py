"""`qiong demo` from start to end, as `make demo` runs it."""

import subprocess
import sys
from pathlib import Path


def test_the_demo_tells_the_main_job_and_leaves_nothing_running(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "cli.main", "demo", "--dir", str(folder)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    told = ended.stdout
    verdicts = [line.split()[1].rstrip(",") for line in told.splitlines() if "verdict:" in line]
    assert verdicts == ["valid", "revoked", "absent"] * 2
    assert "\x1b[" not in told  # no terminal, no colours
    assert {path.name for path in folder.glob("*.qproof")} == {
        "issued.qproof",
        "revoked.qproof",
        "never-issued.qproof",
    }
    running = [path for path in Path("/proc").glob("[0-9]*/cmdline") if _mentions(path, folder)]
    assert running == []


def _mentions(cmdline: Path, folder: Path) -> bool:
    try:
        return str(folder).encode() in cmdline.read_bytes()
    except OSError:
        return False
