"""The words of `qiong devnet`: data on stdout, typed errors for the command line to show."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.devnet import devnet_group
from devnet import manifest


def test_sample_writes_rows_for_tx_send(tmp_path: Path) -> None:
    path = tmp_path / "rows.ndjson"
    options = ["sample", "--out", str(path), "--limit", "2", "--json"]
    result = CliRunner().invoke(devnet_group, options, catch_exceptions=False)
    assert json.loads(result.output) == {"file": str(path), "licences": 2, "credits": 2}
    contracts = [json.loads(line)["contract"] for line in path.read_text("utf-8").splitlines()]
    assert contracts == ["licence", "licence", "credit", "credit"]


def test_sample_leaves_the_other_kind_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.ndjson"
    options = ["sample", "--out", str(path), "--only", "credits"]
    result = CliRunner().invoke(devnet_group, options, catch_exceptions=False)
    assert f"qiong tx send {path}" in result.output
    assert len(path.read_text("utf-8").splitlines()) == 1000


@pytest.mark.parametrize("command", [["status"], ["down"], ["kill", "x"], ["restart", "x"]])
def test_a_folder_without_devnet_is_refused(command: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(devnet_group, [*command, "--dir", str(tmp_path)])
    assert isinstance(result.exception, manifest.NoDevnet)
    assert list(tmp_path.iterdir()) == []
